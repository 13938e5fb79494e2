"""The process that a workflow's script runs in: `child.py SITE LIMITS`, a line in, a line out.

Nothing of ours is imported: it is started with an empty environment, and once V8 stands it takes
from itself what a script has no use for: memory beyond its share, files, processes, core dumps.
Lines in: `C` and the source to compile, `S` and the start, `G` and answers (JSON for the prelude).
Each is answered by a line. It ends with its parent: at the end of its input, whatever V8 is at.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any


def confine(data_mb: int, cpu_s: int) -> None:
    """Take away what is not needed; for good."""
    limits = [
        (resource.RLIMIT_DATA, data_mb << 20),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
    ]
    for which, most in limits:
        resource.setrlimit(which, (most, most))


def with_parent() -> None:
    """Die at once when the parent does (Linux); the end of the input tells it everywhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def where(racer: Any, source: str, error: str) -> str:
    """A syntax error with its lines, which only a script of V8's own has."""
    try:
        racer.eval(f"async function body() {{{source}\n}}")
    except Exception as told:
        return str(told)
    return error


def lines() -> queue.SimpleQueue[bytes]:
    """What comes in; read beside V8, so that the end is seen while a script computes."""
    told: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            told.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return told


def main() -> None:
    """Set up, then answer line by line."""
    with_parent()
    site, limits = sys.argv[1:]
    bounds = json.loads(limits)
    sys.path.append(site)
    from py_mini_racer import MiniRacer, init_mini_racer  # pyright: ignore

    # Without its compiler V8 has no memory that is written and executed, and asks for less.
    init_mini_racer(
        flags=("--single-threaded", "--jitless", f"--max-heap-size={bounds['heap_mb']}"),
        ignore_duplicate_init=True,
    )
    racer: Any = MiniRacer()
    prelude = Path(__file__).with_name("prelude.js").read_text(encoding="utf-8")
    compile_, start, deliver, drain = racer.eval(prelude)(limits)
    incoming = lines()
    confine(bounds["data_mb"], bounds["cpu_s"])
    while True:
        line = incoming.get()
        kind, given = line[:1], line[1:].decode()
        if kind == b"C":
            source = json.loads(given)
            error = compile_(source)
            answer = json.dumps({"error": error and where(racer, source, error)})
        else:
            (start if kind == b"S" else deliver)(given)
            answer = drain()
        sys.stdout.buffer.write(answer.encode() + b"\n")
        sys.stdout.buffer.flush()


def last_words(error: BaseException) -> None:
    """Tell what it died of, with as little as that takes."""
    with contextlib.suppress(BaseException):
        told = json.dumps({"died": f"{type(error).__name__}: {error}"[:2000]})
        os.write(1, told.encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        last_words(error)
        os._exit(1)
