"""The routes, as one table: what the server adds, and what the OpenAPI page is made from."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join

from . import handlers, views
from .activity import report
from .handlers import Shared
from .pages import Page
from .stream import Stream
from .viewing import LiveView

AT = "/paseo/api"
ROUTES: list[tuple[str, type]] = [
    ("/about", handlers.About),
    ("/openapi.json", handlers.OpenApi),
    ("/runs", handlers.Runs),
    ("/ids", handlers.Ids),
    ("/runs/{run}", handlers.OneRun),
    ("/runs/{run}/spec", handlers.Spec),
    ("/runs/{run}/state", handlers.State),
    ("/runs/{run}/journal", handlers.JournalBytes),
    ("/runs/{run}/command", handlers.Command),
    ("/runs/{run}/wake", handlers.Wake),
    ("/runs/{run}/hold", handlers.Hold),
    ("/runs/{run}/result", handlers.Result),
    ("/verbs/{verb}", handlers.VerbCall),
    ("/contents/{digest}", handlers.Content),
    ("/repositories", handlers.Repositories),
    ("/board", views.BoardNow),
    ("/runs/{run}/act", views.Act),
    ("/runs/{run}/story", views.Story),
    ("/runs/{run}/changes", views.Changes),
    ("/runs/{run}/trace", views.Trace),
    ("/runs/{run}/view", LiveView),
    ("/stream", Stream),
]


def pattern(route: str) -> str:
    """A route as tornado's regular expression."""
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route)) + "$"


def add_to(app: Any) -> Shared:
    """Serve under any base URL, about the project that the server's folder belongs to."""
    shared = Shared(Path(app.root_dir or "."))
    base = app.web_app.settings["base_url"]
    app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, AT) + pattern(route), handler, {"shared": shared})
            for route, handler in ROUTES
        ]
        + [(url_path_join(base, "/paseo") + r"(?:/(?P<name>[\w.-]*))?$", Page)],
    )
    try:
        shared.host(shared.root)
    except ValueError as error:
        app.log.warning("paseo_nb: %s", error)
    loop = asyncio.get_event_loop()
    shared.reporting = loop.create_task(report(shared, app.web_app.settings))
    app.log.info("paseo_nb is served at %s", url_path_join(base, AT))
    return shared
