"""One seat of a match, as it is now: who, how far, at what cost, and what it changed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..drivers.names import same_name
from ..git.commands import Repository
from ..git.diffs import diff
from ..git.values import DiffSummary
from ..model import Usage
from ..runview import RunView
from .values import Ended

if TYPE_CHECKING:
    from .match import Match


class Contestant:
    """One seat of a match, as it is now. name: the agent's; None while the match is blind."""

    def __init__(self, match: Match, seat: str, run: RunView | None, ended: Ended | None) -> None:
        self.seat, self.run, self.ended = seat, run, ended
        self._match = match
        self.name = match.header.seats[seat] if match.revealed else None

    @property
    def state(self) -> str:
        """queued, or its run's state; failed where it did not end well."""
        if self.ended is not None:
            return "done" if self.ended.cause is None else "failed"
        return "queued" if self.run is None else self.run.state

    @property
    def usage(self) -> Usage:
        """What it used so far."""
        return Usage() if self.run is None else self.run.usage

    @property
    def took_s(self) -> float | None:
        """Seconds that its turns took so far."""
        if self.run is None:
            return None
        turns = self.run.history().turns
        ends = [turn.finished_us or time.time_ns() // 1000 for turn in turns]
        spans = [end - turn.started_us for turn, end in zip(turns, ends, strict=True)]
        return round(sum(spans) / 1e6, 1) if spans else None

    def diff(self) -> DiffSummary | None:
        """What it changed, so far; None where that is not to be had."""
        header, ended = self._match.header, self.ended
        if ended is not None and ended.commit is not None:
            return diff(Path(header.repo), header.base, ended.commit)
        if self.run is not None and self.run.path.is_dir():
            return diff(self.run.path, header.base)
        return None

    def row(self, costs: bool) -> dict[str, Any]:
        """Its part of `match.frame()`; costs: whether they are told."""
        changed, usage = self.diff(), self.usage if costs else Usage()
        files = [] if changed is None else changed.files
        return {
            "seat": self.seat, "agent": self.name, "state": self.state,
            "took_s": self.took_s if costs else None, "cost_usd": usage.cost_usd,
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
            "files": len(files), "added": sum(one.added or 0 for one in files),
            "removed": sum(one.removed or 0 for one in files),
            "run_id": None if self.run is None else self.run.id,
        }  # fmt: skip

    @property
    def same_base(self) -> bool | None:
        """Whether the files that it began with are the match's; None where that cannot be told."""
        base = None if self.run is None else self.run.base
        if self.run is None or base is None or not self.run.path.is_dir():
            return None
        tree = Repository(self.run.path).line("rev-parse", f"{base}^{{tree}}")
        return tree == self._match.header.tree

    @property
    def models(self) -> tuple[str | None, str | None]:
        """The model that was asked for, and the one that answered, as far as they are told."""
        if self.run is None:
            return None, None
        history = self.run.history()
        return history.asked.get("model", self.run.spec.model), history.model_answered

    @property
    def model_ok(self) -> bool | None:
        """Whether the model that answered is the one that was asked for; None: not told."""
        asked, answered = self.models
        return None if not asked or not answered else same_name(asked, answered)
