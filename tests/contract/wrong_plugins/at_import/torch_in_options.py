"""Options beside an import of torch."""

import torch as torch
from pydantic import Field

from genzoo.options import Options


class Length(Options):
    """Length of a ramp."""

    epochs: float = Field(3, ge=0, le=1000, description="Length of the ramp, in epochs.")
