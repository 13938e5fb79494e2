"""The live trace: one comm between a trace and the browsers that show it.

The run is read again every second while it is at work and somebody looks, less often where that
takes long; only rows that changed go out, numbered. A saved notebook has the static picture, which
stands beside it hidden.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import anywidget

from ... import _portal
from ...model import now_us
from ...tracing.spans import Span
from ..live import beside
from ..showing import put, view_of
from . import html, plain, rows

if TYPE_CHECKING:
    from ...tracing.seen import Traced

Json = dict[str, Any]
HERE = Path(__file__).parent
TICK_S = 1.0
SHARE = 0.1  # of the time, at most, that reading may take
LOOKS_S = 25.0
BESIDE_S = 10.0
PART = 2000  # rows in a message
MOST = 4  # live traces in a kernel


class TraceWidget(anywidget.AnyWidget):
    """A run's spans, live: what takes the time, what fails, what waits."""

    _esm = HERE / "trace.js"
    _css = (HERE.parent / "tokens.css").read_text() + (HERE / "trace.css").read_text()

    def __init__(self, source: Traced, root: Span, at_us: int) -> None:
        super().__init__()
        self.source, self.root, self.at_us = source, root, at_us
        self.over = False
        self.n = 0
        self._told: dict[str, Json] = {}
        self._looked = 0.0
        self._ticking = False
        self._handle: Any = None
        self._beside_at = 0.0
        cast(Any, self).on_msg(self._take)

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
                await self._tell()
            if self.live and not self._ticking:
                await self._tick()
        elif kind == "open":
            found = await anyio.to_thread.run_sync(rows.detail_of, self.root, str(message.get("i")))
            if found is not None:
                self._say(found)
        elif kind == "find":
            text = str(message.get("text"))
            ids = await anyio.to_thread.run_sync(rows.found_in, self.root, text)
            self._say({"k": "found", "text": text, "ids": ids})

    @property
    def live(self) -> bool:
        """Whether the run, or one that it started, may tell more."""
        return self.source.busy

    async def _tick(self) -> None:
        self._ticking = True
        try:
            live = True
            while live and not self.over and time.monotonic() - self._looked < LOOKS_S:
                began = time.monotonic()
                live = self.live
                self.root, _ = await anyio.to_thread.run_sync(self.source.read)
                self.at_us = self.source.host.now_us()
                await self._tell()
                self._refresh(last=not live)
                took = time.monotonic() - began
                await anyio.sleep(max(TICK_S, took / SHARE))
        finally:
            self._ticking = False

    async def _tell(self) -> None:
        """Send what a browser does not have yet."""
        now = await anyio.to_thread.run_sync(rows.rows_of, self.root, self.at_us)
        news = [row for ident, row in now.items() if self._told.get(ident) != row]
        whole = not self._told or bool(self._told.keys() - now.keys())
        news = list(now.values()) if whole else news
        self._told = now
        head = rows.head_of(self.root, self.at_us, self.live)
        parts = [news[at : at + PART] for at in range(0, len(news), PART)] or [[]]
        for number, part in enumerate(parts):
            self.n += 1
            message: Json = {"k": "trace", "n": self.n, "whole": whole and number == 0}
            message |= {"rows": part, "part": number + 1 < len(parts)}
            self._say(message | ({} if message["part"] else {"head": head}))

    def _say(self, message: Json) -> None:
        if not self.over:
            cast(Any, self).send(message)

    # ------------------------------------------------------------ in a notebook

    def show(self) -> None:
        """Show it, with the static picture beside it."""
        if len(_shown) >= MOST:
            _shown[0].freeze()
        _shown.append(self)
        name = f"paseo-trace-{now_us()}"
        told = view_of(self, plain(self.root, self.root, self.at_us))
        self._view = put(told, f"{name}-view")
        self._handle = put(self._static(hidden=True), name)

    def _static(self, hidden: bool) -> Json:
        picture = html(self.root, self.root, self.at_us)
        shown = beside(self.source.id, picture) if hidden else picture
        return {"text/html": shown, "text/plain": plain(self.root, self.root, self.at_us)}

    def _refresh(self, last: bool) -> None:
        if self._handle is None or (not last and time.monotonic() - self._beside_at < BESIDE_S):
            return
        self._beside_at = time.monotonic()
        self._handle.update(self._static(hidden=True), raw=True)

    def freeze(self) -> None:
        """End it; the static picture stays in its place."""
        self._view.update(self._static(hidden=False), raw=True)
        self._handle.update({}, raw=True)
        if self in _shown:
            _shown.remove(self)
        self.close()

    def close(self) -> None:
        """End the comm."""
        self.over = True
        super().close()


_shown: list[TraceWidget] = []
