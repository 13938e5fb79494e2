"""The phone's page in Chromium at 390 px, from pairing to the end of its token; from a real server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.board_scene import end, until
from browser.lab import FLAGS, chromium
from playwright.sync_api import Browser, Page, sync_playwright
from serving import Serving, serving

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    root = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(root)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "server-home" / "demo"))
    runtime = tmp_path / "server-home/.local/share/jupyter/runtime"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("HOME", str(tmp_path / "server-home"))
    with serving(root, "/user/me/") as made:
        yield made


@pytest.fixture
def runs(served: Serving) -> Iterator[dict[str, paseo.Run]]:
    made = {
        "review": paseo.start(
            "demo/fixer", "The tests fail. Find out why.", worktree="fix-maths",
            title="Fix the tide maths", mode="auto",
        ),
        "asks": paseo.start("demo/asker", "run: echo so-it-is", mode="ask", title="Ask me"),
        "hostile": paseo.start("demo/echo", HOSTILE, title=HOSTILE),
        "image": paseo.start("demo/image", "look", title="Look at it"),
        "slow": paseo.start("demo/slow", "seconds=300", title="Write the change log"),
    }  # fmt: skip
    until(
        lambda: (
            [run.state for run in made.values()] == ["idle", "waiting", "idle", "idle", "running"]
        )
    )
    yield made
    end(made)


def paired(*words: str) -> dict[str, Any]:
    """What `paseo-nb pair` tells."""
    done = subprocess.run(
        [sys.executable, "-m", "paseo_nb.cli", "pair", *words, "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@contextlib.contextmanager
def phone(dark: bool = False) -> Iterator[tuple[Browser, Page, list[str]]]:
    """A phone's browser, and what went wrong in its page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(
            viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
            device_scale_factor=2, color_scheme="dark" if dark else "light",
        )  # fmt: skip
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and wrong.append(said.text))
        page.on("request", lambda one: "127.0.0.1" not in one.url and wrong.append(one.url))
        page.set_default_timeout(30_000)
        yield browser, page, wrong
        browser.close()


def test_a_phone_from_pairing_to_the_end_of_its_token(
    served: Serving, runs: dict[str, paseo.Run], tmp_path: Path
) -> None:
    told = paired()
    assert told["url"] == f"{served.url}paseo/"
    assert "no phone gets there" in told["notes"][0]
    with phone() as (_, page, wrong):
        page.goto(f"{told['url']}#{told['token']}")
        row = page.locator("#list li.dr")
        row.nth(4).wait_for()
        assert page.url == told["url"]
        assert told["token"] not in served.log.read_text()
        assert page.evaluate("document.documentElement.scrollWidth") == 390

        # a question is answered from the list
        ask = page.locator(".ibx .ask")
        ask.get_by_role("button", name="Allow once").tap()
        until(lambda: runs["asks"].state == "idle")
        ask.wait_for(state="detached")

        # a run is opened: followed up, with a photo
        row.filter(has_text="Look at it").locator(".ti").tap()
        view = page.locator("#run .pn-run")
        view.locator(".rv-title", has_text="Look at it").wait_for()
        view.get_by_role("button", name="Follow up").tap()
        picture = tmp_path / "beach.png"
        page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": 300, "height": 200})
        view.locator("input[type=file]").set_input_files([picture, picture])
        view.locator(".shots li:not(.on-its-way)").nth(1).wait_for()
        view.get_by_role("button", name="Take photo-1.jpg out").tap()
        view.locator("textarea").last.fill("and at this")
        view.get_by_role("button", name="Send").tap()
        until(lambda: "- text, 11 characters" in runs["image"].text)
        until(lambda: runs["image"].state == "idle")
        assert runs["image"].text.count("- image, image/jpeg, ") == 1
        view.locator(".rv-scroll img").first.wait_for()
        assert view.locator(".shots li").count() == 0

        # what it changed, and its trace
        page.get_by_role("button", name="Runs").tap()
        row.filter(has_text="Fix the tide maths").get_by_role("button", name="Open").tap()
        view.get_by_role("button", name="Diff").tap()
        view.locator(".rv-diff .add").first.wait_for()
        view.get_by_role("button", name="Trace").tap()
        view.locator(".sp", has_text="durations.py").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390

        # the page is loaded anew where it is; a turn is ended
        page.goto(f"{told['url']}#/run/{runs['slow'].id}")
        page.reload()
        view.get_by_role("button", name="Stop").tap()
        until(lambda: runs["slow"].state == "idle")
        page.goto(f"{told['url']}#/run/{runs['hostile'].id}")
        view.get_by_text("onerror").first.wait_for()
        assert page.evaluate("window.hacked") is None

        # without a network the shell opens and says so; then it goes on
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        page.goto(told["url"])
        row.first.wait_for()
        page.context.set_offline(True)
        page.reload()
        page.locator("#band", has_text="does not answer").wait_for()
        kept = page.evaluate(
            "caches.open('paseo-shell-1').then((c) => c.keys()).then((k) => k.map((r) => r.url))"
        )
        assert kept
        assert not [url for url in kept if "/api/" in url]
        page.context.set_offline(False)
        row.first.wait_for()

        # its token is taken back: nothing of the runs stays in sight
        paseo.unpair("phone")
        page.get_by_text("This phone is not paired any more").wait_for()
        assert row.count() == 0
        page.reload()
        page.get_by_text("This phone is not paired").wait_for()
        one = paired("--runs", runs["review"].id, "--rights", "read")
        page.get_by_label("Token").fill(one["token"])
        page.get_by_role("button", name="Pair").tap()
        row.filter(has_text="Fix the tide maths").wait_for()
        assert row.count() == 1
        row.get_by_role("button", name="Open").tap()
        view.locator(".rv-title").wait_for()
        view.get_by_role("button", name="Diff").wait_for()
        for word in ("Follow up", "Apply…", "Undo turn"):
            assert view.get_by_role("button", name=word).count() == 0
        assert wrong == []
    assert os.listdir(served.root).count("hacked") == 0
