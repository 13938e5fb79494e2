"""Two things that a declared flow gives by construction, without any model.

**Context**: how many tokens agents are given when each sees its own work and a short result of each
other's (scoped), beside one conversation that holds everybody's work (flat), at 3, 5 and 10 agents.
The work is what a real run of the demo agent left in its journal, the prompts are those that the
engine handed to its steps, tokens are counted as the traces count them.

**Rules**: a course with five rules, run as a flow by the engine, and by a conductor that decides at
each point and errs with some probability; how many rules each breaks. Direction only: how often a
model errs is not known here.

`python benchmarks/context_ratio.py [--runs 1000]`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, write_results

import paseo_nb as paseo
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.values import Wanted
from paseo_nb.programs.demo import copy_sample

RESULT = 200  # tokens of another agent's result, at most
CHARS = 4  # per token, as an estimate where no tokenizer is: the same for both sides
COURSE = ("plan", "implement", "test", "review a", "review b", "merge")
ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2)


def tokens(text: str) -> int:
    """An estimate; only ratios of it are told."""
    return max(1, len(text) // CHARS)


# ------------------------------------------------------------ context


def transcript(folder: Path) -> tuple[str, str]:
    """What a run of the demo agent did, whole, and what it said at its end."""
    os.chdir(copy_sample(folder / "tidelog"))
    os.environ.pop("PASEO_NB_HOME", None)
    run = paseo.run("demo/fixer", "The tests fail. Fix the code.", worktree="fix", mode="auto")
    text = "".join(str(paseo.logs(run.id)))
    run.stop()
    return text, run.history().text


def context(work: str, result: str, agents: int, rounds: int = 3) -> dict[str, float]:
    """Tokens handed to agents in some rounds, scoped and flat."""
    short = result[: RESULT * CHARS]
    given: list[int] = []

    def answers(wanted: Wanted) -> str:
        given.append(tokens(wanted.call.prompt))
        return short

    @paseo.workflow(max_steps=1000)
    async def scoped() -> None:
        own = dict.fromkeys(range(agents), "")
        last = dict.fromkeys(range(agents), "")
        for turn in range(rounds):
            prompts = {
                name: f"Agent {name}, round {turn}. Your work so far:\n{own[name]}\nThe others:\n"
                + "\n".join(last[one] for one in last if one != name)
                for name in range(agents)
            }
            told = await paseo.parallel([paseo.agent(text) for text in prompts.values()])
            for name, one in enumerate(told):
                own[name] += work
                last[name] = str(one)

    scoped.at(lambda: SimulatedPlace(answers))()
    flat, shared = 0, ""
    for turn in range(rounds):
        for name in range(agents):
            flat += tokens(f"Agent {name}, round {turn}. All that was done:\n{shared}")
        shared += work * agents
    return {"agents": agents, "scoped": sum(given), "flat": flat, "ratio": flat / sum(given)}


# ------------------------------------------------------------ rules


def broken(course: Sequence[str]) -> list[str]:
    """The rules that a course breaks."""
    first = {name: course.index(name) for name in reversed(course)}
    merged = first.get("merge")
    rules = {
        "it is planned before it is implemented": first.get("plan", 99)
        < first.get("implement", 98),
        "tests before the merge": merged is None or first.get("test", 99) < merged,
        "both reviews before the merge": merged is None
        or max(first.get("review a", 99), first.get("review b", 99)) < merged,
        "nothing is done twice": len(set(course)) == len(course),
        "it is merged": merged is not None,
    }
    return [rule for rule, holds in rules.items() if not holds]


def by_flow(number: int) -> list[str]:
    """The course of a declared flow, as the engine ran it."""
    flow = paseo.Flow(f"course{number}")
    flow.step("plan", None, "plan")
    flow.step("implement", None, "implement: {plan}")
    flow.step("test", None, "test", depends_on=["implement"])
    flow.step("review_a", None, "review a", depends_on=["test"])
    flow.step("review_b", None, "review b", depends_on=["test"])
    flow.step("merge", None, "merge", depends_on=["review_a", "review_b"])
    place = SimulatedPlace(lambda wanted: "done", seed=number)
    flow.workflow.options(cache="run", durable=False).at(lambda: place)()
    return [wanted.call.prompt.partition(":")[0] for wanted in place.started]


def by_model(chance: random.Random, error: float) -> list[str]:
    """The course of a conductor that knows the right next step and errs now and then: it skips it,
    does something else, or thinks that all is done."""
    course: list[str] = []
    ahead = list(COURSE)
    while ahead and len(course) < 20:
        if chance.random() >= error:
            course.append(ahead.pop(0))
            continue
        slip = chance.choice(("skip", "other", "again", "stop"))
        if slip == "skip":
            ahead.pop(0)
        elif slip == "other":
            course.append(chance.choice(COURSE))
        elif slip == "again" and course:
            course.append(course[-1])
        elif slip == "stop":
            break
    return course


def rules(runs: int) -> dict[str, Any]:
    """How many rules are broken, by whom."""
    flows = [broken(by_flow(number)) for number in range(min(runs, 100))]
    told: dict[str, Any] = {
        "flow": {"runs": len(flows), "rules_broken": sum(map(len, flows)), "runs_that_hold": 1.0}
    }
    told["flow"]["runs_that_hold"] = sum(not one for one in flows) / len(flows)
    for error in ERRORS:
        chance = random.Random(f"{error}")
        found = [broken(by_model(chance, error)) for _ in range(runs)]
        told[f"a conductor that errs at {error:.0%} of its decisions"] = {
            "runs": runs,
            "rules_broken": sum(map(len, found)),
            "runs_that_hold": sum(not one for one in found) / runs,
        }
    return told


def main() -> None:
    """Count, tell, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--no-results", action="store_true")
    asked = parser.parse_args()
    here, folder = Path.cwd(), Path(tempfile.mkdtemp(prefix="paseo-context-"))
    try:
        work, result = transcript(folder)
        os.chdir(folder)
        os.environ["PASEO_NB_HOME"] = str(folder / ".paseo_nb")
        told = {
            "machine": machine(),
            "work_tokens": tokens(work),
            "result_tokens": min(tokens(result), RESULT),
            "context": [context(work, result, agents) for agents in (3, 5, 10)],
            "rules": rules(asked.runs),
        }
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({key: value for key, value in told.items() if key != "machine"}, indent=2))
    if not asked.no_results:
        write_results("context_ratio", told)


if __name__ == "__main__":
    main()
