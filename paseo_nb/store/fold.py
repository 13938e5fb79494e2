"""The fold of a run as the store needs it: history without a transcript, in pieces, resumable.

A `Fold` gives up the rows of finished turns as they are written, and keeps between two turns only
a small `Carry`, so that a journal of any length is indexed without reading it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..drivers.differing import differences_of
from ..drivers.reading import reading_for
from ..history import DONE_STATUSES, FOLD_VERSION, History
from ..model import (
    ForkKind,
    Item,
    Line,
    ModelCall,
    Permission,
    Problem,
    RunSpec,
    ToolCall,
    Turn,
    Usage,
)
from ..tracing.tokens import NOTHING, Spent, estimated, spent_by_turn

LONG_TEXT = 16_384


class Carry(msgspec.Struct, omit_defaults=True):
    """What a fold knows between two turns; the index keeps it beside a run's offset. `cut`: the
    last turn's long texts are left out here, as its row has them."""

    seq: int = 0
    last_us: int = 0
    state: str = "starting"
    archived: bool = False
    session_id: str | None = None
    agent_version: str | None = None
    model_answered: str | None = None
    agent_mode: str | None = None
    asked: dict[str, str] = {}
    asking: dict[str, dict[str, str]] = {}
    imported: bool = False
    recorded: bool = False
    fork_kind: ForkKind | None = None
    host: str | None = None
    title: str | None = None
    ended: str | None = None
    error: Problem | None = None
    git_head: str | None = None
    prompt: str | None = None
    started_us: int | None = None
    finished_us: int | None = None
    reported_cost: float = 0.0
    cost_before: float = 0.0
    reading: Any = None
    last_turn: Turn | None = None
    cut: bool = False
    closed: list[str] = []
    turns: int = 0
    tool_calls: int = 0
    usage: Usage = msgspec.field(default_factory=Usage)


_KEPT = (
    "seq", "last_us", "state", "archived", "session_id", "agent_version", "model_answered",
    "agent_mode", "asked", "imported", "recorded", "fork_kind", "host", "title", "ended", "error",
    "git_head", "prompt", "started_us", "finished_us",
)  # fmt: skip


def reading_tag(dialect: str) -> str:
    """Which reading and fold make the rows of a dialect's runs: another tag makes them anew."""
    return f"{dialect} {reading_for(dialect).version}.{FOLD_VERSION}"


GivenCall = tuple[ToolCall, float | None, Spent]  # with its latency and what it used


class Done(msgspec.Struct):
    """What a fold gives up: facts that will not change any more."""

    turns: list[Turn]
    tool_calls: list[GivenCall]
    permissions: list[Permission]
    model_calls: list[ModelCall]


