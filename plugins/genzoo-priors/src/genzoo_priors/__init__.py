"""Priors of real latents: standard-normal and mixture."""
