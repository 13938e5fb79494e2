"""The output of a cell while its run is at work: one display, refreshed at most ten times a
second, static when the run is done. First version: HTML, Markdown and text, no widget."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html import escape
from typing import Any, cast

from ..errors import GitProblem
from ..git.values import DiffSummary
from ..hints import command
from ..model import BUSY_STATES, now_us, short_id
from ..runview import RunView
from .render import RunRow, bundle, diff_html, metadata, runs_table
from .render.text import clean

REFRESH_S = 0.1
STILL_S = 1.0


def bundle_of(run: RunView, cached: bool | None = None) -> dict[str, str]:
    """A run as it stands, as a mime bundle."""
    history, state = run.history(), run.state
    return bundle(
        history,
        run.spec,
        state=state,
        diff=diff_of(run) if state not in BUSY_STATES else None,
        now_us=now_us(),
        live=state in BUSY_STATES,
        cached=bool(getattr(run, "cached", False)) if cached is None else cached,
    )


def diff_of(run: RunView) -> DiffSummary | None:
    """What it changed, where that can be told."""
    try:
        return run.diff_summary()
    except (GitProblem, OSError):
        return None


def diff_bundle(summary: DiffSummary) -> dict[str, str]:
    """A diff as a mime bundle."""
    patch = clean(summary.patch) or "nothing changed"
    html = diff_html(summary.patch) if summary.patch else "<p>Nothing changed.</p>"
    return {"text/html": html, "text/plain": patch}


def runs_bundle(runs: Sequence[RunView], width: int | None = None) -> dict[str, str]:
    """A list of runs as a mime bundle; `width`: what the plain text must fit into."""
    return runs_table([row_of(run) for run in runs], now_us=now_us(), width=width)


def row_of(run: RunView) -> RunRow:
    """One run as a row of the list."""
    history, usage = run.history(), run.usage
    tokens = [t for t in (usage.input_tokens, usage.output_tokens) if t is not None]
    turn = history.turn
    return RunRow(
        run_id=run.id,
        state=run.state,
        agent=run.agent,
        title=run.spec.title or history.title or (history.turns[0].prompt if turn else ""),
        started_us=run.spec.created_us,
        tokens=sum(tokens) if tokens else None,
        cost_usd=usage.cost_usd,
        branch=run.branch,
        outcome=turn.outcome if turn else None,
    )


class LiveOutput:
    """One display of one run. `refresh` as often as you like; `freeze` at the end."""

    def __init__(self, run: RunView) -> None:
        from IPython import display as shown

        self.run = run
        self._last = 0.0
        self._seq = -1
        self._content = ""
        first = bundle_of(run)
        self._content = first["text/html"]
        show = cast(Any, shown).display
        self._handle: Any = show(first, raw=True, display_id=f"paseo-{run.id}-{now_us()}")

    def refresh(self) -> None:
        """Show what is new, if it is time."""
        now = time.monotonic()
        wait = REFRESH_S if self.run.history().seq != self._seq else STILL_S
        if now - self._last >= wait:
            self._last = now
            self._seq = self.run.history().seq
            self._show(self._now())

    def _now(self) -> dict[str, str]:
        history = self.run.history()
        return bundle(
            history, self.run.spec, state=history.state, diff=None, now_us=now_us(), live=True
        )

    def freeze(self) -> None:
        """The final, static output; the run's id, model and cost in its metadata."""
        final = bundle_of(self.run)
        self._handle.update(final, raw=True, metadata=metadata(self.run.history(), self.run.spec))

    def _show(self, content: dict[str, str]) -> None:
        if content["text/html"] != self._content:
            self._content = content["text/html"]
            self._handle.update(content, raw=True)


def still_running_note(run: RunView) -> str:
    """What is said where somebody stops watching."""
    again = command(f"attach {short_id(run.id)}")
    return f"Run {short_id(run.id)} goes on. {again} shows it again."


def show_background(run: RunView) -> None:
    """The output of a cell that has launched a run and returned: how to see it, how to end it."""
    from IPython import display as shown

    ident = short_id(run.id)
    text = (
        f"Run {ident} of {clean(run.agent)} is at work in the background."
        f" {command(f'attach {ident}')} shows it live, {command(f'stop {ident}')} ends it."
    )
    html = re.sub("`(.*?)`", r"<code>\1</code>", escape(text))
    content = {"text/plain": text, "text/markdown": text, "text/html": f"<p>{html}</p>"}
    show = cast(Any, shown).display
    show(content, raw=True, metadata=metadata(run.history(), run.spec))
