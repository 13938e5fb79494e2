"""The door for other devices: an extension of the Jupyter Server that is there anyway.

Here live its routes, what they are given and tell, and what it takes to serve them alone
(`paseo-nb serve`). It is a thin client of `LocalHost`, as a notebook is: runs, journals and locks
are not its own, and if it dies they go on. Jupyter calls it (`extensions/server` enables it),
`HttpHost` of another machine, the panel and the phone speak to it.
"""

from __future__ import annotations

from typing import Any

from .. import __version__ as __version__


def _jupyter_server_extension_points() -> list[dict[str, str]]:  # pyright: ignore[reportUnusedFunction]
    """What Jupyter Server asks an extension for."""
    return [{"module": "paseo_nb.server"}]


def _load_jupyter_server_extension(app: Any) -> None:  # pyright: ignore[reportUnusedFunction]
    """Jupyter Server loads us."""
    from .routes import add_to

    add_to(app)
