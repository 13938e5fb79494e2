"""Takes pictures of the run view's states: `python -m tests.browser.run_view_pictures FOLDER [NAME…]`.

Light, dark and at phone width, from a scripted kernel; look at them beside the design's. Without
names there is a sheet of all states besides, light and dark. docs/pictures has `run-waiting-light`,
`run-waiting-phone` and the sheets.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from PIL import Image  # matplotlib brings it

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import run_view_tale as tale
from browser.run_view_page import begin, browser, host_page, ops

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"height": 700},
    "dark": {"height": 700, "dark": True},
    "phone": {"width": 390, "height": 1000},
}
STATES: dict[str, dict[str, Any]] = {
    "running": tale.running(),
    "waiting": tale.waiting(),
    "done": tale.ended(),
    "failed": tale.ended("failed"),
    "interrupted": tale.ended("interrupted"),
    "stopped": tale.ended("stopped"),
}


def main(folder: Path, wanted: list[str]) -> None:
    """One picture of each state and look."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as started:
        for state, told in STATES.items():
            for look, options in LOOKS.items():
                name = f"run-{state}-{look}"
                if wanted and name not in wanted:
                    continue
                page, _ = host_page(started, **options)
                begin(page, told)
                if state == "running":
                    ops(page, ["t", len(tale.ROWS) - 1, " says"])
                page.wait_for_timeout(150)
                page.locator(".pn-run").screenshot(path=folder / f"{name}.png")
                page.context.close()
    if not wanted:
        sheet(folder, "light", "#ffffff")
        sheet(folder, "dark", "#18181b")


def sheet(folder: Path, look: str, ground: str, gap: int = 24) -> None:
    """All states of one look in one picture, in two columns."""
    pictures = [Image.open(folder / f"run-{state}-{look}.png") for state in STATES]
    width = max(one.width for one in pictures)
    columns = pictures[::2], pictures[1::2]
    height = gap + max(sum(one.height + gap for one in column) for column in columns)
    whole = Image.new("RGB", (2 * width + 3 * gap, height), ground)
    for at, column in enumerate(columns):
        down = gap
        for one in column:
            whole.paste(one, (gap + at * (width + gap), down))
            down += one.height + gap
    whole.quantize(256).save(folder / f"run-states-{look}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
