"""Takes the README's pictures: `python -m tests.browser.pictures FOLDER` (look at them)."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from paseo_nb.programs.demo import copy_sample

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.lab import lab_page, menu, output

CELLS = [
    "%load_ext paseo_nb",
    "%%paseo demo/fixer --worktree fix-math -o fix\n"
    "The tests in this repository fail. Find out why and fix the code.",
    "import paseo_nb as paseo\n\n"
    'paseo.tool_traces(run=fix, columns=["kind", "title", "latency_ms", "outcome"]).tail(4)',
]


def main(folder: Path) -> None:
    """A cell at work and a cell that is done."""
    folder.mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        take(folder, dark)


def take(folder: Path, dark: bool) -> None:
    """The two pictures of one theme, in a repository of its own."""
    with tempfile.TemporaryDirectory() as temp:
        repo = Path(copy_sample(Path(temp) / "tidelog"))
        os.environ["PASEO_DEMO_HOME"] = str(Path(temp) / "sessions")
        os.environ["PASEO_DEMO_PACE"] = "3"
        os.environ["PASEO_NB_IDLE"] = "3"
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(made, repo / "job.ipynb")
        name = "dark" if dark else "light"
        with lab_page(repo, "job.ipynb", dark=dark) as page:
            page.set_viewport_size({"width": 1000, "height": 1100})
            page.click(".lm-TabBar-tab[data-id='filebrowser']")  # folds the file list away
            menu(page, "Run", "Run All Cells")
            output(page, 1).get_by_text("of 13 tests fail").first.wait_for(timeout=60_000)
            output(page, 1).get_by_role("button", name="Diff").first.wait_for(timeout=60_000)
            time.sleep(0.4)
            page.screenshot(path=folder / f"at-work-{name}.png")
            output(page, 1).get_by_text("13 tests pass").first.wait_for(timeout=60_000)
            time.sleep(2)
            page.screenshot(path=folder / f"done-{name}.png")
        time.sleep(4)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
