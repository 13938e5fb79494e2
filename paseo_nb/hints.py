"""How a verb is written where this process runs: messages name it so that it can be copied."""

from __future__ import annotations

import sys
from typing import Any


def ipython() -> Any:
    """The IPython shell that this code runs in, or None."""
    module = sys.modules.get("IPython")
    get: Any = getattr(module, "get_ipython", None)  # none while another thread imports it
    return get() if get is not None else None


def command(words: str) -> str:
    """`%paseo WORDS` in IPython, `paseo-nb WORDS` elsewhere, as code."""
    return f"`%paseo {words}`" if ipython() is not None else f"`paseo-nb {words}`"
