"""Sprites with known factors, made like dSprites, for genzoo."""
