"""The dashboard's widget: one comm between a board and the browsers that show it.

Browsers say every few seconds that somebody looks; while nobody does, nothing is read. At most one
message a second, and only where something changed: numbered, with the lines that did.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import anywidget

from ... import _portal, cells
from ...errors import PaseoError, UsageProblem
from ...handle import AsyncRun
from ...model import now_us
from ..live import beside
from ..run_view import acting
from ..run_view.widget import RunWidget
from ..showing import put, view_of
from .board import Board
from .page import bundle_of, summary

Json = dict[str, Any]
HERE = Path(__file__).parent
TICK_S = 1.0
LOOKS_S = 25.0  # how long a browser's word holds that somebody looks
BESIDE_S = 5.0


class Dashboard(anywidget.AnyWidget):
    """All runs of a project, live: what waits for you, what is at work, what came of it."""

    _esm = HERE / "dashboard.js"
    _css = HERE / "dashboard.css"

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board
        self.n = 0
        self.over = False
        self._told: Json = {}
        self._looked = 0.0
        self._ticking = False
        self._views: dict[str, RunWidget] = {}
        self.beside: Beside | None = None
        cast(Any, self).on_msg(self._take)

    # ------------------------------------------------------------ hearing

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread, or on a subshell's."""
        if isinstance(message, dict) and not self.over:
            _portal.start_soon(self._hear, cast(Json, message))

    async def _hear(self, message: Json) -> None:
        kind = message.get("k")
        if kind in ("hello", "here"):
            self._looked = time.monotonic()
            if kind == "hello":
                self._told = {}
            self._say({"k": "at", "n": self.n})
            if not self._ticking:
                await self._tick()
        elif kind == "glance":  # nobody looks, but the page's title tells what waits
            if not self._ticking:
                await self._look()
        elif kind == "do":
            self._say(await self._do(message))
            self._looked = max(self._looked, time.monotonic() - LOOKS_S / 2)

    async def _do(self, message: Json) -> Json:
        run = self._run(message.get("run"))
        if run is None:
            said = "There is no such run any more."
            return {"k": "done", "id": message.get("id"), "ok": False, "said": said}
        if message.get("verb") == "open":
            model = await anyio.to_thread.run_sync(self._open, run)
            return {"k": "done", "id": message.get("id"), "ok": True, "said": "", "model": model}
        if message.get("verb") in ("archive", "unarchive"):
            return await self._put_away(run, message)
        return await acting.act(run, message)

    async def _put_away(self, run: AsyncRun, message: Json) -> Json:
        said = ""
        try:
            await (run.archive() if message["verb"] == "archive" else run.unarchive())
        except (PaseoError, OSError) as error:
            said = str(error)
        return {"k": "done", "id": message.get("id"), "ok": not said, "said": said}

    def _run(self, run_id: Any) -> AsyncRun | None:
        try:
            self.board.host.spec(run_id if isinstance(run_id, str) else "")
        except (UsageProblem, OSError, ValueError):
            return None
        return AsyncRun(self.board.host, run_id) if run_id in self.board.lines else None

    def _open(self, run: AsyncRun) -> str:
        """A run's own view, to be shown in the dashboard, one at a time; its model's id."""
        for ident in list(self._views):
            if ident != run.id:
                self._views.pop(ident).close()
        view = self._views.get(run.id) or RunWidget(run)
        self._views[run.id] = view
        return str(view.model_id)

    # ------------------------------------------------------------ telling

    async def _tick(self) -> None:
        """Look and tell, while somebody looks."""
        self._ticking = True
        try:
            while not self.over and time.monotonic() - self._looked < LOOKS_S:
                await self._look()
                if self.beside is not None:
                    self.beside.refresh()
                await anyio.sleep(TICK_S)
        finally:
            self._ticking = False

    async def _look(self) -> None:
        with contextlib.suppress(PaseoError, OSError):
            await anyio.to_thread.run_sync(self.board.look)
            self._tell()

    def _tell(self) -> None:
        """Send what a browser does not have yet: all of it to one that has nothing."""
        board = self.board
        now = {"order": list(board.lines), "head": board.head, "asks": board.asks}
        lines = {run_id: dict(line) for run_id, line in board.lines.items()}
        if self._told.get("all") == {**now, "lines": lines}:
            return
        before: Json = self._told.get("all", {})
        known: Json = before.get("lines", {})
        news = [line for run_id, line in lines.items() if known.get(run_id) != line]
        self.n += 1
        message: Json = {"k": "board", "n": self.n, "whole": not before, "lines": news}
        message.update({key: value for key, value in now.items() if before.get(key) != value})
        self._told = {"all": {**now, "lines": lines}}
        self._say({**message, "now_us": now_us()})
        if self.beside is not None:
            self.beside.due = True

    def _say(self, message: Json) -> None:
        if not self.over:
            cast(Any, self).send(message)

    def view(self) -> Json:
        """The mime bundle that shows it."""
        return view_of(self, summary(self.board))

    def close(self) -> None:
        """End it and the view that is open in it."""
        self.over = True
        for view in self._views.values():
            view.close()
        self._views.clear()
        super().close()


class Beside:
    """The static board next to a live one, which hides it: what is saved meanwhile."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.due = False
        self._at = time.monotonic()
        self._handle: Any = _show(self._now(), "beside")

    def _now(self) -> Json:
        static = bundle_of(self.board, now_us())
        return {**static, "text/html": beside("dashboard", static["text/html"])}

    def refresh(self) -> None:
        """Show how it stands, if something changed and it is time."""
        if self.due and time.monotonic() - self._at > BESIDE_S:
            self.due, self._at = False, time.monotonic()
            self._handle.update(self._now(), raw=True)

    def clear(self) -> None:
        """Take it away: JupyterLab drops an output without data."""
        self._handle.update({}, raw=True)


class Shown:
    """What `dashboard()` returns: live where a browser shows widgets, else a table. Another one
    that is shown live takes its place: this one then stands as it was."""

    _live: Shown | None = None

    def __init__(self, board: Board) -> None:
        self.board = board
        self.widget: Dashboard | None = None
        self._view: Any = None

    def _ipython_display_(self) -> None:
        self.freeze()
        _portal.call(anyio.to_thread.run_sync, self.board.look)
        if not cells.shows_widgets():
            _show(bundle_of(self.board, now_us()), "static")
            return
        if Shown._live is not None:
            Shown._live.freeze()
        Shown._live = self
        self.widget = Dashboard(self.board)
        self._view = _show(self.widget.view(), "view")
        self.widget.beside = Beside(self.board)

    def freeze(self) -> None:
        """End the live view; the static board stays in its place."""
        if self.widget is None:
            return
        self._view.update(bundle_of(self.board, now_us()), raw=True)
        if self.widget.beside is not None:
            self.widget.beside.clear()
        self.widget.close()
        self.widget = None

    def __str__(self) -> str:
        self.board.look()
        return bundle_of(self.board, now_us())["text/plain"]

    __repr__ = __str__


def _show(content: Json, what: str) -> Any:
    return put(content, f"paseo-board-{what}-{now_us()}")
