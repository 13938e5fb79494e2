"""How many finished calls a resumed workflow takes: ours, found again by content, beside the rule
of the longest unchanged prefix in the order of starts, in the same shapes and runs.

The shapes are those of three reports against the prefix rule: three branches of 40 calls with one
failure (7 were taken), a pipeline of 102 with two (3), a fan-out of 91 with one (6). No model: calls
are functions, which end in an order drawn by chance, another one for each seed; so is the failing
call. `python benchmarks/resume_shapes.py [--orders 1000]`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, write_results

import paseo_nb as paseo
from paseo_nb.engine import words
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.values import Outcome, Wanted

SLOTS = 14


async def branches(say: Any) -> None:
    """Three branches at once, each one call after the other: 40."""

    async def branch(name: int, count: int) -> None:
        for number in range(count):
            await say.agent(f"branch {name} call {number}")

    await say.parallel([branch(0, 13), branch(1, 13), branch(2, 14)])


async def pipe(say: Any) -> None:
    """34 items through three stages: 102. A stage goes on after a failure."""

    def stage(name: str) -> Callable[..., Any]:
        async def one(_: Any, item: int) -> str:
            return str(await say.agent(f"{name} {item}"))

        return one

    await say.pipeline(list(range(34)), stage("find"), stage("check"), stage("write"))


async def fan(say: Any) -> None:
    """91 at once."""
    await say.parallel([say.agent(f"item {number}") for number in range(91)])


def failing(shape: str, chance: random.Random) -> set[str]:
    """The calls that fail the first time."""
    if shape == "branches":
        name = chance.randrange(3)
        return {f"branch {name} call {chance.randrange(14 if name == 2 else 13)}"}
    if shape == "pipe":
        other = f"{chance.choice(['find', 'check', 'write'])} {chance.randrange(4, 34)}"
        return {"find 3", other}
    return {f"item {chance.randrange(91)}"}


SHAPES = {"branches": (branches, 40, 39), "pipe": (pipe, 102, 100), "fan": (fan, 91, 90)}


# ---------------------------------------------------------------- ours


def ours(shape: str, seed: int, folder: Path) -> int:
    """How many calls the second call of the workflow takes."""
    os.environ["PASEO_NB_HOME"] = str(folder)
    body = SHAPES[shape][0]
    bad = failing(shape, random.Random(seed))

    def answers(wanted: Wanted) -> Outcome:
        if wanted.call.prompt in bad:
            return Outcome(cause="error", message="failed")
        return Outcome(text=wanted.call.prompt)

    @paseo.workflow(name=shape, concurrency=SLOTS, durable=False)
    async def work() -> None:
        await body(words)
        if bad:
            raise RuntimeError("a call failed")

    try:
        work.at(lambda: SimulatedPlace(answers, seed=seed))()
    except RuntimeError:
        bad.clear()
    place = SimulatedPlace(answers, seed=seed + 1_000_000)
    run = work.at(lambda: place).start()
    run.wait()
    assert len(place.started) + run.hits == SHAPES[shape][1]
    return run.hits


# ---------------------------------------------------------------- the prefix rule


class Prefix:
    """Calls are compared with those of the first run in the order of starts: the first that is
    another one, or had failed, and all after it, run."""

    def __init__(self, known: Sequence[tuple[str, bool]], bad: set[str], seed: int) -> None:
        self.known, self.bad = known, bad
        self.started: list[tuple[str, bool]] = []
        self.taken = 0
        self._diverged = False
        self._gate = asyncio.Semaphore(SLOTS)
        self._place = SimulatedPlace(lambda wanted: wanted.call.prompt, seed=seed)

    async def agent(self, prompt: str) -> str:
        """A call."""
        at = len(self.started)
        if not self._diverged and at < len(self.known) and self.known[at] == (prompt, True):
            self.started.append((prompt, True))
            self.taken += 1
            await asyncio.sleep(0)  # so that branches take turns, to the rule's advantage
            return prompt
        self._diverged = True
        async with self._gate:
            self.started.append((prompt, prompt not in self.bad))
            await self._place._some_time()  # pyright: ignore[reportPrivateUsage]
        return prompt

    async def parallel(self, items: Sequence[Any]) -> list[Any]:
        """At once."""
        return await asyncio.gather(*items)

    async def pipeline(self, items: Sequence[Any], *stages: Callable[..., Any]) -> list[Any]:
        """Each by itself."""

        async def through(item: Any) -> Any:
            value = item
            for stage in stages:
                value = await stage(value, item)
            return value

        return await asyncio.gather(*map(through, items))


def by_prefix(shape: str, seed: int) -> int:
    """How many calls the second run takes by the prefix rule."""
    body = SHAPES[shape][0]
    bad = failing(shape, random.Random(seed))

    async def twice() -> int:
        first = Prefix([], bad, seed)
        await body(first)
        second = Prefix(first.started, set(), seed + 1_000_000)
        await body(second)
        return second.taken

    return asyncio.run(twice())


def told(values: Sequence[int]) -> dict[str, float]:
    """Least, median, 95th percentile, most."""
    ranked = sorted(values)
    return {
        "least": ranked[0],
        "median": statistics.median(ranked),
        "p95": ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))],
        "most": ranked[-1],
    }


def main() -> int:
    """Run all shapes; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=1000)
    orders = parser.parse_args().orders
    shapes: dict[str, Any] = {}
    met = True
    for name, (_, calls, goal) in SHAPES.items():
        begun = time.process_time()
        mine: list[int] = []
        for seed in range(orders):
            folder = Path(tempfile.mkdtemp(prefix="resume-"))
            try:
                mine.append(ours(name, seed, folder))
            finally:
                shutil.rmtree(folder)
        theirs = [by_prefix(name, seed) for seed in range(orders)]
        met = met and min(mine) >= goal
        shapes[name] = {
            "calls": calls,
            "goal": goal,
            "by_content": told(mine),
            "by_prefix": told(theirs),
            "cpu_s": round(time.process_time() - begun, 1),
        }
        print(name, shapes[name], flush=True)
    write_results("resume_shapes", {"machine": machine(), "orders": orders, "shapes": shapes})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
