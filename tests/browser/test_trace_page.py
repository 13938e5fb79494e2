"""The live trace's front end on a page, with rows and details as the kernel makes them: what it
shows of ten thousand spans, finds, opens, and bears."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.lab import FLAGS, chromium
from playwright.sync_api import Page, Route, sync_playwright
from render.payloads import PAYLOADS

from paseo_nb.model import Usage
from paseo_nb.tracing.spans import Span
from paseo_nb.widgets.trace import rows

pytestmark = pytest.mark.browser
WIDGETS = Path(__file__).parents[2] / "paseo_nb" / "widgets"
S = 1_000_000
_PAGE = """<!doctype html><html data-theme="THEME"><head><meta charset="utf-8">
<link rel="stylesheet" href="host.css"><link rel="stylesheet" href="trace.css"></head><body>
<div class="jp-OutputArea"><div id="out"></div>
<div class="jp-OutputArea-child"><div data-paseo-beside="x">static</div></div></div>
<script type="module">
import view from "./trace.js";
const hear = new Set();
window.sent = [];
window.model = {
  on: (name, one) => hear.add(one), off: (name, one) => hear.delete(one), send: (m) => sent.push(m),
};
window.say = (m) => { for (const one of [...hear]) one(m); };
window.end = view.render({model, el: document.getElementById("out")});
window.ready = true;
</script></body></html>"""


class Kernel:
    """What the widget's Python half does, without a comm: its own functions answer."""

    def __init__(self, page: Page, root: Span, at_us: int, live: bool) -> None:
        self.page, self.root, self.at_us, self.live = page, root, at_us, live
        self.n = 0
        self.told: dict[str, Any] = {}

    def hear(self, kind: str) -> None:
        """Answer what the page asks next of that kind."""
        self.page.wait_for_function("(kind) => sent.some((m) => m.k === kind)", arg=kind)
        sent = self.page.evaluate("sent.splice(0)")
        message = next(one for one in sent if one["k"] == kind)
        if kind == "open":
            self.say(rows.detail_of(self.root, message["i"]))
        elif kind == "find":
            ids = rows.found_in(self.root, message["text"])
            self.say({"k": "found", "text": message["text"], "ids": ids})

    def say(self, message: Any) -> None:
        self.page.evaluate("(text) => say(JSON.parse(text))", json.dumps(message))

    def tell(self, *, lose: bool = False) -> None:
        now = rows.rows_of(self.root, self.at_us)
        news = [row for ident, row in now.items() if self.told.get(ident) != row]
        whole, self.told = not self.told, now
        self.n += 2 if lose else 1
        head = rows.head_of(self.root, self.at_us, self.live)
        self.say({"k": "trace", "n": self.n, "whole": whole, "rows": news, "head": head})


def span(
    parent: Span | None, kind: str, name: str, at: float, took: float | None, **more: Any
) -> Span:
    """A span at so many seconds; `took` None: it goes on."""
    made = Span(
        span_id=f"r.{more.pop('id', name)}", run_id="r", kind=kind, name=name, agent="claude/opus",
        started_us=round(at * S), finished_us=None if took is None else round((at + took) * S),
        outcome=None if took is None else "completed", turn=1, **more,
    )  # fmt: skip
    if parent is not None:
        made.parent_id, made.depth = parent.span_id, parent.depth + 1
        parent.children.append(made)
    return made


