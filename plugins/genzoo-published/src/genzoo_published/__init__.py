"""Recipes and tables of published numbers."""
