"""The output of a cell while a match is at work or waits for a vote, and static when that is over.

A widget where a browser may show one, with static HTML beside it for what is saved meanwhile;
elsewhere HTML and text that are updated.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import anywidget
import traitlets

from ... import _portal, cells
from ...errors import PaseoError
from ...git.values import DiffSummary
from ...model import now_us
from ..catching_up import at_cells_ends
from ..live import beside
from ..render.text import prose
from ..scripts import with_morph
from ..showing import Standing, put, view_of
from .page import Shown, bundle, page

if TYPE_CHECKING:
    from ...contests.match import Match

REFRESH_S = 0.25
BESIDE_S = 5.0
DIFF_S = 2.0  # between two looks at one contestant's files, which git takes some time for
SHARE = 10  # of the time that goes into rendering, at most one part in so many
MOST_S = 12 * 3600.0  # a vote that nobody gives: the display is frozen then, the match stays
AFTER_S = 600.0  # that buttons stay after a vote that was given by one, to apply what was selected
WHY = 500
OVER = ("done", "interrupted")
HERE = Path(__file__).parent


class ArenaWidget(anywidget.AnyWidget):
    """What a browser shows of one match. Its script (`view.js`) puts HTML in place, has tabs
    and the vote, and tells what was clicked."""

    _esm = with_morph(HERE / "view.js")
    _css = HERE / "view.css"
    page = traitlets.Unicode("").tag(sync=True)

    def __init__(self, match: Match, clicked: Callable[[], None]) -> None:
        super().__init__()
        self.match, self._clicked = match, clicked
        self.voted_at: float | None = None
        self.busy, self.told = "", ""
        self._one_by_one = threading.Lock()
        cast(Any, self).on_msg(self._take)

    def show(self, changed: dict[str, DiffSummary | None]) -> None:
        """Draw it anew."""
        self.page = page(Shown(self.match, changed), live=True, busy=self.busy, told=self.told)

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread, which does not wait."""
        if isinstance(message, dict):
            given = cast(dict[str, Any], message)
            told, why = str(given.get("k")), str(given.get("why") or "")[:WHY]
            _portal.start_soon(anyio.to_thread.run_sync, self._do, told, why)

    def _do(self, told: str, why: str = "") -> None:
        word, _, rest = told.partition(" ")
        with self._one_by_one:
            self._carry_out(word, rest, why)

    def _carry_out(self, word: str, rest: str, why: str) -> None:
        self.busy = word if word in ("stop", "apply") else ""
        self._clicked()
        try:
            said = self._done(word, rest, why)
        except (PaseoError, OSError) as problem:
            said = f'<p role="status" style="padding:0 12px">{prose(str(problem))}</p>'
            cast(Any, self).send({"k": "refused", "said": str(problem)})
        self.busy, self.told = "", said
        self._clicked()

    def _done(self, word: str, rest: str, why: str) -> str:
        """Do what was asked for; what is to be shown of it."""
        if word == "stop":
            self.match.stop()
        elif word == "vote":
            self.voted_at = time.monotonic()  # before: a match that is over is frozen
            self.match.vote(rest, why)
        elif word == "apply":
            self.match.apply()
        elif word == "compare" and len(rest) == 2:
            return f'<div style="padding:0 12px 12px">{self.match.compare(*rest).html()}</div>'
        return ""


class Changes:
    """What each contestant changed so far, looked at not too often."""

    def __init__(self, match: Match) -> None:
        self._match = match
        self._known: dict[str, tuple[int, float, DiffSummary | None]] = {}

    def now(self) -> dict[str, DiffSummary | None]:
        """Of each seat."""
        found: dict[str, DiffSummary | None] = {}
        for one in self._match.contestants():
            seq = -1 if one.run is None else one.run.history().seq + (one.ended is not None)
            before, when, summary = self._known.get(one.seat, (-1, 0.0, None))
            if seq != before and time.monotonic() - when > DIFF_S:
                with contextlib.suppress(PaseoError, OSError):
                    summary = one.diff()
                self._known[one.seat] = (seq, time.monotonic(), summary)
            found[one.seat] = summary
        return found


class ArenaOutput:
    """One display of one match. `refresh` as often as you like; `freeze` at the end."""

    def __init__(self, match: Match) -> None:
        self.match, self.frozen = match, False
        self.begun = time.monotonic()
        self._lock = threading.RLock()
        self._changes = Changes(match)
        self._next, self._beside = 0.0, 0.0
        self._dirty = True
        name = f"paseo-match-{match.id}-{now_us()}"
        self.widget: ArenaWidget | None = None
        self._view: Any = None
        if cells.shows_widgets():
            self.widget = ArenaWidget(match, self._hurry)
            self.widget.show(self._changes.now())
            self._view = put(view_of(self.widget, "live"), f"{name}-view")
        self._handle = put(self._static(), name)

    def _hurry(self) -> None:
        self._next, self._beside, self._dirty = 0.0, 0.0, True

    @property
    def used(self) -> bool:
        """Whether somebody voted here a while ago, who may go on to apply what was selected."""
        at = None if self.widget is None else self.widget.voted_at
        return at is not None and time.monotonic() - at < AFTER_S

    def _static(self) -> dict[str, str]:
        now = bundle(self.match)
        if self.widget is not None:
            now["text/html"] = beside(self.match.id, now["text/html"])
        return now

    def refresh(self) -> None:
        """Show what is new, if it is time."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        now = time.monotonic()
        if self.frozen or now < self._next or not (self._dirty or self.match.state != "done"):
            return
        self._dirty = False
        self._next = now + BESIDE_S  # not again within this
        if self.widget is not None:
            self.widget.show(self._changes.now())
        if self.widget is None or now > self._beside:
            self._beside = now + BESIDE_S
            self._handle.update(self._static(), raw=True)
        done = time.monotonic()
        self._next = done + max(REFRESH_S, (done - now) * SHARE)

    def catch_up(self) -> bool:
        """Show it as it stands now, from a cell; whether that is how it stays."""
        with self._lock:
            self.frozen = self.frozen or self.match.state in OVER
            self._handle.update(bundle(self.match), raw=True)
            return self.frozen

    def freeze(self) -> None:
        """The final, static output."""
        with self._lock:
            if not self.frozen:
                self.frozen = True
                self._freeze()

    def _freeze(self) -> None:
        final = bundle(self.match)
        if self.widget is None:
            self._handle.update(final, raw=True)
            return
        self._handle.update({}, raw=True)  # JupyterLab takes an output without data away
        self._view.update(final, raw=True)
        self.widget.close()


def _refreshed(output: ArenaOutput) -> None:
    over = output.match.state in OVER
    output.refresh()
    long = time.monotonic() - output.begun > MOST_S
    if (over and not output.used) or long:
        output.freeze()


def refresh(match_id: str) -> None:
    """Bring what is shown of a match up to date, from the thread that a cell is at work in."""
    for output in list(_standing.outputs):
        if output.match.id == match_id and not output.frozen:
            _refreshed(output)


_standing: Standing[ArenaOutput] = Standing(_refreshed, REFRESH_S)


def show(match: Match) -> None:
    """Show a match as the result of a cell: live while it is at work or voted on, where that
    goes. Where it is shown already, that display is frozen."""
    from IPython import display as shown

    for one in _standing.outputs:
        if one.match.id == match.id:
            one.freeze()
    if cells.in_kernel() and match.state not in OVER:
        output = ArenaOutput(match)
        if output.widget is None:
            at_cells_ends(output)
        _standing.add(output)
    else:
        cast(Any, shown).display(bundle(match), raw=True)
