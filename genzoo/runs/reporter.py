"""The former name of the listener, kept until nothing names it."""

from genzoo.engine.listener import Listener as Reporter

__all__ = ["Reporter"]
