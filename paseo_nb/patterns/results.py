"""What the patterns give back: values with handles of their runs, and tables to look at."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from ..model import short_id
from ..runview import RunView
from .checking import CheckResult


class Result(msgspec.Struct, kw_only=True):
    """What a call of a pattern came to. `record` names its file under `.paseo_nb/patterns/`."""

    record: str
    state: str
    took_s: float | None = None
    cost_usd: float | None = None

    def with_runs(self, made: Callable[[Any], Any]) -> Result:
        """The same with other handles of its runs: the synchronous names hold synchronous ones."""
        return msgspec.structs.replace(
            self, **{name: _changed(getattr(self, name), made) for name in self.__struct_fields__}
        )

    def lines(self) -> tuple[str, list[str], list[list[str]]]:
        """A headline, and a table's columns and rows."""
        raise NotImplementedError

    def __str__(self) -> str:
        head, columns, rows = self.lines()
        widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [columns, *rows]
        ]
        return "\n".join([head, *(table if rows else [])])

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        head, columns, rows = self.lines()
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        names = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        return {
            "text/plain": str(self),
            "text/html": f"<p><b>{html.escape(head)}</b></p><table><thead><tr>{names}</tr></thead>"
            f"<tbody>{cells}</tbody></table>",
        }


def _changed(value: Any, made: Callable[[Any], Any]) -> Any:
    if isinstance(value, RunView):
        return made(value)
    if isinstance(value, Result):
        return value.with_runs(made)
    if isinstance(value, list):
        return [_changed(one, made) for one in cast(list[Any], value)]
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        return msgspec.structs.replace(
            value, **{name: _changed(getattr(value, name), made) for name in names}
        )
    return value


def spent(result: Result) -> str:
    """What it took, for a headline."""
    parts = [] if result.took_s is None else [f"{result.took_s:.0f} s"]
    parts += [] if result.cost_usd is None else [f"${result.cost_usd:.2f}"]
    return f" ({', '.join(parts)})" if parts else ""


class Iteration(msgspec.Struct, kw_only=True):
    """One round of a loop. passed: whether all that was asked for said yes; reason: why not."""

    number: int
    worker: Any
    checks: list[CheckResult] = []
    verifier: Any = None
    passed: bool = False
    reason: str = ""


class Loop(Result, kw_only=True):
    """What a loop came to. state: succeeded, or which limit ended it: iterations, time, budget;
    failed where the agent cannot work at all."""

    iterations: list[Iteration]

    @property
    def run(self) -> Any:
        """The last worker."""
        return self.iterations[-1].worker if self.iterations else None

    def __bool__(self) -> bool:
        return self.state == "succeeded"

    def lines(self) -> tuple[str, list[str], list[list[str]]]:
        """See `Result`."""
        count = len(self.iterations)
        word = {"succeeded": "succeeded", "failed": "failed"}.get(
            self.state, f"ended by its limit of {self.state}"
        )
        rows = [
            [
                str(one.number),
                short_id(one.worker.id),
                one.worker.agent,
                "✓" if one.passed else "✗",
                _short(one.reason),
            ]
            for one in self.iterations
        ]
        head = f"Loop {word} after {count} iteration{'s' * (count != 1)}{spent(self)}"
        return head, ["#", "run", "agent", "", "why"], rows


class Member(msgspec.Struct, kw_only=True):
    """One member of a committee: its run, what it found, and what it held against the other."""

    run: Any
    analysis: str
    challenge: str = ""
    agrees: bool | None = None
    objections: str = ""


class Review(msgspec.Struct, kw_only=True):
    """What the members said of the diff, once."""

    approved: list[bool]
    findings: list[str]


class Committee(Result, kw_only=True):
    """What a committee came to. state: agreed, disagreed, or which limit ended it: time, budget;
    there is as much of the rest then as was done. differences: what the members do not agree on.
    run: who implemented it, where that was asked for."""

    plan: str
    differences: str
    members: list[Member]
    agreed: bool = False
    run: Any = None
    reviews: list[Review] = []
    approved: bool | None = None

    def __bool__(self) -> bool:
        return self.state == "agreed" and self.approved is not False

    def lines(self) -> tuple[str, list[str], list[list[str]]]:
        """See `Result`."""
        words = {"agreed": "agrees", "disagreed": "does not agree"}
        word = words.get(self.state, f"was ended by its limit of {self.state}")
        head = f"The committee {word}{spent(self)}"
        if self.approved is not None:
            after = f"{len(self.reviews)} review{'s' * (len(self.reviews) != 1)}"
            head += f"; the work is {'approved' if self.approved else 'not approved'} after {after}"
        rows = [
            [
                short_id(one.run.id),
                one.run.agent,
                {None: "–", True: "✓", False: "✗"}[one.agrees],
                _short(one.objections),
            ]
            for one in self.members
        ]
        return head, ["run", "agent", "agrees", "objections"], rows


class PhaseDone(msgspec.Struct, kw_only=True):
    """One phase of an epic as it stands: its mark, its run, and why it is not done."""

    number: int
    title: str
    kind: str
    mark: str
    run: Any = None
    reason: str = ""


class Epic(Result, kw_only=True):
    """An epic as it stands. state: planned, gate (a person is asked to let it pass), failed,
    delivered, or which limit ended it: time, budget. path: its plan file, which `epic` takes."""

    path: str
    phases: list[PhaseDone]
    branch: str | None = None

    def __bool__(self) -> bool:
        return self.state == "delivered"

    def lines(self) -> tuple[str, list[str], list[list[str]]]:
        """See `Result`."""
        words = {
            "planned": "planned: read its plan, change it, then give its path to epic()",
            "gate": "waits at a gate: epic(path, approve=True) lets it pass",
        }
        rows = [
            [
                f"[{one.mark}]",
                one.kind,
                one.title,
                short_id(one.run.id) if one.run is not None else "–",
                _short(one.reason),
            ]
            for one in self.phases
        ]
        head = f"Epic {words.get(self.state, self.state)}{spent(self)}\n{self.path}"
        return head, ["", "kind", "phase", "run", "why"], rows


def _short(text: str, limit: int = 90) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def sequence_of(value: Sequence[str] | str | None) -> list[str]:
    """One or several texts as a list."""
    return [value] if isinstance(value, str) else list(value or ())


def names_of(value: Sequence[str] | str | None) -> list[str]:
    """One or several names as a list; in a terminal they may be joined by commas."""
    return [name for one in sequence_of(value) for name in one.split(",") if name]
