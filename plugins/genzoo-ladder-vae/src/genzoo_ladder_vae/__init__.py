"""A hierarchical VAE with top-down inference for genzoo."""
