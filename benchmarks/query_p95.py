"""How long a query takes while 20 runs are being written: four processes ask, as four kernels would.

One process appends to 20 journals, 50 events a second each, in turns of 100 events; at each turn's
end one of the four asks for the index to be advanced, as a kernel that follows the run does. The
four ask `count(*), max(seq) … GROUP BY run_id` over all events and think for 250 ms (`usual`) or
20 ms (`saturated`). The index holds 200 ended runs of 1,000 events before they begin. Each answer is
checked: as many rows as distinct seqs, none missing.

Then a project of 10,000 ended runs: its rebuild after the index was deleted, `frames.runs()` over
all of it, its last 50 rows, and `frames.events(run=…, limit=50)`.

`python benchmarks/query_p95.py [--seconds 8]` writes results/query_p95.json. The goals: p95 <= 50 ms
with 4 kernels; `runs()` over 10,000 runs <= 50 ms.
"""

from __future__ import annotations

import argparse
import json
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

JOURNALS, RATE, TURN_EVENTS = 20, 50, 100
KERNELS = 4
ENDED_RUNS, ENDED_EVENTS = 200, 1_000
MANY_RUNS = 10_000
THINK_S = {"usual": 0.25, "saturated": 0.02}
QUERY = "SELECT run_id, count(*), count(DISTINCT seq), max(seq) FROM events WHERE run_id >= ? GROUP BY 1"


class Writer:
    """One run and its journal."""

    def __init__(self, home: Path) -> None:
        from paseo_nb.journal import Journal, RunFolder, encode, private_dir, write_file_once
        from paseo_nb.locks import take_lock
        from paseo_nb.model import RunSpec, new_run_id, now_us

        self.folder = RunFolder(home / "runs" / new_run_id())
        private_dir(self.folder.path)
        private_dir(self.folder.live_marker.parent)
        self.folder.live_marker.touch()
        spec = RunSpec(
            self.folder.run_id, now_us(), provider="demo", command=["agent"], cwd="/", label="bench"
        )
        write_file_once(self.folder.spec, encode(spec))
        self.lock = take_lock(self.folder.lock)
        self.journal = Journal(self.folder)
        self.journal.own("run_started", host="bench")
        self.number = 0

    def write(self, count: int) -> None:
        """Append some events, beginning and ending turns as they come."""
        from paseo_nb.journal import encode

        for _ in range(count):
            place = self.number % TURN_EVENTS
            self.number += 1
            if place == 0:
                self.journal.turn += 1
                prompt = [{"type": "text", "text": "go on with the next part"}]
                self.journal.own("turn_start", origin="user", prompt=prompt)
            elif place == TURN_EVENTS - 1:
                self.journal.own("turn_end", outcome="end_turn", stop_reason="end_turn")
            else:
                self.journal.append([("in", *_update(place, encode))])

    def end(self) -> None:
        """End the run in good order."""
        while self.number % TURN_EVENTS:
            self.write(1)
        self.journal.own("run_ended", reason="stopped", state="stopped")
        self.journal.close()
        assert self.lock is not None
        self.lock.release()


def _update(place: int, encode: Callable[[Any], bytes]) -> tuple[str, bytes]:
    update: dict[str, Any]
    if place % 10 == 5:
        update = {
            "sessionUpdate": "tool_call",
            "toolCallId": f"t{place}",
            "title": "Read a file",
            "rawInput": {"path": "src/module.py"},
        }
    elif place % 10 == 6:
        update = {
            "sessionUpdate": "tool_call_update",
            "toolCallId": f"t{place - 1}",
            "status": "completed",
            "rawOutput": "line\n" * 100,
        }
    else:
        text = f"some words of an answer, part {place}, and then some more of them"
        content = {"type": "text", "text": text}
        update = {"sessionUpdate": "agent_message_chunk", "content": content}
    params = {"sessionId": "s", "update": update}
    message = {"jsonrpc": "2.0", "method": "session/update", "params": params}
    return update["sessionUpdate"], encode(message)


# ---------------------------------------------------------------- the processes


def ask(home: Path, seconds: float, think_s: float, number: int) -> tuple[list[float], float]:
    """One kernel: milliseconds of each query, and of its processor per query."""
    from paseo_nb.store import background
    from paseo_nb.store.query import rows

    first = sorted(path.name for path in (home / "live").iterdir())[0]
    rows(home, QUERY, [first])
    took: list[float] = []
    used = 0.0
    deadline = time.monotonic() + seconds
    turn_ends = time.monotonic() + number * 0.5
    while time.monotonic() < deadline:
        time.sleep(think_s)
        started, before = time.perf_counter(), time.thread_time()
        found = rows(home, QUERY, [first])
        took.append((time.perf_counter() - started) * 1000)
        used += time.thread_time() - before
        assert len(found) >= JOURNALS
        assert all(count == distinct == last for _, count, distinct, last in found), found
        if time.monotonic() > turn_ends:
            turn_ends += 2.0
            background.advance_soon(home)
    background.close()
    return took, used / len(took) * 1000


