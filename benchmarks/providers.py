"""What paseo_nb adds to each agent: from `start` to a session that is ready, and memory.

For each provider, pair by pair: a run (from the call of `paseo.start` to the journal's `session`
line), and the bare CLI, launched with the same arguments and environment and led through the very
same handshake, which is played back from a run's own journal over plain pipes. Which of the two
comes first changes from pair to pair. Told is the median of the pairs' differences, with the
interval that holds the true median with at least 95 %. Memory is the PSS of warden and supervisor
beside that of the agent's processes. The CLIs talk to the tests' model server; `api` and `demo`
need none.

`python benchmarks/providers.py [--pairs 15] [--only claude codex]` writes results/providers.json.
Goals: at most 150 ms and 25 MB added.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
from common import machine, median, write_results

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import paseo_nb as paseo  # noqa: E402
from paseo_nb.programs.demo import copy_sample  # noqa: E402
from tests.agents.install import executable  # noqa: E402
from tests.conformance.recipes import RECIPES, Recipe  # noqa: E402
from tests.modelserver import ModelServer  # noqa: E402

NAMES = ("demo", "api", "claude", "codex", "opencode", "gemini", "copilot", "pi")


def pss_mb(pids: list[int]) -> float:
    """Proportional memory of processes, those below them not included."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def below(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.Error:
        return [pid]


def one_run(agent: str, env: dict[str, str]) -> tuple[dict[str, float], list[Any], dict[str, str]]:
    """Start a run and wait for its session: what it took, its handshake, the agent's environment."""
    begun = time.monotonic()
    run = paseo.start(agent, "Say hello.", mode="auto", env=env)
    lines: list[Any] = []
    deadline = begun + 120
    while not any(line.kind == "session" for line in lines):
        assert time.monotonic() < deadline, f"{agent}: {run.error}"
        time.sleep(0.01)
        lines = list(run.stream(follow=False))
    folder = run.host.folder(run.id)
    told = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    ready = next(line for line in told if line["kind"] == "session")
    pair = told[0]["raw"]
    agent_pid = next(line["raw"]["pid"] for line in told if line["kind"] == "agent_started")
    environment = {
        name: value
        for name, value in psutil.Process(agent_pid).environ().items()
        if name != "PASEO_RUN" and str(folder.path) not in value
    }
    found = {
        "ready_ms": ready["mono"] / 1000 - begun * 1000,
        "pair_mb": pss_mb([pair["pid"], pair["warden_pid"]]),
        "agent_mb": pss_mb(below(agent_pid)),
    }
    run.wait(120, check=False)
    run.stop()
    return found, told[: ready["seq"]], environment


def bare_ms(handshake: list[Any], env: dict[str, str], cwd: Path) -> float:
    """The same command, led through the same handshake: from its launch to its last answer."""
    old = handshake[-1]["raw"]["session_id"]
    new = str(uuid.uuid4())  # where the session's id is ours, it may be used once only
    argv = next(line["raw"]["argv"] for line in handshake if line["kind"] == "agent_started")
    argv = [word.replace(old, new) for word in argv]
    begun = time.monotonic()
    agent = subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    answered: dict[str, Any] = {}
    for line in handshake:
        raw = line["raw"]
        if line["dir"] == "out":
            agent.stdin.write(json.dumps(raw).replace(old, new).encode() + b"\n")
            agent.stdin.flush()
        elif line["dir"] == "in" and (answer := _answers(raw)) is not None:
            while answer not in answered:
                said = agent.stdout.readline()
                assert said, f"{argv[0]} ended in its handshake"
                told = json.loads(said)
                if (which := _answers(told)) is not None:
                    answered[which] = told
            new = _in_place_of(old, raw, answered[answer]) or new
            failed = [isinstance(one, dict) and "error" in one for one in (raw, answered[answer])]
            assert failed[0] == failed[1], f"{argv[0]}: {answered[answer]}"
    spent = (time.monotonic() - begun) * 1000
    agent.stdin.close()
    try:
        agent.wait(10)
    except subprocess.TimeoutExpired:
        for pid in reversed(below(agent.pid)):
            os.kill(pid, 9)
        agent.wait()
    return spent


