"""Who may come to a server, as a JupyterHub has it: its own provider decides by itself, and its
authorizer asks for what only the Hub's users have (jupyterhub 6's `singleuser/extension.py`).
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth import Authorizer
from jupyter_server.auth.identity import IdentityProvider, User

OWNER = "the-owner-at-the-hub"


class HubAuth:
    """The Hub, as far as it is asked."""

    access_scopes = oauth_scopes = frozenset({"access:servers!user=me"})


class HubUser(User):
    """A user with what the Hub told of it."""

    hub_user: dict[str, Any]


class HubIdentity(IdentityProvider):
    """Knows the owner by a token of the Hub's, and nobody else."""

    hub_auth = HubAuth()

    async def get_user(self, handler: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The owner, or None."""
        if handler.request.headers.get("Authorization") != f"token {OWNER}":
            return None
        user = HubUser("me")
        user.hub_user = {"name": "me", "scopes": list(HubAuth.access_scopes)}
        handler._token_authenticated = True
        return user


class HubAuthorizer(Authorizer):
    """Asks for scopes."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Whether the user may come to this server."""
        return bool(HubAuth.oauth_scopes & set(user.hub_user["scopes"]))
