"""Takes the panel's pictures in JupyterLab: `python -m tests.browser.lab_panel_pictures FOLDER`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.board_scene import end, scene
from browser.lab import lab_page, output

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from paseo_nb.widgets.live import bundle_of


def main(folder: Path) -> None:
    """Light and dark: the panel beside a notebook with frozen outputs, and a run's diff and trace."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temp:
        os.chdir(copy_sample(Path(temp) / "tidelog"))
        os.environ["PASEO_DEMO_HOME"] = str(Path(temp) / "sessions")
        runs = scene()
        cells = [nbformat.v4.new_code_cell("%load_ext paseo_nb")]
        cells += [frozen(runs["slow"]), frozen(runs["review"])]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(made, "job.ipynb")
        for name in ("light", "dark"):
            with lab_page(Path.cwd(), "job.ipynb", dark=name == "dark", extensions=True) as page:
                page.set_viewport_size({"width": 1300, "height": 1100})
                panel = page.locator("#paseo-nb-panel")
                page.wait_for_timeout(1500)
                if not panel.is_visible():  # the layout is restored
                    page.click(".lm-TabBar-tab[data-id='paseo-nb-panel']")
                row = panel.locator("li.pr", has_text="Fix the tide maths")
                row.click(timeout=60_000)
                output(page, 1).locator(".paseo-nb-bar").get_by_text("Running now").wait_for()
                fresh = paseo.run("demo/echo", "Which zones have a DST gap?")
                page.locator(".Toastify__toast", has_text="DST gap").wait_for()
                panel.evaluate("panel => panel.scrollTo(0, 0)")
                page.wait_for_timeout(1000)
                page.screenshot(path=folder / f"panel-{name}.png")
                fresh.archive()
                page.wait_for_timeout(9000)  # the toast goes
                row.get_by_role("button", name="Diff").click()
                page.locator(".paseo-nb-tab .diff .add").first.wait_for()
                page.screenshot(path=folder / f"panel-diff-{name}.png")
                row.get_by_role("button", name="Trace").click()
                page.locator(".paseo-nb-tab .sp", has_text="durations.py").first.click()
                page.locator(".paseo-nb-tab .det").wait_for()
                page.wait_for_timeout(500)
                page.screenshot(path=folder / f"panel-trace-{name}.png")
            fresh.stop()
        end(runs)


def frozen(run: paseo.Run) -> nbformat.NotebookNode:
    """A cell as it is saved with its run's output."""
    told = {"paseo_nb": {"run_id": run.id}}
    shown = nbformat.v4.new_output("display_data", bundle_of(run), metadata=told)
    return nbformat.v4.new_code_cell(
        f"%%paseo {run.agent}\n{run.history().turns[0].prompt}", outputs=[shown]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
