"""Leaderboards and comparisons: from trials or matches to frames and figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from ..errors import UsageProblem
from ..store.contest_columns import contest_frame
from ..widgets.arena.board import as_text, card
from .statistics import (
    by_task,
    compare,
    front,
    front_frequency,
    holm,
    mean_over_tasks,
    pass_at_k,
    pass_hat_k,
    rounded,
)
from .strengths import Duel, Strength, bradley_terry, duels_needed

Frame = Any  # a DataFrame: what pandas says of its types is not all there
SAYS = "paseo_says"  # in a leaderboard's `attrs`: sentences on neighbours not told apart
NEEDED = ("agent", "task", "solved")


def _tried(trials: Frame) -> Frame:
    """Those that tell something, and only of tasks that every agent was tried on."""
    missing = [name for name in NEEDED if name not in trials.columns]
    if missing:
        raise UsageProblem(f"trials have the columns {', '.join(NEEDED)}; {missing[0]} is missing")
    known = trials[trials["solved"].notna()]
    counts = known.groupby("task")["agent"].nunique()
    everywhere = counts[counts == known["agent"].nunique()].index
    return known[known["task"].isin(everywhere)]


def _rates(known: Frame) -> dict[str, dict[str, float]]:
    rows = zip(known["agent"], known["task"], known["solved"], strict=True)
    told = by_task([(str(agent), str(task), float(solved)) for agent, task, solved in rows])
    return {agent: dict(tasks) for agent, tasks in told.items()}


def duels_of(rates: dict[str, dict[str, float]]) -> list[Duel]:
    """Each pair on each task: who solved it more often."""
    found: list[Duel] = []
    for a, b in combinations(sorted(rates), 2):
        for task, rate in rates[a].items():
            other = rates[b][task]
            found.append(Duel(a, b, 0.5 if rate == other else float(rate > other), task))
    return found


def leaderboard(trials: Frame) -> Frame:
    """One row per agent, best first. An agent has the rank of the one above it where the two are
    not told apart. Only tasks that all were tried on count."""
    known = _tried(trials)
    rates = _rates(known)
    if not rates:
        return contest_frame("leaderboard", [])
    k = int(known.groupby(["agent", "task"]).size().min())
    strengths: dict[str, Strength] = {}
    if len(rates) > 1:
        strengths = {one.name: one for one in bradley_terry(duels_of(rates)).strengths}
    rows: list[dict[str, Any]] = []
    for agent, tasks in rates.items():
        own = known[known["agent"] == agent]
        counts = [(len(one), int(one.sum())) for _, one in own.groupby("task")["solved"]]
        rate = mean_over_tasks(list(tasks.values()))
        row: dict[str, Any] = {
            "agent": agent, "tasks": len(tasks), "trials": len(own), "k": k,
            "solve_rate": rate.estimate, "solve_low": rate.low, "solve_high": rate.high,
            "pass_at_k": sum(pass_at_k(n, c, k) for n, c in counts) / len(counts),
            "pass_hat_k": sum(pass_hat_k(n, c, k) for n, c in counts) / len(counts),
            "cost_usd": _mean(own, "cost_usd"), "took_s": _mean(own, "took_s"),
        }  # fmt: skip
        if agent in strengths:
            one = strengths[agent]
            row |= _three("strength", one.strength) | {
                "win_rate": one.win_rate.estimate, "win_low": one.win_rate.low,
                "win_high": one.win_rate.high,
            }  # fmt: skip
        rows.append(row)
    rows.sort(key=lambda row: (-row["solve_rate"], row["agent"]))
    says = _rank(rows, rates)
    _front(rows, known, rates)
    board = contest_frame("leaderboard", rows)
    board.attrs[SAYS] = says
    return board


def of_duels(duels: Sequence[Duel]) -> Frame:
    """The same from matches only: strengths and win rates."""
    names = list(dict.fromkeys(name for one in duels for name in (one.a, one.b)))
    if len(names) < 2:
        return contest_frame("leaderboard", [])
    fit = bradley_terry(duels, names)
    rows: list[dict[str, Any]] = []
    says: list[str] = []
    for at, one in enumerate(fit.strengths):
        tasks = {duel.task for duel in duels if one.name in (duel.a, duel.b)}
        rank = at + 1
        if at:
            other = fit.strengths[at - 1].name
            above = fit.chances[other, one.name]
            if above.low <= 0.5:
                rank = rows[-1]["rank"]
                says.append(_more_matches(other, one.name, above.estimate, duels))
        rows.append({
            "rank": rank, "agent": one.name, "tasks": len(tasks), "trials": one.duels,
            **_three("strength", one.strength), "win_rate": one.win_rate.estimate,
            "win_low": one.win_rate.low, "win_high": one.win_rate.high,
        })  # fmt: skip
    board = contest_frame("leaderboard", rows)
    board.attrs[SAYS] = says
    return board


def _more_matches(a: str, b: str, chance: float, duels: Sequence[Duel]) -> str:
    """About how many more matches tell two neighbours apart."""
    in_all = duels_needed(chance)
    had = sum({one.a, one.b} == {a, b} for one in duels)
    if in_all is None:
        how = "no difference is seen, so no number would do"
    else:
        how = f"about {rounded(max(1, in_all - had))} more matches are needed"
    return f"Not separable yet. {a} against {b}: {how}."


def _three(name: str, found: Any) -> dict[str, float]:
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(frame: Frame, name: str) -> float | None:
    if name not in frame.columns:
        return None
    told = frame[name].dropna()
    return float(told.mean()) if len(told) else None


def _rank(rows: list[dict[str, Any]], rates: dict[str, dict[str, float]]) -> list[str]:
    """Puts the ranks in; what is to be said of neighbours that are not told apart."""
    says: list[str] = []
    for at, row in enumerate(rows):
        row["rank"] = at + 1
        if at:
            above = rows[at - 1]
            tasks = sorted(rates[row["agent"]])
            pairs = [(rates[above["agent"]][t], rates[row["agent"]][t]) for t in tasks]
            found = compare(above["agent"], row["agent"], pairs)
            if not found.separable:
                row["rank"] = above["rank"]
                says.append(str(found))
    return says


def _front(rows: list[dict[str, Any]], known: Frame, rates: dict[str, dict[str, float]]) -> None:
    if any(row["cost_usd"] is None for row in rows):
        return  # a front needs the cost of all
    costs = known.groupby(["agent", "task"])["cost_usd"].mean()
    tasks = sorted(next(iter(rates.values())))
    dear = [[float(costs.get((row["agent"], task), 0.0)) for task in tasks] for row in rows]
    good = [[rates[row["agent"]][task] for task in tasks] for row in rows]
    on = front([sum(one) for one in dear], [sum(one) for one in good])
    for row, here, often in zip(rows, on, front_frequency(dear, good), strict=True):
        row["on_front"], row["front_share"] = here, often


def comparisons(trials: Frame) -> Frame:
    """One row per pair of agents, p-values adjusted for their number."""
    rates = _rates(_tried(trials))
    found = [
        compare(a, b, [(rates[a][task], rates[b][task]) for task in rates[a]])
        for a, b in combinations(sorted(rates), 2)
    ]
    adjusted = holm([one.p_value for one in found])
    rows = [
        {
            "a": one.a, "b": one.b, "tasks": one.tasks, "difference": one.difference.estimate,
            "low": one.difference.low, "high": one.difference.high, "p_value": one.p_value,
            "p_holm": p, "separable": one.separable,
            "more_tasks": None if one.separable else one.needed, "says": str(one),
        }
        for one, p in zip(found, adjusted, strict=True)
    ]  # fmt: skip
    return contest_frame("comparisons", rows)


def plot_rates(board: Frame) -> Any:
    """Solve rates with 95% intervals, best first."""
    import plotly.graph_objects as go

    shown = board.iloc[::-1]
    rate = shown["solve_rate"]
    figure: Any = go.Figure(
        go.Scatter(
            x=rate, y=shown["agent"], mode="markers", marker={"size": 10},
            error_x={
                "type": "data", "symmetric": False, "array": shown["solve_high"] - rate,
                "arrayminus": rate - shown["solve_low"],
            },
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        title="Solve rate, 95% interval over tasks",
        xaxis={"range": [-0.02, 1.02], "tickformat": ".0%"},
        height=120 + 40 * len(board),
        margin={"l": 10, "r": 10, "t": 50, "b": 30},
    )
    return figure


def plot_front(board: Frame) -> Any:
    """Cost of a trial against solve rate; filled marks are on the front."""
    import plotly.graph_objects as go

    known = board[board["cost_usd"].notna()]
    on = known["on_front"].fillna(False)
    ink = "#1976d2"
    costs = [float(one) for one in known["cost_usd"]]
    axis: dict[str, Any] = {"title": "US dollars a trial", "tickprefix": "$", "rangemode": "tozero"}
    middle = (min(costs, default=0) + max(costs, default=0)) / 2
    if min(costs, default=0) > 0:
        low, middle, high = min(costs), math.sqrt(min(costs) * max(costs)), max(costs)
        marks = [n * 10.0**at for at in range(-6, 6) for n in (1, 3)]
        axis = {
            "title": "US dollars a trial, log scale", "type": "log",
            "tickvals": [x for x in marks if low / 4 < x < high * 4],
            "ticktext": [f"${x:g}" for x in marks if low / 4 < x < high * 4],
            "range": [math.log10(low / 1.6), math.log10(high * 1.6)],
        }  # fmt: skip
    edge = known[on].sort_values("cost_usd")
    figure: Any = go.Figure(
        go.Scatter(
            x=edge["cost_usd"], y=edge["solve_rate"], mode="lines", hoverinfo="skip",
            line={"shape": "hv", "dash": "dot", "color": ink, "width": 1},
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=known["cost_usd"], y=known["solve_rate"], text=known["agent"], mode="markers+text",
            textposition=[f"top {'right' if x < middle else 'left'}" for x in costs],
            cliponaxis=False, marker={
                "size": 11, "color": ink,
                "symbol": ["circle" if one else "circle-open" for one in on],
            },
            error_y={
                "type": "data", "symmetric": False, "color": ink, "thickness": 1,
                "array": known["solve_high"] - known["solve_rate"],
                "arrayminus": known["solve_rate"] - known["solve_low"],
            },
            hovertemplate="%{text}: %{y:.0%} for $%{x:.3g}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        title="Cost of a trial and solve rate", showlegend=False, height=380,
        xaxis=axis,
        yaxis={"range": [0, 1.12], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        margin={"l": 10, "r": 10, "t": 50, "b": 40},
    )  # fmt: skip
    return figure


def shown(head: str, trials: Frame) -> dict[str, str]:
    """A tournament as text and as HTML: how far it is, and its leaderboard so far."""
    over = trials[trials["solved"].notna()]
    board: Frame = leaderboard(over) if len(over) else contest_frame("leaderboard", [])
    says = list(board.attrs.get(SAYS, ()))
    return {"text/plain": as_text(board, head, says), "text/html": card(board, head, says)}
