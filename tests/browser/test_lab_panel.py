"""The JupyterLab panel, from the built files: it lists, tells, answers, attaches, stops, shows diffs
and traces, and makes a frozen output live, also of another project and after a restart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser.board_scene import end, until
from browser.lab import lab_page, menu
from playwright.sync_api import Locator, Page

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.browser
HOSTILE = '<img src=x onerror="window.hacked=1">'
HOSTILE_ID = '0"+__import__("os").mkdir("hacked")+"'


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, paseo.Run]]:
    monkeypatch.chdir(copy_sample(tmp_path / "tidelog"))
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    made = {
        "review": paseo.start(
            "demo/fixer", "The tests fail. Find out why.", worktree="fix-maths",
            title="Fix the tide maths", mode="auto",
        ),
        "slow": paseo.start("demo/slow", "seconds=300", title="Write the change log"),
        "asks": paseo.start("demo/asker", "run: echo so-it-is", mode="ask", title=HOSTILE),
    }  # fmt: skip
    monkeypatch.chdir(copy_sample("quickstart"))  # as the notebook of that name does
    made["beyond"] = paseo.start("demo/slow", "seconds=600", title="Of another project")
    monkeypatch.chdir(tmp_path / "tidelog")
    until(lambda: [run.state for run in made.values()] == ["idle", "running", "waiting", "running"])
    yield made
    end(made)


def frozen(run_id: str, text: str, **more: str) -> nbformat.NotebookNode:
    """A cell as it is saved when its run's output was frozen."""
    about = {"paseo_nb": {"run_id": run_id, **more}}
    shown = nbformat.v4.new_output("display_data", {"text/html": f"<p>{text}</p>"}, metadata=about)
    printed = nbformat.v4.new_output("stream", text="printed before\n")
    return nbformat.v4.new_code_cell(f"%%paseo demo/slow\nCell of {text}", outputs=[printed, shown])


