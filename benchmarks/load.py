"""What a warden and a supervisor add: time to the agent's first word, a hundred at once, memory.

`python benchmarks/load.py [--starts 15] [--many 100]`; every comparison is interleaved in the same
run, and its ratios are what counts. The agent is the demo program, once started by itself with
plain pipes ("bare"), once as a run. Goals: at most 150 ms added to the agent's own start, at most
25 MB USS for warden and supervisor together. Writes results/load.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import machine, median, write_results

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from kit import Project, project_in  # noqa: E402

from paseo_nb.host.base import Launch  # noqa: E402
from paseo_nb.model import Limits, RunSpec  # noqa: E402

LIMITS = Limits(idle_s=600)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": 1, "clientCapabilities": {}},
}


def spec_of(project: Project) -> RunSpec:
    """A run of the demo agent, kept until it is ended."""
    spec = project.spec("echo", "hello", limits=LIMITS)
    project.runs.append(spec.run_id)
    return spec


# ---------------------------------------------------------------- one start


def bare_first_event_ms(project: Project) -> float:
    """The agent alone: from its launch to its first line."""
    begun = time.monotonic()
    agent = _launch(project)
    assert agent.stdout is not None
    assert agent.stdin is not None
    agent.stdout.readline()
    spent = time.monotonic() - begun
    agent.stdin.close()
    agent.wait()
    return spent * 1000


def _launch(project: Project) -> subprocess.Popen[bytes]:
    agent = subprocess.Popen(
        project.spec("echo").command,
        cwd=project.root,
        env=project.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert agent.stdin is not None
    agent.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    agent.stdin.flush()
    return agent


def run_first_event_ms(project: Project) -> float:
    """A run: from the call to the agent's first line in the journal."""
    spec = spec_of(project)
    begun = time.monotonic()
    asyncio.run(project.host.ensure(spec.run_id, spec, project.env))
    spent = first_line_at(project, spec.run_id) - begun
    project.ended(spec.run_id)
    project.command(spec.run_id, "stop")
    project.gone(spec.run_id, 30)
    return spent * 1000


def first_line_at(project: Project, run_id: str, within: float = 60.0) -> float:
    """The monotonic second at which the agent's first line was journaled."""

    def found() -> float | None:
        return next((x.mono / 1e6 for x in project.lines(run_id) if x.dir == "in"), None)

    return project.until(found, within, "the agent's first line")


# ---------------------------------------------------------------- many


def bare_many_s(project: Project, count: int) -> float:
    """So many agents at once: until the last has said its first line."""
    begun = time.monotonic()
    agents = [_launch(project) for _ in range(count)]
    for agent in agents:
        assert agent.stdout is not None
        agent.stdout.readline()
    spent = time.monotonic() - begun
    for agent in agents:
        assert agent.stdin is not None
        agent.stdin.close()
    for agent in agents:
        agent.wait()
    return spent


def many_runs(project: Project, count: int, together: bool) -> dict[str, float]:
    """So many runs at once: until the last agent's first line, until all turns ended, memory."""
    specs = [spec_of(project) for _ in range(count)]

    async def start() -> None:
        if together:
            await project.host.start_many([Launch(spec, project.env) for spec in specs])
        else:
            ensures = (project.host.ensure(spec.run_id, spec, project.env) for spec in specs)
            await asyncio.gather(*ensures)

    async def stop() -> None:
        await asyncio.gather(*(project.host.command(spec.run_id, "stop") for spec in specs))

    begun = time.monotonic()
    asyncio.run(start())
    launched = time.monotonic() - begun
    firsts = [first_line_at(project, spec.run_id, 300) - begun for spec in specs]
    for spec in specs:
        project.ended(spec.run_id, within=300)
    ends = [x.mono / 1e6 for s in specs for x in project.lines(s.run_id) if x.kind == "turn_end"]
    pairs = [_pair(project, spec.run_id) for spec in specs]
    begun_stop = time.monotonic()
    asyncio.run(stop())
    for spec in specs:
        project.gone(spec.run_id, 60)
    return {
        "launched_s": round(launched, 2),
        "median_first_event_s": round(median(firsts), 2),
        "last_first_event_s": round(max(firsts), 2),
        "all_turns_ended_s": round(max(ends) - begun, 2),
        "stop_all_s": round(time.monotonic() - begun_stop, 2),
        "uss_mb_per_pair": round(median([pair["uss"] for pair in pairs]), 2),
        "pss_mb_per_pair": round(median([pair["pss"] for pair in pairs]), 2),
        "cpu_s_per_pair": round(median([pair["cpu"] for pair in pairs]), 3),
    }


def _pair(project: Project, run_id: str) -> dict[str, float]:
    pids = project.processes(run_id)
    found = {"uss": 0.0, "pss": 0.0, "cpu": 0.0}
    for name in ("warden", "supervisor"):
        process = psutil.Process(pids[name])
        memory, cpu = process.memory_full_info(), process.cpu_times()
        found["uss"] += memory.uss / 2**20
        found["pss"] += memory.pss / 2**20
        found["cpu"] += cpu.user + cpu.system
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--many", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        with project_in(Path(folder) / "project") as project:
            result = measure(project, options.starts, options.many)
    write_results("load", {**result, "machine": machine()})


def measure(project: Project, starts: int, many: int) -> dict[str, Any]:
    """All of it, told while it comes."""
    bare_first_event_ms(project), run_first_event_ms(project)  # caches warm for both
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(starts):
        bare.append(bare_first_event_ms(project))
        ours.append(run_first_event_ms(project))
    added = median([mine - theirs for mine, theirs in zip(ours, bare, strict=True)])
    first = {
        "starts": starts,
        "bare_ms": round(median(bare), 1),
        "run_ms": round(median(ours), 1),
        "added_ms": round(added, 1),
        "goal_added_ms": 150,
    }
    print("start to first event:", first)
    at_once: dict[str, Any] = {"count": many}
    at_once["bare_s"] = round(bare_many_s(project, many), 2)
    at_once["start_many"] = many_runs(project, many, together=True)
    at_once["ensures"] = many_runs(project, many, together=False)
    at_once["bare_again_s"] = round(bare_many_s(project, many), 2)
    for name, row in at_once.items():
        print(f"{many} at once, {name}: {row}")
    return {"first_event": first, "at_once": at_once, "goal_uss_mb_per_pair": 25}


if __name__ == "__main__":
    main()
