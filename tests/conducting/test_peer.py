"""Paseo's own calls are taken, by name and shape; the page that says so is up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .conftest import WRITE, Call, conductor, with_tools
from .peer import CALLS, page

PAGE = Path(__file__).parents[2] / "docs" / "conductors.md"


def test_every_call_is_taken_as_it_is(repo: Path, script: Callable[..., str]) -> None:
    parent = conductor("demo/slow", "seconds=300")
    known = {"$agent": script(WRITE, [{"say": "x"}], [{"say": "y"}]), "$cwd": str(repo)}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        return known.get(value, value) if isinstance(value, str) else value

    async def work(call: Call) -> None:
        for peer in CALLS:
            if peer.tool == "create_agent" and peer.arguments["title"] == "Writer":
                told = await call(peer.tool, mode="ask", **filled(peer.arguments))
                known["$child"] = told["agentId"]
            else:
                told = await call(peer.tool, **filled(peer.arguments))
            if peer.tool == "list_pending_permissions":
                known["$request"] = told["permissions"][0]["request"]["id"]
            assert set(peer.answer) <= set(told), (peer.tool, told)
            assert "ignored" not in told, (peer.tool, told)

    with_tools(parent, work)


def test_the_page_is_up_to_date() -> None:
    said = "run `python -m tests.conducting.peer > docs/conductors.md`"
    assert PAGE.read_text() == page(), said
