"""Every component of this distribution under the contract kit."""

from __future__ import annotations

import pytest

import genzoo.testing

test_contract = pytest.mark.slow(genzoo.testing.contract("genzoo-datasets"))
