"""Metrics of any run: distortion, rate and elbo with their errors, active units, and a judge of conditional samples."""
