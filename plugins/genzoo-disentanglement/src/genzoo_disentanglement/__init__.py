"""Disentanglement metrics for genzoo."""
