"""Runs on a Dask cluster: placed by it, its worker lost, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from kit import git

import paseo_nb as paseo
from paseo_nb.errors import ReplayMiss, RunInterrupted, Unreachable, UsageProblem

from .conftest import Cluster, within, without_us


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
    with pytest.raises(UsageProblem, match=r"fork\(\) it"):
        paseo.start("demo/echo", "no", host="shed", shared=True)
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


@pytest.mark.parametrize("version", ["0.0.1", None])
def test_a_worker_with_another_version_or_without_paseo_nb_is_named(
    version: str | None, cluster: Cluster, here: Path, tmp_path: Path
) -> None:
    host = cluster.connect()
    before, known = cluster.env, set(host.cluster.workers())
    if version is None:
        path, why = without_us(tmp_path / "bare"), "has no paseo_nb"
    else:
        path, why = tmp_path / "other", r"has paseo_nb 0\.0\.1"
        (path / "paseo_nb").mkdir(parents=True)
        (path / "paseo_nb" / "__init__.py").write_text(f"__version__ = {version!r}\n")
    cluster.env = {**before, "PYTHONPATH": str(path)}
    try:
        cluster.start("other")
        with within(20) as until:
            until(lambda: set(host.cluster.workers()) > known)
            with pytest.raises(UsageProblem, match=why):
                cluster.connect()
            with pytest.raises(UsageProblem, match=why):
                paseo.start("demo/echo", "no", host=host)
            # One that comes between that look and the place: the place is none.
            lease = host._leases.ask(list(set(host.cluster.workers()) - known))
            until(lambda: lease.future.status == "error")
        with pytest.raises(UsageProblem, match="no paseo_nb that serves"):
            lease.check()
        lease.give_back()
        assert cluster.workers["other"].poll() is None, "nobody ended it by that"
    finally:
        cluster.env = before
        cluster.workers["other"].kill()
        cluster.workers.pop("other").wait()
    with within(10) as until:
        until(lambda: set(host.cluster.workers()) == known)


def test_runs_here_and_there_are_asked_about_together(cluster: Cluster, here: Path) -> None:
    host = cluster.connect()
    far = [paseo.start("demo/echo", f"there {n}", host=host) for n in range(2)]
    near = paseo.start("demo/echo", "here")
    assert len(paseo.wait([far[0], near], far[1])) == 3
    assert paseo.wait(far[0].id, host="shed")[0].state == "idle"
    everywhere = [near, *far]
    frame = paseo.turns(run=everywhere)
    assert sorted(zip(frame["host"], frame["run_id"], strict=True)) == sorted(
        [("local", near.id), *(("shed", one.id) for one in far)]
    )
    assert set(paseo.cost(everywhere)["run_id"]) == {one.id for one in everywhere}
    assert {one.id for one in far} <= set(paseo.cost(host="shed")["run_id"])
    assert {one.id for one in everywhere} <= set(paseo.cost(host="all")["run_id"])
    assert {one.id for one in everywhere} <= {one.id for one in paseo.ls(host="all")}
    assert set(paseo.events(run=[one.id for one in far], host="shed")["host"]) == {"shed"}
    assert paseo.export_traces(str(here / "t.parquet"), run=far) > 0
    assert (here / "t.parquet").exists(), "it is written here"
    with pytest.raises(UsageProblem, match="one place at a time"):
        paseo.export_traces(str(here / "t.parquet"), run=everywhere)


def test_a_session_goes_on_where_it_is_and_an_equal_run_is_found_again(
    cluster: Cluster, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.connect()
    first = paseo.run("demo/echo", "hello", host="shed", session="talk")
    again = paseo.run("demo/echo", "and now?", host="shed", session="talk")
    assert again.id == first.id
    assert "message 2" in again.text
    with pytest.raises(UsageProblem, match="another session name"):
        paseo.run("demo/fixer", "mend", host="shed", session="talk")
    once = paseo.run("demo/echo", "the same", host="shed")
    same = paseo.run("demo/echo", "the same", host="shed", reuse=True)
    assert (same.id, same.cached) == (once.id, True)
    assert paseo.run("demo/echo", "another", host="shed", reuse=True).id != once.id
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    with pytest.raises(ReplayMiss):
        paseo.run("demo/echo", "a third", host="shed")


def test_a_fork_is_one_of_the_clusters_runs(cluster: Cluster, here: Path) -> None:
    cluster.connect()
    run = paseo.run("demo/echo", "hello", host="shed")
    fork = run.fork(prompt="and now?").wait()
    assert fork.id != run.id
    assert fork.id in [one.id for one in paseo.ls(host="shed")]
    assert [turn.outcome for turn in fork.history().turns][-1] == "end_turn"
