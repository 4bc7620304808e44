"""A prior by diffusion."""
