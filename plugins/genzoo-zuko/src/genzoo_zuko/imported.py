"""zuko, without what importing it changes for the rest of the process."""

from __future__ import annotations

from torch.distributions import Distribution

# zuko turns off the validation of every torch distribution when it is imported. That is the program's choice, so it is
# taken back; no distribution of zuko is used here, only transforms.
_KEPT = {name: Distribution.__dict__[name] for name in ("_validate_args", "arg_constraints")}

from zuko import flows  # noqa: E402

for _name, _value in _KEPT.items():
    setattr(Distribution, _name, _value)

__all__ = ["flows"]
