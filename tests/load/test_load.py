"""Many runs at once, and very much from one of them: all of it arrives, and memory stays flat.

No duration is asserted but generous deadlines; `benchmarks/load.py` measures.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from kit import Project, check_invariants, exists, project_in

from paseo_nb.host.base import Launch
from paseo_nb.journal import read_batches
from paseo_nb.model import Limits, RunSpec
from paseo_nb.supervisor import cleanup

pytestmark = [pytest.mark.load, pytest.mark.timeout(290)]

PAIR_USS_MB = 25.0
FLOOD = 200_000
INDEX_GROWTH_MB = 150.0
LIMITS = Limits(idle_s=300)  # nobody leaves before the slowest has begun


def specs(project: Project, count: int) -> list[RunSpec]:
    """So many short runs."""
    made = [
        project.spec("echo", f"number {n}", script=[[{"say": f"I am number {n}."}]], limits=LIMITS)
        for n in range(count)
    ]
    project.runs += [spec.run_id for spec in made]
    return made


def all_end(project: Project, made: list[RunSpec], within: float) -> None:
    """Every run's turn ends well, with its own answer."""
    left = {spec.run_id: n for n, spec in enumerate(made)}

    def done() -> bool:
        for run_id in list(left):
            turns = project.history(run_id).turns
            if turns and turns[0].outcome is not None:
                assert turns[0].outcome == "end_turn", (run_id, turns[0].error)
                assert turns[0].text == f"I am number {left[run_id]}."
                del left[run_id]
        return not left

    project.until(done, within, "every run ends its turn")


def stop_all(project: Project, made: list[RunSpec]) -> None:
    """Nothing of them is left; their journals are sound."""
    pids = [pid for spec in made for pid in project.processes(spec.run_id).values()]
    assert len(pids) == len(set(pids)) == 3 * len(made)

    async def stop() -> None:
        await asyncio.gather(*(project.host.command(spec.run_id, "stop") for spec in made))

    asyncio.run(stop())
    for spec in made:
        project.gone(spec.run_id, 60)
    alive = cleanup.parents()
    assert not [pid for pid in pids if pid in alive]
    for spec in made:
        check_invariants(project, spec.run_id)


def pair_uss_mb(project: Project, run_id: str) -> float:
    """Memory that a run's warden and supervisor have to themselves."""
    pids = project.processes(run_id)
    pair = (psutil.Process(pids[name]) for name in ("warden", "supervisor"))
    return sum(process.memory_full_info().uss for process in pair) / 2**20


def test_a_hundred_runs_at_once(project: Project) -> None:
    made = specs(project, 100)
    launches = [Launch(spec, project.env) for spec in made]
    asyncio.run(project.host.start_many(launches))
    all_end(project, made, 200)
    used = [pair_uss_mb(project, spec.run_id) for spec in made]
    assert sum(used) / len(used) <= PAIR_USS_MB, f"{sum(used) / len(used):.1f} MB a pair"
    stop_all(project, made)


def test_thirty_ensures_in_parallel(project: Project) -> None:
    """As thirty cells or thirty clients would start them: no one waits for another's agent."""
    made = specs(project, 30)

    async def start() -> None:
        ensures = (project.host.ensure(spec.run_id, spec, project.env) for spec in made)
        await asyncio.gather(*ensures)

    asyncio.run(start())
    all_end(project, made, 120)
    used = [pair_uss_mb(project, spec.run_id) for spec in made]
    assert sum(used) / len(used) <= PAIR_USS_MB, f"{sum(used) / len(used):.1f} MB a pair"
    stop_all(project, made)


def test_ten_front_ends_ensure_the_same_run(project: Project) -> None:
    """One run, whoever is first: one pair, one agent, one turn."""
    [spec] = specs(project, 1)

    async def start() -> None:
        ensures = (project.host.ensure(spec.run_id, spec, project.env) for _ in range(10))
        await asyncio.gather(*ensures)

    asyncio.run(start())
    all_end(project, [spec], 60)
    assert len(project.own(spec.run_id, "run_started")) == 1
    stop_all(project, [spec])


