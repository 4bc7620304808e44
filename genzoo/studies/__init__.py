"""Many runs: published tables, results as data, curves side by side."""
