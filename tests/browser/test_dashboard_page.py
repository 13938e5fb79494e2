"""The dashboard's front end on a page with a scripted kernel: what it shows, asks for, and bears."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.lab import FLAGS, chromium
from browser.node import run
from playwright.sync_api import Page, Route, sync_playwright
from render.payloads import PAYLOADS

pytestmark = pytest.mark.browser
WIDGETS = Path(__file__).parents[2] / "paseo_nb" / "widgets"
HERE = WIDGETS / "dashboard"
_PAGE = """<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="dashboard.css">
</head><body><div class="jp-OutputArea"><div id="out"></div>
<div class="jp-OutputArea-child"><div data-paseo-beside="dashboard">static</div></div></div>
<script type="module">
import make from "./dashboard.js";
const view = make();
const hear = new Set();
window.sent = []; window.answers = {};
window.model = {
  on: (name, one) => hear.add(one), off: (name, one) => hear.delete(one),
  send: (m) => { sent.push(m); if (m.k === "do") setTimeout(() => say({k: "done", id: m.id, ok: true, said: "", ...answers[m.verb]}), 5); },
};
window.say = (m) => { for (const one of [...hear]) one(structuredClone(m)); };
view.initialize({model});
window.end = view.render({model, el: document.getElementById("out")});
window.ready = true;
</script></body></html>"""


@pytest.fixture
def seen() -> list[str]:
    """What a page did that it should not."""
    return []


@pytest.fixture
def page(seen: list[str]) -> Iterator[Page]:
    """The dashboard on a page that may reach nothing but its own files."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        made = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()

        def serve(route: Route) -> None:
            name = route.request.url.removeprefix("http://host.test/")
            if name == "":
                route.fulfill(body=_PAGE, content_type="text/html")
            elif name in ("dashboard.js", "dashboard.css"):
                kind = "text/javascript" if name.endswith("js") else "text/css"
                route.fulfill(body=(HERE / name).read_text(), content_type=kind)
            else:
                if not name.endswith("favicon.ico"):
                    seen.append(f"request {route.request.url}")
                route.abort()

        made.route("**/*", serve)
        made.on("dialog", lambda dialog: (seen.append("dialog"), dialog.dismiss()))
        made.on("pageerror", lambda error: seen.append(f"error {error}"))
        made.on("popup", lambda _: seen.append("popup"))
        made.goto("http://host.test/")
        made.wait_for_function("window.ready")
        yield made
        browser.close()
    assert seen == []


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"01{number:024}", "short": f"01{number:08}", "state": "idle", "busy": False,
        "group": "done", "shape": "done", "word": "Done", "title": f"job {number}", "note": "fine",
        "tone": "", "agent": "demo/echo", "branch": "main", "worktree": False, "diff": None,
        "started_us": None, "took_s": 61.0, "tokens": 5, "cost_usd": 0.25, "can": [],
        "background": False, "preview": "", **more,
    }  # fmt: skip


def ask(run_id: str, /, **more: Any) -> dict[str, Any]:
    kinds = (("a", "allow_once"), ("b", "allow_always"), ("c", "reject_once"))
    return {
        "id": f"{run_id}:p7", "run": run_id, "question": "Run this command?", "kind": "execute",
        "why": "", "about": "job, demo/asker.", "asked_us": 0, "subject": "pip install x",
        "editable": True, "diffs": [], "row": 0,
        "options": [{"id": i, "kind": kind, "name": kind} for i, kind in kinds], **more,
    }  # fmt: skip


def board(page: Page, n: int, lines: list[Any], whole: bool = True, **more: Any) -> None:
    counts = dict.fromkeys(("waiting", "running", "review"), 1)
    message = {
        "k": "board", "n": n, "whole": whole, "lines": lines, "now_us": 60_000_000, "asks": [],
        "order": [one["id"] for one in lines],
        "head": {"project": "tidelog", "counts": counts, "runs": len(lines), "cost_usd": 1.5, "today_usd": 0.5},
        **more,
    }  # fmt: skip
    page.evaluate("m => say(m)", {k: v for k, v in message.items() if v is not ...})
    page.wait_for_timeout(60)


def did(page: Page, verb: str) -> list[dict[str, Any]]:
    return [m for m in page.evaluate("sent") if m.get("verb") == verb]


def titles(page: Page) -> list[str]:
    return page.locator(".dsh li.dr:visible .ti").all_inner_texts()


