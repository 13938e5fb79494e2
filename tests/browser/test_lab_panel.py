"""The JupyterLab panel, from the built files: it lists, tells, answers, attaches, stops, shows diffs
and traces, and makes a frozen output live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser.board_scene import end, until
from browser.lab import lab_page, output

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
    until(lambda: [run.state for run in made.values()] == ["idle", "running", "waiting"])
    yield made
    end(made)


def frozen(run_id: str, text: str) -> nbformat.NotebookNode:
    """A cell as it is saved when its run's output was frozen."""
    shown = nbformat.v4.new_output(
        "display_data", {"text/html": f"<p>{text}</p>"}, metadata={"paseo_nb": {"run_id": run_id}}
    )
    printed = nbformat.v4.new_output("stream", text="printed before\n")
    return nbformat.v4.new_code_cell("%%paseo demo/slow\nas it was", outputs=[printed, shown])


def test_the_panel_in_jupyterlab(runs: dict[str, paseo.Run]) -> None:
    repo = Path.cwd()
    cells = [
        nbformat.v4.new_code_cell("import paseo_nb as paseo"),
        frozen(runs["slow"].id, "the story so far"),
        frozen(HOSTILE_ID, "a stranger's"),
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
        bar = output(page, 1).locator(".paseo-nb-bar")
        bar.get_by_text("Running now").wait_for(timeout=20_000)
        assert output(page, 1).get_by_text("the story so far").is_visible()
        assert output(page, 2).locator(".paseo-nb-bar").count() == 0
        bar.get_by_role("button", name="Make live").click()
        live = output(page, 1).locator(".pn-run")
        live.get_by_text("Write the change log").first.wait_for(timeout=60_000)
        assert output(page, 1).get_by_text("printed before").is_visible()
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
        assert page.evaluate("window.hacked") is None
        assert os.listdir(repo).count("hacked") == 0