def test_the_panel_in_jupyterlab(runs: dict[str, paseo.Run]) -> None:
    repo = Path.cwd()
    cells = [
        nbformat.v4.new_code_cell("import paseo_nb as paseo"),
        frozen(runs["beyond"].id, "long ago", project="quickstart"),
        frozen(runs["review"].id, "the fix"),
        frozen(runs["slow"].id, "the story so far"),
        frozen(HOSTILE_ID, "a stranger's"),
        frozen(runs["beyond"].id, "nowhere", project="../../elsewhere"),
    ]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, repo / "job.ipynb")
    with lab_page(repo, "job.ipynb", extensions=True) as page:
        tab = page.locator(".lm-TabBar-tab[data-id='paseo-nb-panel']")
        page.locator(".lm-TabBar-tab[data-paseo-waiting='1']").wait_for(timeout=60_000)
        tab.click()
        panel = page.locator("#paseo-nb-panel .pnl")

        def row(group: str, title: str):
            return panel.locator(f"[data-group={group}] li.pr", has_text=title)

        row("review", "Fix the tide maths").wait_for()
        row("running", "Write the change log").wait_for()
        assert row("waiting", HOSTILE).count() == 1
        assert panel.locator(".ibx h3").inner_text().split()[-1] == "1"

        # a frozen output becomes live in its place, and nothing of the notebook is run unasked
        bar = of(page, "the story so far").locator(".paseo-nb-bar")
        bar.get_by_text("Running now").wait_for(timeout=20_000)
        assert of(page, "the story so far").get_by_text("the story so far").is_visible()
        assert of(page, "a stranger's").locator(".paseo-nb-bar").count() == 0
        bar.get_by_role("button", name="Make live").click()
        live = of(page, "the story so far").locator(".pn-run")
        live.get_by_text("Write the change log").first.wait_for(timeout=60_000)
        assert of(page, "the story so far").get_by_text("printed before").is_visible()
        assert not (repo / "hacked").exists()

        # it asks in a toast and in the inbox; an answer ends both
        more = paseo.start("demo/asker", "run: echo twice", mode="ask", title="Ask once more")
        runs["more"] = more
        toast = page.locator(".Toastify__toast", has_text="Waiting for you: Ask once more")
        toast.wait_for(timeout=30_000)
        page.locator(".lm-TabBar-tab[data-paseo-waiting='2']").wait_for()
        ask = panel.locator(".ask", has_text="Ask once more")
        ask.get_by_role("button", name="Allow once").click()
        until(lambda: more.state == "idle")
        toast.wait_for(state="detached", timeout=20_000)
        page.locator(".lm-TabBar-tab[data-paseo-waiting='1']").wait_for()
        page.locator(".Toastify__toast", has_text="Done: Ask once more").wait_for(timeout=20_000)
        panel.locator(".ask").get_by_role("button", name="Deny…").click()
        panel.locator(".ask .field").fill("not today")
        panel.locator(".ask").get_by_role("button", name="Deny", exact=True).click()
        page.locator(".Toastify__toast", has_text=HOSTILE).get_by_text("Done").wait_for(
            timeout=20_000
        )
        [answer] = runs["asks"].permissions().to_dict("records")
        assert (answer["outcome"], answer["message"]) == ("denied", "not today")

        # Lab's own shortcuts work from within the panel, and what is typed goes to its fields
        find = panel.get_by_label("Find a run")
        find.click()
        page.keyboard.type("jk1/ ")
        page.keyboard.press("Control+Shift+c")
        page.locator("#modal-command-palette input").wait_for(timeout=20_000)
        page.keyboard.press("Escape")
        page.locator("#modal-command-palette").wait_for(state="hidden")
        assert find.input_value() == "jk1/ "
        find.fill("")

        # a diff and a trace in tabs
        row("review", "Fix the tide maths").click()
        row("review", "Fix the tide maths").get_by_role("button", name="Diff").click()
        diff = page.locator(".paseo-nb-tab .diff .add").first
        diff.wait_for(timeout=20_000)
        row("review", "Fix the tide maths").get_by_role("button", name="Trace").click()
        spans = page.locator(".paseo-nb-tab .sp", has_text="durations.py")
        spans.first.click(timeout=20_000)
        page.locator(".paseo-nb-tab .det").get_by_text("Took").wait_for()
        page.click(".lm-DockPanel-tabBar .lm-TabBar-tab:has-text('job.ipynb')")

        # attached in a cell of the notebook in front, and stopped
        row("running", "Write the change log").click()
        row("running", "Write the change log").get_by_role("button", name="Attach").click()
        cell = page.locator(".jp-CodeCell", has_text=f'paseo.attach("{runs["slow"].id}")')
        cell.locator(".pn-run").get_by_text("Write the change log").first.wait_for(timeout=60_000)
        row("running", "Write the change log").get_by_role("button", name="Stop").click()
        until(lambda: runs["slow"].state in ("idle", "stopped"))
        panel.locator(
            "li.pr:not([data-group=running] li)", has_text="Write the change log"
        ).wait_for()
        another_project(page, repo, runs["beyond"].id, runs["slow"].id)
        commands(page)
        settings(page, repo, runs)
        assert page.evaluate("window.hacked") is None
        assert os.listdir(repo).count("hacked") == 0


def palette(page: Page, words: str) -> None:
    """Carry out the command of ours that is called so, as a user finds it."""
    menu(page, "View", "Activate Command Palette")
    page.locator(".jp-ModalCommandPalette input").fill(words)
    page.locator(".jp-ModalCommandPalette .lm-CommandPalette-item", has_text=words).first.click()


