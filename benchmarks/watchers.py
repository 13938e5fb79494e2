"""50 watchers of 20 runs at work through one server: no line lost or doubled, the time that the
server adds beside reading the journals directly in the same run, and its memory over time.

    python benchmarks/watchers.py [--watchers 50] [--runs 20] [--seconds 60]

All processes share two cores: the runs (demo/slow, five events a second each), the server
(`paseo-nb serve`), one process with all watchers, one that reads the journals from the disk. Every
watcher watches every run; every fifth breaks off each 7 s and takes up at its offset. A line's time is
that of the journal (`mono`); what is added is a watcher's arrival less the direct reader's, per line.
Goals: nothing lost or doubled, 100 ms added at most (p95), memory flat. Writes results/watchers.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import psutil
from common import machine, write_results

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from kit import Project  # noqa: E402
from serving import TOKEN, Serving, serving  # noqa: E402

from paseo_nb.journal import read_lines  # noqa: E402
from paseo_nb.programs.demo import copy_sample  # noqa: E402

LOOK_S = 0.005
BREAK_S = 7.0
Seen = dict[str, list[tuple[int, float]]]  # run -> (offset after a piece, when it was there)


# ---------------------------------------------------------------- who looks, each a process


async def watch(url: str, runs: list[str], breaks: bool) -> Any:
    """One watcher, until it is cancelled: when each piece came, and the sums of what came."""
    from tornado import httpclient, websocket

    seen: Seen = {run: [] for run in runs}
    at = dict.fromkeys(runs, 0)
    sums = {run: hashlib.sha256() for run in runs}
    doubled = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            request = httpclient.HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"})
            line = await websocket.websocket_connect(request)
            await line.write_message(json.dumps({"watch": at}))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BREAK_S if breaks else None):
                    while (message := await line.read_message()) is not None:
                        now = time.monotonic()
                        head, _, data = message.partition(b"\n")
                        told = json.loads(head)
                        run = told["run"]
                        doubled += told["offset"] != at[run]
                        at[run] = told["after"]
                        sums[run].update(data)
                        seen[run].append((told["after"], now))
            line.close()
    told = {run: one.hexdigest() for run, one in sums.items()}
    return {"seen": seen, "at": at, "sums": told, "doubled": doubled, "breaks": breaks}


async def watch_all(url: str, runs: list[str], count: int, stop: str) -> Any:
    """All watchers, until there is a file of this name."""
    each = [asyncio.ensure_future(watch(url, runs, n % 5 == 4)) for n in range(count)]
    while not os.path.exists(stop):
        await asyncio.sleep(0.2)
    for one in each:
        one.cancel()
    return await asyncio.gather(*each)


def read_all(paths: list[str], stop: str) -> Seen:
    """The direct reader: the journals from the disk."""
    seen: Seen = {Path(path).parent.name: [] for path in paths}
    at = dict.fromkeys(paths, 0)
    while not os.path.exists(stop):
        for path in paths:
            if os.stat(path).st_size > at[path]:
                data, after = read_lines(Path(path), at[path], 4 << 20)
                if data:
                    at[path] = after
                    seen[Path(path).parent.name].append((after, time.monotonic()))
        time.sleep(LOOK_S)
    return seen


def apart(kind: str, given: Any, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--as", kind, json.dumps(given), str(out)]
    return subprocess.Popen(command)


# ---------------------------------------------------------------- what came of it


def when(seen: list[tuple[int, float]], offset: int) -> float | None:
    """When the line that ends at an offset was there."""
    at = bisect_left(seen, offset, key=lambda one: one[0])
    return seen[at][1] if at < len(seen) else None


def spread(values: list[float]) -> dict[str, float]:
    """In ms."""
    cuts = statistics.quantiles(values, n=100)
    told = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(values)}
    return {name: round(value * 1000, 1) for name, value in told.items()}


def judge(
    journals: dict[str, tuple[bytes, int]], direct: Seen, watchers: Any, begun: float
) -> dict[str, Any]:
    """Lines that came, and when. `journals`: each, and how much of it all must have seen."""
    late: dict[str, list[float]] = {"direct": [], "watcher": [], "added": []}
    lines = wrong = 0
    steady = [one for one in watchers if not one["breaks"]]
    for run, (data, owed) in journals.items():
        for one in watchers:
            got = one["at"][run]
            same = hashlib.sha256(data[:got]).hexdigest() == one["sums"][run]
            wrong += got < owed or not same
        end = 0
        for line in data.splitlines(keepends=True):
            end += len(line)
            lines += 1
            written, here = json.loads(line)["mono"] / 1e6, when(direct[run], end)
            if written < begun or here is None:
                continue
            late["direct"].append(here - written)
            for one in steady:
                there = when(one["seen"][run], end)
                if there is not None:
                    late["watcher"].append(there - written)
                    late["added"].append(there - here)
    return {
        "lines": lines,
        "deliveries": lines * len(watchers),
        "streams": len(journals) * len(watchers),
        "streams_that_are_not_the_journal": wrong,
        "pieces_lost_or_doubled": sum(one["doubled"] for one in watchers),
        "after_the_journals_time_ms": {name: spread(late[name]) for name in ("direct", "watcher")},
        "added_ms": spread(late["added"]),
    }


def memory(samples: list[tuple[float, float]]) -> dict[str, Any]:
    """The server's resident memory over time, without the first fifth."""
    kept = samples[len(samples) // 5 :]
    slope = statistics.linear_regression([at for at, _ in kept], [mb for _, mb in kept]).slope
    quarter = max(1, len(kept) // 4)
    first, last = (
        statistics.median(mb for _, mb in part) for part in (kept[:quarter], kept[-quarter:])
    )
    return {
        "first_quarter": round(first, 1),
        "last_quarter": round(last, 1),
        "mb_per_minute": round(slope * 60, 2),
        "samples": [round(mb, 1) for _, mb in samples[:: max(1, len(samples) // 30)]],
    }


def measure(served: Serving, count: int, many: int, seconds: int, room: Path) -> dict[str, Any]:
    """One run of it."""
    wish = {"agent": "demo/slow", "prompt": f"seconds={seconds}"}
    runs = [served.verb("start", **wish)["run"]["run_id"] for _ in range(many)]
    paths = {run: served.root / ".paseo_nb" / "runs" / run / "journal.jsonl" for run in runs}
    url, stop = served.url.replace("http", "ws") + "paseo/api/stream", str(room / "stop")
    lookers = [
        apart("reader", [[str(path) for path in paths.values()], stop], room / "direct.json"),
        apart("watchers", [url, runs, count, stop], room / "watchers.json"),
    ]
    assert served.process is not None
    server, samples = psutil.Process(served.process.pid), list[tuple[float, float]]()
    time.sleep(4)  # those who look are there then
    begun, used = time.monotonic(), sum(server.cpu_times()[:2])
    while time.monotonic() < begun + seconds - 8:
        samples.append((time.monotonic(), server.memory_info().rss / 2**20))
        time.sleep(0.5)
    cores = (sum(server.cpu_times()[:2]) - used) / (time.monotonic() - begun)
    for run in runs:
        served.settled(run)
    owed = {run: path.stat().st_size for run, path in paths.items()}
    time.sleep(3)
    Path(stop).touch()
    for one in lookers:
        assert one.wait(120) == 0
    journals = {run: (path.read_bytes(), owed[run]) for run, path in paths.items()}
    direct: Seen = json.loads((room / "direct.json").read_text())
    watchers = json.loads((room / "watchers.json").read_text())
    told = judge(journals, direct, watchers, begun)
    return {**told, "server": {"cores": round(cores, 2), "rss_mb": memory(samples)}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["HOME"] = folder
        root = copy_sample(Path(folder) / "tidelog")
        try:
            with serving(root) as served:
                told = measure(
                    served, options.watchers, options.runs, options.seconds, Path(folder)
                )
        finally:
            project = Project(root)
            project.runs = [run for run in project.host.list() if project.alive(run)]
            project.close()
    goals = {"added_p95_ms": 100, "lost_or_doubled": 0, "memory": "flat"}
    result = {**vars(options), **told, "goals": goals, "machine": machine()}
    print(json.dumps(result, indent=1))
    write_results("watchers", result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        kind, given, out = sys.argv[2], json.loads(sys.argv[3]), Path(sys.argv[4])
        answer: Any = read_all(*given) if kind == "reader" else asyncio.run(watch_all(*given))
        out.write_text(json.dumps(answer))
    else:
        main()
