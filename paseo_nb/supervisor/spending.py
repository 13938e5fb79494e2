"""What all runs of a project have used together, so that a budget of the day or of the project
holds: a file for each day, to which every supervisor appends what its own run uses.

Lines are short and written at once: writers need no lock. Days are UTC's. A run's own limits
are `turns`'; what a run does not tell is not in here.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from ..journal import private_dir
from ..model import Common, Problem

FOLDER = "spent"
NOTE_S = 5.0


class Used(msgspec.Struct, omit_defaults=True):
    """One line, or a sum of them."""

    run: str = ""
    usd: float = 0.0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, other: Used) -> None:
        """Add a line."""
        self.usd += other.usd
        self.tokens += other.tokens
        self.seconds += other.seconds


class _Day:
    """The sum of one day's file, read on from where it was read to."""

    def __init__(self, path: Path) -> None:
        self.path, self.sum = path, Used()
        self._offset = 0

    def read_on(self) -> Used:
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
            data = data[: data.rfind(b"\n") + 1]
            self._offset += len(data)
            for line in data.splitlines():
                with contextlib.suppress(msgspec.DecodeError):  # a line that a full disk tore
                    self.sum.add(msgspec.json.decode(line, type=Used))
        return self.sum


class Spending:
    """One run's part in it, and what its budgets say."""

    def __init__(self, home: Path, run_id: str, budgets: list[Common]) -> None:
        self._folder, self._run, self.budgets = home / FOLDER, run_id, budgets
        self._days: dict[str, _Day] = {}
        self._noted = 0.0  # when time was noted last; 0: no turn is running

    @property
    def any(self) -> bool:
        """Whether there is a budget to keep."""
        return bool(self.budgets)

    def add(self, usd: float = 0.0, tokens: int = 0, seconds: float = 0.0) -> None:
        """Note what the run has used more."""
        if usd <= 0 and tokens <= 0 and seconds <= 0:
            return
        line = msgspec.json.encode(Used(self._run, max(usd, 0), max(tokens, 0), max(seconds, 0)))
        with contextlib.suppress(OSError):  # of a full disk the journal tells
            private_dir(self._folder)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._folder / f"{_today()}.jsonl", flags, 0o600)
            try:
                os.write(file, line + b"\n")
            finally:
                os.close(file)

    def begin(self) -> None:
        """A turn begins: its time counts."""
        self._noted = time.monotonic()

    def end(self) -> None:
        """A turn is over."""
        self._note_time()
        self._noted = 0.0

    def _note_time(self) -> None:
        if self._noted:
            now = time.monotonic()
            self.add(seconds=now - self._noted)
            self._noted = now

    def over(self) -> Problem | None:
        """Which budget is used up, in words."""
        if not self.budgets:
            return None
        if self._noted and time.monotonic() - self._noted > NOTE_S:
            self._note_time()
        running = time.monotonic() - self._noted if self._noted else 0.0
        for budget in self.budgets:
            used = self._sum(budget.span)
            said = _used_up(budget, used.usd, used.tokens, used.seconds + running)
            if said is not None:
                hint = "It counts from midnight UTC. " if budget.span == "day" else ""
                hint += f"Its settings: {budget.span}_budget, …_tokens, …_hours (docs/settings.md)."
                return Problem(f"{budget.span}_budget", said, hint)
        return None

    def _sum(self, span: str) -> Used:
        names = [f"{_today()}.jsonl"]
        if span == "project":
            with contextlib.suppress(OSError):
                names = sorted(os.listdir(self._folder))
        total = Used()
        for name in names:
            day = self._days.get(name)
            if day is None:
                day = self._days[name] = _Day(self._folder / name)
            total.add(day.read_on())
        return total


def _used_up(budget: Common, usd: float, tokens: int, seconds: float) -> str | None:
    who = "the runs of this project" + (" have today" if budget.span == "day" else " have")
    what = "the day's" if budget.span == "day" else "the project's"
    if budget.usd is not None and usd >= budget.usd:
        return f"{who} cost ${usd:.4g}, {what} limit is ${budget.usd:.4g}"
    if budget.tokens is not None and tokens >= budget.tokens:
        return f"{who} used {tokens:,} tokens, {what} limit is {budget.tokens:,}"
    if budget.seconds is not None and seconds >= budget.seconds:
        hours, most = seconds / 3600, budget.seconds / 3600
        return f"{who} worked for {hours:.3g} h, {what} limit is {most:.3g} h"
    return None


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
