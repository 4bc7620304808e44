"""The discretised logistic likelihood for genzoo."""
