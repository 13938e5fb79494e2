"""A tournament of 4 built-in agents × 50 tasks × 3 trials whose process is killed five times: 600
rows, each trial executed once. Real runs: each has its pair of processes, its clone, its journal.

    python benchmarks/tournament.py [--tasks 50] [--trials 3] [--kills 5]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from common import machine, write_results

AGENTS = ["demo/novice", "demo/junior", "demo/senior", "demo/master"]
PLAY = """
import sys
import paseo_nb as paseo
tasks, trials, agents = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
given = [
    {"id": f"sum-{n}", "prompt": f"Add {n * 37 + 11} and {n * n * 101 + 7}.",
     "expect": f"is {n * 37 + 11 + n * n * 101 + 7}."}
    for n in range(tasks)
]
print(paseo.tournament(given, agents, trials=trials).wait().id)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paseo-tournament-") as made:
        result = measured(Path(made), asked.tasks, asked.trials, asked.kills)
    print(json.dumps(result, indent=2))
    write_results("tournament", {"machine": machine(), **result})


def measured(place: Path, tasks: int, trials: int, kills: int) -> dict[str, object]:
    os.environ.update(HOME=str(place / "home"), PASEO_NB_IDLE="1")
    (place / "home").mkdir()
    from paseo_nb.programs.demo import copy_sample

    repository = Path(copy_sample(place / "tidelog"))
    os.chdir(repository)
    command = [sys.executable, "-c", PLAY, str(tasks), str(trials), *AGENTS]
    rows = tasks * trials * len(AGENTS)
    chance, begun, killed = random.Random(9), time.monotonic(), 0
    for number in range(kills):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wanted = rows * (number + 1) // (kills + 1)
        while process.poll() is None and started(repository) < wanted:
            time.sleep(0.05)
        time.sleep(chance.random())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    done = subprocess.run(
        command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    )
    took = time.monotonic() - begun
    return {
        **counted(done.stdout.strip()),
        "rows_wanted": rows,
        "killed": killed,
        "took_s": round(took, 1),
    }


def started(repository: Path) -> int:
    return sum(1 for _ in repository.glob(".paseo_nb/runs/*/spec.json"))


def counted(tournament: str) -> dict[str, object]:
    import paseo_nb as paseo
    from paseo_nb.contests.tournaments import Tournament
    from paseo_nb.engine.journal import find_folder
    from paseo_nb.verb_table import current_host

    found = Tournament(find_folder(current_host().home, tournament))
    frame = found.trials()
    turns = paseo.turns(columns=["run_id", "turn", "origin"])
    prompts = Counter(turns["run_id"])
    board = found.leaderboard()[
        ["rank", "agent", "solve_rate", "solve_low", "solve_high", "cost_usd"]
    ]
    return {
        "rows": len(frame),
        "trials_once": int(frame.groupby(["task", "agent", "trial"]).size().eq(1).sum()),
        "runs": len(prompts),
        "runs_with_more_than_one_turn": sum(count > 1 for count in prompts.values()),
        "states": dict(Counter(frame["state"])),
        "leaderboard": json.loads(board.to_json(orient="records")),
    }


if __name__ == "__main__":
    main()
