"""The importance-weighted objective for genzoo."""
