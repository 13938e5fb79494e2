"""The statistics against independent references, and in simulation against the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from paseo_nb.contests import statistics as ours
from paseo_nb.contests.strengths import Duel, bradley_terry, duels_needed, fit
from paseo_nb.errors import UsageProblem


@pytest.mark.parametrize(("solved", "count"), [(0, 3), (3, 3), (1, 1), (7, 10), (481, 600)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_that_of_statsmodels(solved: int, count: int, level: float) -> None:
    found = ours.wilson(solved, count, level)
    low, high = proportion_confint(solved, count, alpha=1 - level, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.estimate == solved / count


def test_pass_at_k_and_pass_hat_k_are_shares_of_all_choices_of_k_trials() -> None:
    assert ours.pass_at_k(10, 7, 3) == pytest.approx(0.992, abs=5e-4)
    assert ours.pass_hat_k(10, 7, 3) == pytest.approx(0.292, abs=5e-4)
    chance = scipy.stats.hypergeom(10, 7, 3)
    assert ours.pass_at_k(10, 7, 3) == pytest.approx(1 - chance.pmf(0))
    assert ours.pass_hat_k(10, 7, 3) == pytest.approx(chance.pmf(3))
    assert ours.pass_at_k(3, 0, 2) == ours.pass_hat_k(3, 1, 2) == 0
    with pytest.raises(UsageProblem):
        ours.pass_at_k(3, 1, 4)


# The published rows of tau-bench's README, pass^1 to pass^4.
TAU_BENCH = {
    "retail, claude-3.5-sonnet-1022": (0.692, 0.576, 0.509, 0.462),
    "retail, gpt-4o": (0.604, 0.491, 0.430, 0.383),
    "airline, claude-3.5-sonnet-1022": (0.460, 0.326, 0.263, 0.225),
    "airline, gpt-4o": (0.420, 0.273, 0.220, 0.200),
}


@pytest.mark.parametrize("row", TAU_BENCH.values(), ids=list(TAU_BENCH))
def test_pass_hat_k_meets_the_rows_of_tau_bench(row: tuple[float, ...]) -> None:
    """Tasks of the difficulties that the first two numbers tell (a beta distribution), four trials
    of each: the estimator gives the other two about as published (of 50 and 115 tasks), which p^k misses."""
    one, two = row[:2]
    size = (one - two) / (two - one * one)
    chance = np.random.default_rng(0)
    solved = chance.binomial(4, chance.beta(one * size, (1 - one) * size, 40_000))
    found = [np.mean([ours.pass_hat_k(4, c, k) for c in range(5)] @ counted(solved)) for k in (1, 2, 3, 4)]  # fmt: skip
    assert found == pytest.approx(row, abs=0.04)
    assert found[3] > one**4 + 0.1


def counted(solved: np.ndarray) -> np.ndarray:
    return np.bincount(solved, minlength=5) / len(solved)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (5, 5), (12, 3), (1, 9), (40, 61)])
def test_mcnemar_is_that_of_statsmodels(b: int, c: int) -> None:
    reference = reference_mcnemar([[7, b], [c, 11]], exact=True).pvalue
    assert ours.mcnemar(b, c) == pytest.approx(reference)
    assert ours.sign_flip([1.0] * b + [-1.0] * c + [0.0] * 4) == pytest.approx(reference)


def test_graded_differences_are_tested_as_scipy_does() -> None:
    chance = np.random.default_rng(3)
    for count in (8, 40):
        given = chance.normal(0.3, 1, count).round(2)
        reference = scipy.stats.permutation_test(
            (given, np.zeros(count)), lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples", vectorized=True, n_resamples=100_000, rng=1,
        ).pvalue  # fmt: skip
        assert ours.sign_flip(list(given)) == pytest.approx(reference, abs=0.01)


def test_a_paired_bootstrap_of_many_tasks_is_scipys() -> None:
    given = np.random.default_rng(5).choice([-1.0, 0.0, 0.5, 1.0], 400, p=[0.1, 0.5, 0.2, 0.2])
    found = ours.paired_bootstrap(list(given), draws=10_000)
    reference = scipy.stats.bootstrap((given,), np.mean, method="percentile", rng=2)
    assert found.low == pytest.approx(reference.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(reference.confidence_interval.high, abs=0.01)


def test_equal_outcomes_are_no_certainty() -> None:
    found = ours.paired_bootstrap([1.0, 1.0, 1.0])
    assert found.low < 0.3
    assert found.high == 1
    same = ours.paired_bootstrap([0.0] * 5)
    assert same.low < -0.05
    assert same.high > 0.05
    solved = ours.mean_over_tasks([1.0] * 3)
    jeffreys = scipy.stats.beta(3.5, 0.5).ppf(0.025)
    assert (solved.low, solved.high) == (pytest.approx(jeffreys, abs=0.03), 1)


def test_holm_and_kappa_are_those_of_statsmodels() -> None:
    given = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert ours.holm(given) == pytest.approx(list(multipletests(given, method="holm")[1]))
    one, other = list("aabbabtaab"), list("abbbabtatb")
    kinds = sorted({*one, *other})
    table = [[sum(x == a and y == b for x, y in zip(one, other, strict=True)) for b in kinds] for a in kinds]  # fmt: skip
    assert ours.kappa(one, other) == pytest.approx(cohens_kappa(table).kappa)


def test_a_comparison_says_whether_it_separates_and_how_many_tasks_it_would_take() -> None:
    clear = ours.compare("a", "b", [(1, 0)] * 12 + [(1, 1)] * 8)
    assert clear.separable
    assert "a is ahead of b by 0.60" in str(clear)
    few = ours.compare("a", "b", [(1, 0), (0, 1), (1, 0), (1, 1)])
    assert not few.separable
    assert str(few).startswith("Not separable yet. a against b: about ")
    assert str(few).endswith(" more tasks are needed.")
    assert not ours.compare("a", "b", [(1, 0)] * 3).separable, "three wins of three are few"
    assert "no difference is seen" in str(ours.compare("a", "b", [(1, 1)] * 5))


def test_the_number_of_tasks_is_one_that_gives_the_power() -> None:
    """Of two with the difference seen, that many tasks tell them apart about four times in five."""
    needed = ours.tasks_needed([1.0] * 24 + [-1.0] * 12 + [0.0] * 64)
    assert needed is not None
    chance = np.random.default_rng(0)
    found = [
        ours.mcnemar(*chance.multinomial(needed, [0.24, 0.12, 0.64])[:2]) < 0.05
        for _ in range(1000)
    ]
    assert 0.72 < np.mean(found) < 0.88
    assert duels_needed(0.6) == pytest.approx(197, abs=2)
    assert duels_needed(0.5) is None


def test_the_front_of_cost_and_score() -> None:
    assert ours.front([1, 2, 3, 2], [0.5, 0.9, 0.8, 0.9]) == [True, True, False, True]
    cheap, dear, bad = [1.0] * 9, [2.0] * 9, [3.0] * 9
    often = ours.front_frequency([cheap, dear, bad], [[0, 1, 0] * 3, [1] * 9, [0, 1, 1] * 3])
    assert often[:2] == [1, 1]
    assert often[2] == 0


# ---------------------------------------------------------------- strengths


def duels(*wins: tuple[str, str, int]) -> list[Duel]:
    told = [(a, b) for a, b, count in wins for _ in range(count)]
    return [Duel(a, b, 1.0, str(at)) for at, (a, b) in enumerate(told)]


def test_strengths_are_the_maximum_that_scipy_finds() -> None:
    wins = np.array([[0, 7, 3, 9], [2, 0, 5.5, 4], [1, 4.5, 0, 3], [0, 1, 2, 0]]) + 0.25
    np.fill_diagonal(wins, 0)

    def loss(theta: np.ndarray) -> float:
        return -sum(
            wins[i, j] * -math.log1p(math.exp(theta[j] - theta[i]))
            for i in range(4)
            for j in range(4)
        )

    reference = scipy.optimize.minimize(loss, np.zeros(4), tol=1e-12).x
    assert fit(wins) == pytest.approx(reference - reference.mean(), abs=1e-4)
    assert fit(np.stack([wins, wins.T]))[1] == pytest.approx(-fit(wins), abs=1e-9)


def test_an_undefeated_contestant_is_finite_and_open_to_the_top() -> None:
    found = bradley_terry(duels(("a", "b", 5)))
    best, last = found.strengths
    assert (best.name, last.name) == ("a", "b")
    assert math.isfinite(best.strength.estimate)
    assert best.strength.estimate > 1 > -1 > last.strength.estimate
    assert best.win_rate.high == 1
    assert last.win_rate.low == 0
    assert 0.5 < best.win_rate.low < 0.75


def test_two_contestants_have_jeffreys_interval() -> None:
    found = bradley_terry(duels(("a", "b", 7), ("b", "a", 3)), draws=8000).chances["a", "b"]
    reference = scipy.stats.beta(7.5, 3.5)
    assert found.low == pytest.approx(reference.ppf(0.025), abs=0.02)
    assert found.high == pytest.approx(reference.ppf(0.975), abs=0.02)


def test_ties_are_half_a_win_each_and_the_order_of_duels_is_no_matter() -> None:
    tied = [Duel("a", "b", 0.5, str(at)) for at in range(6)]
    found = bradley_terry(tied)
    assert found.chances["a", "b"].estimate == pytest.approx(0.5)
    mixed = duels(("a", "b", 3), ("b", "c", 2), ("c", "a", 1))
    ahead, back = (bradley_terry(one, list("abc")) for one in (mixed, mixed[::-1]))
    for one, other in zip(ahead.strengths, back.strengths, strict=True):
        assert (one.name, one.wins) == (other.name, other.wins)
        assert one.strength.estimate == pytest.approx(other.strength.estimate)


def test_duels_of_one_task_are_no_independent_evidence() -> None:
    once = [Duel("a", "b", 1.0 if at % 4 else 0.0, str(at)) for at in range(8)]
    often = [Duel("a", "b", one.score, one.task) for one in once for _ in range(20)]
    widths = [
        (rate.high - rate.low)
        for rate in (bradley_terry(given).chances["a", "b"] for given in (once, often))
    ]
    assert widths[1] > 0.6 * widths[0]


# ---------------------------------------------------------------- intervals cover the truth


@pytest.mark.parametrize("count", [3, 10, 40])
def test_shares_and_differences_cover_the_truth(count: int) -> None:
    """Over truths drawn evenly, 95% intervals cover in 95% of cases, but for chance in 600."""
    chance = np.random.default_rng(count)
    share, difference = [], []
    for seed in range(600):
        a, b = chance.random(2)
        one, other = chance.random((2, count)) < np.array([[a], [b]])
        found = ours.wilson(int(one.sum()), count)
        share.append(found.low <= a <= found.high)
        paired = ours.paired_bootstrap(list(one * 1.0 - other), draws=400, seed=seed)
        difference.append(paired.low <= a - b <= paired.high)
    assert np.mean(share) > 0.92
    assert np.mean(difference) > 0.91


@pytest.mark.parametrize(("count", "least"), [(3, 0.92), (12, 0.92)])
def test_chances_of_two_cover_the_truth(count: int, least: float) -> None:
    """Also after 3 matches, and where one was never beaten, which is half of those."""
    chance = np.random.default_rng(7)
    covered, undefeated = [], []
    for seed in range(500):
        truth = chance.random()
        won = int(chance.binomial(count, truth))
        given = duels(("a", "b", won), ("b", "a", count - won))
        found = bradley_terry(given, ["a", "b"], draws=300, seed=seed).chances["a", "b"]
        covered.append(found.low <= truth <= found.high)
        if won == count:
            undefeated.append(covered[-1])
    assert np.mean(covered) > least
    assert np.mean(undefeated) > 0.92, "of these alone"


def test_win_rates_of_four_cover_the_truth() -> None:
    chance = np.random.default_rng(11)
    covered = []
    for seed in range(120):
        truth = chance.normal(0, 1, 4)
        odds = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
        given = [
            Duel(str(i), str(j), float(chance.random() < odds[i, j]), str(task))
            for task in range(8)
            for i in range(4)
            for j in range(i)
        ]
        rates = (odds.sum(axis=1) - 0.5) / 3
        for one in bradley_terry(given, list("0123"), draws=300, seed=seed).strengths:
            low, high = one.win_rate.low, one.win_rate.high
            covered.append(low <= rates[int(one.name)] <= high)
    assert np.mean(covered) > 0.92
