"""A prior by affine coupling layers (RealNVP) for genzoo."""
