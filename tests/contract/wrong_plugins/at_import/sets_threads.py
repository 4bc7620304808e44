"""A module that sets the number of threads at import."""

import torch

from wrong_plugins.right import Ramp

torch.set_num_threads(1 + torch.get_num_threads())


class SetsThreads(Ramp):
    """A module that sets the number of threads at import."""
