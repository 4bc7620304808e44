"""Plugins that are wrong on purpose, each in one thing, so that the contract kit is seen to fail."""
