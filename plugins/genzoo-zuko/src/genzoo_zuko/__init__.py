"""Priors by the normalizing flows of zuko."""
