"""What every live display does alike: put something into a cell's output under a name, show a
widget there, and be kept up to date while it stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

import anyio
import anyio.to_thread

from .. import _portal
from ..errors import PaseoError

VIEW = "application/vnd.jupyter.widget-view+json"


def view_of(widget: Any, text: str) -> dict[str, Any]:
    """The mime bundle that shows a widget; `text` where none is shown."""
    view = {"version_major": 2, "version_minor": 1, "model_id": widget.model_id}
    return {VIEW: view, "text/plain": text}


def put(content: Mapping[str, Any], name: str, about: Mapping[str, Any] | None = None) -> Any:
    """Show a mime bundle as an output of the cell at work; IPython's handle, by which it is
    updated. `about`: the output's metadata."""
    from IPython import display as shown

    show = cast(Any, shown).display
    return show(content, raw=True, display_id=name, metadata=about)


class Display(Protocol):
    """One display of something that is at work."""

    frozen: bool


_T = TypeVar("_T", bound=Display)


class Standing(Generic[_T]):
    """The displays of one kind that no cell waits for. Each is looked after in turn, on a thread of
    its own, until it is frozen."""

    def __init__(self, look_after: Callable[[_T], None], every_s: float) -> None:
        self.outputs: list[_T] = []
        self._look_after, self._every_s = look_after, every_s
        self._going: Any = None

    def add(self, output: _T) -> None:
        """Look after one more."""
        self.outputs = [*(one for one in self.outputs if not one.frozen), output]
        if self._going is None or self._going.done():
            self._going = _portal.start_soon(self._go_round)

    async def _go_round(self) -> None:
        while outputs := [one for one in self.outputs if not one.frozen]:
            for one in outputs:
                with contextlib.suppress(PaseoError, OSError):
                    await anyio.to_thread.run_sync(self._look_after, one)
            await anyio.sleep(self._every_s)
