"""What a thread showed, shown once more by the cell that ends next.

Who executes a notebook without a browser (nbclient, papermill) keeps of an update only what the
cell at work itself sends; a thread tells of the cell that it began in, and is not heard.
"""

from __future__ import annotations

import threading
from typing import Any, cast

from ..hints import ipython

_owed: dict[str, tuple[Any, dict[str, str]]] = {}


def update(handle: Any, content: dict[str, str]) -> None:
    """Update a display, and see to it that it is kept."""
    handle.update(content, raw=True)
    if threading.current_thread() is threading.main_thread():
        _owed.pop(handle.display_id, None)
        return
    events = cast(Any, ipython()).events
    _owed[handle.display_id] = (handle, content)
    if _tell not in events.callbacks["post_run_cell"]:
        events.register("post_run_cell", _tell)


def _tell(result: object) -> None:
    """IPython's `post_run_cell`: still within the cell."""
    for name in list(_owed):
        handle, content = _owed.pop(name)
        handle.update(content, raw=True)
