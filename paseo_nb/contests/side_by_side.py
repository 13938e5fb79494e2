"""Two runs of one task side by side: what they did alike, and where they first parted.

An action is a tool call: its kind and target, paths told from the run's own folder. Up to the first
difference they are compared one by one; after it, what both did is found again where it stands.
"""

from __future__ import annotations

import re
import time
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..model import short_id
from ..runview import RunView
from ..store.contest_columns import contest_frame
from ..widgets.render import style
from ..widgets.render.as_html import toned
from ..widgets.render.states import Tone
from ..widgets.render.steps import Step, step_of
from ..widgets.render.text import literal, one_line, prose

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 400
_PLACES = re.compile(r"/tmp/\S+|\b\d+(?:\.\d+)? ?(?:ms|s|seconds)\b")
Kind = Literal["same", "another result", "another action", "only a", "only b"]


class Pair(msgspec.Struct, frozen=True):
    """One row: what each did there."""

    a: Step | None
    b: Step | None
    kind: Kind


class SideBySide:
    """Two runs, compared: `.first` (the row where they parted, from 1; None where they did not),
    `.frame`, and rich in a notebook."""

    def __init__(self, a: RunView, b: RunView, names: tuple[str, str] | None = None) -> None:
        self.names = names or (f"{a.agent} {short_id(a.id)}", f"{b.agent} {short_id(b.id)}")
        self.runs = a, b
        self.pairs = aligned(_steps(a), _steps(b))
        parted = (at for at, pair in enumerate(self.pairs, 1) if pair.kind != "same")
        self.first = next(parted, None)

    @property
    def says(self) -> str:
        """Where they parted, in words."""
        if self.first is None:
            count = len(self.pairs)
            return f"Both did the same {count} actions with the same results." if count else (
                "Neither used a tool."
            )  # fmt: skip
        pair = self.pairs[self.first - 1]
        alike = self.first - 1
        counted = "The first action is" if alike == 1 else f"The first {alike} actions are"
        before = f"{counted} the same. " if alike else ""
        a, b = self.names
        if pair.kind == "another result":
            told = f"both did {_action(pair.a)}, with another result"
        elif pair.a is None or pair.b is None:
            who, step = (a, pair.a) if pair.b is None else (b, pair.b)
            told = f"{who} went on with {_action(step)}; the other was done"
        else:
            told = f"{a} did {_action(pair.a)}, {b} did {_action(pair.b)}"
        return f"{before}At action {self.first} they part: {told}."

    @property
    def frame(self) -> pd.DataFrame:
        """One row per action; columns stand in docs/frames.md."""
        rows: list[dict[str, Any]] = []
        for at, pair in enumerate(self.pairs, 1):
            row: dict[str, Any] = {"step": at, "how": pair.kind, "first": at == self.first}
            for side, one in (("a", pair.a), ("b", pair.b)):
                if one is not None:
                    told = {"kind": one.word, "target": one.target, "result": one.result}
                    row |= {f"{side}_{name}": value for name, value in told.items()}
            rows.append(row)
        return contest_frame("side_by_side", rows)

    def html(self) -> str:
        """As a fragment."""
        rows = "".join(
            _row(at, pair, at == self.first, self.names)
            for at, pair in enumerate(self.pairs[:SHOWN], 1)
        )
        left = len(self.pairs) - SHOWN
        more = f"<p>{left} more actions are not shown.</p>" if left > 0 else ""
        heads = "".join(
            f'<th style="{style.CELL}">{prose(name)}</th>' for name in ("", *self.names, "")
        )
        return (
            f'<div style="{style.ROOT}"><p style="{style.P}"><b>{prose(self.says)}</b></p>'
            f'<table style="{style.TABLE}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>'
            f"</table>{more}</div>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": self.says, "text/html": self.html()}

    def __repr__(self) -> str:
        return self.says


def _action(step: Step | None) -> str:
    return "nothing" if step is None else f"{step.word} {one_line(step.target, 80)}".strip()


def _row(at: int, pair: Pair, first: bool, names: tuple[str, str]) -> str:
    tones: dict[Kind, Tone] = {"same": "quiet", "another result": "warn"}
    ground = f";background:{style.GROUNDS['warn']}" if first else ""
    cells = [str(at), *(_cell(one) for one in (pair.a, pair.b))]
    kind = {"only a": f"only {names[0]}", "only b": f"only {names[1]}"}.get(pair.kind, pair.kind)
    said = prose("first difference: " + kind if first else kind)
    cells.append(toned(tones.get(pair.kind, "now"), said))
    return (
        f'<tr style="{ground}">'
        + "".join(f'<td style="{style.CELL}">{c}</td>' for c in cells)
        + "</tr>"
    )


def _cell(step: Step | None) -> str:
    if step is None:
        return "–"
    target = f'<code style="{style.CODE}">{literal(step.target)}</code>'
    output = ""
    if step.failed and step.output:
        end = literal(step.output[-1500:])
        output = f'<details><summary>output</summary><pre style="{style.PRE}">{end}</pre></details>'
    return f"<b>{step.word}</b> {target} {toned(step.tone, prose(step.result))}{output}"


def _steps(run: RunView) -> list[Step]:
    calls = run.history().tool_calls.values()
    now_us = time.time_ns() // 1000
    return [step_of(call, cwd=run.spec.cwd, now_us=now_us, live=False) for call in calls]


def _key(step: Step) -> tuple[str, str]:
    return step.word, _PLACES.sub("…", step.full or step.target)


def _same_result(a: Step, b: Step) -> bool:
    told = [
        (one.failed, _PLACES.sub("…", one.result), [file.lines for file in one.diffs])
        for one in (a, b)
    ]
    return told[0] == told[1]


def aligned(a: list[Step], b: list[Step]) -> list[Pair]:
    """Rows of both: one by one up to the first that differs, then what both did side by side."""
    pairs: list[Pair] = []
    at = 0
    while at < min(len(a), len(b)) and _key(a[at]) == _key(b[at]):
        kind: Kind = "same" if _same_result(a[at], b[at]) else "another result"
        pairs.append(Pair(a[at], b[at], kind))
        at += 1
    rest_a, rest_b = a[at:], b[at:]
    if rest_a and rest_b:
        pairs.append(Pair(rest_a.pop(0), rest_b.pop(0), "another action"))
    keys = [[_key(one) for one in rest] for rest in (rest_a, rest_b)]
    matcher = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for what, i, k, j, m in matcher.get_opcodes():
        if what == "equal":
            for one, other in zip(rest_a[i:k], rest_b[j:m], strict=True):
                same = _same_result(one, other)
                pairs.append(Pair(one, other, "same" if same else "another result"))
        else:
            pairs += [Pair(one, None, "only a") for one in rest_a[i:k]]
            pairs += [Pair(None, one, "only b") for one in rest_b[j:m]]
    return pairs
