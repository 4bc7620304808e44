"""A module that seeds torch at import."""

import torch

from wrong_plugins.right import Ramp

torch.manual_seed(0)


class ReseedsTorch(Ramp):
    """A module that seeds torch at import."""
