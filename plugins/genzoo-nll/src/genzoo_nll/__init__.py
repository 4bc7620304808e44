"""Negative log-likelihood by importance sampling for genzoo."""