def growing(folder: Path, seconds: float, think: str) -> dict[str, Any]:
    """Four processes over growing journals."""
    from paseo_nb.store import index

    home = folder / think
    for _ in range(ENDED_RUNS):
        writer = Writer(home)
        writer.write(ENDED_EVENTS)
        writer.end()
    index.advance(home)
    for marker in (home / "live").iterdir():
        marker.unlink()
    writers = [Writer(home) for _ in range(JOURNALS)]
    for at, writer in enumerate(writers):
        writer.write(1 + 5 * at)
    asking = [
        subprocess.Popen(
            [sys.executable, __file__, "--ask", str(home), str(seconds), think, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(KERNELS)
    ]
    started = time.monotonic()
    written = 0
    while any(process.poll() is None for process in asking):
        time.sleep(0.02)
        due = int((time.monotonic() - started) * RATE)
        for writer in writers:
            writer.write(due - written)
        written = due
    took: list[float] = []
    used: list[float] = []
    for process in asking:
        assert process.stdout is not None
        assert process.returncode == 0
        times, cpu_ms = json.loads(process.stdout.read())
        took += times
        used.append(cpu_ms)
    return {**spread(took), "cpu_ms": round(statistics.mean(used), 1)}


def spread(took: list[float]) -> dict[str, Any]:
    """n, p50, p95, max."""
    ordered = sorted(took)
    return {
        "n": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95) - 1], 1),
        "max_ms": round(ordered[-1], 1),
    }


def many_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """10,000 runs: rebuild, and what a notebook asks first."""
    from paseo_nb.store import frames, index

    home = folder / "many"
    for _ in range(MANY_RUNS):
        writer = Writer(home)
        writer.write(7)
        writer.journal.own("turn_end", outcome="end_turn")
        writer.number = 0
        writer.end()
    started = time.perf_counter()
    index.advance(home)
    rebuilt_s = time.perf_counter() - started
    for marker in (home / "live").iterdir():
        marker.unlink()
    some = max(path.name for path in (home / "runs").iterdir())

    def times(call: Callable[[], Any], count: int = 20) -> dict[str, Any]:
        call()
        took: list[float] = []
        for _ in range(count):
            started = time.perf_counter()
            call()
            took.append((time.perf_counter() - started) * 1000)
        return spread(took)

    assert len(frames.runs(home)) == MANY_RUNS
    return {
        "runs() over 10,000 runs": times(lambda: frames.runs(home)),
        "runs(limit=50)": times(lambda: frames.runs(home, limit=50)),
        "events(run=…, limit=50)": times(lambda: frames.events(home, run=some, limit=50)),
        "rebuild of 10,000 runs": {"n": 1, "max_ms": round(rebuilt_s * 1000)},
    }


def main() -> None:
    """Run it all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", choices=[*THINK_S, "many"], nargs="*")
    parser.add_argument("--ask", nargs=4)
    options = parser.parse_args()
    if options.ask:
        home, seconds, think, number = options.ask
        print(json.dumps(ask(Path(home), float(seconds), THINK_S[think], int(number))))
        return
    folder = Path(tempfile.mkdtemp())
    table: dict[str, dict[str, Any]] = {}
    try:
        for think in THINK_S:
            if not options.only or think in options.only:
                name = f"{KERNELS} kernels, {JOURNALS} growing journals, {think}"
                table[name] = growing(folder, options.seconds, think)
        if not options.only or "many" in options.only:
            table |= many_runs(folder)
    finally:
        shutil.rmtree(folder)
    keys = ("p50_ms", "p95_ms", "max_ms", "cpu_ms")
    print(f"{'':48} {'n':>5} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8} {'CPU ms':>8}")
    for name, row in table.items():
        cells = " ".join(f"{row.get(key, ''):>8}" for key in keys)
        print(f"{name:48} {row['n']:>5} {cells}")
    if not options.only:
        goal = "p95 <= 50 ms with 4 kernels and 20 growing journals; runs() over 10,000 <= 50 ms"
        write_results("query_p95", {"rows": table, "goal": goal, "machine": machine()})


if __name__ == "__main__":
    main()
