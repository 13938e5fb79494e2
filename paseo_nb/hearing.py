"""A widget's buttons while an awaited cell runs, on ipykernel 6.

ipykernel 7 hears comm messages beside an awaited cell; 6 puts every message into one queue, behind
it. While such a cell follows a run, comm messages are carried out as they come; all others wait
their turn as ever.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Generator
from functools import partial
from typing import Any

from .hints import ipython

_KINDS = frozenset({"comm_open", "comm_msg", "comm_close"})


@contextlib.contextmanager
def comms() -> Generator[None]:
    """Hear them while the block lasts, where the kernel does not by itself."""
    kernel: Any = getattr(ipython(), "kernel", None)
    schedule: Any = getattr(kernel, "schedule_dispatch", None)
    stream: Any = getattr(kernel, "shell_stream", None)
    if schedule is None or stream is None:
        yield
        return
    queue = partial(schedule, kernel.dispatch_shell)

    def receive(frames: list[Any]) -> None:
        _, parts = kernel.session.feed_identities(frames, copy=False)
        kind = json.loads(bytes(parts[1].buffer))["msg_type"]
        if kind not in _KINDS:
            queue(frames)
            return
        try:  # the cell's own parent stays: what it displays belongs to it
            message = kernel.session.deserialize(parts, content=True, copy=False)
            getattr(kernel.comm_manager, kind)(stream, None, message)
        except Exception:
            logging.getLogger(__name__).exception("a comm message was not understood")

    stream.on_recv(receive, copy=False)
    try:
        yield
    finally:
        stream.on_recv(queue, copy=False)
