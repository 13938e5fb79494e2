"""The widget itself: a comm between one run's feed and the browsers that show it.

No trait carries content: the feed's messages do, as custom messages. What a browser says is only
handed over to the portal's loop, as it may come on any thread.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, cast

import anywidget

from ... import _portal
from ...handle import AsyncRun
from ...model import short_id
from ..render.text import one_line
from . import acting, feed

Json = dict[str, Any]
HERE = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"
LEAVE_S = 2.0
heard_here = False  # whether any browser has ever answered in this process


class RunWidget(anywidget.AnyWidget):
    """A live view of one run. `heard`: some browser has said hello, so its buttons work whenever
    the kernel listens."""

    _esm = HERE / "run_view.js"
    _css = HERE / "run_view.css"

    def __init__(self, run: AsyncRun) -> None:
        super().__init__()
        self.run = run
        self.heard = False
        self.over = False
        cast(Any, self).on_msg(self._take)
        self._joined = _portal.start_soon(feed.join, run, self)

    def tell(self, message: Json) -> None:
        """See `feed.Viewer`."""
        if not self.over:
            cast(Any, self).send(message)

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread, or on a subshell's."""
        if isinstance(message, dict) and not self.over:
            _portal.start_soon(self._hear, cast(Json, message))

    async def _hear(self, message: Json) -> None:
        global heard_here
        kind = message.get("k")
        mine = feed.feed_of(self.run)
        if kind == "hello":
            self.heard = heard_here = True
            if mine is not None:
                mine.hello(self, message.get("epoch"), message.get("n"))
        elif kind == "do":
            self.tell(await acting.act(self.run, message))
            if mine is not None and message.get("verb") in ("undo", "apply"):
                mine.measure_soon()
        elif kind == "more":
            self.tell(await acting.more_of(self.run, message.get("row")))
        elif kind == "diff":
            self.tell(await acting.diff_of(self.run))

    def view(self) -> Json:
        """The mime bundle that shows it."""
        view = {"version_major": 2, "version_minor": 1, "model_id": self.model_id}
        title = one_line(f"Run {short_id(self.run.id)} of {self.run.agent}, live", 200)
        return {VIEW: view, "text/plain": title}

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
        super().close()

    async def _leave(self) -> None:
        mine = feed.feed_of(self.run)
        if mine is not None:
            mine.dismiss(self)
        self.tell({"k": "frozen"})
