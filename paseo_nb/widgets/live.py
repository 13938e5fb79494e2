"""The output of a cell while its run is at work: live, and static when the run is done.

A widget where a browser may show one, with static HTML beside it; elsewhere HTML, Markdown and
text, refreshed at most ten times a second."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, cast

from .. import cells
from ..errors import PaseoError
from ..git.values import DiffSummary
from ..handle import AsyncRun
from ..hints import command
from ..model import BUSY_STATES, now_us, short_id
from ..runview import RunView
from .render import RunRow, bundle, diff_html, metadata, runs_table
from .render.text import clean
from .showing import Standing, put

if TYPE_CHECKING:
    from .run_view.widget import RunWidget

REFRESH_S = 0.1
STILL_S = 1.0
BESIDE_S = 5.0
GRACE_S = 5.0  # in which a browser loads the widget
MOST = 8  # live displays that no cell follows


def bundle_of(run: RunView, cached: bool | None = None) -> dict[str, str]:
    """A run as it stands, as a mime bundle."""
    history, state = run.history(), run.state
    return bundle(
        history,
        run.spec,
        state=state,
        diff=diff_of(run) if state not in BUSY_STATES else None,
        now_us=run.host.now_us(),
        live=state in BUSY_STATES,
        cached=bool(getattr(run, "cached", False)) if cached is None else cached,
    )


def about_of(run: RunView) -> dict[str, Any]:
    """The metadata of an output that shows a run as it stands."""
    return metadata(run.history(), run.spec, run.state, cells.project_from_notebook(run.host))


def diff_of(run: RunView) -> DiffSummary | None:
    """What it changed, where that can be told."""
    try:
        return run.diff_summary()
    except (PaseoError, OSError):  # no repository; or elsewhere, and not for who asks
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
        started_us=run.spec.created_us + now_us() - run.host.now_us(),  # by the clock here
        tokens=sum(tokens) if tokens else None,
        cost_usd=usage.cost_usd,
        branch=run.branch,
        outcome=turn.outcome if turn else None,
    )


_NO_WIDGET = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child [data-paseo-beside]) >"
    " .jupyter-widgets:not(:has(*)){display:none}</style>"
)


class LiveOutput:
    """One display of one run. `refresh` as often as you like; `freeze` at the end.

    Where a browser may show widgets it is two displays: the live widget, and beside it the static
    HTML, which the widget hides while it lives; what is saved meanwhile tells the story anyway. At
    the end the first one is the static story and the second one is gone. `blocking`: the kernel
    hears no browser until the cell is over. A page that was reloaded meanwhile gets nothing
    that the cell displays any more: there the widget stays as it is.
    """

    def __init__(self, run: AsyncRun, *, blocking: bool = False) -> None:
        self.run, self.blocking = run, blocking
        self.widget: RunWidget | None = None
        self.frozen = False
        self._showing = threading.RLock()  # a view is refreshed and frozen by several threads
        self._view: Any = None
        self._last, self._begun = 0.0, time.monotonic()
        self._seen: Any = None
        self._project = cells.project_from_notebook(run.host)
        name = f"paseo-{run.id}-{now_us()}"
        if cells.shows_widgets():
            from .run_view.widget import RunWidget

            self.widget = RunWidget(run)
            self._view = put(self.widget.view(), f"{name}-view", self._about())
        self._handle = put(self._now(), name, self._about())

    @property
    def heard(self) -> bool:
        """Whether a browser shows the widget, so that its buttons work while the kernel listens."""
        return self.widget is not None and self.widget.heard

    @property
    def may_answer(self) -> bool:
        """Whether a question is left to the widget: it was heard, or may only just be loading."""
        limit = self.run.spec.limits.permission_timeout_s
        young = time.monotonic() - self._begun < min(GRACE_S, limit / 4)
        return self.heard or (self.widget is not None and young)

    def _wait(self, news: bool) -> float:
        if self.heard:
            return BESIDE_S
        if self.blocking and self.widget is not None:
            from .run_view import widget

            if widget.heard_here:
                return BESIDE_S
        return REFRESH_S if news else STILL_S

    def refresh(self) -> None:
        """Show what is new, if it is time."""
        now, history = time.monotonic(), self.run.history()
        seen = (history.seq, history.state)
        if self.frozen or now - self._last < self._wait(seen != self._seen):
            return
        if seen != self._seen or history.state in BUSY_STATES:
            self._last, self._seen = now, seen
            content, about = self._now(), self._about()
            with self._showing:  # another thread may have frozen it meanwhile
                if not self.frozen:
                    self._handle.update(content, raw=True, metadata=about)

    def _about(self) -> dict[str, Any]:
        """Also while it lives: what is saved meanwhile is all there is, if the kernel dies."""
        return metadata(self.run.history(), self.run.spec, project=self._project)

    def _now(self) -> dict[str, str]:
        history = self.run.history()
        if history.state in BUSY_STATES:
            spec, state = self.run.spec, history.state
            now = bundle(
                history, spec, state=state, diff=None, now_us=self.run.host.now_us(), live=True
            )
        else:
            now = bundle_of(self.run)
        if self.widget is not None:
            now["text/html"] = beside(self.run.id, now["text/html"])
        return now

    def freeze(self) -> None:
        """The final, static output; the run's id, model and cost in its metadata."""
        with self._showing:
            if self.frozen:
                return
            self.frozen = True
        final, about = bundle_of(self.run), about_of(self.run)
        if self.widget is None:
            self._handle.update(final, raw=True, metadata=about)
            return
        self._handle.update({}, raw=True)  # JupyterLab takes an output without data away
        self._view.update(final, raw=True, metadata=about)
        if not self.widget.reopened:  # a page that was reloaded does not hear of the update
            self.widget.close()


def beside(run_id: str, html: str) -> str:
    """HTML that a live widget of the same cell hides. Opened without a kernel it hides
    JupyterLab's word that there is no such widget."""
    return f'<div data-paseo-beside="{escape(run_id)}">{html}{_NO_WIDGET}</div>'


_standing: Standing[LiveOutput] = Standing(LiveOutput.refresh, STILL_S)


def show_run(run: AsyncRun) -> bool:
    """Show a run live as the result of a cell, beyond its end; False where no browser would show
    it. At most one display of a run that is not at work: those end in a saved notebook as widgets
    without a kernel."""
    if not cells.shows_widgets():
        return False
    for one in _standing.outputs:
        if one.run.id == run.id or one.run.history().state not in BUSY_STATES:
            one.freeze()
    going = [one for one in _standing.outputs if not one.frozen]
    for one in going[: len(going) - MOST + 1]:
        one.freeze()
    _standing.add(LiveOutput(run))
    return True


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
    show(content, raw=True, metadata=about_of(run))
