"""A tournament of 4 built-in agents × 15 tasks on a Dask cluster of three worker processes, one of
which is killed twice: 60 results, each counted once, and the events of every run whole.

    python benchmarks/cluster.py [--tasks 15] [--kills 2]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from common import machine, write_results

AGENTS = ["demo/novice", "demo/junior", "demo/senior", "demo/master"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=15)
    parser.add_argument("--kills", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paseo-cluster-") as made:
        result = measured(Path(made), asked.tasks, asked.kills)
    print(json.dumps(result, indent=2))
    write_results("cluster", {"machine": machine(), **result})


def started(scheduler: str, place: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny",
            "--nthreads", "1", "--resources", "agents=2", "--name", name,
            "--local-directory", str(place / "workers"), "--no-dashboard",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def measured(place: Path, tasks: int, kills: int) -> dict[str, Any]:
    os.environ.update(HOME=str(place / "home"), PASEO_NB_IDLE="1")
    (place / "home").mkdir()
    from distributed import Client, LocalCluster

    import paseo_nb as paseo
    from paseo_nb.programs.demo import copy_sample

    os.chdir(copy_sample(place / "tidelog"))
    given = [
        {"id": f"sum-{n}", "prompt": f"Add {n * 37 + 11} and {n * n * 101 + 7}.",
         "expect": f"is {n * 37 + 11 + n * n * 101 + 7}."}
        for n in range(tasks)
    ]  # fmt: skip
    cluster = LocalCluster(n_workers=0, protocol="tcp://", dashboard_address=None, silence_logs=50)
    names = ("one", "two", "three")
    workers = {name: started(cluster.scheduler_address, place, name) for name in names}
    with Client(cluster) as client:
        client.wait_for_workers(3)
        host = paseo.connect(client)
        begun = time.monotonic()
        board = paseo.tournament(given, AGENTS, host=host)
        for number in range(kills):
            while sum(one.state == "done" for one in board.known()) < 10 * (number + 1):
                time.sleep(0.05)
            while "one" not in holding(client):
                time.sleep(0.01)
            workers["one"].kill()
            workers["one"].wait()
            workers["one"] = started(cluster.scheduler_address, place, "one")
        board.wait()
        took = time.monotonic() - begun
        frame = board.trials()
        broken = [one for one in frame["run_id"] if not whole(paseo.events(run=one))]
        attempts = Counter(paseo.attach(one).labels["attempt"] for one in frame["run_id"])
        result = {
            "trials": tasks * len(AGENTS),
            "kills": kills,
            "rows": len(frame),
            "states": frame["state"].value_counts().to_dict(),
            "runs": int(frame["run_id"].nunique()),
            "runs_of_the_project": len(paseo.runs()),
            "runs_with_events_that_are_not_whole": len(broken),
            "attempts": dict(sorted(attempts.items())),
            "took_s": round(took, 1),
        }
    for worker in workers.values():
        worker.kill()
        worker.wait()
    cluster.close()
    return result


def holding(client: Any) -> set[str]:
    workers = client.scheduler_info()["workers"]
    held = client.processing()
    return {str(told["name"]) for address, told in workers.items() if held.get(address)}


def whole(events: Any) -> bool:
    return list(events["seq"]) == list(range(1, len(events) + 1))


if __name__ == "__main__":
    main()
