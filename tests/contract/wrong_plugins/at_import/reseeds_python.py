"""A module that seeds Python at import."""

import random

from wrong_plugins.right import Ramp

random.seed(0)


class ReseedsPython(Ramp):
    """A module that seeds Python at import."""
