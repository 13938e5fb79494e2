"""Runs on a Dask cluster: placed by it, its worker lost, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from kit import SLACK, git

import paseo_nb as paseo
from paseo_nb.errors import RunInterrupted, Unreachable, UsageProblem

from .conftest import Cluster, within


def seqs(run: Any) -> list[int]:
    return [event.seq for event in run.stream(follow=False)]


def test_a_run_is_placed_and_its_work_comes_back_as_a_branch(cluster: Cluster, here: Path) -> None:
    host = cluster.connect()
    note = here / "note.txt"
    note.write_text("for the agent")
    run = paseo.start("demo/fixer", "The tests fail.", host="shed", attach=note)
    assert Path(run.spec.cwd).is_relative_to(cluster.room)
    assert cluster.busy() >= 1, "its place is held while its turn is at work"
    run.wait()
    assert "13 tests pass" in run.text
    assert seqs(run) == list(range(1, len(seqs(run)) + 1))
    assert "tidelog/offsets.py" in {one.path for one in run.diff().summary.files}
    note.unlink()
    assert git(here, "status", "--porcelain") == ""
    run.apply()
    assert "ljust" in git(here, "show", "HEAD:tidelog/offsets.py")
    assert git(here, "branch", "--list", "paseo/shed/*").strip()
    run.send("and now?")
    assert len(run.wait().history().turns) == 2
    with within(10) as until:
        until(lambda: cluster.busy() == 0)
    assert run.id in [one.id for one in paseo.ls(host=host)]
    frame = paseo.runs(host="shed")
    assert set(frame["host"]) == {"shed"}
    assert set(paseo.turns(run=run, host=host)["turn"]) == {1, 2}
    assert paseo.ls() == [], "it is no run of this project"


def test_a_question_is_answered_and_cancel_is_ours(cluster: Cluster, here: Path) -> None:
    cluster.connect()
    run = paseo.start("demo/asker", "may I?", mode="ask", host="shed")
    with within(10) as until:
        until(run.pending)
    run.allow()
    assert run.wait().state == "idle"
    slow = paseo.start("demo/slow", "count", host="shed")
    with within(10) as until:
        until(lambda: "1 of" in slow.text)
        assert cluster.busy() == 1
        paseo.cancel(slow)
        slow.wait(check=False)
        assert slow.history().turn.outcome == "cancelled"
        until(lambda: cluster.busy() == 0)


@pytest.mark.crash
def test_a_lost_worker_interrupts_and_what_comes_late_does_not_count(
    cluster: Cluster, here: Path
) -> None:
    host = cluster.connect()
    run = paseo.start("demo/slow", "count", host=host)
    first = host.placement(run.id)
    with within(10) as until:
        until(lambda: "3 of" in run.text)
    cluster.kill(cluster.name_at(first.address))
    with pytest.raises(RunInterrupted, match="is gone"):
        run.wait()
    assert run.state == "interrupted"
    assert not host.alive(run.id)
    whole = seqs(run)
    assert whole == list(range(1, len(whole) + 1))
    with pytest.raises(Unreachable, match="is gone"):
        paseo.diff(run)
    frame = paseo.runs(host=host, run=run.id)
    assert list(frame["state"]) == ["interrupted"]
    run.resume()
    second = host.placement(run.id)
    assert (second.attempt, second.lost) == (2, False)
    assert second.born != first.born
    late = b'{"seq":%d,"t":1,"mono":1,"turn":1,"dir":"own","kind":"state","raw":{"state":"idle"}}\n'
    with within(10) as until:
        until(lambda: len(run.history().turns) == 2)
        size = host.folder(run.id).journal.stat().st_size
        host.append(run.id, size, late % (len(seqs(run)) + 1), (first.attempt, first.born))
        until(lambda: "3 of" in run.text)
    asked = second.address, "GET", f"/runs/{run.id}/state", {}
    assert host.cluster.request(*asked, {"Paseo-Attempt": "1"}, b"").status == 409
    assert host.cluster.request(*asked, {"Paseo-Attempt": "2"}, b"").status == 200
    run.cancel()
    run.wait(check=False)
    whole = seqs(run)
    assert whole == list(range(1, len(whole) + 1))
    assert [turn.outcome for turn in run.history().turns] == ["interrupted", "cancelled"]


def test_what_a_cluster_cannot_do_is_refused(cluster: Cluster, here: Path) -> None:
    cluster.connect()
    for options, why in (({"session": "one"}, "session="), ({"shared": True}, "shared=")):
        with pytest.raises(UsageProblem, match=why):
            paseo.start("demo/echo", "no", host="shed", **options)
    with pytest.raises(UsageProblem, match="no agent|unknown|no provider"):
        paseo.start("nobody/none", "no", host="shed")
    with within(10) as until:
        until(lambda: cluster.busy() == 0)
    with pytest.raises(UsageProblem, match="not done on a cluster"):
        paseo.arena("p", ["demo/echo", "demo/fixer"], host="shed")
    with pytest.raises(UsageProblem, match="Client"):
        paseo.connect(object())
    gone = Client(cluster.cluster)
    host = paseo.connect(gone, name="closed")
    gone.close()
    with pytest.raises(Unreachable, match="closed"):
        paseo.start("demo/echo", "no", host=host)
    with pytest.raises(Unreachable):
        paseo.connect(gone, name="again")


@pytest.mark.parametrize(
    ("resources", "why"),
    [({}, "has the resource `agents`"), ({"agents": 1}, "threads of this process")],
)
def test_workers_that_cannot_have_agents_are_told_so(
    resources: dict[str, int], why: str, here: Path
) -> None:
    with (
        LocalCluster(
            n_workers=1, processes=False, resources=resources, dashboard_address=None,
            silence_logs=50,
        ) as threads,
        Client(threads) as client,
        pytest.raises(UsageProblem, match=why),
    ):  # fmt: skip
        paseo.connect(client)


def test_a_worker_with_another_version_is_named(
    cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "paseo_nb"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    before = cluster.env
    cluster.env = {**before, "PYTHONPATH": str(other.parent)}
    try:
        cluster.start("other")
        cluster.client.wait_for_workers(4, timeout=20 * SLACK)
        with pytest.raises(UsageProblem, match=r"has paseo_nb 0\.0\.1"):
            cluster.connect()
    finally:
        cluster.env = before
        cluster.workers["other"].kill()
