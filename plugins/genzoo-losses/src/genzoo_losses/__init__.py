"""The elbo loss: distortion and weighted rate."""
