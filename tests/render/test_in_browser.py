"""Every payload in a real browser: no script runs, nothing is requested."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from .browser import CHROMIUM, FLAGS
from .payloads import PAYLOADS
from .test_hostile import _parser, bundles_of

pytestmark = pytest.mark.browser
_TOUCH = """() => {
  for (const e of document.body.querySelectorAll('*')) {
    for (const kind of ['mouseover', 'focus', 'pointerdown', 'toggle', 'load', 'error'])
      e.dispatchEvent(new Event(kind, {bubbles: true}));
    if (e.tagName !== 'A') e.click();
  }
  return [...document.links].map(a => a.protocol);
}"""


@pytest.fixture(scope="module")
def seen() -> list[str]:
    return []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, seen: list[str]) -> Iterator[Page]:
    """A page that may reach nothing. No Chromium: an error, never a skip."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=FLAGS
        )
        context.route(re.compile(".*"), lambda route: route.abort())
        page = context.pages[0]
        context.on("request", lambda request: seen.append(request.url))
        page.on("dialog", lambda dialog: (seen.append("dialog"), dialog.dismiss()))
        yield page
        context.close()


def pwned(page: Page) -> bool:
    page.wait_for_timeout(50)
    return bool(page.evaluate("() => window.__pwned !== undefined"))


def test_the_canary_sings(page: Page, seen: list[str]) -> None:
    """The same page with a payload as it is: the script runs and the request is seen."""
    page.set_content(PAYLOADS["img-onerror"] + '<img src="https://evil.example/p.png">')
    assert pwned(page)
    assert any("evil.example" in url for url in seen)


def test_no_script_runs_and_nothing_is_requested(page: Page, seen: list[str]) -> None:
    for name, payload in PAYLOADS.items():
        parts: list[str] = []
        for found in bundles_of(payload):
            parts += [found["text/html"], _parser.render(found["text/markdown"])]
        page.goto("about:blank")
        seen.clear()
        page.set_content("<!doctype html><meta charset=utf-8><body>" + "\n".join(parts))
        protocols = page.evaluate(_TOUCH)
        assert not pwned(page), name
        assert seen == [], name
        assert set(protocols) <= {"http:", "https:"}, name
        assert page.url == "about:blank", name
