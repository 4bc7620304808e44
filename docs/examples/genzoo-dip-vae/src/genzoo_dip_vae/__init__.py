"""The dip vae loss for genzoo."""
