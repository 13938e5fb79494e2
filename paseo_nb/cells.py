"""Which cell is this? What the kernel knows about the place that a call was written in.

Works without IPython (everything is None then) and never guesses: a notebook's path is known only
where the server told it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from typing import Any

from .config import home, project_root, settings
from .hints import ipython
from .model import now_us
from .preparing import Cell

Json = dict[str, Any]
ENDING_S = 0.4
_lock = threading.Lock()
_order: dict[str, list[tuple[str, int]]] = {}
_calls: dict[tuple[str, str], tuple[str, int]] = {}
_launches: dict[tuple[str, str], tuple[str, int, int]] = {}


def current() -> Cell:
    """The cell that is being executed."""
    shell = ipython()
    if shell is None:
        return Cell()
    parent = _parent(shell)
    metadata: Json = parent.get("metadata") or {}
    cell_id: str | None = metadata.get("cellId") or metadata.get("cell_id")
    if not cell_id:
        content: Json = parent.get("content") or {}
        code = str(content.get("code") or "")
        cell_id = "source-" + hashlib.sha256(code.encode()).hexdigest()[:16] if code else None
    return Cell(os.environ.get("JPY_SESSION_NAME") or None, cell_id)


def project_from_notebook(host: Any) -> str | None:
    """The folder of a host's project, as seen from the notebook's: a notebook may have gone into
    another repository. None where it lies in that project, or where neither is known."""
    folder = notebook_folder()
    if folder is None or host.name != "local" or home(folder) == host.home:
        return None
    return os.path.relpath(host.home.parent, os.path.realpath(folder))


def notebook_folder() -> str | None:
    """The folder that the notebook lies in, where the server told it."""
    folder = os.path.dirname(os.environ.get("JPY_SESSION_NAME", ""))
    return folder if os.path.isabs(folder) else None


def nth_call(key: str) -> int:
    """Which of the equal calls this is, from 0: the nth cell that makes it, or the nth time
    within one execution of a cell. Executing a cell again counts anew."""
    shell = ipython()
    parent = _parent(shell) if shell is not None else {}
    header: Json = parent.get("header") or {}
    execution = str(header.get("msg_id") or "")
    cell = current().cell_id or ""
    with _lock:
        if execution:
            before, count = _calls.get((key, cell), ("", -1))
            count = count + 1 if before == execution else 0
            _calls[key, cell] = (execution, count)
        else:
            count = len(_order.get(key, ()))
        places = _order.setdefault(key, [])
        if (cell, count) not in places:
            places.append((cell, count))
        return places.index((cell, count))


def call_in_execution(key: str) -> tuple[int, int]:
    """Which of the equal launches of this execution of the cell this is, from 0, and when the
    first of them was (us)."""
    shell = ipython()
    header: Json = (_parent(shell) if shell is not None else {}).get("header") or {}
    execution, place = str(header.get("msg_id") or ""), (key, current().cell_id or "")
    with _lock:
        before, count, began_us = _launches.get(place, ("", 0, 0))
        if before != execution or not execution:
            count, began_us = 0, now_us()
        _launches[place] = (execution, count + 1, began_us)
        return count, began_us


def at_terminal() -> bool:
    """Whether a person is at the keyboard of a terminal (a kernel's front end may be nobody)."""
    return sys.stdin is not None and sys.stdin.isatty()


def can_ask() -> bool:
    """Whether `input()` would reach a person now."""
    shell = ipython()
    if shell is None:
        return at_terminal()
    content: Json = _parent(shell).get("content") or {}
    return bool(content.get("allow_stdin", not hasattr(shell, "kernel")))


def in_kernel() -> bool:
    """Whether this is a notebook's kernel, whose outputs can be updated."""
    return hasattr(ipython(), "kernel")


def shows_widgets() -> bool:
    """Whether what is displayed now may reach a browser that shows widgets. Who executes notebooks
    without one (nbclient, papermill) says that nobody can be asked."""
    return hasattr(ipython(), "kernel") and can_ask() and settings(project_root()).widgets


def is_ending() -> bool:
    """Whether the kernel is being shut down or restarted. That begins with an interrupt, as ■ does,
    and the request follows at once: who would take that for the user's looks here first."""
    shell = ipython()
    deadline = time.monotonic() + ENDING_S
    while hasattr(shell, "kernel"):
        if shell.exit_now:
            return True
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return False


def _parent(shell: Any) -> dict[str, Any]:
    try:
        return shell.get_parent() or {}
    except (AttributeError, LookupError):
        return {}
