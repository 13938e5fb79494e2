"""The widget itself: a comm between one run's feed and the browsers that show it.

No trait carries content: the feed's messages do, as custom messages. What a browser says is only
handed over to the portal's loop, as it may come on any thread.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import anywidget
import msgspec

from ... import _portal
from ...errors import PaseoError
from ...handle import AsyncRun
from ...model import short_id
from ..render.text import one_line
from ..showing import view_of
from . import acting, feed

if TYPE_CHECKING:
    from ..trace.widget import TraceWidget

Json = dict[str, Any]
HERE = Path(__file__).parent
LEAVE_S = 2.0
heard_here = False  # whether any browser has ever answered in this process


def send(widget: Any, message: Json) -> None:
    """Send a message as bytes: to encode a long one as the comm's own JSON, and to sign it, takes
    several times as long."""
    widget.send({"k": "json"}, [msgspec.json.encode(message)])


class RunWidget(anywidget.AnyWidget):
    """A live view of one run. `heard`: some browser has said hello, so its buttons work whenever
    the kernel listens. `reopened`: more than one has, so some may not see what a cell displays."""

    _esm = HERE / "run_view.js"
    _css = HERE / "run_view.css"

    def __init__(self, run: AsyncRun) -> None:
        super().__init__()
        self.run = run
        self.heard = False
        self.over = False
        self.reopened = False
        self._trace: TraceWidget | None = None
        cast(Any, self).on_msg(self._take)
        self._joined = _portal.start_soon(feed.join, run, self)

    def tell(self, message: Json) -> None:
        """See `feed.Viewer`."""
        if not self.over:
            send(self, message)

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread, or on a subshell's."""
        if isinstance(message, dict) and not self.over:
            _portal.start_soon(self._hear, cast(Json, message))

    async def _hear(self, message: Json) -> None:
        global heard_here
        kind = message.get("k")
        mine = feed.feed_of(self.run)
        if kind == "hello":
            # Another page, as a reloaded one: it has our comm, but no display of a cell reaches it.
            self.reopened |= self.heard and message.get("epoch") is None
            self.heard = heard_here = True
            if mine is not None:
                mine.hello(self, message.get("epoch"), message.get("n"))
        elif kind == "do" and message.get("verb") == "trace":
            self.tell(await self._show_trace(message))
        elif kind == "do":
            self.tell(await acting.act(self.run, message))
            if mine is not None and message.get("verb") in ("undo", "apply"):
                mine.measure_soon()
        elif kind == "more":
            self.tell(await acting.more_of(self.run, message.get("row")))
        elif kind == "diff":
            self.tell(await acting.diff_of(self.run))

    async def _show_trace(self, message: Json) -> Json:
        """The run's trace as a widget that the view puts into itself; the `done` message."""
        told = {"k": "done", "id": message.get("id")}
        try:
            made = await anyio.to_thread.run_sync(self._trace_now)
        except (PaseoError, OSError) as error:
            return {**told, "ok": False, "said": str(error)}
        return {**told, "ok": True, "said": "", "model": str(made.model_id)}

    def _trace_now(self) -> TraceWidget:
        from ...tracing.seen import TracedRun
        from ..trace.widget import TraceWidget

        source = TracedRun(self.run)
        root, _ = source.read()
        if self._trace is not None:
            self._trace.close()
        self._trace = TraceWidget(source, root, self.run.host.now_us())
        return self._trace

    def view(self) -> Json:
        """The mime bundle that shows it."""
        title = one_line(f"Run {short_id(self.run.id)} of {self.run.agent}, live", 200)
        return view_of(self, title)

    def _repr_mimebundle_(self, **_: Any) -> tuple[Json, Json]:
        return self.view(), {}

    def close(self) -> None:
        """End it: browsers get what they lack yet, are told that nothing comes any more, and the
        comm is closed."""
        if not self.over:
            with contextlib.suppress(Exception):  # the kernel may be ending
                left = _portal.start_soon(self._leave)
                if not _portal.is_inside():  # a widget's end may be the garbage collector's doing
                    left.result(LEAVE_S)
            self.over = True
            if self._trace is not None:
                self._trace.close()
        super().close()

    async def _leave(self) -> None:
        mine = feed.feed_of(self.run)
        if mine is not None:
            mine.dismiss(self)
        self.tell({"k": "frozen"})
