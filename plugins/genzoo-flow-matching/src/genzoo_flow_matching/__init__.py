"""A prior by flow matching."""
