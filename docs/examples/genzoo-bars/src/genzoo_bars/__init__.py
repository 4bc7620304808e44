"""The bars dataset for genzoo."""