def restart(page: Page) -> None:
    """Restart the kernel of the notebook in front."""
    menu(page, "Kernel", "Restart Kernel…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_selector("text=| Idle", timeout=60_000)


def of(page: Page, text: str) -> Locator:
    """The output area of a frozen cell; other cells come and go above it."""
    source = page.locator(".jp-InputArea", has_text=f"Cell of {text}")
    return page.locator(".jp-CodeCell", has=source).locator(".jp-OutputArea")


def another_project(page: Page, repo: Path, run: str, stopped: str) -> None:
    """A run of a repository below the notebook's is followed there, also after a restart."""
    row = page.locator("#paseo-nb-panel [data-group=running] li.pr", has_text="Of another project")
    assert "quickstart" in row.inner_text()
    shown = of(page, "long ago")
    assert of(page, "nowhere").locator(".paseo-nb-bar:visible").count() == 0
    shown.locator(".paseo-nb-bar").get_by_text("Running now").wait_for(timeout=20_000)
    shown.get_by_role("button", name="Make live").click()
    shown.locator(".pn-run").get_by_text("Of another project").first.wait_for(timeout=60_000)
    cells = page.locator(".jp-CodeCell").count()
    restart(page)  # its view is gone; what the kernel wrote beside it says whose it was
    shown.locator(".paseo-nb-bar").get_by_text("Running now").wait_for(timeout=30_000)
    palette(page, "Make this notebook's outputs of runs live")
    shown.locator(".pn-run").get_by_text("Of another project").first.wait_for(timeout=60_000)
    assert page.locator(".jp-CodeCell").count() == cells
    row.click()
    row.get_by_role("button", name="Attach").click()
    cell = page.locator(".jp-CodeCell", has_text=f'project="{repo / "quickstart"}"')
    cell.locator(".pn-run").get_by_text("Of another project").first.wait_for(timeout=60_000)

    def saved() -> bool:
        """Each output of a run is in the notebook as HTML, too, and says whose it is."""
        page.keyboard.press("Control+s")
        page.wait_for_timeout(500)
        try:
            cells = json.loads((repo / "job.ipynb").read_text())["cells"]
        except ValueError:  # half written
            return False
        told = [
            (about.get("run_id"), about.get("project"))
            for cell in cells
            for one in cell.get("outputs", ())
            if "text/html" in one.get("data", {}) and (about := one["metadata"].get("paseo_nb"))
        ]
        return told.count((run, "quickstart")) == 2 and told.count((stopped, None)) == 2

    until(saved)


def commands(page: Page) -> None:
    """The palette and the launcher show the panel; a command asks which run is meant."""
    panel = page.locator("#paseo-nb-panel")
    tab = page.locator(".lm-TabBar-tab[data-id='paseo-nb-panel']")
    tab.click()
    panel.wait_for(state="hidden")
    palette(page, "Coding agents")
    panel.wait_for()
    tab.click()
    panel.wait_for(state="hidden")
    menu(page, "File", "New Launcher")
    page.locator(".jp-LauncherCard", has_text="Coding agents").click()
    panel.wait_for()
    page.locator("#paseo-nb-panel li.pr", has_text="Fix the tide maths").click()
    palette(page, "Show a run's diff")
    page.locator(".paseo-nb-tab .diff .add").first.wait_for(timeout=20_000)


def settings(page: Page, repo: Path, runs: dict[str, paseo.Run]) -> None:
    """Nobody is told where that is off; `auto` makes what is at work live when a notebook opens."""
    menu(page, "Settings", "Settings Editor")
    page.locator(".jp-PluginList-entry", has_text="Coding agents").click()
    form = page.locator(".jp-SettingsForm")
    form.get_by_label("Say when a run is over").uncheck()
    form.locator("select").select_option("auto")
    file = repo.parent / "lab-home/lab/user-settings/paseo-nb/plugin.jupyterlab-settings"
    until(lambda: file.exists() and '"auto"' in file.read_text() and "false" in file.read_text())
    runs["quiet"] = paseo.run("demo/echo", "shh", title="Tell nobody")
    page.locator("#paseo-nb-panel li.pr", has_text="Tell nobody").wait_for(timeout=30_000)
    assert page.locator(".Toastify__toast", has_text="Tell nobody").count() == 0
    page.click(".lm-DockPanel-tabBar .lm-TabBar-tab:has-text('job.ipynb')")
    restart(page)
    page.keyboard.press("Control+s")
    page.reload()
    live = page.locator(".jp-OutputArea .pn-run").get_by_text("Of another project")
    live.first.wait_for(timeout=60_000)
    over = of(page, "the fix")  # that stays as it is
    over.locator(".paseo-nb-bar").get_by_text("Done").wait_for(timeout=20_000)
    assert over.locator(".paseo-alive").count() == 0
