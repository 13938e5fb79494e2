"""The main job in a real JupyterLab: it streams, ■ cancels the turn, the saved file tells it all."""

from __future__ import annotations

import json
import time
from pathlib import Path

import nbformat
import pytest
from browser.lab import lab_page, menu, output
from kit import SLACK, Project

from paseo_nb import pairing
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.browser

CELLS = [
    "%load_ext paseo_nb",
    "%%paseo demo/fixer --worktree fix-math -o fix\nThe tests fail. Fix the code.",
    "fix.diff()",
    "%%paseo demo/slow -o slow\nseconds=90",
    "1 + 1",
    "import paseo_nb as paseo; pairing = paseo.pair(url='https://lab.example/'); pairing",
]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    cells = [nbformat.v4.new_code_cell(text) for text in CELLS]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, path / "job.ipynb")
    return path


def test_the_main_job_in_jupyterlab(repo: Path) -> None:
    project = Project(repo)
    with lab_page(repo, "job.ipynb") as page:
        menu(page, "Run", "Run All Cells")
        fixing = output(page, 1)
        fixing.get_by_text("scripted demo agent").first.wait_for(timeout=60_000)
        assert "Done" not in fixing.inner_text(), "it streams: there is text before the end"
        fixing.get_by_text("13 tests pass").first.wait_for(timeout=60_000)
        output(page, 2).get_by_text("int(fraction.ljust").first.wait_for(timeout=60_000)
        slow = output(page, 3)
        slow.get_by_text("3 of").first.wait_for(timeout=60_000)
        begun = time.monotonic()
        page.click(
            "button[data-command='notebook:interrupt-kernel'], [title^='Interrupt the kernel']"
        )
        slow.get_by_text("Cancelled").first.wait_for(timeout=60_000)
        assert time.monotonic() - begun < 2 * SLACK
        slow.get_by_text("RunCancelled").first.wait_for(timeout=10_000)
        slow_id = project.host.list()[-1]
        assert project.history(slow_id).turns[0].outcome == "cancelled"
        assert project.alive(slow_id), "the run stays"
        page.locator(".jp-CodeCell").nth(4).locator(".jp-InputArea").click()
        page.keyboard.press("Shift+Enter")
        output(page, 4).get_by_text("2", exact=True).first.wait_for(timeout=20_000)
        page.keyboard.press("Shift+Enter")
        shown = output(page, 5).locator(".paseo-pairing")
        shown.locator("img").wait_for(timeout=30_000)
        token = shown.locator("code").last.inner_text()
        home = repo / ".paseo_nb"
        grant = pairing.grant_of(home, token)
        menu(page, "File", "Save Notebook")
        page.wait_for_function("!document.title.startsWith('*')", timeout=20_000)
        time.sleep(1)
        assert grant is not None, "the token that is shown is good"
        pairing.note(home, grant)  # the device came
        shown.get_by_text("phone is paired").wait_for(timeout=20_000)
        assert shown.locator("img").count() == 0
    text = (repo / "job.ipynb").read_text()
    assert token not in text, "the code was shown, and is not saved"
    assert "<svg" not in text
    saved = json.loads(text)
    data = saved["cells"][1]["outputs"][0]["data"]
    assert set(data) == {"text/html", "text/markdown", "text/plain"}
    assert "13 tests pass" in "".join(data["text/plain"])
    project.runs = project.host.list()
    project.close()
