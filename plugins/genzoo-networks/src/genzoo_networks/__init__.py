"""Encoder and decoder bodies: conv and mlp."""
