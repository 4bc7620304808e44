"""A module that chooses matplotlib's backend at import."""

import matplotlib

from wrong_plugins.right import Ramp

matplotlib.use("svg")


class SetsBackend(Ramp):
    """A module that chooses matplotlib's backend at import."""