def _in_place_of(old: str, there: Any, here: Any) -> str | None:
    """What stands in one answer where another has `old`: a session's id, where it is the agent's."""
    if there == old:
        return here if isinstance(here, str) else None
    if isinstance(there, dict) and isinstance(here, dict):
        pairs = [(value, here.get(key)) for key, value in there.items()]
    elif isinstance(there, list) and isinstance(here, list):
        pairs = list(zip(there, here, strict=False))
    else:
        return None
    return next((found for pair in pairs if (found := _in_place_of(old, *pair))), None)


def _answers(message: Any) -> str | None:
    """Which request a message answers: by JSON-RPC, or by Claude's control protocol."""
    if not isinstance(message, dict):
        return None
    if "method" not in message and "id" in message:
        return str(message["id"])
    response = message.get("response")
    return response.get("request_id") if isinstance(response, dict) else None


def interval(values: list[float]) -> tuple[float, float]:
    """The closest two of the values that hold the true median between them with at least 95 %
    (each lies above it with one half: the binomial distribution). All of them, if few."""
    ordered, number = sorted(values), len(values)
    out = 0
    while 2 * sum(math.comb(number, k) for k in range(out + 1)) / 2**number <= 0.05:
        out += 1
    out = max(out - 1, 0)
    return ordered[out], ordered[-1 - out]


def measure(name: str, recipe: Recipe, pairs: int, folder: Path, url: str) -> dict[str, Any]:
    """One provider, both ways in turn."""
    home = folder / "home"
    home.mkdir()
    env = recipe.environment(home, url)
    env["TMPDIR"] = str(folder)  # what a CLI leaves there goes with it
    if recipe.cli is not None:
        env["PATH"] = f"{executable(recipe.cli).parent}{os.pathsep}{os.environ['PATH']}"
    repo = Path(copy_sample(folder / "tidelog"))
    os.chdir(repo)
    agent = recipe.agent or "demo/echo"
    _, handshake, environment = one_run(agent, env)  # the first of each only warms the disk's cache
    bare_ms(handshake, environment, repo)
    runs: list[dict[str, float]] = []
    bare: list[float] = []
    for number in range(pairs):
        if number % 2:
            bare.append(bare_ms(handshake, environment, repo))
        runs.append(one_run(agent, env)[0])
        if not number % 2:
            bare.append(bare_ms(handshake, environment, repo))
    added = [run["ready_ms"] - alone for run, alone in zip(runs, bare, strict=True)]
    row: dict[str, Any] = {key: round(median([run[key] for run in runs]), 1) for key in runs[0]}
    row["bare_ready_ms"] = round(median(bare), 1)
    row["added_ms"] = round(median(added), 1)
    row["added_95_ms"] = [round(end, 1) for end in interval(added)]
    return row


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", choices=NAMES, nargs="*", default=list(NAMES))
    options = parser.parse_args()
    table: dict[str, Any] = {}
    keys = ("ready_ms", "bare_ready_ms", "added_ms", "added_95_ms", "pair_mb", "agent_mb")
    print(f"{'':10} " + " ".join(f"{key:>16}" for key in keys))
    with tempfile.TemporaryDirectory() as folder, ModelServer() as server:
        for name in options.only:
            place = Path(folder) / name
            place.mkdir()
            row = table[name] = measure(name, RECIPES[name], options.pairs, place, server.url)
            print(f"{name:10} " + " ".join(f"{row[key]!s:>16}" for key in keys), flush=True)
        os.chdir(ROOT)
    if list(options.only) == list(NAMES):
        goal = "added_ms <= 150, pair_mb <= 25"
        write_results("providers", {"rows": table, "goal": goal, "machine": machine()})


if __name__ == "__main__":
    main()
