"""Screenshots of every rendering, to be looked at: `python tests/render/shots.py FOLDER`.

Each as JupyterLab shows it (nbconvert's lab template brings its stylesheet), light and dark, at
cell and at phone width, and with every style stripped.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))

import tales
from browser import CHROMIUM, FLAGS

from paseo_nb.widgets.render import RunRow, bundle, runs_table


def outputs() -> dict[str, list[dict[str, str]]]:
    """The bundles of each picture."""

    def of(tale: tales.Tale, state: str, live: bool = False, **more: Any) -> dict[str, str]:
        diff = more.pop("diff", tales.DIFF)
        given = {"diff": diff, "now_us": tale.us + 14_000_000, "live": live, **more}
        return bundle(tale.history, tales.spec(), state=state, **given)

    agents = [("running", "claude/opus-4.6"), ("waiting", "codex/gpt-5.4"), ("idle", "demo")]
    rows = [
        RunRow(f"01K3VQ8R{n}N", state, agent, "Fix the offset", tales.T0, 362_000, 0.66, "paseo/x")
        for n, (state, agent) in enumerate([*agents, ("error", "pi"), ("interrupted", "gemini")])
    ]
    return {
        "live": [of(tales.running(), "running", True), of(tales.waiting()[0], "waiting", True)],
        "final": [of(tales.done(), "idle")],
        "ends": [
            of(tales.failed(), "error", diff=None),
            of(tales.interrupted(), "interrupted"),
            of(tales.done(), "idle", cached=True),
        ],
        "turns": [of(tales.conversation(), "idle")],
        "table": [runs_table(rows, now_us=tales.T0 + 200_000_000)],
    }


def page(bundles: list[dict[str, str]], theme: str) -> str:
    """A saved notebook with these outputs, as HTML."""
    cells = []
    for found in bundles:
        cell = nbformat.v4.new_code_cell("%%paseo claude/opus-4.6 --worktree fix-offset\n…")
        cell.outputs = [nbformat.v4.new_output("display_data", data=found)]
        cells.append(cell)
    exporter = HTMLExporter(template_name="lab", theme=theme)
    html: str = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0]
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=FLAGS, device_scale_factor=1.5
        )
        context.route(re.compile("^https?:"), lambda route: route.abort())
        view = context.pages[0]

        def shot(name: str, html: str, width: int) -> None:
            view.set_viewport_size({"width": width, "height": 600})
            view.set_content(html)
            view.screenshot(path=str(folder / f"{name}.png"), full_page=True)

        for name, bundles in outputs().items():
            for theme in ("light", "dark"):
                shot(f"{name}-{theme}", page(bundles, theme), 1000)
            shot(f"{name}-phone", page(bundles, "light"), 390)
            htmls = "<hr>".join(found["text/html"] for found in bundles)
            shot(f"{name}-plain", re.sub(r' style="[^"]*"', "", htmls), 800)
            bare = f'<body style="background:#1e1e1e;color:#ddd">{htmls}'
            shot(f"{name}-no-jupyter", bare, 800)
            texts = "\n\n".join(found["text/plain"] for found in bundles)
            (folder / f"{name}.txt").write_text(texts)
            marks = "\n\n".join(found["text/markdown"] for found in bundles)
            (folder / f"{name}.md").write_text(marks)
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
