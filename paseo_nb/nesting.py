"""`allow_nested_loop`: the one use of nest-asyncio, on request only.

Nothing of ours needs it: synchronous verbs run on a loop thread of their own. It serves code of a
user's that calls `asyncio.run` where a loop runs already.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .errors import UsageProblem
from .hints import ipython

_INSTEAD = "Use `await` (cells take it), or the synchronous verbs, which need no nested loop."


def allow_nested_loop() -> None:
    """Let `asyncio.run(…)` and `loop.run_until_complete(…)` be called in a loop that runs already,
    for this process: on ipykernel 6 (as on Colab) and in plain embedded loops.

    Not needed for paseo_nb's own names, synchronous or async. Raises UsageProblem, and changes
    nothing, on ipykernel 7 and later, on Python 3.14, and for a loop of another kind (uvloop).
    """
    reason = _refusal()
    if reason is not None:
        raise UsageProblem(f"allow_nested_loop() is refused {reason}. {_INSTEAD}")
    patch: Any = importlib.import_module("nest_asyncio")
    try:
        patch.apply()
    except ValueError as error:  # a loop in C
        raise UsageProblem(f"allow_nested_loop(): {error}. {_INSTEAD}") from None


def _refusal() -> str | None:
    if sys.version_info >= (3, 14):
        return "on Python 3.14 and later: nest-asyncio breaks asyncio.current_task() there"
    shell = ipython()
    ipykernel: Any = sys.modules.get("ipykernel")
    if shell is not None and hasattr(shell, "kernel") and ipykernel is not None:
        version: tuple[Any, ...] = ipykernel.version_info
        if version[0] >= 7:
            return (
                f"on ipykernel {ipykernel.__version__}: its loop serves widgets and Stop while a"
                " cell runs, and loses their messages when it is re-entered"
            )
    return None