class Fold(History):
    """History in pieces. `past` counts what was given up; `turns` begins with the last ended turn,
    which late lines may still change."""

    shows_pictures = False

    def __init__(self, spec: RunSpec, blobs: Path, carry: Carry | None = None) -> None:
        super().__init__(spec.dialect, spec.at_heart, blobs)
        self.past = Carry()
        self.prompt: str | None = None
        self.started_us: int | None = None
        self.finished_us: int | None = None
        self.touched: set[str] = set()
        self._mono: dict[str, int] = {}
        self._latency_ms: dict[str, float] = {}
        self.calls_told = 0  # how often something was told of a model call
        self._told_late = differences_of(spec.at_heart).record is not None
        if carry is not None:
            self._restore(carry)

    # ------------------------------------------------------------ from turn to turn

    def carry(self) -> Carry:
        """What to go on from. Only between two turns, after `give_up`."""
        last = self.turn
        cut = last is not None and len(last.text) + len(last.prompt) > LONG_TEXT
        if last is not None and cut:
            last = msgspec.structs.replace(last, text="", prompt="")
        return Carry(
            **{name: getattr(self, name) for name in _KEPT},
            asking=dict(self._asking),
            reported_cost=self._reported_cost,
            cost_before=self._cost_before,
            reading=self.reading.memory(),
            last_turn=last,
            cut=cut,
            closed=[key for key in self._closed if key.startswith(f"{self._last_turn()}/")],
            turns=self.past.turns,
            tool_calls=self.past.tool_calls,
            usage=self.past.usage,
        )

    def _restore(self, carry: Carry) -> None:
        for name in _KEPT:
            setattr(self, name, getattr(carry, name))
        self.asked, self._asking = dict(carry.asked), dict(carry.asking)
        self._reported_cost, self._cost_before = carry.reported_cost, carry.cost_before
        if carry.reading is not None:
            self.reading.recall(carry.reading)
        self.turns = [carry.last_turn] if carry.last_turn is not None else []
        self._closed = set(carry.closed)
        self.past = carry

    def _last_turn(self) -> int:
        return self.turns[-1].turn if self.turns else 0

    # ------------------------------------------------------------ what it counts

    @property
    def usage(self) -> Usage:
        """The sum over all turns, given up or not."""
        return self._with_past(super().usage) if self.turns else self.past.usage

    def _with_past(self, usage: Usage) -> Usage:
        return self.past.usage.plus(usage) if self.past.turns else usage

    def turn_count(self) -> int:
        """How many turns there have been."""
        return self.past.turns + len(self.turns)

    def call_count(self) -> int:
        """How many tool calls there have been."""
        return self.past.tool_calls + sum(turn.tool_calls for turn in self.turns)

    def latency_ms(self, call: ToolCall) -> float | None:
        """From request to result by the monotonic clock; None while it goes on, or where nobody
        saw it end."""
        return self._latency_ms.get(f"{call.turn}/{call.tool_call_id}")

    # ------------------------------------------------------------ giving up rows

    def spent(self) -> dict[str, Spent]:
        """What each call that is not given up used, as far as is known now."""
        return spent_by_turn(self.model_calls.values(), self.tool_calls.values())

    def settled_calls(self) -> list[GivenCall]:
        """Give up the calls that are done and were not heard of since the last time. Where more is
        told of them at the turn's end, or by a model call, they are kept until then."""
        more = self._told_late or bool(self.model_calls)
        kept = self._last_turn() if more and self.turn_open else None
        quiet = [
            key
            for key, call in self.tool_calls.items()
            if call.outcome is not None and key not in self.touched and call.turn != kept
        ]
        self.touched.clear()
        return self._give_up_calls(quiet)

    def give_up(self) -> Done:
        """Give up everything, between two turns: all turns are told, the last one is kept too."""
        self.settle_text()
        turns = list(self.turns)
        for turn in turns[:-1]:
            self.past = msgspec.structs.replace(
                self.past,
                turns=self.past.turns + 1,
                tool_calls=self.past.tool_calls + turn.tool_calls,
                usage=self._with_past(turn.usage),
            )
        self.turns = turns[-1:]
        done = Done(
            turns,
            self._give_up_calls(list(self.tool_calls)),
            [*self.permissions.values()],
            [*self.model_calls.values()],
        )
        self.permissions.clear()
        self._permission_items.clear()
        self.model_calls.clear()
        self.touched.clear()
        return done

    def _give_up_calls(self, keys: list[str]) -> list[GivenCall]:
        given: list[GivenCall] = []
        spent = self.spent() if keys and self.model_calls else None
        for key in keys:
            call = self.tool_calls.pop(key)
            used = estimated(call) if spent is None else spent.get(key, NOTHING)
            given.append((call, self._latency_ms.pop(key, None), used))
            self._call_items.pop(key)
            self._mono.pop(key, None)
            self._closed.add(key)
        return given

    # ------------------------------------------------------------ folding

    def settle_text(self) -> None:
        """Bring the last turn's text up to date: once a look, as it may be long."""
        self._flush_text()
        super()._tell_answer()

    def _tell_answer(self) -> None:
        """Not after each line, as `feed` would: see `settle_text`."""

    def _text(self, line: Line, role: str, kind: str, text: str) -> None:
        told = kind == "message" and role == "agent"  # only that is in a row: a turn's text
        super()._text(line, role, kind, text if told else "")

    def _add(self, line: Line, role: str, kind: str, text: str, **more: Any) -> Item:
        """An item on its own: the store keeps no transcript."""
        self._flush_text()
        self._open_item = None
        return Item(line.seq, line.turn, role, kind, text, line.t, **more)

    def _new_call(self, line: Line, key: str, call_id: str) -> ToolCall:
        self._mono[key] = line.mono
        return super()._new_call(line, key, call_id)

    def _show_call(self, line: Line, key: str, call: ToolCall) -> None:
        self.touched.add(key)
        if call.status in DONE_STATUSES:
            self._note_latency(key, line)

    def _join(self, key: str) -> None:
        self.calls_told += 1
        super()._join(key)

    def _note_latency(self, key: str, line: Line) -> None:
        spent = line.mono - self._mono.get(key, line.mono)
        if spent >= 0:
            self._latency_ms[key] = spent / 1000

    def _own_run_started(self, line: Line, data: dict[str, Any]) -> None:
        super()._own_run_started(line, data)
        self.started_us = self.started_us or line.t

    def _own_turn_start(self, line: Line, data: dict[str, Any]) -> None:
        self.settle_text()
        super()._own_turn_start(line, data)
        self.prompt = self.turns[-1].prompt if self.prompt is None else self.prompt
        self.finished_us = None

    def _own_turn_end(self, line: Line, data: dict[str, Any]) -> None:
        if not self.turn_open:
            return
        self.settle_text()
        given = {key for key in self._closed if key.startswith(f"{self.turns[-1].turn}/")}
        going = [key for key, call in self.tool_calls.items() if call.outcome is None]
        super()._own_turn_end(line, data)
        self._closed |= given
        for key in going:
            self.touched.add(key)
            if self.tool_calls[key].outcome == "cancelled":
                self._note_latency(key, line)
        self.finished_us = line.t

    def _own_run_ended(self, line: Line, data: dict[str, Any]) -> None:
        super()._own_run_ended(line, data)
        self.finished_us = self.finished_us or line.t
