"""Takes the dashboard's pictures in JupyterLab: `python -m tests.browser.dashboard_pictures FOLDER`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.board_scene import end, scene
from browser.lab import lab_page, menu, output

from paseo_nb.programs.demo import copy_sample

CELLS = ["import paseo_nb as paseo", "paseo.dashboard()"]


def main(folder: Path) -> None:
    """Light and dark, of one project with a run in every state."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp:
        os.chdir(copy_sample(Path(temp) / "tidelog"))
        os.environ["PASEO_DEMO_HOME"] = str(Path(temp) / "sessions")
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(made, "board.ipynb")
        runs = scene()
        for name in ("light", "dark"):
            with lab_page(Path.cwd(), "board.ipynb", dark=name == "dark") as page:
                page.set_viewport_size({"width": 1300, "height": 1000})
                if page.locator(".jp-FileBrowser").first.is_visible():
                    page.click(".lm-TabBar-tab[data-id='filebrowser']")  # folds it away
                menu(page, "Run", "Run All Cells")
                board = output(page, 1).locator(".dsh")
                board.get_by_text("To review").first.wait_for(timeout=60_000)
                page.wait_for_timeout(1500)
                board.screenshot(path=folder / f"dashboard-{name}.png")
        end(runs)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
