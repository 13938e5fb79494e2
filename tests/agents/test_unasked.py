"""What a real agent does unasked, as its user's own settings allow it, is said on the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.world import world_of
from tests.modelserver import behaviours

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(180)]
ALLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "gemini": (".gemini/settings.json", {"tools": {"allowed": ["run_shell_command"]}}),
    "opencode": (
        ".config/opencode/opencode.json",
        {
            "default_agent": "mine",
            "agent": {"mine": {"mode": "primary", "permission": {"bash": "allow"}}},
        },
    ),
}


@pytest.mark.parametrize("name", ALLOWS)
def test_its_users_settings_win_and_that_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world_of(name, tmp_path, monkeypatch) as w:
        path, more = ALLOWS[name]
        config = tmp_path / "agent-home" / path
        config.write_text(json.dumps({**json.loads(config.read_text()), **more}))
        w.plan(alpha=[behaviours.command("touch touched.txt"), "Done."])
        run = w.start("alpha: do it", mode="read")
        run.wait(60, check=False)
        told = [said for said in run.inspect()["warnings"] if "did not ask" in said]
        assert bool(told) == (w.repo / "touched.txt").exists()
        assert told, "else its settings no longer win: then say so in the driver's notes"
