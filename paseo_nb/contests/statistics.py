"""The statistics of contests: numbers in, numbers out. Nothing here knows an agent or a run.

Small samples are the rule here, so no interval rests on a normal approximation of few outcomes, and
none has the width 0 where all outcomes were the same. Tasks are what is drawn anew, not trials:
trials of one task are no independent evidence. Sources stand at each function.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import UsageProblem

Floats = NDArray[np.float64]
LEVEL = 0.95
DRAWS = 2000
FLIPS = 20_000
EXACT_FLIPS = 14  # 2^14 sign patterns are looked at one by one; of more, some by chance
SEED = 20_24


class Interval(msgspec.Struct, frozen=True):
    """An estimate and its interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3g} ({self.low:.3g} to {self.high:.3g})"


# ---------------------------------------------------------------- one agent


def wilson(successes: float, count: float, level: float = LEVEL) -> Interval:
    """A share, with Wilson's score interval (Wilson 1927). NaN for the estimate of nothing."""
    if count <= 0:
        return Interval(math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    half /= 1 + z * z / count
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return Interval(share, low, 1.0 if successes == count else min(1.0, middle + half))


def pass_at_k(count: int, solved: int, k: int) -> float:
    """The chance that at least one of k trials solves a task that `solved` of `count` trials did,
    without bias: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021)."""
    _check_trials(count, solved, k)
    return 1.0 - math.comb(count - solved, k) / math.comb(count, k)


def pass_hat_k(count: int, solved: int, k: int) -> float:
    """The chance that all of k trials solve it, pass^k: C(c, k) / C(n, k) (Yao et al. 2024)."""
    _check_trials(count, solved, k)
    return math.comb(solved, k) / math.comb(count, k)


def _check_trials(count: int, solved: int, k: int) -> None:
    if not 0 <= solved <= count or not 1 <= k <= count:
        raise UsageProblem(f"{solved} solved of {count} trials, k={k}: 1 <= k <= trials is needed")


def mean_over_tasks(
    values: Sequence[float], level: float = LEVEL, draws: int = DRAWS, seed: int = SEED,
    lowest: float = 0.0, highest: float = 1.0,
) -> Interval:  # fmt: skip
    """A mean over tasks of values between `lowest` and `highest`, by a bootstrap over tasks.

    The Bayesian bootstrap (Rubin 1981) with half a pseudo-task at either end, so that equal values
    do not give an interval of width 0; for values at the ends only it is Jeffreys' interval.
    """
    given = np.asarray(values, dtype=float)
    if not len(given):
        return Interval(math.nan, lowest, highest)
    drawn = _drawn_means(given, np.array([lowest, highest]), draws, seed)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    low = lowest if np.all(given == lowest) else float(low)
    high = highest if np.all(given == highest) else float(high)
    return Interval(float(given.mean()), low, high)


def _drawn_means(given: Floats, ends: Floats, draws: int, seed: int) -> Floats:
    chance = np.random.default_rng(seed)
    weights = chance.standard_gamma(1.0, (draws, len(given)))
    at_ends = chance.standard_gamma(1.0 / len(ends), (draws, len(ends)))
    whole = weights.sum(axis=1) + at_ends.sum(axis=1)
    return (weights @ given + at_ends @ ends) / whole


# ---------------------------------------------------------------- two agents, the same tasks


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p-value of the exact McNemar test: of the tasks that just one of the two
    solved, how unlikely is this split by a fair coin (McNemar 1947; exact: binomial)."""
    only_a, only_b = int(only_a), int(only_b)  # numpy's would overflow
    count = only_a + only_b
    if count == 0:
        return 1.0
    tail = sum(math.comb(count, one) for one in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**count)


def sign_flip(differences: Sequence[float], seed: int = SEED) -> float:
    """The two-sided p-value of paired differences, one per task, by flipping their signs (Fisher
    1935): all patterns up to 14 differences, 20,000 by chance above. For solved or not, with one
    trial a task, this is the exact McNemar test."""
    given = np.asarray([one for one in differences if one != 0], dtype=float)
    if not len(given):
        return 1.0
    if np.all(np.abs(given) == np.abs(given[0])):
        return mcnemar(int((given > 0).sum()), int((given < 0).sum()))
    seen = abs(given.sum()) * (1 - 1e-9)
    if len(given) <= EXACT_FLIPS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(given))))
        return float((np.abs(signs @ given) >= seen).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (FLIPS, len(given))) * 2.0 - 1
    return float(((np.abs(signs @ given) >= seen).sum() + 1) / (FLIPS + 1))


def paired_bootstrap(
    differences: Sequence[float], level: float = LEVEL, draws: int = DRAWS, seed: int = SEED,
    reach: float = 1.0,
) -> Interval:  # fmt: skip
    """The mean of paired differences (A - B, one per task, between -reach and reach), by a
    bootstrap over tasks: that of `mean_over_tasks`, with one pseudo-task spread over -reach, 0 and
    reach (after Agresti & Min 2005, who add as little to a table of pairs)."""
    given = np.asarray(differences, dtype=float)
    if not len(given):
        return Interval(math.nan, -reach, reach)
    drawn = _drawn_means(given, np.array([-reach, 0.0, reach]), draws, seed)
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    low = -reach if np.all(given == -reach) else float(low)
    high = reach if np.all(given == reach) else float(high)
    return Interval(float(given.mean()), low, high)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, adjusted to be read side by side (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, most = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = most
    return adjusted


def tasks_needed(
    differences: Sequence[float], level: float = LEVEL, power: float = 0.8
) -> int | None:
    """About how many tasks in all it takes until a difference as large as the one seen is told from
    none, with this chance: ((z_level + z_power) * sd / mean)^2. None where none is seen.

    One pseudo-task on either side keeps a handful of equal differences from looking like certainty.
    """
    if not len(differences):
        return None
    given = np.asarray([*differences, 1.0, -1.0], dtype=float)
    mean = float(given.mean())
    if abs(mean) < 1e-9:
        return None
    z = NormalDist().inv_cdf(0.5 + level / 2) + NormalDist().inv_cdf(power)
    return max(6, math.ceil((z * float(given.std()) / mean) ** 2))  # 6: the least for p < 0.05


class Comparison(msgspec.Struct, frozen=True):
    """Two agents on the same tasks. difference: A - B, mean per task; p_value: that there is none;
    needed: about how many more tasks until they can be told apart (None: no difference is seen)."""

    a: str
    b: str
    tasks: int
    difference: Interval
    p_value: float
    needed: int | None
    level: float = LEVEL

    @property
    def separable(self) -> bool:
        """Whether the two are told apart: the test and the interval both say so."""
        away = self.difference.low > 0 or self.difference.high < 0
        return self.p_value < 1 - self.level and away

    def __str__(self) -> str:
        if self.separable:
            ahead, behind = (self.a, self.b) if self.difference.estimate > 0 else (self.b, self.a)
            size = abs(self.difference.estimate)
            low, high = sorted((abs(self.difference.low), abs(self.difference.high)))
            return (
                f"{ahead} is ahead of {behind} by {size:.2f} ({low:.2f} to {high:.2f};"
                f" p = {self.p_value:.2g}, {self.tasks} tasks)."
            )
        if self.needed is None:
            how = f"no difference is seen in {self.tasks} tasks, so no number would do"
        else:
            how = f"about {rounded(self.needed)} more tasks are needed"
        return f"Not separable yet. {self.a} against {self.b}: {how}."


def compare(
    a: str, b: str, scores: Sequence[tuple[float, float]], level: float = LEVEL, seed: int = SEED
) -> Comparison:
    """Two agents' scores between 0 and 1, one pair per task (of several trials: their means)."""
    differences = [one - other for one, other in scores]
    p_value = sign_flip(differences, seed)
    found = paired_bootstrap(differences, level, seed=seed)
    in_all = tasks_needed(differences, level)
    needed = None if in_all is None else max(1, in_all - len(differences))
    return Comparison(a, b, len(differences), found, p_value, needed, level)


def rounded(count: int) -> int:
    """To two digits: more would pretend to be known."""
    if count < 100:
        return count
    step = 10 ** (len(str(count)) - 2)
    return round(count / step) * step


# ---------------------------------------------------------------- cost and quality


def front(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Which are on the front: none costs no more, scores no less, and is better in one."""
    at = list(zip(costs, scores, strict=True))
    return [
        not any(c <= cost and s >= score and (c < cost or s > score) for c, s in at)
        for cost, score in at
    ]


def front_frequency(
    costs: Sequence[Sequence[float]], scores: Sequence[Sequence[float]], draws: int = DRAWS,
    seed: int = SEED,
) -> list[float]:  # fmt: skip
    """How often each is on the front when tasks are drawn anew; costs and scores: one row per
    agent, one column per task."""
    cost, score = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    weights = np.random.default_rng(seed).standard_gamma(1.0, (draws, cost.shape[1]))
    weights /= weights.sum(axis=1, keepdims=True)
    found = [front(list(c), list(s)) for c, s in zip(weights @ cost.T, weights @ score.T)]  # noqa: B905
    return [float(one) for one in np.mean(found, axis=0)]


# ---------------------------------------------------------------- judges


def kappa(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Cohen's kappa (1960): how far two judges agree beyond chance. NaN where it is not defined."""
    pairs = list(zip(one, other, strict=True))
    if not pairs:
        return math.nan
    agree = sum(a == b for a, b in pairs) / len(pairs)
    kinds = {*one, *other}
    by_chance = sum(
        (sum(a == kind for a, _ in pairs) / len(pairs))
        * (sum(b == kind for _, b in pairs) / len(pairs))
        for kind in kinds
    )
    return math.nan if by_chance == 1 else (agree - by_chance) / (1 - by_chance)


def by_task(rows: Sequence[tuple[str, str, float]]) -> Mapping[str, Mapping[str, float]]:
    """Mean scores, agent → task → mean, from rows of (agent, task, score)."""
    kept: dict[str, dict[str, list[float]]] = {}
    for agent, task, score in rows:
        kept.setdefault(agent, {}).setdefault(task, []).append(score)
    return {
        agent: {task: sum(got) / len(got) for task, got in tasks.items()}
        for agent, tasks in kept.items()
    }
