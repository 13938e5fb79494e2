"""The page for a phone: its files, to whoever asks. They hold no data; that takes a token.

Beside its own files (`page/`) it has the front ends of the notebook's widgets as they are built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

AT = "/paseo/"
HERE = Path(__file__).with_name("page")
WIDGETS = Path(__file__).parents[1] / "widgets"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
# Scripts, styles and requests of this server alone; nothing inline, nothing in a frame.
POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "connect-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip


def files() -> dict[str, Path]:
    """What is served, by name."""
    theirs = [
        WIDGETS / "dashboard/dashboard.js",
        WIDGETS / "dashboard/dashboard.css",
        WIDGETS / "run_view/run_view.js",
        WIDGETS / "trace/trace.js",
        WIDGETS / "trace/trace.css",
    ]
    mine = [path for path in HERE.iterdir() if path.suffix in _KINDS]
    return {path.name: path for path in [*theirs, *mine]}


class Page(JupyterHandler):
    """One file of the page."""

    @property
    def content_security_policy(self) -> str:
        """Ours, whatever the server's settings say for its own pages."""
        return POLICY

    @allow_unauthenticated
    async def get(self, name: str | None) -> None:
        """The page itself, or a file of it."""
        if name is None:
            self.redirect(self.request.path + "/", permanent=True)
            return
        path = files().get(name or "index.html")
        if path is None:
            raise web.HTTPError(404)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Content-Type", _KINDS[path.suffix])
        self.set_header("Cache-Control", "no-cache")  # asked each time, sent where it is another
        self.set_header("Referrer-Policy", "no-referrer")
        cast(Any, self).write(path.read_bytes())
