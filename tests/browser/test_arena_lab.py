"""A blind match of three real CLIs in a real JupyterLab: seen live, its kernel killed in the middle,
judged meanwhile, voted by keys, revealed, applied by a click. `arena_pictures.py` takes its pictures.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser.lab import lab_page, output
from kit import SLACK, Project, git
from playwright.sync_api import expect

import paseo_nb as paseo
from paseo_nb.contests.records import match_folders
from paseo_nb.programs.demo import copy_sample
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import Conversation, ModelServer
from tests.modelserver.fixer import SAMPLE_FIXES, fixer, sample_fixer

AGENTS = ["claude/sonnet", "codex/gpt-5.1-codex", "opencode/fake/fake-model"]
PROMPT = "The tests in this repository fail. Find out why and fix the code, not the tests."
HIDDEN = '''"""Hidden tests: offsets before high water, and fractions of a second."""
from tidelog.durations import parse_duration
from tidelog.offsets import parse_offset

def test_offset_after(): assert parse_offset("+00:20:00") == 1_200_000
def test_offset_before(): assert parse_offset("-00:20:00") == -1_200_000
def test_whole_seconds(): assert parse_duration("2s") == 2000
def test_half_a_second(): assert parse_duration("2.5s") == 2500
'''
CHECKS = """import os, subprocess, sys, time
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.1)
sys.exit(subprocess.call(["python3", "-m", "unittest"]))
"""
LOOK = "import paseo_nb as paseo\nmatch = paseo.match(paseo.matches()['match_id'].iloc[-1])\nmatch"
S = 15_000 * SLACK
Take = Callable[[Any, str], None]


class Scene:
    """The repository, the agents' surroundings, and a model that lets one of them wait."""

    def __init__(self, folder: Path, setenv: Callable[[str, str], None]) -> None:
        self.folder, self.go = folder, folder / "go"
        self.repo = Path(copy_sample(folder / "tidelog"))
        git(self.repo, "config", "user.name", "Test")
        git(self.repo, "config", "user.email", "test@localhost")
        hidden = folder / "hidden" / "tests"
        hidden.mkdir(parents=True)
        (hidden / "test_hidden.py").write_text(HIDDEN)
        library = folder / "library"
        library.mkdir()
        (library / "checks.py").write_text(CHECKS)
        setenv("PYTHONPATH", os.pathsep.join([str(library), os.environ.get("PYTHONPATH", "")]))
        setenv("GO", str(self.go))
        command = "python3 -m unittest"
        one, other = SAMPLE_FIXES
        self.scripts = {
            "gpt": fixer(file=one.file, old=one.old, new=one.new, test_command=command),
            "fake": fixer(
                file=other.file, old=other.old, new=other.new, test_command="python3 -m checks"
            ),
            "": sample_fixer(command),
        }
        home = folder / "agent-home"
        home.mkdir()
        paths = [str(executable(name).parent) for name in ("claude", "codex", "opencode")]
        setenv("PATH", os.pathsep.join([*dict.fromkeys(paths), os.environ["PATH"]]))
        setenv("PASEO_NB_IDLE", "20")
        self.setenv, self.home = setenv, home

    def _says(self, conversation: Conversation) -> Any:
        name = next(name for name in self.scripts if name in conversation.model)
        return self.scripts[name](conversation)

    def begin(self, url: str) -> None:
        """Point the agents at the server, and write the notebook."""
        for recipe in (recipes.claude, recipes.codex, recipes.opencode):
            for name, value in recipe(self.home, url).items():
                self.setenv(name, value)
        words = [*AGENTS, "--tests", "'python -m pytest -q tests/test_hidden.py'"]
        words += ["--hidden", "../hidden", "--judge", "person", "--mode", "auto", "--seed", "5"]
        cells = [
            "%load_ext paseo_nb",
            f"%%paseo_arena {' '.join(words)}\n{PROMPT}",
            "import os; os.kill(os.getpid(), 9)",
            LOOK,
            "match",
        ]
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(made, self.repo / "job.ipynb")

    def play(self, take: Take, dark: bool = False) -> None:
        """All of it."""
        with ModelServer(self._says) as server:
            self.begin(server.url)
            with lab_page(self.repo, "job.ipynb", dark=dark) as page:
                page.set_viewport_size({"width": 1200, "height": 1500})
                page.click(".lm-TabBar-tab[data-id='filebrowser']")  # folds the file list away
                self._live(page, take)
                self._killed(page)
                self._voted(page, take)

    def _live(self, page: Any, take: Take) -> None:
        run_cell(page, 0)
        run_cell(page, 1)
        view = output(page, 1).locator(".paseo-match")
        expect(view.locator("[role=group]")).to_have_count(3, timeout=S)
        expect(view.get_by_text("✓ Done")).to_have_count(2, timeout=S)
        view.get_by_text("◔ Running").wait_for(timeout=S)
        view.get_by_text("Voting opens when all three have ended and the hidden").wait_for()
        expect(view.locator("[data-panel$=stream] code").first).to_be_visible(timeout=S)
        assert page.locator("[data-paseo-beside]:visible").count() == 0
        view.locator("[data-tab='A diff']").click()
        expect(view.locator("[data-panel='A diff']")).to_be_visible()
        expect(view.locator("[data-panel='B stream']")).to_be_visible()
        view.locator("[data-tab='A stream']").press("l")
        view.locator("[data-tab='A stream']").click()
        take(view, "live")
        told = view.inner_html()
        for name in ("claude", "sonnet", "codex", "gpt-5", "opencode", "fake-model"):
            assert name not in told.lower(), name

    def _killed(self, page: Any) -> None:
        (folder,) = match_folders(self.repo / ".paseo_nb")
        self.match = paseo.match(folder.id)
        run_cell(page, 2)
        page.get_by_role("dialog").get_by_text("appears to have died").wait_for(timeout=S)
        page.get_by_role("dialog").get_by_role("button").last.click()
        assert self.match.state == "running", "the contestants do not know of it"
        self.go.touch()
        deadline = time.monotonic() + 60 * SLACK
        while not folder.marked("judged"):
            assert time.monotonic() < deadline, self.match.state
            time.sleep(0.1)
        assert [one.cause for one in folder.ended() or []] == [None] * 3
        page.wait_for_selector("text=| Idle", timeout=S)

    def _voted(self, page: Any, take: Take) -> None:
        run_cell(page, 3)
        view = output(page, 3).locator(".paseo-match")
        seats = self.match.header.seats
        best = next(seat for seat, name in seats.items() if name.startswith("claude"))
        ask = view.get_by_text("Which one would you merge?")
        ask.wait_for(timeout=S)
        expect(view.get_by_text("4 of 4 hidden tests")).to_have_count(1)
        expect(view.get_by_text("3 of 4 hidden tests")).to_have_count(2)
        assert "claude" not in view.inner_html().lower()
        last = next(seat for seat in reversed(seats) if seat != best)
        view.locator(f"[data-tab='{last} tests']").click()
        ask.click()
        page.keyboard.press("t")
        assert view.locator("[data-vote=tie]").get_attribute("aria-pressed") == "true"
        page.keyboard.press("u")
        assert view.locator("[data-vote][aria-pressed=true]").count() == 0
        page.keyboard.press(str(list(seats).index(best) + 1))
        view.get_by_label("Why").fill("it mends both")
        take(view, "vote")
        assert self.match.vote_given is None
        page.keyboard.press("Enter")
        view.get_by_text("claude/sonnet selected").wait_for(timeout=S)
        assert self.match.vote_given == best
        (vote,) = [v for v in self.match.folder.verdicts() if v.kind == "person"]
        assert (vote.rule, vote.evidence) == ("blind", {"why": "it mends both"})
        expect(view.get_by_text("✓ Merges into")).to_be_visible(timeout=S)
        take(view, "reveal")
        view.locator(f"[data-do='compare {best}{last}']").click()
        view.get_by_text("first difference:").first.wait_for(timeout=S)
        view.locator("[data-do=apply]").click()
        view.get_by_text("✓ Applied to").wait_for(timeout=S)
        take(view, "applied")
        assert f"Paseo-Match: {self.match.id}" in git(self.repo, "log", "-1", "--format=%B")
        assert SAMPLE_FIXES[0].new in (self.repo / SAMPLE_FIXES[0].file).read_text()
        run_cell(page, 4)
        view.wait_for(state="detached", timeout=S)
        for number in (3, 4):
            shown = output(page, number)
            expect(shown).to_contain_text("claude/sonnet selected", timeout=S)
            expect(shown.locator("button")).to_have_count(0, timeout=S)

    def close(self) -> None:
        """End what is left."""
        self.go.touch()
        project = Project(self.repo)
        project.runs = [one for one in project.host.list() if project.alive(one)]
        project.close()


def run_cell(page: Any, number: int) -> None:
    """Run the nth cell."""
    page.locator(".jp-CodeCell .jp-InputArea-editor").nth(number).click()
    page.keyboard.press("Control+Enter")


@pytest.mark.browser
@pytest.mark.real_agent
def test_a_blind_match_of_three_real_agents_outlives_its_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch.setenv)
    monkeypatch.chdir(scene.repo)
    try:
        scene.play(lambda view, name: None)
        frame = scene.match.frame()
        assert json.loads(frame["tests"].to_json(orient="values")).count(1.0) == 1
    finally:
        scene.close()
