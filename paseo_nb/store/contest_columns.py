"""The columns of contests' frames, declared as data as those in `columns` are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .columns import Column

if TYPE_CHECKING:
    import pandas as pd


def _text(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR", "", meaning)


def _flag(name: str, meaning: str) -> Column:
    return Column(name, "BOOLEAN", "", meaning)


def _count(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "BIGINT", unit, meaning)


def _real(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "DOUBLE", unit, meaning)


def _time(name: str, meaning: str) -> Column:
    return Column(name, "TIMESTAMPTZ", "UTC", meaning)


_SHARE = "0 to 1"
_MATCH = _text("match_id", "The match: a sortable id")
_SEAT = _text("seat", "A, B, …: drawn by chance")
_AGENT = _text("agent", "`provider/model`, as asked; NULL while the match is blind")
_LOW_HIGH = "of its 95% interval"

CONTESTS: dict[str, tuple[str, list[Column]]] = {
    "matches": (
        "One row per match of the project: `paseo.matches()`.",
        [
            _MATCH,
            _time("created_at", "When it began"),
            _text("title", "Its title, or the prompt's first line"),
            _text("state", "running, judging, voting, done or interrupted"),
            _text("agents", "The contestants, seat by seat; NULL while it is blind"),
            _text("vote", "A person's vote: a seat, tie or none"),
            _text("selected", "The seat that was selected; NULL for a tie or none"),
            _text("winner", "Its agent; NULL while the match is blind"),
            _text("rule", "By which rule"),
            _real("cost_usd", "USD", "What its contestants cost, as they report it"),
            _text("base", "The commit that all began with"),
        ],
    ),
    "match": (
        "One row per contestant of a match: `match.frame()`.",
        [
            _MATCH,
            _SEAT,
            _AGENT,
            _text("state", "queued, done, failed, or its run's state"),
            _flag("selected", "Whether it was selected; NULL before judges have spoken"),
            _real("tests", _SHARE, "Share of the tests passed"),
            _real("took_s", "s", "How long its turns took"),
            _real("cost_usd", "USD", "Cost as the agent reports it"),
            _count("input_tokens", "Tokens in, cached ones included", "tokens"),
            _count("output_tokens", "Tokens out", "tokens"),
            _count("files", "Files that it changed"),
            _count("added", "Lines added"),
            _count("removed", "Lines removed"),
            _text("run_id", "Its run"),
        ],
    ),
    "verdicts": (
        "One row per verdict of a match: `match.verdicts()`.",
        [
            _MATCH,
            _time("time", "When it was given"),
            _text("judge", "person, the command, or the judging model"),
            _text("kind", "person, tests or model"),
            _text("rule", "The rule that it goes by"),
            _text("seat", "Whom it is about; of a pair, the first of the two"),
            _text("other", "Of a pair, the second"),
            _text("choice", "A seat, tie or none"),
            _real("score", _SHARE, "Share of tests passed"),
            _flag("abstained", "A judging model chose otherwise when seats were changed"),
            _real("cost_usd", "USD", "What the judging cost"),
            Column("evidence", "JSON", "", "Tests' counts and output, or the model's reasons"),
        ],
    ),
    "checks": (
        "Whether the contestants of a match had the same: `match.checks()`.",
        [
            _MATCH,
            _SEAT,
            _flag("same_base", "It began with the same files as all (by git tree)"),
            _text("model_asked", "The model that was asked for; NULL while the match is blind"),
            _text("model_answered", "The model that the agent says it used; NULL while blind"),
            _flag("model_ok", "Whether these are one; NULL where the agent does not tell"),
        ],
    ),
    "trials": (
        "One row per trial of a tournament: `tournament.trials()`.",
        [
            _text("tournament_id", "The tournament: the id of its workflow run"),
            _text("task", "The task's id"),
            _text("agent", "`provider/model`, as asked"),
            _count("trial", "1, 2, …"),
            _text("state", "done, failed (no result), running or queued"),
            _flag("solved", "Whether its tests, or what was expected, say so"),
            _real("score", _SHARE, "Share of tests passed; 1 or 0 without tests' own report"),
            _real("took_s", "s", "How long its turn took"),
            _real("cost_usd", "USD", "Cost as the agent reports it"),
            _count("input_tokens", "Tokens in, cached ones included", "tokens"),
            _count("output_tokens", "Tokens out", "tokens"),
            _text("model_answered", "The model that the agent says it used"),
            _text("cause", "Why there is no result"),
            _text("run_id", "Its run"),
        ],
    ),
    "leaderboard": (
        "One row per agent, best first: `paseo.leaderboard()`, `tournament.leaderboard()`.",
        [
            _count("rank", "1 is best; agents that are not told apart from the one above share it"),
            _text("agent", "`provider/model`, as asked"),
            _count("tasks", "Tasks that it was tried on"),
            _count("trials", "Trials of them"),
            _real("solve_rate", _SHARE, "Mean over tasks of the share of trials solved"),
            _real("solve_low", _SHARE, f"Low end {_LOW_HIGH}, tasks drawn anew"),
            _real("solve_high", _SHARE, f"High end {_LOW_HIGH}"),
            _real("pass_at_k", _SHARE, "Chance that one of k trials solves a task"),
            _real("pass_hat_k", _SHARE, "Chance that all of k trials do (pass^k)"),
            _count("k", "That k: the least number of trials of a task"),
            _real("strength", "log-odds", "Bradley-Terry: 0 is the mean of all"),
            _real("strength_low", "log-odds", f"Low end {_LOW_HIGH}"),
            _real("strength_high", "log-odds", f"High end {_LOW_HIGH}"),
            _real("win_rate", _SHARE, "Chance against one of the others; ties are half a win"),
            _real("win_low", _SHARE, f"Low end {_LOW_HIGH}"),
            _real("win_high", _SHARE, f"High end {_LOW_HIGH}"),
            _real("cost_usd", "USD", "Mean cost of a trial, where it is told"),
            _real("took_s", "s", "Mean time of a trial"),
            _flag("on_front", "No other agent costs no more and solves no less"),
            _real("front_share", _SHARE, "How often it is on the front when tasks are drawn anew"),
        ],
    ),
    "comparisons": (
        "One row per pair of agents: `tournament.comparisons()`.",
        [
            _text("a", "An agent"),
            _text("b", "Another"),
            _count("tasks", "Tasks that both were tried on"),
            _real("difference", _SHARE, "Solve rate of a minus that of b, mean over tasks"),
            _real("low", _SHARE, f"Low end {_LOW_HIGH}, tasks drawn anew"),
            _real("high", _SHARE, f"High end {_LOW_HIGH}"),
            _real("p_value", _SHARE, "That there is none: sign flips (one trial: exact McNemar)"),
            _real("p_holm", _SHARE, "The same, adjusted for the number of pairs (Holm)"),
            _flag("separable", "Whether the two are told apart"),
            _count("more_tasks", "About how many more tasks it takes; NULL: no difference is seen"),
            _text("says", "The same in words"),
        ],
    ),
    "side_by_side": (
        "One row per action of two runs: `paseo.compare(run, other).frame`.",
        [
            _count("step", "1, 2, …"),
            _text("how", "same, another result, another action, only a, only b"),
            _flag("first", "Whether this is where they first part"),
            _text("a_kind", "What the first run did: Read, Edit, Run, …"),
            _text("a_target", "To what"),
            _text("a_result", "And what came of it"),
            _text("b_kind", "The same of the second run"),
            _text("b_target", "To what"),
            _text("b_result", "And what came of it"),
        ],
    ),
}  # fmt: skip
"""Frames of contests: what one row is, and its columns."""


def contest_frame(name: str, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The frame of that name, from rows as dictionaries; what a row does not name is NULL."""
    from .frames import schema, table, to_frame

    columns = CONTESTS[name][1]
    listed = [tuple(row.get(column.name) for column in columns) for row in rows]
    return to_frame(table(schema(columns), listed), name)
