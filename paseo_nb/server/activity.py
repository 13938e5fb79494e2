"""Activity for cullers: a server whose runs are at work is not idle, though nobody looks at it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_server._tz import utcnow

from ..errors import PaseoError
from ..host.local import LocalHost
from ..model import BUSY_STATES
from .handlers import Shared

LOOK_S = 20.0


def at_work(home: Path) -> bool:
    """Whether a run of a project is in the middle of something."""
    live = home / "live"
    host = LocalHost(home)
    try:
        names = [name for name in os.listdir(live) if host.folder(name).spec.exists()]
        return any(host.state(name) in BUSY_STATES for name in names)
    except (OSError, PaseoError):
        return False


async def report(shared: Shared, settings: dict[str, Any], every_s: float = LOOK_S) -> None:
    """Tell Jupyter of runs at work, for as long as the server lives."""
    while True:
        for home in list(shared.homes):
            if await asyncio.to_thread(at_work, home):
                settings["last_activity_times"]["paseo_nb"] = utcnow()
        await asyncio.sleep(every_s)
