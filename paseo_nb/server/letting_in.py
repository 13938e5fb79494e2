"""Who comes with a token of `paseo.pair`: let in where it is for, and nowhere else."""

from __future__ import annotations

import re
from typing import Any

from jupyter_server.auth.identity import User

from .. import config, pairing

_BEARER = re.compile(r"(?:token|bearer)\s+(\S+)", re.I)


def token_of(handler: Any) -> str | None:
    """The token of ours that a request brings, if one: in its header, or, as browsers cannot set
    that for a WebSocket, in its address."""
    found = _BEARER.fullmatch(handler.request.headers.get("Authorization", "").strip())
    token = found[1] if found else handler.get_query_argument("token", "")
    return token if token.startswith(pairing.PREFIX) else None


def let_in(handler: Any) -> pairing.Grant | None:
    """What the request's token is good for; it then counts as a user of its own for Jupyter. None
    where it brings none of ours, or one that is good for nothing (so it is nobody)."""
    token = token_of(handler)
    if token is None or handler.get_query_argument("project", ""):
        return None
    grant = pairing.grant_of(config.home(handler.shared.root), token)
    if grant is not None:
        handler._jupyter_current_user = User(username=f"paseo pairing {grant.name}")
        handler._token_authenticated = True
    return grant
