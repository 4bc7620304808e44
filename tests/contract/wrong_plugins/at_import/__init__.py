"""Modules that do something at import."""