def test_rows_questions_and_what_is_asked_of_the_kernel(page: Page) -> None:
    assert page.evaluate("sent[0].k") == "hello"
    assert page.locator("[data-paseo-beside]").is_hidden()
    waits = line(1, group="waiting", shape="waiting", state="waiting", busy=True, started_us=0)
    works = line(2, group="running", shape="running", state="running", busy=True, can=["cancel"])
    review = line(3, group="review", diff=[2, 7, 1], worktree=True)
    lost = line(4, group="interrupted", shape="interrupted", state="interrupted", can=["resume"])
    board(page, 1, [line(5), lost, review, works, waits], asks=[ask(waits["id"])])
    assert titles(page) == ["job 1", "job 2", "job 3", "job 5", "job 4"], "what needs you is first"
    assert page.locator(".ibx h3").inner_text().split() == ["Waiting", "for", "you", "1"]
    assert page.locator(".cst").inner_text().split() == ["Today", "$0.50", "$1.50", "in", "all"]
    assert "+7" in page.locator(".dsh li.dr", has_text="job 3").inner_text()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopping…").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Dismiss").click()
    page.locator(".ask textarea").fill("pip install y")
    page.get_by_role("button", name="Allow once").click()
    page.wait_for_timeout(100)
    assert [m["run"] for m in did(page, "cancel")] == [works["id"]]
    assert [m["run"] for m in did(page, "resume")] == [lost["id"]]
    assert [m["run"] for m in did(page, "archive")] == [review["id"]]
    [given] = did(page, "allow")
    assert (given["run"], given["permission"], given["option"]) == (waits["id"], "p7", "a")
    assert given["input"] == "pip install y"


def test_a_missing_message_is_noticed_and_rows_change_in_place(page: Page) -> None:
    one = line(1)
    board(page, 1, [one])
    row = page.locator(".dsh li.dr .ti").element_handle()
    board(page, 2, [{**one, "title": "renamed"}], whole=False, order=..., head=..., asks=...)
    assert titles(page) == ["renamed"]
    assert row is not None
    assert row.evaluate("e => e.isConnected"), "the same element"
    page.evaluate("sent.length = 0")
    board(page, 4, [{**one, "title": "too far"}], whole=False)
    assert [m["k"] for m in page.evaluate("sent")] == ["hello"]
    assert titles(page) == ["renamed"]
    board(page, 5, [{**one, "title": "all anew"}])
    assert titles(page) == ["all anew"]


def test_rows_stay_while_the_list_is_read_and_new_ones_wait(page: Page) -> None:
    old = [line(1), line(2)]
    board(page, 1, old)
    page.locator(".dsh li.dr").first.hover()
    board(page, 2, [line(3)], whole=False, order=[line(3)["id"], *(one["id"] for one in old)])
    assert titles(page) == ["job 1", "job 2"]
    page.get_by_role("button", name="1 new run").click()
    assert titles(page) == ["job 3", "job 1", "job 2"]


def test_the_keyboard_alone_and_the_filter(page: Page) -> None:
    waits = line(2, group="waiting", shape="waiting", state="waiting", busy=True)
    board(page, 1, [line(1), waits, line(3, title="needle")], asks=[ask(waits["id"])])
    page.locator(".dsh li.dr").first.focus()
    page.keyboard.press("1")
    assert page.evaluate("document.activeElement.className") == "ask", "1 2 3 go to its question"
    page.keyboard.press("3")
    page.keyboard.type("no")
    page.keyboard.press("Enter")
    page.wait_for_timeout(60)
    assert did(page, "deny")[0]["reason"] == "no"
    page.locator(".dsh li.dr").first.focus()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_text("cannot be shown here").wait_for()
    assert did(page, "open")[0]["run"] == line(1)["id"]
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("needle")
    assert titles(page) == ["needle"]
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.locator(".chip", has_text="Waiting for you").click()
    assert titles(page) == ["job 2"]


def test_what_runs_in_the_background_and_what_came_of_it(page: Page) -> None:
    told = "It was the colon.\n\n- `+0530` works now"
    lines = [line(1, background=True, preview=told), line(2), line(3, background=True, busy=True)]
    head = {"project": "tidelog", "counts": {"done": 3}, "background": 2, "runs": 3}
    board(page, 1, lines, head=head)
    assert page.locator(".pv:visible").count() == 0
    chip = page.locator(".chip", has_text="In the background")
    assert chip.inner_text().split()[-1] == "2"
    chip.click()
    assert titles(page) == ["job 1", "job 3"]
    assert page.locator(".pv:visible").all_inner_texts() == [told]
    chip.click()
    assert len(titles(page)) == 3
    assert page.locator(".pv:visible").count() == 0


def test_the_pages_title_tells_how_many_wait(page: Page) -> None:
    page.evaluate("document.title = 'job.ipynb'")
    waits = line(1, group="waiting", shape="waiting", state="waiting", busy=True)
    board(page, 1, [waits], asks=[ask(waits["id"]), ask(waits["id"], id="other")])
    assert page.title() == "(2 waiting) job.ipynb"
    page.evaluate("document.title = 'other.ipynb'")  # as JupyterLab does
    page.wait_for_function("document.title === '(2 waiting) other.ipynb'")
    board(page, 2, [], whole=False, asks=[ask(waits["id"])], order=..., head=...)
    assert page.title() == "(1 waiting) other.ipynb"
    page.evaluate("window.end()")
    assert page.title() == "other.ipynb"


