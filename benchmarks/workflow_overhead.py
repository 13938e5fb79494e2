"""What a workflow's engine costs per step: CPU µs of a step that does nothing, without and with
durability, and of one that is taken from before; beside plain asyncio and DBOS in the same run.

Steps are functions here (a place without processes), so that only the engine's own work counts. A
durable step is on the disk when it is done; "run written down first": its run's id was, too, before
it began, as it is for agents, which outlive the engine.
CPU time of the whole process, not wall time. `python benchmarks/workflow_overhead.py [--steps 2000]
[--dbos PYTHON]`, where PYTHON is the interpreter of an environment that has DBOS (a venv of its
own: `python -m venv .dbos && .dbos/bin/pip install dbos`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, write_results

GOALS = {"not durable": 17.0, "durable": 40.0, "cached": 11.0}

DBOS = """
import asyncio, json, sys, time, logging
from dbos import DBOS
steps, rounds = int(sys.argv[1]), int(sys.argv[2])
DBOS(config={"name": "overhead", "system_database_url": f"sqlite:///{sys.argv[3]}/dbos.sqlite",
             "log_level": "ERROR", "run_admin_server": False})

@DBOS.step()
async def nothing(n):
    return n

@DBOS.workflow()
async def many(n):
    for at in range(n):
        await nothing(at)

DBOS.launch()

async def main():
    await many(50)
    told = []
    for _ in range(rounds):
        begun = time.process_time()
        await many(steps)
        told.append((time.process_time() - begun) / steps * 1e6)
    print(json.dumps(told))

asyncio.run(main())
DBOS.destroy()
"""


async def _plain(steps: int, at_once: int) -> None:
    async def nothing(n: int) -> int:
        await asyncio.sleep(0)
        return n

    for begin in range(0, steps, at_once):
        await asyncio.gather(*(nothing(n) for n in range(begin, begin + at_once)))


def _cpu(work: Callable[[], Any], steps: int) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / steps * 1e6


def ours(steps: int, at_once: int, rounds: int) -> dict[str, list[float]]:
    """CPU µs per step of each round, by kind."""
    import paseo_nb as paseo
    from paseo_nb.engine.simulated import SimulatedPlace
    from paseo_nb.engine.values import Wanted

    def nothing(wanted: Wanted) -> str:
        return "ok"

    @paseo.workflow(concurrency=at_once, max_steps=steps + 1)
    async def many(mark: int, count: int) -> int:
        for begin in range(0, count, at_once):
            await paseo.parallel(
                [paseo.agent(f"{mark} {n}") for n in range(begin, begin + at_once)]
            )
        return count

    kinds = ("not durable", "durable", "durable, run written down first", "cached")
    told: dict[str, list[float]] = {kind: [] for kind in kinds}
    many.at(lambda: SimulatedPlace(nothing))(-1, 200)
    for mark in range(rounds):
        for kind in kinds[:3]:
            durable, lasting = kind != kinds[0], kind == kinds[2]
            folder = Path(tempfile.mkdtemp(prefix="paseo-overhead-"))
            os.environ["PASEO_NB_HOME"] = str(folder / ".paseo_nb")
            there = SimulatedPlace(nothing, lasting=lasting)
            run = many.options(durable=durable).at(lambda there=there: there)
            told[kind].append(_cpu(lambda run=run, mark=mark: run(mark, steps), steps))
            if kind == "durable":
                told["cached"].append(_cpu(lambda run=run, mark=mark: run(mark, steps), steps))
            shutil.rmtree(folder)
    return told


def responsive() -> dict[str, float]:
    """10,000 steps in one run: how long its loop was ever kept from other work, in ms; as far as
    that was its own doing, in CPU ms (on a busy machine it waits for its turn, too). What a look at
    them costs: as a table and as a page, and how it stands, once it was looked at."""
    import pandas  # noqa: F401  # costs a second of its own

    import paseo_nb as paseo
    from paseo_nb.engine.simulated import SimulatedPlace

    gaps: list[float] = []
    own: list[float] = []

    @paseo.workflow(concurrency=1000, max_steps=10_001)
    async def large() -> None:
        async def watch() -> None:
            last, used = time.monotonic(), time.thread_time()
            while True:
                await asyncio.sleep(0.001)
                now, cpu = time.monotonic(), time.thread_time()
                gaps.append((now - last) * 1000)
                own.append((cpu - used) * 1000)
                last, used = now, cpu

        watching = asyncio.create_task(watch())
        for begin in range(0, 10_000, 1000):
            await paseo.parallel([paseo.agent(f"{begin + n}") for n in range(1000)])
        watching.cancel()

    folder = Path(tempfile.mkdtemp(prefix="paseo-overhead-"))
    os.environ["PASEO_NB_HOME"] = str(folder / ".paseo_nb")
    begun = time.monotonic()
    large.at(lambda: SimulatedPlace(lambda _: "ok"))()
    took = time.monotonic() - begun
    begun = time.process_time()
    run = paseo.workflow_run("large")
    frame = len(run.steps())
    page = len(run._repr_mimebundle_()["text/html"])
    looked = (time.process_time() - begun) * 1000
    begun = time.process_time()
    assert run.state == "done"
    again = (time.process_time() - begun) * 1000
    shutil.rmtree(folder)
    assert frame == 10_000
    return {
        "seconds": round(took, 2),
        "longest_gap_ms": round(max(gaps), 1),
        "median_gap_ms": round(statistics.median(gaps), 2),
        "longest_gap_cpu_ms": round(max(own), 1),
        "frame_and_page_cpu_ms": round(looked),
        "state_again_cpu_ms": round(again, 2),
        "page_kb": round(page / 1000),
    }


def dbos(python: str, steps: int, rounds: int) -> list[float]:
    """DBOS's, in its own interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-c", DBOS, str(steps), str(rounds), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"DBOS did not run: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure, tell, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dbos", metavar="PYTHON")
    parser.add_argument("--no-results", action="store_true")
    asked = parser.parse_args()
    told = ours(asked.steps, asked.at_once, asked.rounds)
    told["asyncio"] = [
        _cpu(lambda: asyncio.run(_plain(asked.steps, asked.at_once)), asked.steps)
        for _ in range(asked.rounds)
    ]
    if asked.dbos:
        told["DBOS (SQLite)"] = dbos(asked.dbos, min(asked.steps, 500), asked.rounds)
    shown = {
        name: {
            "median": round(statistics.median(values), 1),
            "least": round(min(values), 1),
            "goal": GOALS.get(name),
        }
        for name, values in told.items()
    }
    result = {
        "machine": machine(),
        "steps": asked.steps,
        "at_once": asked.at_once,
        "cpu_us_per_step": shown,
        "ten_thousand": responsive(),
    }
    print(json.dumps({k: v for k, v in result.items() if k != "machine"}, indent=2))
    if not asked.no_results:
        write_results("workflow_overhead", result)


if __name__ == "__main__":
    main()
