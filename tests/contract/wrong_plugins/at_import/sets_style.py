"""A module that changes figures' style at import."""

import matplotlib

from wrong_plugins.right import Ramp

matplotlib.rcParams["font.size"] = 19


class SetsStyle(Ramp):
    """A module that changes figures' style at import."""
