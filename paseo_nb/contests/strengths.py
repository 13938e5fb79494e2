"""Bradley-Terry: strengths of contestants from who won against whom.

P(i beats j) = 1 / (1 + exp(θj - θi)) (Bradley & Terry 1952). A tie is half a win for each. Without
regularisation an undefeated contestant has no finite strength, so each pair has 1/n of a
pseudo-win either way (n contestants): for two of them, that is Jeffreys' prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageProblem
from .statistics import LEVEL, SEED, Interval

Floats = NDArray[np.float64]
DRAWS = 1000
STEPS = 50
_solve = cast(Callable[[Floats, Floats], Floats], np.linalg.solve)  # pyright: ignore[reportUnknownMemberType]


class Duel(msgspec.Struct, frozen=True):
    """One comparison of two. score: 1 where a won, 0 where b did, 0.5 for a tie; task: what it was
    about (duels of one task are drawn together)."""

    a: str
    b: str
    score: float
    task: str


class Strength(msgspec.Struct, frozen=True):
    """One contestant. strength: log-odds, 0 the mean of all; win_rate: against one of the others
    drawn by chance; its interval ends at 1 for an undefeated one, and at 0 for one without a win
    or tie."""

    name: str
    duels: int
    wins: float
    strength: Interval
    win_rate: Interval


class Fit(msgspec.Struct, frozen=True):
    """What duels say of all contestants. chances: for each pair (a, b), a's chance against b."""

    strengths: list[Strength]
    chances: dict[tuple[str, str], Interval]


def fit(wins: Floats) -> Floats:
    """Strengths from matrices of wins (row over column; any number of them), pseudo-wins in them;
    their mean is 0. By Newton's method: the likelihood has one maximum where every pair has some
    of both."""
    count = wins.shape[-1]
    theta: Floats = np.zeros(wins.shape[:-1])
    together = wins + np.swapaxes(wins, -1, -2)
    won = wins.sum(axis=-1)
    for _ in range(STEPS):
        chance = _chance(theta[..., :, None] - theta[..., None, :])
        curve = together * chance * (1 - chance)
        bend = np.eye(count) * curve.sum(axis=-1)[..., None] - curve + 1 / count
        slope = won - (together * chance).sum(axis=-1)
        step = _solve(bend, slope[..., None])[..., 0]
        theta = theta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return theta - theta.mean(axis=-1, keepdims=True)


def bradley_terry(
    duels: Sequence[Duel], names: Sequence[str] | None = None, level: float = LEVEL,
    draws: int = DRAWS, seed: int = SEED,
) -> Fit:  # fmt: skip
    """Strengths, win rates and chances with intervals, by a weighted-likelihood bootstrap over
    tasks (Newton & Raftery 1994) in which the pseudo-wins are drawn, too: for two contestants
    that gives Jeffreys' interval. UsageProblem for fewer than two contestants."""
    known = list(names or dict.fromkeys(name for duel in duels for name in (duel.a, duel.b)))
    if len(known) < 2:
        raise UsageProblem("strengths are of two contestants or more")
    at = {name: place for place, name in enumerate(known)}
    count = len(known)
    per_task = _per_task(duels, at)
    wins = per_task.sum(axis=0)
    pseudo = (1 - np.eye(count)) / count
    best = fit(wins + pseudo)
    chance = np.random.default_rng(seed)
    spread = _spread(count, len(per_task))
    weights = chance.standard_gamma(spread, (draws, len(per_task))) / spread
    drawn = np.tensordot(weights, per_task, axes=1)
    theta = fit(drawn + np.maximum(chance.standard_gamma(pseudo, drawn.shape), 1e-6 * pseudo))
    rates, best_rates = _rates(theta), _rates(best[None])[0]
    found: list[Strength] = []
    for name, i in at.items():
        strength = _interval(float(best[i]), theta[:, i], level)
        rate = _interval(float(best_rates[i]), rates[:, i], level)
        met = wins[i].sum() + wins[:, i].sum() > 0
        if met and wins[:, i].sum() == 0:
            rate = msgspec.structs.replace(rate, high=1.0)
        if met and wins[i].sum() == 0:
            rate = msgspec.structs.replace(rate, low=0.0)
        duelled = round(float(wins[i].sum() + wins[:, i].sum()))
        found.append(Strength(name, duelled, float(wins[i].sum()), strength, rate))
    chances: dict[tuple[str, str], Interval] = {}
    for a, i in at.items():
        for b, j in at.items():
            if i != j:
                between = _chance(theta[:, i] - theta[:, j])
                one = _interval(float(_chance(best[i] - best[j])), between, level)
                if count == 2 and wins[j, i] == 0 and wins[i, j] > 0:
                    low = min(one.low, _least(len(per_task), level))
                    one = msgspec.structs.replace(one, low=low, high=1.0)
                if count == 2 and wins[i, j] == 0 and wins[j, i] > 0:
                    high = max(one.high, 1 - _least(len(per_task), level))
                    one = msgspec.structs.replace(one, low=0.0, high=high)
                chances[a, b] = one
    ranked = sorted(found, key=lambda one: -one.strength.estimate)
    return Fit(ranked, chances)


def _spread(contestants: int, tasks: int) -> float:
    """The shape of the tasks' weights; smaller spreads them more. Of two contestants 1, which is
    Jeffreys' interval; of more, few tasks vary by (n+1)/(n-1) more than weights of shape 1 do."""
    return 1.0 if contestants == 2 or tasks < 2 else max((tasks - 1) / (tasks + 1), 0.5)


def _least(tasks: int, level: float) -> float:
    """What the chance of one who won all of so many is at least, by this level, where any chance
    was as likely before (Laplace 1774). Jeffreys' interval, opened to 1, would hold 92%, not 95%,
    of those."""
    return (1 - level) ** (1 / (tasks + 1))


def _per_task(duels: Sequence[Duel], at: dict[str, int]) -> Floats:
    """Wins of each task: one matrix (row over column) per task."""
    tasks = {task: place for place, task in enumerate(dict.fromkeys(one.task for one in duels))}
    wins = np.zeros((len(tasks), len(at), len(at)))
    for duel in duels:
        i, j, task = at[duel.a], at[duel.b], tasks[duel.task]
        if i == j or not 0 <= duel.score <= 1:
            raise UsageProblem(f"{duel} is no duel of two with a score from 0 to 1")
        wins[task, i, j] += duel.score
        wins[task, j, i] += 1 - duel.score
    return wins


def _chance(difference: Floats | np.float64) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(difference))))


def _rates(theta: Floats) -> Floats:
    """The mean chance against the others: draws × contestants."""
    count = theta.shape[1]
    against = _chance(theta[:, :, None] - theta[:, None, :])
    return (against.sum(axis=2) - 0.5) / (count - 1)


def _interval(estimate: float, drawn: Floats, level: float) -> Interval:
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate))


def duels_needed(chance: float, level: float = LEVEL, power: float = 0.8) -> int | None:
    """About how many duels of two in all tell such a chance from 1/2; None where it is 1/2."""
    away = abs(chance - 0.5)
    if away < 1e-6:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + level / 2) + normal.inv_cdf(power)
    return max(6, math.ceil((z * 0.5 / away) ** 2))
