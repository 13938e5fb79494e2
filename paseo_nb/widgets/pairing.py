"""A pairing in a notebook: the code is told to the browsers that show it, and to no file.

What is saved is the static text, which has no token. The live widget beside it gets the code by a
message of its own (a widget's state may be saved, too), and forgets it once the device was there,
the token has ended, or after ten minutes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import anywidget

from .. import _portal, cells
from ..model import now_us
from . import qr
from .live import beside
from .showing import put, view_of

if TYPE_CHECKING:
    from ..pairing import Pairing

Json = dict[str, Any]
HERE = Path(__file__).parent
SHOWN_S = 600.0
LOOK_S = 1.0


class PairingWidget(anywidget.AnyWidget):
    """One code, while it is of use."""

    _esm = HERE / "pairing.js"

    def __init__(self, pairing: Pairing) -> None:
        super().__init__()
        self._pairing: Pairing | None = pairing
        self._until = time.time() + min(SHOWN_S, pairing.expires - time.time())
        self._said = ""
        self._looking = False
        cast(Any, self).on_msg(self._take)

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread: a browser shows it."""
        if isinstance(message, dict) and cast(Json, message).get("k") == "hello":
            _portal.start_soon(self._tell)

    async def _tell(self) -> None:
        pairing = self._pairing
        if pairing is None:
            cast(Any, self).send({"k": "gone", "said": self._said})
            return
        told: Json = {"k": "code", "token": pairing.token, "left_ms": 1000 * self._left}
        if pairing.url is not None:
            told |= {"svg": qr.code_svg(pairing.address), "url": pairing.url}
        cast(Any, self).send(told)
        if not self._looking:
            self._looking = True
            await self._look(pairing)

    @property
    def _left(self) -> float:
        return max(self._until - time.time(), 0.0)

    async def _look(self, pairing: Pairing) -> None:
        """Until it is of no use any more."""
        while not (came := await anyio.to_thread.run_sync(pairing.came)) and self._left:
            await anyio.sleep(min(LOOK_S, self._left))
        if came:
            self._said = f"{pairing.name} is paired."
        elif time.time() >= pairing.expires:
            self._said = f"The token of {pairing.name} has ended."
        else:
            self._said = "The code is shown no longer: nobody came with it. Pair again for another."
        self._pairing = None
        cast(Any, self).send({"k": "gone", "said": self._said})


def show(pairing: Pairing) -> None:
    """Show it in the running cell: the code, live, and what is to be known of it."""
    live, name = cells.shows_widgets(), f"paseo-pairing-{now_us()}"
    if live:
        put(view_of(PairingWidget(pairing), ""), f"{name}-view")
    told = qr.bundle(pairing, live)
    told["text/html"] = beside(name, told["text/html"])
    put(told, name)
