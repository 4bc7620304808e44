"""Every component of this distribution under the contract kit."""

from __future__ import annotations

import genzoo.testing

test_contract = genzoo.testing.contract("genzoo-zuko")
