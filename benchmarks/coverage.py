"""How often 95% intervals of contests cover the truth, over truths drawn evenly: many simulated
contests of each size, small ones and undefeated contestants among them.

    python benchmarks/coverage.py [--contests 2000]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from common import machine, write_results

from paseo_nb.contests.statistics import mean_over_tasks, paired_bootstrap, wilson
from paseo_nb.contests.strengths import Duel, bradley_terry


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--contests", type=int, default=2000)
    count = parser.parse_args().contests
    result: dict[str, Any] = {"contests": count, "nominal": 0.95}
    for size in (3, 5, 10, 30, 100):
        result[f"{size} tasks"] = of_tasks(size, count)
        result[f"{size} matches of two"] = of_two(size, count)
        result[f"{size} tasks, four contestants"] = of_four(size, max(count // 5, 100))
        print(size, json.dumps({k: v for k, v in result.items() if k.startswith(f"{size} ")}))
    write_results("coverage", {"machine": machine(), **result})


def of_tasks(size: int, count: int) -> dict[str, float]:
    chance = np.random.default_rng(size)
    share, rate, difference = [], [], []
    for seed in range(count):
        a, b = chance.random(2)
        one, other = chance.random((2, size)) < np.array([[a], [b]])
        found = wilson(int(one.sum()), size)
        share.append(found.low <= a <= found.high)
        trials = chance.binomial(3, np.clip(chance.normal(a, 0.2, size), 0, 1)) / 3
        truth = float(np.clip(np.random.default_rng(0).normal(a, 0.2, 20_000), 0, 1).mean())
        mean = mean_over_tasks(list(trials), draws=600, seed=seed)
        rate.append(mean.low <= truth <= mean.high)
        paired = paired_bootstrap(list(one * 1.0 - other), draws=600, seed=seed)
        difference.append(paired.low <= a - b <= paired.high)
    return {
        "wilson": share_of(share),
        "rate of 3 trials": share_of(rate),
        "paired": share_of(difference),
    }


def of_two(size: int, count: int) -> dict[str, float]:
    chance = np.random.default_rng(size)
    covered, undefeated = [], []
    for seed in range(count):
        truth = chance.random()
        won = int(chance.binomial(size, truth))
        duels = [Duel("a", "b", float(at < won), str(at)) for at in range(size)]
        found = bradley_terry(duels, ["a", "b"], draws=400, seed=seed).chances["a", "b"]
        covered.append(found.low <= truth <= found.high)
        if won in (0, size):
            undefeated.append(covered[-1])
    return {"all": share_of(covered), "one undefeated": share_of(undefeated)}


def of_four(size: int, count: int) -> dict[str, float]:
    chance = np.random.default_rng(size)
    rates, strengths = [], []
    for seed in range(count):
        truth = chance.normal(0, 1, 4)
        odds = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
        won = chance.random((size, 4, 4)) < odds
        duels = [
            Duel(str(i), str(j), float(won[task, i, j]), str(task))
            for task in range(size)
            for i in range(4)
            for j in range(i)
        ]
        rate = (odds.sum(axis=1) - 0.5) / 3
        for one in bradley_terry(duels, list("0123"), draws=400, seed=seed).strengths:
            at = int(one.name)
            rates.append(one.win_rate.low <= rate[at] <= one.win_rate.high)
            theta = truth[at] - truth.mean()
            strengths.append(one.strength.low <= theta <= one.strength.high)
    return {"win rate": share_of(rates), "strength": share_of(strengths)}


def share_of(found: list[bool]) -> float:
    return round(float(np.mean(found)), 3) if found else float("nan")


if __name__ == "__main__":
    main()
