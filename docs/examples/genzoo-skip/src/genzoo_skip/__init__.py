"""The skip network for genzoo."""
