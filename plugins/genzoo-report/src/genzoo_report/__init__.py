"""The course report: its recipes, its tables, and its claims as metrics."""
