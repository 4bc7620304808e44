"""A module that sets the default dtype at import."""

import torch

from wrong_plugins.right import Ramp

torch.set_default_dtype(torch.float64)


class SetsDtype(Ramp):
    """A module that sets the default dtype at import."""