def session(tools: int, hostile: str = "print(1)") -> tuple[Span, Span]:
    """A run with a turn of so many tool calls; every hundredth of them fails. Its turn, too."""
    usage = Usage(
        input_tokens=228_000, output_tokens=4_000, cache_read_tokens=190_000, cost_usd=0.44
    )
    root = span(None, "run", "fix-offset", 0, 104, usage=usage)
    turn = span(root, "turn", "Turn 1", 0, 104, detail="Mend the offsets", usage=usage)
    for n in range(max(tools // 9, 1)):
        at = n * 100 / max(tools // 9, 1)
        call = span(
            turn, "model_call", f"Model call {n + 1}", at, 60 / max(tools // 9, 1),
            usage=Usage(input_tokens=21_000 + n, output_tokens=400), first_token_us=round((at + 0.4) * S),
        )  # fmt: skip
        for m in range(9):
            number = n * 9 + m
            bad = number % 100 == 7
            made = span(
                turn, "tool_call", f"Run pytest -q tests/test_{number}.py", at + 65 / max(tools // 9, 1), 20 / max(tools // 9, 1),
                tool_kind=("execute", "read", "edit", "search")[number % 4], tool_name="Bash", parallel=m > 6,
                tool_call_id=f"t{number}", asked_by=call.span_id, call_output_tokens=40, result_tokens=300,
                tokens_source="estimated" if bad else "reported", input={"command": hostile},
                output=f"output of number {number}\n{hostile}",
            )  # fmt: skip
            if bad:
                made.outcome, made.error, made.error_class = "failed", "exit 1", "test_failure"
    wait = span(turn, "permission", "Waiting for permission", 90, 10)
    wait.outcome = "allowed"
    return root, turn


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chrome: Any) -> Iterator[Any]:
    """Makes pages that may reach nothing but their own files."""
    seen: list[str] = []
    made: list[Page] = []

    def open_page(root: Span, at: float = 104, live: bool = False, dark: bool = False) -> Kernel:
        one = chrome.new_context(viewport={"width": 1060, "height": 1000}).new_page()
        made.append(one)
        files = {
            "trace.js": ((WIDGETS / "trace/trace.js").read_text(), "text/javascript"),
            "trace.css": (
                (WIDGETS / "tokens.css").read_text() + (WIDGETS / "trace/trace.css").read_text(),
                "text/css",
            ),
            "host.css": ((Path(__file__).parent / "host/host.css").read_text(), "text/css"),
        }

        def serve(route: Route) -> None:
            name = route.request.url.removeprefix("http://host.test/")
            if name == "":
                body = _PAGE.replace("THEME", "dark" if dark else "light")
                route.fulfill(body=body, content_type="text/html")
            elif name in files:
                route.fulfill(body=files[name][0], content_type=files[name][1])
            else:
                if not name.endswith("favicon.ico"):
                    seen.append(f"request {route.request.url}")
                route.abort()

        one.route("**/*", serve)
        one.on("dialog", lambda dialog: (seen.append("dialog"), dialog.dismiss()))
        one.on("pageerror", lambda error: seen.append(f"error {error}"))
        kernel = Kernel(one, root, round(at * S), live)
        one.goto("http://host.test/")
        one.wait_for_function("window.ready")
        kernel.tell()
        one.wait_for_selector(".sp[data-i]")
        return kernel

    yield open_page
    for one in made:
        one.context.close()
    assert seen == []


def test_ten_thousand_spans(page: Any) -> None:
    root, turn = session(9_000)
    turn.children[-2].tool_name = "Grep"
    kernel = page(root)
    view = kernel.page
    assert "10,003 spans" in view.inner_text(".th1")
    assert "83% cached" in view.inner_text(".sp[data-i='r.Turn 1']")
    assert "to first token" in view.inner_text(".sp[data-i='r.Model call 1']")
    view.wait_for_function("document.querySelector('.tree').offsetHeight > 200000")
    assert view.locator(".sp[data-i]").count() < 80, "only what is in sight is drawn"
    view.evaluate("document.querySelector('.sc').scrollTop = 120000")
    view.wait_for_function(
        "[...document.querySelectorAll('.sp[data-i]')].some((x) => parseInt(x.style.top) > 120000)"
    )
    assert view.locator(".sp[data-i]").count() < 80
    assert not view.locator("[data-paseo-beside]").is_visible()
    bar = ".fb, .fb .chs, .fb .find .field"
    sizes = f"[...document.querySelectorAll('{bar}')].map((x) => [x.offsetWidth, x.offsetHeight])"
    alone = view.evaluate(sizes)
    view.add_style_tag(path=WIDGETS / "dashboard/dashboard.css")
    assert view.evaluate(sizes) == alone, "a dashboard on the same page changes nothing of it"
    view.click(".chip:has-text('Errors')")
    assert view.inner_text(".chip[aria-pressed=true]").split() == ["Errors", "90"]
    assert view.locator(".sp[data-i]").count() < 80
    view.click(".chip:has-text('All')")
    view.select_option(".tools", "Grep")
    view.wait_for_function("document.querySelectorAll('.sp[data-i]').length === 3")
    assert view.inner_text(".tools option:checked") == "Grep 1"
    view.select_option(".tools", "")
    view.click(".chip:has-text('Errors')")
    view.fill(".find input", "of number 107\n")
    kernel.hear("find")
    view.wait_for_function("document.querySelectorAll('.sp[data-i]').length === 3")
    view.click("text=tests/test_107.py")
    kernel.hear("open")
    view.wait_for_selector(".det:not([hidden])")
    assert "exit 1" in view.inner_text(".det header")
    assert "~300 (estimated)" in view.inner_text(".det .kv")
    assert "output of number 107" in view.inner_text(".det .term")
    view.click(".det [role=tab]:has-text('Input')")
    assert "print(1)" in view.inner_text(".det .term")
    view.keyboard.press("Escape")


def test_it_grows_while_the_run_is_at_work(page: Any) -> None:
    root, turn = session(9)
    for one in (root, turn):
        one.finished_us, one.outcome = None, None
    kernel = page(root, at=110, live=True)
    view = kernel.page
    before = view.locator(".sp[data-i]").count()
    span(turn, "tool_call", "Read README.md", 106, None, tool_kind="read")
    kernel.tell()
    view.wait_for_selector("text=Read README.md")
    assert view.locator(".sp[data-i]").count() == before + 1
    assert "goes on" in view.inner_text(".sp[data-i='r.Read README.md']")
    view.evaluate("sent.splice(0)")
    kernel.tell(lose=True)
    view.wait_for_function("sent.some((m) => m.k === 'hello')")  # what was lost comes anew


def test_hostile_text_is_text(page: Any) -> None:
    text = " ".join(map(str, PAYLOADS.values()))
    root, turn = session(27, text)
    for one, payload in zip(turn.children, map(str, PAYLOADS.values()), strict=False):
        one.name = one.detail = payload or "x"
    turn.children[2].name = root.name = text
    turn.children[2].error, turn.children[2].error_class = text, text
    kernel = page(root)
    view = kernel.page
    view.click(".sp[data-i='r.Run pytest -q tests/test_1.py'] .lb")
    kernel.hear("open")
    view.wait_for_selector(".det:not([hidden])")
    assert view.locator("#out script, #out img, #out iframe, #out a[href]").count() == 0


def test_pictures(page: Any) -> None:
    """Kept where PICTURES names a folder."""
    folder = os.environ.get("PICTURES")
    for dark in (False, True):
        kernel = page(session(18)[0], dark=dark)
        view = kernel.page
        view.click("text=tests/test_7.py")
        kernel.hear("open")
        view.wait_for_selector(".det:not([hidden])")
        assert view.locator(".grid u").count() >= 2
        if folder:
            view.screenshot(
                path=f"{folder}/trace-{'dark' if dark else 'light'}.png", full_page=True
            )
