"""The page that users read says what the suite's table says."""

from __future__ import annotations

from .page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.conformance.page"
