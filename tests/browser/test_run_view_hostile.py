"""Hostile text through every place of the live view: no script runs, nothing is requested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import run_view_tale as tale
from browser.run_view_page import Seen, browser, host_page
from playwright.sync_api import Browser, Page
from render.payloads import PAYLOADS, PWN, patch_with

pytestmark = pytest.mark.browser

MORE: dict[str, str] = {
    "svg-image": '<svg xmlns="http://www.w3.org/2000/svg"><image href="https://evil.example/i.png" onerror=' + PWN + "/></svg>",
    "svg-use": '<svg><use href="data:image/svg+xml;base64,PHN2ZyBpZD0ieCI+#x"/></svg>',
    "template-element": f"<template shadowrootmode=open><img src=x onerror={PWN}></template>",
    "custom-element": f"<x-y is=z onclick={PWN}></x-y><portal src=https://evil.example>",
    "srcset": '<img srcset="https://evil.example/a 1x"><picture><source srcset=https://evil.example/b></picture>',
    "css-import": "</style><style>@import url(https://evil.example/c.css)",
    "icon-name": "constructor", "proto": "__proto__", "tostring": "toString", "has-own": "hasOwnProperty",
    "selector": '"]{}*{background:url(https://evil.example/s)}', "class-names": "rv-stop sr hidden",
    "urls-split": "https://a.example/\u202egpj.exe https://a.example/\x00x http://[::1]/ https://user:pw@a.example/",
    "md-javascript-newline": f"[x](java\nscript:{PWN}) [y](<java\nscript:{PWN}>)",
    "md-javascript-percent": f"[x](%6aavascript:{PWN}) [y](javascript%3A{PWN})",
    "md-mailto": "[m](mailto:a@b.example?subject=x&body=<script>) [n](mailto:a@b.example)",
    "md-nested": "> " * 200 + "deep\n\n" + "- " * 200 + "deep",
    "md-table-link": f"| [a](javascript:{PWN}) |\n|:-|\n| ![b](https://evil.example/t.png) |",
    "md-ordered-start": "999999999. x\n\n0. y",
    "code-language": f"```__proto__\nx\n```\n\n```constructor\ny\n```\n\n```\"><script>{PWN}</script>\nz\n```",
    "code-html": f"```html\n<script>{PWN}</script>\n<img src=https://evil.example/h.png onerror={PWN}>\n```",
    "zalgo": "a" + "\u0301" * 3000, "rtl": "\u05d0\u05d1 <script>\u202e", "lone": "\ud800 \udfff x",
}  # fmt: skip
LARGE: dict[str, str] = {
    "redos": PAYLOADS["redos"] * 20, "md-nested": MORE["md-nested"] * 20, "sgr-long": "\x1b[" + "1;" * 5000 + "m x \x1b[38;5;9999999m y \x1b[38m z",
    "sgr-many": "\x1b[31mx\x1b[0m" * 9000,
    "cr-flood": "a\r" * 20_000 + "end",
    "huge-line": "A" * 150_000, "huge-words": "word " * 30_000, "many-lines": "x\n" * 40_000,
    "many-backticks": "`" * 5000 + "x" + "`" * 4999, "many-stars": "*a " * 8000, "many-brackets": "[a](b" * 8000,
}  # fmt: skip
ALL = PAYLOADS | MORE
GARBAGE: list[Any] = [
    None,
    True,
    -1,
    1e308,
    [],
    {},
    [[]],
    {"toString": "x"},
    [None, {"__proto__": {"polluted": 1}}],
]


def state_with(text: Any) -> dict[str, Any]:
    """A run with the value in every field of every row, question and head."""
    option = [
        {"id": text, "kind": kind, "name": text}
        for kind in ("allow_once", "allow_always", "reject_once", "reject_always", text)
    ]
    diff = {"path": text, "lines": [text, f"+{text}", f"-{text}", f" {text}", f"@@ -1 +1 @@ {text}", f"+{text}"],
            "added": 1, "removed": 1, "note": text}  # fmt: skip
    if isinstance(text, str):
        diffs = [
            diff,
            diff | {"path": f"{text}.py"},
            diff | {"lines": patch_with(text).split("\n"), "path": "x.html"},
        ]
    else:
        diffs = [diff, text]
    kinds = [
        "execute",
        "read",
        "edit",
        "delete",
        "move",
        "search",
        "fetch",
        "think",
        "switch_mode",
        "other",
        text,
    ]
    call: dict[str, Any] = {"word": text, "target": text, "full": text, "result": text, "tone": text, "open": True, "input": text,
                            "output": text, "output_lines": 3 if isinstance(text, str) else text, "keep": "end", "diffs": diffs, "group": text}  # fmt: skip
    pictures = [text, [text, text], [text, f"data:image/svg+xml;base64,{text}"]]
    rows: list[Any] = [
        {"k": "prompt", "turn": text, "label": text, "text": text, "pictures": pictures},
        {"k": "text", "text": text, "cut": 9},
        {"k": "text", "text": f"in the middle {text} of a line\n\n- {text}\n\n> {text}\n\n| {text} |\n|-|\n\n```{text}\n{text}"},
        {"k": "thought", "label": text, "text": text, "tokens": 3},
        {"k": "plan", "entries": [[text, text], ["completed", text], ["in_progress", text], text]},
        *(tale.call(kind, "", "") | call for kind in kinds[:2]),
        *(tale.call(kind, "", "") | call | {"diffs": []} for kind in kinds[2:]),
        tale.call("execute", "", "", running=True, started_us=0) | call,
        tale.call("read", "", "", failed=True) | call | {"tone": "bad"},
        {"k": "answered", "spans": [["", text], ["code", text], [text, text], text]},
        {"k": "note", "tone": text, "text": text, "hint": text}, {"k": "note", "tone": "bad", "text": text, "hint": text},
        {"k": text, "text": text}, text, {"k": "call"}, {"k": "text"}, {"k": "plan", "entries": text},
    ]  # fmt: skip
    names = [{"id": text, "name": text}, text, {"id": "a", "name": text}]
    head = {
        "run_id": text, "short": text, "title": text, "state": "running", "word": text, "shape": text, "agent": text, "model": text,
        "models": names, "effort": text, "efforts": names, "agent_mode": text, "agent_modes": names, "permission_mode": text,
        "permission_modes": ["ask", text], "branch": text, "base": text, "turn": 1, "turn_started_us": tale.NOW, "now_us": tale.NOW,
        "tokens": 5, "cost_usd": 1, "budget_usd": 1, "context": [1, 2], "diff": [1, 2, 3], "queued": [{"id": text, "text": text}],
        "can": tale.CAN | {"steer": text, "edit_input": text, "interrupt": text}, "attach": text,
        "notices": [{"tone": text, "text": text, "hint": text}],
    }  # fmt: skip
    asks = [
        {"id": f"q{n}", "question": text, "kind": text, "why": text, "asked_us": tale.NOW, "subject": text, "editable": n == 0,
         "diffs": diffs, "options": option, "row": text}
        for n in range(2)
    ]  # fmt: skip
    return {"head": head, "rows": rows, "asks": asks}


# Shows the state with all rows in the page, unfolds and touches everything, streams text in.
_TOUCH = """async ([state, text]) => {
  const wait = (ms) => new Promise(done => setTimeout(done, ms)), frame = () => new Promise(requestAnimationFrame);
  const base = Object.getOwnPropertyNames(Object.prototype).length;
  const protocols = new Set(), tags = new Set(), rows = new Set(), handlers = [];
  anew();
  kernel.whole = {output: text, input: text, full: text, text, diffs: state.rows[5]?.diffs ?? [], cut: true};
  kernel.files = state.rows[5]?.diffs ?? [];
  kernel.answers.default = {ok: false, said: text};
  document.head.append(Object.assign(document.createElement('style'), {textContent: '.pn .rv-scroll{max-height:none!important}'}));
  begin(state);
  await wait(20);
  // Rows come in as a frame has time for them: until a while nothing more has come.
  for (let still = 0, last = -1, frames = 0; last <= 20 && still < 30 && frames < 2000; frames++) {
    await frame();
    const now = document.querySelectorAll('#out [data-row]').length;
    still = now === last ? still + 1 : 0;
    last = now;
  }
  const touch = () => {
    for (const e of document.querySelectorAll('#out *')) {
      tags.add(e.tagName.toLowerCase());
      if (e.dataset.row) rows.add(e.dataset.row);
      if (e.tagName === 'A') protocols.add(e.protocol);
      for (const a of e.attributes) if (/^on|^srcdoc|^src$|^formaction/i.test(a.name)) handlers.push(a.name);
      for (const kind of ['mouseover', 'focus', 'pointerdown', 'load', 'error']) e.dispatchEvent(new Event(kind, {bubbles: true}));
      if (e.tagName === 'DETAILS') e.open = true;
      if (e.tagName === 'BUTTON' && !e.disabled && e.checkVisibility()) e.click();
    }
  };
  touch();
  await wait(20);
  await frame();
  touch();
  kernel.ops([['t', 1, text], ['o', 5, text], ['m', 6, {result: text, output: text}], ['h', {word: text, title: text}]]);
  kernel.ops([['a', [], {q0: text, q1: text}]]);
  await frame(); await frame();
  touch();
  kernel.ops([['h', {state: 'error', shape: 'failed'}]]);
  await frame(); await frame();
  touch();
  const polluted = Object.getOwnPropertyNames(Object.prototype).length !== base || ({}).polluted !== undefined;
  return {protocols: [...protocols], tags: [...tags], handlers, polluted, pwned: window.__pwned !== undefined, url: location.href, rows: rows.size};
}"""
TAGS = set(
    "div article header section footer span b i s p ul ol li blockquote hr table thead tbody tr th td pre code em strong a br"
    " button select option textarea input form details summary svg path kbd".split()
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def judge(page: Page, seen: Seen, told: dict[str, Any], name: str) -> None:
    assert not told["pwned"], name
    assert not told["polluted"], name
    assert seen == [], name
    assert set(told["protocols"]) <= {"http:", "https:", "mailto:"}, name
    assert told["handlers"] == [], name
    assert set(told["tags"]) <= TAGS, (name, set(told["tags"]) - TAGS)
    assert told["url"] == "http://host.test/", name
    assert told["rows"] > 20, (name, told["rows"])  # nearly all of them, of every kind


def test_the_canary_sings(chromium: Browser) -> None:
    """The same page with a payload as it is: the script runs and the request is seen."""
    page, seen = host_page(chromium)
    page.evaluate(
        "html => { document.querySelector('#out').innerHTML = html }",
        PAYLOADS["img-onerror"] + '<img src="https://evil.example/p.png">',
    )
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.__pwned === 1")
    assert any("evil.example" in one for one in seen)
    page.context.close()


@pytest.mark.parametrize("share", range(8))
def test_no_script_runs_and_nothing_is_requested(chromium: Browser, share: int) -> None:
    page, seen = host_page(chromium, height=8000)
    for name in list(ALL)[share::8]:
        text = ALL[name].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        told = page.evaluate(_TOUCH, [state_with(text), text])
        judge(page, seen, told, name)
    page.context.close()


def test_values_of_a_wrong_type_break_nothing(chromium: Browser) -> None:
    page, seen = host_page(chromium, height=8000)
    for value in GARBAGE:
        told = page.evaluate(_TOUCH, [state_with(value), "x"])
        page.wait_for_timeout(200)  # what is drawn late counts, too
        judge(page, seen, told, repr(value))
    page.context.close()


def test_keys_that_would_pollute_are_passed_over(chromium: Browser) -> None:
    page, seen = host_page(chromium)
    page.evaluate(
        """() => {
          begin({head: JSON.parse('{"title":"t","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
                 rows: [JSON.parse('{"k":"call","__proto__":{"polluted":1}}'), {k: 'text', text: 'a'}]});
          const raw = (ops) => kernel.say({k: 'delta', epoch: 'e1', n: ++kernel.n, ops});
          raw([['h', JSON.parse('{"__proto__":{"polluted":1}}')], ['m', 0, JSON.parse('{"__proto__":{"polluted":1},"word":"Use"}')],
                      ['r', '__proto__', {}], ['t', 'constructor', 'x'], ['o', '__proto__', 'x'], ['?', 1], null, 7]);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("() => ({}).polluted === undefined && [].polluted === undefined")
    assert seen == []
    page.context.close()


def test_a_terminal_escape_cannot_leave_its_row_and_hidden_text_is_seen(chromium: Browser) -> None:
    page, seen = host_page(chromium)
    text = "a\x1b]8;;javascript:x\x1b\\b\x1b[2J\u202ec\u200bd"
    page.evaluate(
        "text => begin({head: {title: text}, rows: [{k: 'text', text}, {k: 'call', kind: 'execute', word: 'Run', target: text, open: true, output: text}]})",
        text,
    )
    page.wait_for_timeout(200)
    for selector in (".rv-title", ".md", ".tgt", ".term"):
        assert page.locator(selector).first.text_content() == "ab[U+202E]cd"
    assert seen == []
    page.context.close()


def test_large_and_tangled_text_does_not_hold_the_page_up(chromium: Browser) -> None:
    """Shown in seconds, not minutes, on a slow machine."""
    page, seen = host_page(chromium)
    for name, text in LARGE.items():
        took = page.evaluate(
            """async (text) => {
              anew();
              const start = performance.now(), diffs = [{path: 'a.py', lines: text.split('\\n').map(l => '+' + l)}];
              const asks = [{id: 'a', question: text, subject: text, editable: true, options: [], diffs}];
              begin({head: {state: 'running', title: text}, asks, rows: [{k: 'prompt', text}, {k: 'text', text}, {k: 'call', kind: 'execute', open: true, output: text, diffs}]});
              await new Promise(done => setTimeout(done, 50));
              await new Promise(requestAnimationFrame);
              await new Promise(requestAnimationFrame);
              return performance.now() - start;
            }""",
            text,
        )
        assert took < 10_000, (name, took)
        assert seen == [], name
        assert page.locator(".u").count() > 0
    page.context.close()
