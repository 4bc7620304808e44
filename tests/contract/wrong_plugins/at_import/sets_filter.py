"""A module that silences warnings at import."""

import warnings

from wrong_plugins.right import Ramp

warnings.simplefilter("ignore")


class SetsFilter(Ramp):
    """A module that silences warnings at import."""
