"""The staircase scheduler for genzoo."""
