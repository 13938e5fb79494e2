"""Takes pictures of a notebook's outputs in JupyterLab, light and dark:
`python -m tests.browser.notebook_pictures notebooks/06_time_money_cache.ipynb FOLDER [CELL NAME]…`.

All outputs, as NUMBER-THEME.png; or the figures of the code cells that are named by number, as
NAME-THEME.png: docs/pictures has cell 7 of notebook 06 as `cache-hits-light`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.lab import lab_page, menu, output


def main(source: Path, folder: Path, named: dict[int, str]) -> None:
    """Both themes, the notebook run afresh for each."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = nbformat.read(source, as_version=4).cells
    codes = [cell for cell in cells if cell.cell_type == "code"]
    for theme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as temp:
            work = Path(temp) / "work"
            work.mkdir()
            (work / source.name).write_bytes(source.read_bytes())
            os.environ["PASEO_DEMO_HOME"] = str(Path(temp) / "sessions")
            with lab_page(work, source.name, dark=theme == "dark") as page:
                page.set_viewport_size({"width": 1100, "height": 1000})
                if page.locator(".jp-FileBrowser").first.is_visible():
                    page.click(".lm-TabBar-tab[data-id='filebrowser']")  # folds it away
                menu(page, "Run", "Run All Cells")
                page.wait_for_timeout(3000)
                page.wait_for_selector("text=| Idle", timeout=240_000)
                for number in range(len(codes)):
                    cell = page.locator(".jp-CodeCell").nth(number)
                    cell.scroll_into_view_if_needed()
                    page.wait_for_timeout(700)
                    shown = output(page, number)
                    if number in named:
                        shown = shown.locator(".js-plotly-plot").first
                    if (not named or number in named) and shown.is_visible():
                        name = named.get(number, str(number))
                        shown.screenshot(path=folder / f"{name}-{theme}.png")


if __name__ == "__main__":
    rest = sys.argv[3:]
    pairs = zip(rest[::2], rest[1::2], strict=True)
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), {int(n): m for n, m in pairs})
