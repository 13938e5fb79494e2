"""Failures in the suite's own modules are told in full, as those in test modules are."""

import pytest

pytest.register_assert_rewrite(
    "tests.conformance.cases", "tests.conformance.reporting", "tests.conformance.world"
)
