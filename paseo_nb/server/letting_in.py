"""Who comes with a token of `paseo.pair`: let in where it is for, and nowhere else.

Such a device is a user that no identity provider of Jupyter's knows (a JupyterHub's asks the Hub):
for its requests `LetsDevicesIn` says who it is. What it may is our own to say, by its grant.

A browser cannot give a WebSocket a header of its own. So it names the token as a subprotocol
beside `SUBPROTOCOL`: unlike an address, that stands in no log.
"""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import urlencode

from jupyter_server.auth.identity import User

from .. import config, pairing
from .refused import Refused

SUBPROTOCOL = "paseo"
OUT = (
    "this device is not paired, or no longer: its token has expired or was taken back. Pair it"
    " again: paseo.pair() in a notebook, `paseo-nb pair` in a terminal"
)
_BEARER = re.compile(r"(?:token|bearer)\s+(\S+)", re.I)


def hide_token(request: Any) -> None:
    """Have no line of a log tell a token that came in the address: what is logged from here on is
    an address without it."""
    if "token" in request.query_arguments:
        told = [
            (name, b"[secret]" if name == "token" else value)
            for name, values in request.query_arguments.items()
            for value in values
        ]
        request.uri = f"{request.path}?{urlencode(told, safe='[]')}"


class Device:
    """Jupyter's identity provider, for the requests of one device."""

    def __init__(self, grant: pairing.Grant, usual: Any) -> None:
        self._usual = usual
        self.user: Any = User(username=f"paseo pairing {grant.name}")
        hub = getattr(usual, "hub_auth", None)
        if hub is not None:  # its authorizer asks whether a user may come to this server at all
            scopes = [*hub.oauth_scopes, *hub.access_scopes]
            self.user.hub_user = {"name": self.user.username, "scopes": scopes}

    def get_user(self, handler: Any) -> Any:
        """The device."""
        return self.user

    def __getattr__(self, name: str) -> Any:
        return getattr(self._usual, name)


class LetsDevicesIn:
    """A handler that a device may come to, once `let_in` has found its grant."""

    device: Device | None = None

    @property
    def identity_provider(self) -> Any:
        """Who says who it is."""
        return self.device or cast(Any, super()).identity_provider


def token_of(handler: Any) -> str | None:
    """The token of ours that a request brings, if one: in a header, or in its address."""
    headers = handler.request.headers
    found = _BEARER.fullmatch(headers.get("Authorization", "").strip())
    named = [found[1]] if found else headers.get("Sec-WebSocket-Protocol", "").split(",")
    for token in (*named, handler.get_query_argument("token", "")):
        if token.strip().startswith(pairing.PREFIX):
            return token.strip()
    return None


def let_in(handler: Any) -> pairing.Grant | None:
    """What the request's token is good for; it then counts as a user of its own for Jupyter. None
    where it brings none of ours, or one that is good for nothing (so it is nobody)."""
    token = token_of(handler)
    elsewhere = ("project", "also")  # other projects than the one whose token it is
    if token is None or any(any(handler.get_query_arguments(name)) for name in elsewhere):
        return None
    grant = pairing.grant_of(config.home(handler.shared.root), token)
    if grant is not None:
        pairing.note(config.home(handler.shared.root), grant)
        handler.device = Device(grant, handler.identity_provider)
        handler._token_authenticated = True
    return grant


def refuse_who_is_out(handler: Any) -> None:
    """Tell who brings a token that is good for nothing, or no more, that it is so: an HTTPError of
    which a page can know what to say."""
    if token_of(handler) is None:
        return
    known = handler.grant is not None
    if known and pairing.grant_of(config.home(handler.shared.root), token_of(handler) or ""):
        return
    if known or not handler.current_user:
        raise Refused(403, OUT, "NotPaired")
