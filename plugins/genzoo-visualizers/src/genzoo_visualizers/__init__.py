"""The figures of a run, one visualizer a module."""
