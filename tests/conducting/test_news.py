"""What a parent is told of its children: once, when it is idle, also after a restart of anybody.

Invariants: (1) each end of a child's turn is journaled once in the parent's journal and said to its
agent once, whoever is killed in between; (2) what the agent has heard as a tool's answer it is not
told again; (3) a parent whose child is at work does not leave for idleness; (4) a child's question
is news, too, and old news when it is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Project, check_invariants, kill_9

import paseo_nb as paseo

from .conftest import WRITE, Call, conductor, with_tools

Script = Callable[..., str]
READY = [{"say": "I lead."}]
HEARD = [{"say": "I heard."}]


def spawn(parent: Any, agent: str, **more: Any) -> Any:
    """A child of a run, by its tools."""

    async def work(call: Call) -> str:
        made = await call("spawn_subagent", provider=agent, initialPrompt="Go.", **more)
        return made["agentId"]

    return paseo.attach(with_tools(parent, work))


def told(run: Any) -> list[str]:
    """What a run was told of its children."""
    return [turn.prompt for turn in run.history().turns if turn.origin == "child"]


def held(repo: Path) -> list[dict[str, Any]]:
    """A turn that lasts until `let_go`."""
    return [{"shell": f"until [ -e {repo}/go ]; do sleep 0.1; done"}, {"say": "I lead."}]


def let_go(repo: Path) -> None:
    """End the turns that are held."""
    (repo / "go").touch()


def slow(seconds: float, last: str = "I am done.") -> list[dict[str, Any]]:
    """A turn that takes so long."""
    return [{"say": "x", "pause": seconds}, {"say": last}]


def test_an_idle_parent_is_told_once_with_the_result(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(READY, HEARD)).wait(60)
    child = spawn(parent, script(slow(0.1, "The answer is 42.")))
    project.until(lambda: told(parent), 60, "it is told")
    project.until(lambda: len(project.ended(parent.id, 2, 60).turns) == 2, 60)
    [prompt] = told(parent)
    assert child.id in prompt
    assert "The answer is 42." in prompt
    [line] = project.own(parent.id, "child_told")
    assert (line["child"], line["key"], line["outcome"]) == (child.id, "t1", "end_turn")
    assert not list((project.folder(parent.id).path / "inbox").glob("*.json"))
    check_invariants(project, parent.id)


def test_a_busy_parent_is_told_when_its_turn_is_over_of_all_at_once(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(held(repo), HEARD, HEARD))
    agent = script(slow(0.1))
    children = [spawn(parent, agent), spawn(parent, agent)]
    project.until(lambda: len(project.own(parent.id, "child_told")) == 2, 60)
    assert told(parent) == []
    assert parent.history().turn_open, "it was not interrupted"
    let_go(repo)
    project.ended(parent.id, 2, 90)
    [prompt] = told(parent)
    assert all(child.id in prompt for child in children)
    assert [turn.outcome for turn in parent.history().turns] == ["end_turn", "end_turn"]


def test_what_was_heard_by_a_tool_is_not_told_again(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(held(repo), HEARD, HEARD))

    async def work(call: Call) -> None:
        made = await call("create_agent", provider=script(slow(0.1)), initialPrompt="Go.")
        done = await call("wait_for_agent", agentId=made["agentId"])
        assert done["outcome"] == "end_turn"

    with_tools(parent, work)
    second = spawn(parent, script(slow(0.1, "I am the second.")))
    project.until(lambda: len(project.own(parent.id, "child_told")) == 2, 60)
    let_go(repo)
    project.ended(parent.id, 2, 90)
    [prompt] = told(parent)
    assert second.id in prompt
    assert prompt.count("ended its turn") == 1


def test_who_does_not_want_to_be_told_is_not(repo: Path, project: Project, script: Script) -> None:
    parent = conductor(script(READY, HEARD)).wait(60)
    spawn(parent, script(slow(0.1)), notifyOnFinish=False)
    project.until(lambda: project.own(parent.id, "child_told"), 60)
    [line] = project.own(parent.id, "child_told")
    assert line["prompt"] is False
    assert told(parent) == []


def test_a_parent_killed_meanwhile_is_told_once_when_it_is_back(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(held(repo), READY, HEARD, HEARD))
    child = spawn(parent, script(slow(4)))
    pair = project.processes(parent.id)
    kill_9(pair["supervisor"], pair["warden"])
    project.gone(parent.id, 30)
    project.ended(child.id, 1, 60)
    assert child.wait(60).text.endswith("I am done."), "the child and its result survive"
    inbox = project.folder(parent.id).path / "inbox"
    project.until(lambda: list(inbox.glob("*.json")), 30, "the news waits for it")
    assert parent.state == "interrupted"
    let_go(repo)
    parent.resume()
    project.until(lambda: told(parent), 60, "it is told")
    project.until(lambda: not parent.history().turn_open, 60)
    origins = [turn.origin for turn in parent.history().turns]
    assert origins == ["user", "resume", "child"], "first it goes on, then it hears"
    parent.stop()
    parent.send("And now?").wait(60)
    assert len(told(parent)) == 1
    check_invariants(project, parent.id)


def test_killed_between_taking_and_telling_it_is_told_once(
    repo: Path, project: Project, script: Script
) -> None:
    """The news was journaled while the parent was busy; its file is gone, and then its pair."""
    parent = conductor(script(held(repo), READY, HEARD, HEARD))
    spawn(parent, script(slow(0.1)))
    inbox = project.folder(parent.id).path / "inbox"
    project.until(lambda: project.own(parent.id, "child_told"), 60)
    project.until(lambda: not list(inbox.glob("*.json")), 30)
    pair = project.processes(parent.id)
    kill_9(pair["supervisor"], pair["warden"])
    project.gone(parent.id, 30)
    let_go(repo)
    parent.resume()
    project.until(lambda: told(parent), 60, "it is told")
    project.until(lambda: not parent.history().turn_open, 60)
    assert len(told(parent)) == 1
    assert len(project.own(parent.id, "child_told")) == 1


def test_a_child_whose_pair_is_killed_is_news_once_somebody_looks(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(READY, HEARD)).wait(60)
    child = spawn(parent, script(slow(90)))
    project.in_mid_turn(child.id, 6)
    pair = project.processes(child.id)
    kill_9(pair["supervisor"], pair["warden"])
    project.gone(child.id, 30)
    assert child.state == "interrupted"
    project.until(lambda: told(parent), 60, "it is told")
    assert "interrupted" in told(parent)[0]


def test_a_question_of_a_child_is_news_until_it_is_answered(
    repo: Path, project: Project, script: Script
) -> None:
    parent = conductor(script(READY, HEARD, HEARD)).wait(60)
    child = spawn(parent, script(WRITE), mode="ask")
    project.until(lambda: told(parent), 60, "it is told")
    assert "respond_to_permission" in told(parent)[0]
    child.allow()
    project.until(lambda: len(told(parent)) == 2, 60)
    assert "Written." in told(parent)[1]


def test_a_parent_stays_while_its_child_is_at_work(
    repo: Path, project: Project, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASEO_NB_IDLE", "15")
    parent = conductor(script(READY, HEARD)).wait(60)
    spawn(parent, script(held(repo)))
    time.sleep(20)  # longer than it may be idle
    let_go(repo)
    project.ended(parent.id, 2, 90)
    assert len(project.own(parent.id, "run_started")) == 1, "it was there all the time"
    project.gone(parent.id, 60)
