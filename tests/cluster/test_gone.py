"""What a cluster loses: a worker that only seemed dead, its scheduler, the kernel that began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client
from kit import SLACK, kill_9

import paseo_nb as paseo
from paseo_nb.errors import RunInterrupted, RunTimeout, Unreachable, UsageProblem

from .conftest import Cluster, Scheduled, within
from .test_runs import seqs


@pytest.mark.crash
def test_a_frozen_worker_that_thaws_changes_nothing_of_the_next_attempt(
    cluster: Cluster, here: Path
) -> None:
    host = cluster.connect()
    run = paseo.start("demo/slow", "count", host=host)
    first = host.placement(run.id)
    frozen = cluster.workers[cluster.name_at(first.address)].pid
    with within(10) as until:
        until(lambda: "3 of" in run.text)
        os.kill(frozen, signal.SIGSTOP)
        try:
            cluster.give_up(first.address)
            with pytest.raises(RunInterrupted, match="is gone"):
                run.wait(20 * SLACK)
            run.resume()
            second = host.placement(run.id)
            assert (second.attempt, second.born != first.born) == (2, True)
        finally:
            os.kill(frozen, signal.SIGCONT)
        until(lambda: cluster.replaced(frozen))  # it noticed, looked at its runs, and left
        until(lambda: "5 of" in run.text)
    assert host.alive(run.id), "its agent is not ended by the one that came back"
    assert run.cancel().wait(check=False).history().turn.outcome == "cancelled"
    assert seqs(run) == list(range(1, len(seqs(run)) + 1))
    assert [turn.outcome for turn in run.history().turns] == ["interrupted", "cancelled"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Scheduled]:
    made = Scheduled(tmp_path / "other")
    yield made
    made.close()


@pytest.mark.crash
def test_a_scheduler_that_is_killed_is_told_of_at_once_and_its_runs_go_on_on_the_next_cluster(
    cluster: Cluster, here: Path, other: Scheduled
) -> None:
    host = paseo.connect(Client(other.address, timeout=2), name="barn")
    run = paseo.start("demo/slow", "count", host=host)
    done = paseo.run("demo/echo", "hello", host=host)
    with within(10) as until:
        until(lambda: "3 of" in run.text)
    kill_9(other.scheduler.pid)
    began = time.monotonic()
    with pytest.raises(RunTimeout):
        run.wait(0.3)
    with pytest.raises(Unreachable, match=r"connect\(client, name='barn'\)|is gone"):
        done.send("and now?")
    assert time.monotonic() - began < 6 * SLACK, "Dask would wait for half a minute"
    with pytest.raises(RunInterrupted, match=r"its cluster is gone.*connect\(client, name='barn'"):
        run.wait(20 * SLACK)
    with pytest.raises(Unreachable, match=r"make a Client, then paseo.connect\(client, name='barn"):
        run.resume()
    assert "3 of" in paseo.logs(run), "what came here is read"
    assert list(paseo.cost([done])["level"]) == ["run", "turn"]
    assert set(paseo.runs(host="barn")["state"]) == {"interrupted", "idle"}
    assert {one.state for one in paseo.ls(host="barn")} == {"interrupted", "idle"}

    assert paseo.connect(cluster.client, name="barn") is host
    assert [one.id for one in paseo.ls(host="barn")] == [done.id, run.id]
    run.resume()
    assert host.placement(run.id).attempt == 2
    with within(10) as until:
        until(lambda: run.history().turn.turn == 2 and "2 of" in run.text)
    run.cancel().wait(check=False)
    assert seqs(run) == list(range(1, len(seqs(run)) + 1))
    with pytest.raises(UsageProblem, match="start a new run"):
        done.resume("go on")


KERNEL = """
import os, sys, time
import paseo_nb as paseo
from distributed import Client
host = paseo.connect(Client(sys.argv[1]), name="yard")
slow = paseo.start("demo/slow", "count", host=host)
asks = paseo.start("demo/asker", "may I?", mode="ask", host=host)
while "3 of" not in slow.text or not asks.pending():
    time.sleep(0.05)
print(slow.id, asks.id, flush=True)
time.sleep(600)
"""


@pytest.mark.crash
def test_a_kernel_that_is_killed_leaves_its_runs_to_the_next(cluster: Cluster, here: Path) -> None:
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL, cluster.cluster.scheduler_address], stdout=subprocess.PIPE
    )
    assert kernel.stdout is not None
    ids = kernel.stdout.readline().decode().split()
    kill_9(kernel.pid)
    kernel.wait()
    assert len(ids) == 2
    paseo.connect(cluster.client, name="yard")
    assert set(ids) <= {one.id for one in paseo.ls(host="yard")}
    slow, asks = (paseo.attach(one, host="yard") for one in ids)
    seen = len(seqs(slow))
    with within(10) as until:
        until(lambda: len(seqs(slow)) > seen)  # it goes on
        assert asks.allow().wait().state == "idle"
        assert slow.cancel().wait(check=False).history().turn.outcome == "cancelled"
        until(lambda: cluster.busy() == 0)  # the places of the dead kernel are given back
    for run in (slow, asks):
        assert seqs(run) == list(range(1, len(seqs(run)) + 1))
