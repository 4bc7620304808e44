"""The student t prior for genzoo."""
