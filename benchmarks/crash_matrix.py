"""The crash matrix's full product, over and over: every kill point x every victim that can be acted.

`python benchmarks/crash_matrix.py --repeat 20 [--point P …] [--victim V …] [--jobs 2]`

CI runs the cells that mean something, once (tests/crash/test_matrix.py has the list, and why the
others are left out). This runs the others too, as often as asked, and from the second round on each
blow falls up to `--late` seconds after its point: a race that shows once in a hundred kills shows
here. Writes results/crash_matrix.json; the exit code is 1 if a cell failed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from common import machine, median, write_results

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from crash.scene import POINTS, VICTIMS  # noqa: E402
from crash.test_matrix import CELLS, IMPOSSIBLE, act  # noqa: E402
from kit import project_in  # noqa: E402


def one(point: str, victim: str, late_s: float) -> tuple[float, str | None]:
    """One cell in a project of its own: seconds, and what went wrong."""
    begun = time.monotonic()
    for name in list(os.environ):
        if name.startswith(("PASEO_", "XDG_", "GIT_")):
            del os.environ[name]
    with tempfile.TemporaryDirectory(prefix=f"{point}-{victim}-") as folder:
        os.environ["HOME"] = folder
        try:
            with project_in(Path(folder) / "project") as project:
                act(project, point, victim, late_s)
        except BaseException:
            said = f"struck {late_s:.3f} s late\n{traceback.format_exc()}"
            return time.monotonic() - begun, said
    return time.monotonic() - begun, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--point", choices=POINTS, nargs="*", default=POINTS)
    parser.add_argument("--victim", choices=VICTIMS, nargs="*", default=VICTIMS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--late", type=float, default=0.3)
    options = parser.parse_args()
    product = [(p, v) for p in options.point for v in options.victim if (p, v) not in IMPOSSIBLE]
    times: dict[tuple[str, str], list[float]] = {cell: [] for cell in product}
    failures: dict[tuple[str, str], list[str]] = {cell: [] for cell in product}
    with ProcessPoolExecutor(options.jobs) as pool:
        for turn in range(options.repeat):
            late = options.late if turn else 0.0
            going = {pool.submit(one, *cell, random.uniform(0, late)): cell for cell in product}
            for done in as_completed(going):
                cell = going[done]
                seconds, problem = done.result()
                times[cell].append(seconds)
                if problem is not None:
                    failures[cell].append(problem)
                    print(f"--- {cell[0]} x {cell[1]}, round {turn + 1}\n{problem}", flush=True)
            failed = sum(map(len, failures.values()))
            print(f"round {turn + 1} of {options.repeat}: {failed} failed so far", flush=True)
    _table(times, failures)
    rows: list[dict[str, Any]] = [
        {
            "point": point,
            "victim": victim,
            "in_ci": (point, victim) in CELLS,
            "runs": len(times[point, victim]),
            "failed": len(failures[point, victim]),
            "median_s": round(median(times[point, victim]), 2),
        }
        for point, victim in product
    ]
    impossible = [list(cell) for cell in sorted(IMPOSSIBLE)]
    if (len(options.point), len(options.victim)) != (len(POINTS), len(VICTIMS)):
        return int(any(failures.values()))  # a part of it is no result
    result = {
        "repeat": options.repeat,
        "late_s": options.late,
        "cells": rows,
        "impossible": impossible,
    }
    write_results("crash_matrix", {**result, "machine": machine()})
    return int(any(failures.values()))


def _table(times: dict[tuple[str, str], list[float]], failures: dict[Any, list[str]]) -> None:
    print(f"{'':16}" + "".join(f"{victim:>14}" for victim in VICTIMS))
    for point in POINTS:
        row = f"{point:16}"
        for victim in VICTIMS:
            runs = len(times.get((point, victim), ()))
            good = runs - len(failures.get((point, victim), ()))
            row += f"{f'{good}/{runs}' if runs else '-':>14}"
        print(row)


if __name__ == "__main__":
    sys.exit(main())