# ---------------------------------------------------------------- one run, very much of it


@contextmanager
def watched_memory(pid: int, every_s: float = 0.02) -> Iterator[list[int]]:
    """The process's RSS, sampled while the block runs."""
    seen: list[int] = []
    over = threading.Event()
    process = psutil.Process(pid)

    def sample() -> None:
        while not over.is_set():
            try:
                seen.append(process.memory_info().rss)
            except psutil.NoSuchProcess:
                return
            time.sleep(every_s)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def growth_mb(project: Project, script: list[dict[str, object]]) -> tuple[str, float]:
    """Play a turn; by how much the supervisor's RSS rose at most above what it was at rest."""
    run_id = project.start(script=[[{"say": "Ready. "}], script], limits=LIMITS)
    project.ended(run_id)
    pid = project.processes(run_id)["supervisor"]
    rest = psutil.Process(pid).memory_info().rss
    with watched_memory(pid) as seen:
        project.send(run_id, "now")

        # Reading the whole journal again and again would measure the reader: ask the pair.
        project.until(lambda: len(project.own(run_id, "turn_start")) == 2, 30)
        while project.command(run_id, "ping").get("state") == "running":
            assert exists(pid)
            time.sleep(0.2)
        assert len(project.own(run_id, "turn_end")) == 2
    assert len(seen) > 5
    return run_id, (max(seen) - rest) / 2**20


INDEX = """
import sys, threading, time
from pathlib import Path
import psutil
from paseo_nb.store import advance, query
home, small = Path(sys.argv[1]), Path(sys.argv[2])
advance(small)  # whatever is loaded once is not the flood's
me, seen, over = psutil.Process(), [], threading.Event()
def sample():
    while not over.wait(0.02):
        seen.append(me.memory_info().rss)
rest = me.memory_info().rss
thread = threading.Thread(target=sample)
thread.start()
assert advance(home) is not None
over.set()
thread.join()
[(count, seqs)] = query.rows(home, "select count(*), count(distinct seq) from events")
assert count == seqs
print(count, (max(seen) - rest) / 2**20)
"""


def index_growth_mb(project: Project, small: Project) -> tuple[int, float]:
    """Index in a process of its own: rows, and by how much its RSS rose at most."""
    homes = [str(project.host.home), str(small.host.home)]
    command = [sys.executable, "-c", INDEX, *homes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, growth = done.stdout.split()
    return int(rows), float(growth)


def test_a_flood_is_journaled_and_indexed_in_flat_memory(project: Project) -> None:
    run_id, growth = growth_mb(project, [{"flood": FLOOD}])
    assert growth < 30, f"the supervisor grew by {growth:.1f} MB"
    expected, numbers = 1, 0
    for lines, _ in read_batches(project.folder(run_id).journal):
        for line in lines:
            assert line.seq == expected, "seq without a gap"
            expected += 1
            if line.kind == "agent_message_chunk" and b'"text":"%d ' % numbers in bytes(line.raw):
                numbers += 1
    assert numbers == FLOOD, "each update, in order"
    stop_all(project, [project.host.spec(run_id)])
    with project_in(project.root / "small") as small:
        short = small.start(script=[[{"flood": 200}]])
        small.ended(short)
        rows, growth = index_growth_mb(project, small)
    assert rows == len(project.lines(run_id))
    assert growth < INDEX_GROWTH_MB, f"indexing grew by {growth:.1f} MB"


def test_a_line_of_200_mb_is_kept_in_flat_memory(project: Project) -> None:
    run_id, growth = growth_mb(project, [{"bytes": 200_000_000}, {"say": "Then this."}])
    assert growth < 60, f"the supervisor grew by {growth:.1f} MB"
    history = project.history(run_id)
    assert history.turns[1].outcome == "end_turn"
    assert history.text.endswith("Then this.")
    [blob] = list((project.host.home / "blobs").iterdir())
    assert blob.stat().st_size > 200_000_000
    assert project.folder(run_id).journal.stat().st_size < 1 << 20
    stop_all(project, [project.host.spec(run_id)])
