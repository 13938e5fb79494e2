"""A workflow run in a real JupyterLab: live, a step's run behind a click, Stop, and then static."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
import pytest
from browser.lab import lab_page, output
from kit import SLACK, Project
from minds import AGENT, Minds

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.browser

CELL = """
import paseo_nb as paseo
from paseo_nb import agent, phase

paseo.register_provider("waits", command={command!r})

@paseo.workflow
async def two():
    phase("look")
    await agent("first", "waits", label="one")
    phase("then")
    await agent("second", "waits", label="<b>two")

two.start()
"""


def test_a_run_is_followed_looked_into_and_stopped(tmp_path: Path, monkeypatch) -> None:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(repo)
    monkeypatch.setenv("PASEO_NB_IDLE", "20")
    minds = Minds(tmp_path)
    minds.has(
        """
        def waits(prompt, turn, folder):
            while prompt == "second" and not (folder.parent / "go").exists():
                time.sleep(0.02)
            return f"said {prompt}"
        """
    )
    command = [sys.executable, str(AGENT), str(minds.file), "waits"]
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL.format(command=command).strip())]
    )
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, repo / "job.ipynb")
    try:
        with lab_page(repo, "job.ipynb") as page:
            page.locator(".jp-CodeCell .jp-InputArea-editor").first.click()
            page.keyboard.press("Control+Enter")
            slack = 30_000 * SLACK
            view = output(page, 0).locator(".paseo-alive")
            view.locator("text=Running").nth(1).wait_for(timeout=slack)
            rows = view.locator("details")
            rows.nth(1).wait_for(timeout=slack)
            assert "<b>two" in rows.nth(1).inner_text()
            assert page.locator("[data-paseo-beside]:visible").count() == 0
            rows.nth(0).locator("summary").click()
            rows.nth(0).locator("[data-paseo-run]").wait_for(timeout=slack)
            assert "said first" in rows.nth(0).inner_text()
            assert rows.nth(0).get_attribute("open") is not None, "it stays open while all is new"
            view.locator("button[data-do=stop]").click()
            view.wait_for(state="detached", timeout=slack)
            told = output(page, 0).inner_text()
            assert "Stopped" in told
            assert "Cancelled" in told
            assert output(page, 0).locator("button").count() == 0
        deadline = time.monotonic() + 20 * SLACK
        while paseo.workflow_run("two").state != "stopped":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        project = Project(repo)
        project.runs = [one for one in project.host.list() if project.alive(one)]
        project.close()
