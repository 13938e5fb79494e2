"""A match's front end on a page, of contestants whose every word is hostile: no script runs, nothing
is requested; and nobody can vote for one that did not end well, not by key either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser.lab import FLAGS, chromium
from kit import Project, git
from minds import Minds
from playwright.sync_api import Route, sync_playwright
from render.payloads import PAYLOADS

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from paseo_nb.widgets.arena.live import ArenaWidget
from paseo_nb.widgets.arena.page import Shown, page

pytestmark = pytest.mark.browser
HOST = """<!doctype html><html><body><div id="out"></div><script type="module">
VIEW
const hear = new Map();
window.sent = [];
window.html = PAGE;
window.model = {
  get: () => window.html, on: (name, one) => hear.set(name, one), off: () => {},
  send: (m) => sent.push(m),
};
window.put = (html) => { window.html = html; hear.get("change:page")(); };
window.say = (m) => hear.get("msg:custom")(m);
arena.render({model, el: document.getElementById("out")});
</script></body></html>"""
MINDS = """
HOSTILE = json.load(open({file!r}))

def evil(prompt, turn, folder):
    (folder / "all.html").write_text(chr(10).join(HOSTILE))
    for at, text in enumerate(HOSTILE):
        name = text.replace("/", "_").replace(chr(0), "")[:60]
        (folder / (str(at) + name)).write_text(text)
    return chr(10).join(HOSTILE)

def broken(prompt, turn, folder):
    raise ValueError(chr(10).join(HOSTILE))
"""


def test_hostile_contestants_are_text_and_a_failed_one_gets_no_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(repo)
    git(repo, "config", "user.name", "Test")
    git(repo, "config", "user.email", "test@localhost")
    small = [text for text in PAYLOADS.values() if len(text) < 2000]
    hostile = [text.encode("utf-8", "replace").decode() for text in small]
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(hostile))
    Minds(tmp_path).has(MINDS.format(file=str(file)))
    try:
        match = paseo.arena(hostile[0], ["evil", "broken"], tests="cat all.html; false").wait()
        blind = paseo.arena("\n".join(hostile), ["broken", "evil"], seed=1).wait()
        pages = [page(Shown(blind), live=True), page(Shown(match), live=True)]
        widget = ArenaWidget(match, lambda: None)
        widget._do("compare AB")
        pages += [page(Shown(match), live=True, told=widget.told), page(Shown(match))]
    finally:
        project = Project(repo)
        project.runs = [run_id for run_id in project.host.list() if project.alive(run_id)]
        project.close()
    assert all("__pwned" in one for one in pages)
    bad = next(seat for seat, name in blind.header.seats.items() if name == "broken")
    good = next(seat for seat in blind.seats if seat != bad)
    view = str(ArenaWidget._esm).replace("export default", "const arena =")
    first = json.dumps(pages[0]).replace("</", "<\\/")
    seen: list[str] = []

    def refuse(route: Route) -> None:
        seen.append(route.request.url)
        route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        shown = browser.new_page()
        shown.on("dialog", lambda dialog: seen.append(dialog.message))
        shown.on("pageerror", lambda error: seen.append(str(error)))
        shown.route("**/*", refuse)
        shown.set_content(HOST.replace("VIEW", view).replace("PAGE", first))
        shown.wait_for_selector("[data-vote]")
        assert shown.locator(f"[data-vote={bad}]").is_disabled()
        shown.focus(".paseo-match")
        shown.keyboard.press(str(blind.seats.index(bad) + 1))
        shown.keyboard.press("Enter")
        assert shown.evaluate("sent") == []
        shown.keyboard.press(str(blind.seats.index(good) + 1))
        shown.keyboard.press("Enter")
        assert shown.evaluate("sent") == [{"k": f"vote {good}", "why": ""}]
        shown.evaluate("text => say({k: 'refused', said: text})", "".join(hostile))
        for one in pages[1:]:
            shown.evaluate("html => put(html)", one)
            shown.evaluate(
                "for (const one of document.querySelectorAll('details')) one.open = true"
            )
            for name in shown.locator("[data-tab]").all():
                name.click()
        assert shown.evaluate("window.__pwned") is None
        names = {"script", "iframe", "img", "object", "embed", "form", "link", "base", "meta"}
        held = shown.evaluate("[...document.querySelectorAll('#out *')].map((e) => e.localName)")
        assert not names & set(held)
        assert seen == []
        browser.close()
