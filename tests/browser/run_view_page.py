"""A page that shows the run view with a scripted kernel; it may reach nothing but its own files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from browser.lab import FLAGS, chromium
from playwright.sync_api import Browser, Page, Route, sync_playwright

WIDGET = Path(__file__).parents[2] / "paseo_nb" / "widgets" / "run_view"
HOST = Path(__file__).parent / "host"
_PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<title>Run view</title><link rel="stylesheet" href="host.css"><link rel="stylesheet" href="run_view.css">
</head><body><div class="jp-OutputArea"><div id="out"></div></div><div id="other"></div>
<script type="module" src="host.js"></script></body></html>"""
_FILES = {
    "host.css": (HOST / "host.css", "text/css"),
    "host.js": (HOST / "host.js", "text/javascript"),
    "run_view.css": (WIDGET / "run_view.css", "text/css"),
    "run_view.js": (WIDGET / "run_view.js", "text/javascript"),
}


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()


class Seen(list[str]):
    """What a page did that it should not: requests, dialogs, errors, pages opened or left for."""


def host_page(
    browser: Browser, *, dark: bool = False, width: int = 900, height: int = 1000, **context: Any
) -> tuple[Page, Seen]:
    """A fresh page with the view's files; what it does beyond them is noted and refused."""
    made = browser.new_context(viewport={"width": width, "height": height}, **context)
    page = made.new_page()
    seen = Seen()

    def serve(route: Route) -> None:
        name = route.request.url.removeprefix("http://host.test/")
        if name == "":
            body = _PAGE.format(theme="dark" if dark else "light")
            route.fulfill(body=body, content_type="text/html")
        elif name in _FILES:
            path, kind = _FILES[name]
            route.fulfill(body=path.read_text(), content_type=kind)
        else:
            if not name.endswith("favicon.ico"):
                seen.append(f"request {route.request.url}")
            route.abort()

    made.route("**/*", serve)
    page.on("dialog", lambda dialog: (seen.append("dialog"), dialog.dismiss()))
    page.on("pageerror", lambda error: seen.append(f"error {error}"))
    page.on("console", lambda said: said.type == "error" and seen.append(f"console {said.text}"))
    page.on("popup", lambda opened: (seen.append("popup"), opened.close()))
    page.goto("http://host.test/")
    page.wait_for_function("window.ready")
    return page, seen


def begin(page: Page, state: dict[str, Any], width: int | None = None) -> None:
    """Shows a run in a state: head, asks, rows."""
    page.evaluate("([state, width]) => begin(state, width)", [state, width])
    page.wait_for_selector(".pn-run .rv-title:not(:empty)")
    page.wait_for_timeout(120)


def ops(page: Page, *changes: list[Any], lose: bool = False) -> None:
    """One numbered delta from the kernel."""
    page.evaluate("([changes, lose]) => kernel.ops(changes, lose)", [list(changes), lose])


def sent(page: Page, verb: str) -> list[dict[str, Any]]:
    """The commands of one verb that the front end gave."""
    return page.evaluate("verb => kernel.did(verb)", verb)
