"""The vector-quantised VAE, its codes drawn and their perplexity measured, for genzoo."""
