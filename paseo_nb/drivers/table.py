"""The providers that come with us: one file here and one row each. `docs/add-a-provider.md`."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A provider by the name of its file, which has a `PROVIDER`, or a `provider()` where something
    must be looked up. differs: it also has `DIFFERENCES` from plain ACP, which a supervisor
    imports."""

    name: str
    differs: bool = False


ROWS = (
    Row("demo"),
    Row("api"),
    Row("claude"),
    Row("codex"),
    Row("copilot", differs=True),
    Row("opencode", differs=True),
    Row("pi", differs=True),
    Row("gemini", differs=True),
)
