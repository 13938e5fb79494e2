"""Displays that a thread keeps up to date, brought up to date by each cell as well, when it ends.

Who executes a notebook without a browser (nbclient, papermill) keeps of an update only what the
cell at work itself sends; a thread tells of the cell that it began in, and is not heard.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from ..errors import PaseoError
from ..hints import ipython


class Display(Protocol):
    """One that no widget shows."""

    def catch_up(self) -> bool:
        """Show it as it stands now; whether that is how it stays."""
        ...


_standing: list[Display] = []


def at_cells_ends(display: Display) -> None:
    """Have it catch up at the end of each cell, until it is over."""
    events = ipython().events
    if _catch_up not in events.callbacks["post_run_cell"]:
        events.register("post_run_cell", _catch_up)
    _standing.append(display)


def _catch_up(result: object) -> None:
    """IPython's `post_run_cell`: still within the cell."""
    for one in list(_standing):
        with contextlib.suppress(PaseoError, OSError):
            if one.catch_up():
                _standing.remove(one)
