"""What a real agent's user has allowed it in settings of its own, a run's policy forbids all the
same: it is asked for, and denied."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.world import World, world_of
from tests.modelserver import behaviours

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(180)]


def _gemini(**more: Any) -> Callable[[Path], None]:
    def allow(home: Path) -> None:
        _more(home / ".gemini/settings.json", more)

    return allow


def _gemini_policy(home: Path) -> None:
    folder = home / ".gemini/policies"
    folder.mkdir()
    rule = 'toolName = "*"\ndecision = "allow"\npriority = 999\n'
    (folder / "mine.toml").write_text(f"[[rule]]\n{rule}")


def _more(config: Path, more: dict[str, Any]) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), **more}))


def _opencode(**more: Any) -> Callable[[Path], None]:
    def allow(home: Path) -> None:
        _more(home / ".config/opencode/opencode.json", more)

    return allow


FREE = {"permission": {"*": "allow", "bash": "allow", "ba*": "allow", "edit": "allow"}}


def _copilot(home: Path) -> None:
    os.environ["COPILOT_ALLOW_ALL"] = "true"


ALLOWS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "gemini, tools": ("gemini", _gemini(tools={"allowed": ["run_shell_command", "write_file"]})),
    "gemini, its mode": ("gemini", _gemini(general={"defaultApprovalMode": "auto_edit"})),
    "gemini, policies": ("gemini", _gemini_policy),
    "copilot, a variable": ("copilot", _copilot),
    "opencode, permissions": ("opencode", _opencode(**FREE)),
    "opencode, its agent": ("opencode", _opencode(agent={"build": FREE})),
    "opencode, its mode": ("opencode", _opencode(mode={"build": FREE})),
    "opencode, another agent": (
        "opencode",
        _opencode(default_agent="mine", agent={"mine": {"mode": "primary", **FREE}}),
    ),
}


@pytest.mark.parametrize("what", ALLOWS)
def test_mode_read_holds(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, allow = ALLOWS[what]
    with world_of(name, tmp_path, monkeypatch) as w:
        monkeypatch.setenv("COPILOT_ALLOW_ALL", "")  # what `allow` sets is over with the test
        allow(tmp_path / "agent-home")
        _runs_nothing(w)


def _runs_nothing(w: World) -> None:
    acts = [behaviours.command("touch touched.txt"), behaviours.write("new.txt", "new\n")]
    w.plan(alpha=[acts[0], "Done."], beta=[acts[1], "Done."])
    run = w.start("alpha: do it", mode="read")
    run.wait(60, check=False)
    run.send("beta: do it").wait(60, check=False)
    assert not (w.repo / "touched.txt").exists()
    assert not (w.repo / "new.txt").exists()
    assert not [said for said in run.inspect()["warnings"] if "did not ask" in said]
    assert set(run.permissions()["rule"]) == {"mode read forbids execute", "mode read forbids edit"}


def test_what_copilot_keeps_on_disk_is_told_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world_of("copilot", tmp_path, monkeypatch) as w:
        home = tmp_path / "agent-home/.copilot"
        home.mkdir(exist_ok=True)
        places = {str(w.repo): {"tool_approvals": [{"kind": "write"}]}}
        kept = home / "permissions-config.json"
        kept.write_text(json.dumps({"locations": places}))
        w.plan(beta=[behaviours.write("new.txt", "new\n"), "Done."])
        run = w.start("beta: do it", mode="read")
        [said] = [said for said in run.inspect()["warnings"] if str(kept) in said]
        assert "mode='read' does not hold" in said
        run.wait(60, check=False)
        [said] = [said for said in run.inspect()["warnings"] if "did not ask" in said]
        assert (w.repo / "new.txt").exists()


def test_what_codex_is_allowed_by_rules_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No setting of a run turns its user's rules off: where one does, prevent it and say so."""
    with world_of("codex", tmp_path, monkeypatch) as w:
        rules = tmp_path / "agent-home/.codex/rules"
        rules.mkdir()
        (rules / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")\n')
        w.plan(alpha=[behaviours.command("touch touched.txt"), "Done."])
        run = w.start("alpha: do it", mode="read")
        run.wait(60, check=False)
        [said] = [said for said in run.inspect()["warnings"] if "did not ask" in said]
        assert "mode read forbids execute" in said
        assert (w.repo / "touched.txt").exists()
