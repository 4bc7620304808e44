"""A declaration module as it should be."""
