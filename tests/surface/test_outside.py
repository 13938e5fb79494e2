"""A worktree confines nobody: what is changed outside it is told, and by whom only as far as known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import SHELL_AGENT, Project

import paseo_nb as paseo


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=SHELL_AGENT)


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


def test_what_changes_in_the_main_checkout_is_told(repo: Path) -> None:
    (repo / "README.md").write_text("the user's\n")
    (repo / "mine").write_text("the user's\n")
    inside = start("echo 1 > a; echo 2 > README.md", worktree="w")
    assert inside.history().warnings == []
    inside.send(f"echo more >> '{repo}/README.md'; echo new > '{repo}/new file'")
    inside.wait()
    (said,) = inside.history().warnings
    assert "changed while the turn ran, by the agent or by somebody else" in said
    assert said.endswith(": README.md, new file")
    (repo / "mine").write_text("the user's, between two turns\n")
    inside.send("true")
    inside.wait()
    assert len(inside.history().warnings) == 1
    inside.send(f"cd '{repo}'; git -c user.name=a -c user.email=a@b commit -qam mine")
    inside.wait()
    assert inside.history().warnings[1].endswith(": HEAD, README.md")
    assert start("echo 1 > b").history().warnings == [], "there it is the agent's place"


def edit(ident: str, path: str, **more: Any) -> dict[str, Any]:
    call = {"toolCallId": ident, "title": "Edit", "kind": "edit", "status": "completed",
            "locations": [{"path": path}], **more}  # fmt: skip
    update = {"sessionUpdate": "tool_call", **call}
    params = {"sessionId": "puppet-session", "update": update}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def test_edits_that_name_a_path_outside_are_told(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    project = Project(tmp_path / "elsewhere")
    done = {"id": "$id", "result": {"stopReason": "end_turn"}}
    turn = [
        edit("1", "inside.txt"),
        edit("2", str(tmp_path / "there" / "x.txt")),
        edit("3", str(tmp_path / "failed"), status="failed"),
        edit("4", str(tmp_path / "read"), kind="read"),
        edit("5", "../../../up.txt"),
        done,
    ]
    command = project.puppet({"session/prompt": [turn, [edit("6", "fine"), done]]})
    paseo.register_provider("puppet", command=command)
    run = paseo.run("puppet", "go", mode="auto", worktree="w")
    (said,) = run.history().warnings
    assert said == (
        "the agent changed files outside its worktree:"
        f" {', '.join(sorted([str(repo / 'up.txt'), str(tmp_path / 'there' / 'x.txt')]))}"
    )
    run.send("again")
    run.wait()
    assert len(run.history().warnings) == 1
