"""Failures in the suite's own modules are told in full, as those in test modules are."""

import pytest

pytest.register_assert_rewrite("conformance.cases", "conformance.reporting", "conformance.world")
