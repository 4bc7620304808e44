"""Options of the mutual information metric. Importing it imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from genzoo.options import Options


class MutualInformationOptions(Options):
    """Options of the mutual information metric."""

    images: int = Field(2000, ge=2, le=100000, description="How many test images it looks at.")
    tiny: ClassVar[dict[str, Any]] = {"images": 24}
