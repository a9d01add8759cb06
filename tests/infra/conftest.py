"""The templates under test, and ways to break copies of them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.infra.invariants")
