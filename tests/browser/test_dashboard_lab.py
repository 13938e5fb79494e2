"""The dashboard in a real JupyterLab: it answers, stops, opens, follows, and stays when saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser.board_scene import end, scene, until
from browser.lab import lab_page, menu, output

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.browser
CELLS = ["import paseo_nb as paseo", "paseo.dashboard()"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, paseo.Run]]:
    monkeypatch.chdir(copy_sample(tmp_path / "tidelog"))
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    made = scene()
    yield made
    end(made)


def test_the_dashboard_in_jupyterlab(runs: dict[str, paseo.Run]) -> None:
    repo = Path.cwd()
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, repo / "board.ipynb")
    with lab_page(repo, "board.ipynb") as page:
        menu(page, "Run", "Run All Cells")
        board = output(page, 1).locator(".dsh")

        def row(title: str):
            return board.locator("li.dr", has_text=title)

        row("Fix the tide maths").get_by_text("To review").wait_for(timeout=60_000)
        assert board.locator(".ibx h3").inner_text().split()[-1] == "2"
        assert output(page, 1).locator("[data-paseo-beside]").is_hidden()

        board.locator(".ask", has_text="Publish 0.4.1").get_by_role(
            "button", name="Allow once"
        ).click()
        until(lambda: runs["asks too"].state == "idle")
        row("Publish 0.4.1").get_by_text("Done").wait_for(timeout=20_000)
        page.wait_for_function("document.title.startsWith('(1 waiting) ')")
        row("Explain the leap second code").wait_for()
        board.locator(".chip", has_text="In the background").click()
        board.locator(".pv", has_text="Scripted demo:").wait_for()
        board.locator(".chip", has_text="In the background").click()

        row("Write the change log").get_by_role("button", name="Stop").click()
        until(lambda: runs["slow"].state == "idle")
        row("Write the change log").get_by_text("Cancelled").wait_for(timeout=20_000)

        row("Fix the tide maths").get_by_role("button", name="Open").click()
        board.locator(".slot .pn-run").get_by_text("Fix the tide maths").first.wait_for(
            timeout=20_000
        )
        row("Fix the tide maths").get_by_role("button", name="Close").click()

        more = paseo.run("demo/echo", "a run from elsewhere")
        board.get_by_role("button", name="1 new run").click()  # the list is being read
        row("a run from elsewhere").get_by_text("Done").wait_for(timeout=30_000)
        more.stop()

        page.wait_for_timeout(6000)  # the static board beside it follows every 5 s
        row("a run from elsewhere").focus()
        page.keyboard.press("Control+s")  # its own keys leave that one to the page
        until(lambda: "a run from elsewhere" in (repo / "board.ipynb").read_text())
        page.reload()
        board = output(page, 1).locator(".dsh")
        row("a run from elsewhere").wait_for(timeout=60_000)

        menu(page, "Kernel", "Restart Kernel…")
        page.click('.jp-Dialog button:has-text("Restart")')
        static = output(page, 1).locator("[data-paseo-beside]")
        static.get_by_text("a run from elsewhere").wait_for(timeout=120_000)
        page.wait_for_function("!document.title.includes('waiting')")
    outputs = json.loads((repo / "board.ipynb").read_text())["cells"][1]["outputs"]
    static = "".join(outputs[-1]["data"]["text/html"])
    assert "Fix test_offset_without_colon" in static
    assert "<script" not in static
