"""The rate histogram visualizer for genzoo."""
