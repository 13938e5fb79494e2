"""A run's course in time: its turns, what they waited for, what cut in, and the runs forked off it.

`moments` works it out from histories; `Timeline` is what `run.timeline()` gives, a frame and a
picture of it (`widgets/timeline`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from .errors import UsageProblem
from .model import Permission, Turn

if TYPE_CHECKING:
    import pandas as pd

    from .runview import RunView

NOTES = {"undo", "apply", "archive"}  # what was done to the run between turns, by their titles


class Moment(msgspec.Struct, frozen=True):
    """One row: a turn, or what happened in or between turns. `depth`: how many forks deep the run
    is; `waited_us`: for answers to permissions; None: not known."""

    run_id: str
    depth: int
    agent: str
    turn: int
    kind: str
    text: str
    started_us: int
    finished_us: int | None = None
    waited_us: int | None = None
    outcome: str | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    tool_calls: int | None = None
    files_changed: int | None = None


def moments(run: RunView, depth: int = 0) -> list[Moment]:
    """The rows of a run, in order of time; after the turn that it was forked off, a fork's own."""
    history = run.history()
    found = [_turn(run, depth, turn) for turn in history.turns]
    for permission in history.permissions.values():
        if permission.by != "policy":
            found.append(_permission(run, depth, permission))
    for item in history.items:
        if item.kind == "note" and item.title in NOTES:
            found.append(_row(run, depth, item.turn, str(item.title), item.text, item.started_us))
        elif item.role == "user" and item.title == "steer":
            found.append(_row(run, depth, item.turn, "steer", item.text, item.started_us))
    for at, turn in history.resumed:
        found.append(_row(run, depth, turn, "resume", "its processes were brought back", at))
    found.sort(key=lambda one: one.started_us)
    for fork in reversed(forks_of(run)):
        whence = fork.spec.fork
        assert whence is not None
        first = _row(
            fork, depth + 1, 0, "fork", f"after turn {whence.turn}", fork.spec.created_us,
            outcome=fork.history().fork_kind,
        )  # fmt: skip
        after = max(
            (
                at
                for at, one in enumerate(found)
                if one.run_id == run.id and one.turn <= whence.turn
            ),
            default=-1,
        )
        found[after + 1 : after + 1] = [first, *moments(fork, depth + 1)]
    return found


def forks_of(run: RunView) -> list[RunView]:
    """The runs that were forked off a run, the oldest first."""
    from .runview import RunView

    found: list[RunView] = []
    for run_id in run.host.list():
        if run_id > run.id:
            one = RunView(run.host, run_id)
            with contextlib.suppress(UsageProblem):
                if one.spec.fork is not None and one.spec.fork.run_id == run.id:
                    found.append(one)
    return found


def _turn(run: RunView, depth: int, turn: Turn) -> Moment:
    waits = [
        (one.answered_us or run.history().last_us) - one.asked_us
        for one in run.history().permissions.values()
        if one.turn == turn.turn and one.by != "policy"
    ]
    used = [turn.usage.input_tokens, turn.usage.output_tokens]
    told = [count for count in used if count is not None]
    return _row(
        run, depth, turn.turn, "turn", turn.prompt, turn.started_us,
        finished_us=turn.finished_us,
        waited_us=sum(waits),
        outcome=turn.outcome,
        tokens=sum(told) if told else turn.usage.total_tokens,
        cost_usd=turn.usage.cost_usd,
        tool_calls=turn.tool_calls,
        files_changed=turn.files_changed,
    )  # fmt: skip


def _permission(run: RunView, depth: int, one: Permission) -> Moment:
    return _row(
        run, depth, one.turn, "permission", one.title or one.kind or "", one.asked_us,
        finished_us=one.answered_us, outcome=one.outcome,
    )  # fmt: skip


def _row(
    run: RunView,
    depth: int,
    turn: int,
    kind: str,
    text: str,
    started_us: int,
    finished_us: int | None = None,
    waited_us: int | None = None,
    outcome: str | None = None,
    tokens: int | None = None,
    cost_usd: float | None = None,
    tool_calls: int | None = None,
    files_changed: int | None = None,
) -> Moment:
    return Moment(
        run.id, depth, run.agent, turn, kind, text, started_us, finished_us, waited_us, outcome,
        tokens, cost_usd, tool_calls, files_changed,
    )  # fmt: skip


class Timeline:
    """A run's course in time, to look at; `.frame` has it as a DataFrame."""

    def __init__(self, run: RunView) -> None:
        self.run_id = run.id
        self.forked_from = run.forked_from
        self.moments = moments(run)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per turn, permission that a person answered, message in mid-turn, resume, undo,
        apply, archive and fork; the columns stand in docs/frames.md."""
        from .store.frames import timeline

        return timeline(self.moments)

    def __str__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from .widgets.timeline import bundle

        return bundle(self.moments, self.run_id, self.forked_from)
