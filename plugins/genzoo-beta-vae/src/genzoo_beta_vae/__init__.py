"""The β-VAE: a declaration derived from the VAE, and a loss with Higgins' normalised β."""
