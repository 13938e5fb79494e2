"""An agent that changes the notebook it was launched from asks first, in any mode; where it does not
ask, that is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit import Project

from paseo_nb.model import Limits, Rule
from paseo_nb.preparing import Cell
from tests.conformance.world import world_of
from tests.modelserver import behaviours

from .test_permissions import answers, ask, done, rules, start, waiting


def write(path: Path | str) -> dict[str, object]:
    params = {"path": str(path), "content": "x"}
    return {"$ask": {"method": "fs/write_text_file", "params": params}}


@pytest.mark.parametrize("mode", ["auto", "edit"])
def test_it_is_asked_for_with_the_reason(project: Project, mode: str) -> None:
    notebook = project.root / "work.ipynb"
    (project.root / "link.ipynb").symlink_to(notebook)
    calls = [
        ask("edit", rawInput={"path": "other.ipynb"}),
        ask("read", rawInput={"path": "work.ipynb"}),
        write(notebook),
        ask("edit", rawInput={"notebook_path": "link.ipynb"}),
        write(notebook),
    ]
    run_id, command = start(project, *calls, mode=mode, notebook=str(notebook))
    project.until(lambda: project.history(run_id).state == "waiting", 20, "it asks")
    asked = waiting(project, run_id)
    assert asked.input == {"notebook_path": "link.ipynb"}
    said = project.history(run_id).warnings
    assert len(said) == 1
    assert "the notebook that the run was launched from" in said[0]
    assert not notebook.exists(), "written before it was allowed"
    project.command(run_id, "answer", permission=asked.id, allow=True)
    project.ended(run_id)
    assert answers(project, command) == ["once", "once", -32603, "once", {}]
    assert notebook.read_text() == "x"


def test_nobody_there_means_no_and_why(project: Project) -> None:
    run_id, command = start(
        project,
        ask("edit", rawInput={"path": "work.ipynb"}),
        mode="auto",
        notebook=str(project.root / "work.ipynb"),
        limits=Limits(permission_timeout_s=0.3, idle_s=60),
    )
    history = project.ended(run_id)
    assert answers(project, command) == ["no"]
    [asked] = history.permissions.values()
    assert asked.by == "timeout"
    assert "launched from" in str(asked.message)


def test_a_rule_of_the_user_s_allows_it(project: Project) -> None:
    run_id, command = start(
        project,
        ask("edit", rawInput={"path": "work.ipynb"}),
        mode="ask",
        rules=[Rule("allow", "edit", "*.ipynb")],
        notebook=str(project.root / "work.ipynb"),
    )
    history = project.ended(run_id)
    assert answers(project, command) == ["once"]
    assert rules(history) == [("allowed", "policy")]


@pytest.mark.parametrize(("path", "told"), [("work.ipynb", True), ("other.ipynb", False)])
def test_an_unasked_change_is_said(project: Project, path: str, told: bool) -> None:
    begun, ended = done("a", "edit")
    begun["params"]["update"]["rawInput"] = {"path": path}
    run_id, _ = start(project, begun, ended, mode="auto", notebook=str(project.root / "work.ipynb"))
    said = project.ended(run_id).warnings
    assert any("without asking" in one for one in said) == told


@pytest.mark.real_agent
@pytest.mark.parametrize("agent_mode", [None, "acceptEdits"])
def test_claude_asks_whatever_its_own_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent_mode: str | None
) -> None:
    with world_of("claude", tmp_path, monkeypatch) as w:
        w.plan(alpha=[behaviours.write("work.ipynb", "{}\n"), "On I go."])
        cell = Cell(notebook=str(w.repo / "work.ipynb"))
        run = w.start("alpha: write it", mode="auto", agent_mode=agent_mode, cell=cell)
        w.waits_for_permission(run)
        assert any("launched from" in one for one in run.history().warnings)
        run.deny(message="not that file").wait(60, check=False)
        assert not os.path.exists(w.repo / "work.ipynb")
