"""Tournaments and workflows whose runs a cluster places."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from kit import SLACK, git
from minds import Minds

import paseo_nb as paseo
from paseo_nb import agent, connecting, parallel, workflow_commands
from paseo_nb.errors import UsageProblem

from .conftest import Cluster, within

MINDS = """
def quick(prompt, turn, folder):
    return "yes"

def writes(prompt, turn, folder):
    there = folder / "note.txt"
    there.write_text((there.read_text() if there.exists() else "") + prompt)
    return str(sorted(path.name for path in folder.iterdir() if path.suffix))

def waits(prompt, turn, folder):
    (folder / "begun.txt").write_text(prompt)
    while not os.path.exists({go!r}):
        time.sleep(0.05)
    return "yes, at last"
"""


@pytest.mark.crash
def test_a_tournament_counts_each_result_once_though_a_worker_is_killed_twice(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    go, minds = tmp_path / "go", Minds(tmp_path)
    minds.has(MINDS.format(go=str(go)))
    cluster.connect()
    tasks = [dict(id=str(n), prompt=f"say {n}", expect="yes") for n in range(6)]
    board = paseo.tournament(tasks, ["quick", "waits"], host="shed")
    with within(20) as until:  # those that wait take all six places
        until(lambda: len(minds.asked("waits")) == 6)
        cluster.kill("one")
        until(lambda: len(minds.asked("waits")) == 8)
        cluster.kill("one")
        until(lambda: len(minds.asked("waits")) == 10)
    go.touch()
    board.wait(60 * SLACK)
    frame = board.trials()
    assert len(frame) == 12
    assert set(frame["state"]) == {"done"}
    assert frame["run_id"].nunique() == 12
    assert frame.groupby(["task", "agent"]).size().eq(1).all()
    assert frame["solved"].all()
    runs = paseo.runs()
    assert set(runs["run_id"]) == set(frame["run_id"]), "each came home, once"
    attempts = [paseo.attach(one).labels["attempt"] for one in frame["run_id"]]
    assert sorted(attempts)[-3:] != ["1"] * 3, "some were begun again"
    assert max(attempts) <= "3"
    for one in frame["run_id"]:
        events = paseo.events(run=one)
        assert list(events["seq"]) == list(range(1, len(events) + 1))
    again = paseo.tournament(tasks, ["quick", "waits"])
    assert again.trials().equals(frame), "it is done, wherever it was"


def test_a_workflow_gives_the_same_there_and_here(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    minds = Minds(tmp_path)
    minds.has(MINDS.format(go=""))
    cluster.connect()

    @paseo.workflow
    async def both():
        said = await parallel([agent(f"say {n}", "quick") for n in range(2)])
        apart = await agent("apart", "writes", isolation="worktree")
        shared = await agent("here", "writes", mode="edit")
        shared = await agent("again", "writes", mode="edit")
        return [str(one) for one in said], str(apart), apart.tree, apart.diff(), shared.tree

    far = both.options(host="shed")()
    assert (here / "note.txt").read_text() == "hereagain", "the shared files were changed"
    assert git(here, "branch", "--list", "wf/*").strip(), "what was done apart is a branch"
    (here / "note.txt").unlink()
    assert both.options(refresh=True)() == far
    assert len(minds.asked()) == 10


def test_a_workflow_in_a_process_of_its_own_has_a_client_of_its_own(
    cluster: Cluster, here: Path
) -> None:
    cluster.connect()

    @paseo.workflow
    async def greets(whom: str):
        return str(await agent(f"greet {whom}", "demo/echo"))

    run = greets.options(host="shed", bg=True)("you")
    assert "greet you" in run.wait(60 * SLACK)
    [step] = run.steps().to_dict("records")
    assert paseo.attach(step["run_id"]).labels["host"] == "shed"


def test_a_workflow_that_was_stopped_remembers_its_cluster(
    cluster: Cluster, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = cluster.connect()

    @paseo.workflow
    async def counts():
        return str(await agent("count", "demo/slow"))

    run = counts.options(host=host).start()
    with within(20) as until:
        until(lambda: list(run.steps()["state"]) == ["running"])
        run_id = run.steps()["run_id"].iloc[0]
        until(lambda: run_id in host.list() and host.alive(run_id))
    stopping = threading.Thread(target=run.stop)
    stopping.start()
    stopping.join(30 * SLACK)
    assert run.state == "stopped"
    paseo.connect(cluster.client, name="other")
    with monkeypatch.context() as left:
        left.delitem(connecting._connected, "shed")
        with pytest.raises(UsageProblem, match="connect\\(client, name='shed'\\)"):
            workflow_commands.resume(run.id)
    with within(10) as until:
        until(lambda: not host.alive(run_id))