def test_500_runs_are_scrolled_and_filtered_without_a_wait(page: Page) -> None:
    board(page, 1, [line(n) for n in range(500)])
    assert page.locator(".dsh li.dr").count() == 12
    took = page.evaluate(
        """async () => {
          const began = performance.now(), frame = () => new Promise(requestAnimationFrame);
          const old = [...document.querySelectorAll('.rv-foot button')].at(-1);
          for (let i = 0; i < 13; i++) { old.click(); await frame(); }
          const find = document.querySelector('.find input');
          for (const text of ['j', 'jo', 'job 4', 'job 49', 'job 499', '']) {
            find.value = text; find.dispatchEvent(new Event('input')); await frame();
          }
          return performance.now() - began;
        }"""
    )
    assert page.locator(".dsh li.dr").count() == 500
    begun = page.evaluate("performance.now()")
    changed = [line(n, title=f"renamed {n}") for n in range(0, 500, 50)]
    board(page, 2, changed, whole=False, order=..., head=..., asks=...)
    assert "renamed 450" in titles(page)
    assert page.evaluate("performance.now()") - begun < 3000 * 5
    assert took < 3000 * 5  # 19 changes of the whole list


def test_nobody_who_looks_is_nobody_told_of(page: Page) -> None:
    board(page, 1, [line(1)])
    page.evaluate(
        "() => { const now = Date.now; Date.now = () => now() + 60_000; sent.length = 0 }"
    )
    page.wait_for_function("sent.some(m => m.k === 'here')", timeout=30_000)
    page.wait_for_timeout(1200)
    assert page.locator("[data-paseo-beside]").is_hidden(), (
        "a minute in which nobody asked is no silence"
    )
    page.evaluate("() => { document.body.style.paddingTop = '9000px'; window.scrollTo(0, 0); }")
    page.wait_for_timeout(300)
    page.evaluate("sent.length = 0")
    page.wait_for_timeout(9500)
    assert page.evaluate("sent") == []


def test_hostile_text_anywhere_is_text(page: Page, seen: list[str]) -> None:
    texts = [*PAYLOADS.values(), "__proto__", "constructor", "x" * 50_000]
    for n, text in enumerate(texts, 1):
        text = text.encode("utf-8", "replace").decode()
        lines = [
            {key: text if isinstance(value, str) else value for key, value in line(1).items()},
            line(2, **dict.fromkeys(("title", "note", "agent", "branch", "word"), text)),
            line(
                3, title=[text], note={text: text}, diff=text, can=text, took_s=text, cost_usd=text
            ),
            line(4, group=text, shape=text, tone=text, state=text, diff=[text, text, text]),
        ]
        files = [
            {
                "path": text,
                "lines": ["@@ -1 +1 @@", "-" + text, "+" + text],
                "added": 1,
                "removed": 1,
                "note": text,
            }
        ]
        option = {"id": text, "kind": text, "name": text}
        asks = [
            ask(
                line(2)["id"],
                question=text,
                why=text,
                about=text,
                subject=text,
                diffs=files,
                options=[option] * 2,
            ),
            ask(
                line(3)["id"],
                id=text,
                run=text,
                kind=text,
                subject=text,
                editable=False,
                options=text,
            ),
            text,
        ]
        head = {
            "project": text,
            "counts": {text: text, "done": text},
            "runs": text,
            "cost_usd": text,
        }
        board(page, n, lines, asks=asks, head=head)
        page.evaluate(
            """() => { for (const e of document.body.querySelectorAll('*'))
              for (const kind of ['mouseover', 'focus', 'pointerdown', 'toggle', 'load', 'error'])
                e.dispatchEvent(new Event(kind, {bubbles: true})); }"""
        )
        tags = set(
            page.evaluate(
                "[...document.querySelectorAll('.dsh *')].map(e => e.tagName.toLowerCase())"
            )
        )
        assert not tags & {
            "script",
            "img",
            "a",
            "iframe",
            "style",
            "object",
            "form",
            "base",
            "link",
        }
        assert page.evaluate("window.__pwned === undefined && ({}).polluted === undefined")
        assert seen == [], text
    assert page.locator(".dsh li.dr").count() >= 3


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    for name in ("dashboard", "run_view"):
        shutil.copytree(WIDGETS / name, tmp_path / name, ignore=ignored)
    shutil.copy(WIDGETS / "tokens.css", tmp_path)
    run(tmp_path / "run_view", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    run(tmp_path / "dashboard", "node", "build.mjs")
    for name in ("dashboard.js", "dashboard.css"):
        made = (tmp_path / "dashboard" / name).read_bytes()
        assert made == (HERE / name).read_bytes(), (
            f"{name} is out of date: npm ci in {WIDGETS}/run_view, then node build.mjs in {HERE}"
        )
        assert len(made) < 200_000
