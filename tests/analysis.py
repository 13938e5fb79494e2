"""Notebook 06's cells over the project's own runs, as its last cell tells a user to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import paseo_nb as paseo

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_time_money_cache.ipynb"
FIGURES = ["Where the time went", "What it cost", "Which tool fails", "The share of each request"]


def analysed() -> tuple[dict[str, Any], dict[str, str]]:
    """What the cells leave, and what each figure says where it has nothing to show, by title."""
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "open_bundle" in code[0]
    space: dict[str, Any] = {"paseo": paseo, "runs": paseo.runs()}
    said: dict[str, str] = {}
    for cell in code[1:]:
        exec(compile(cell, str(NOTEBOOK), "exec"), space)
        if "styled(\n    figure" in cell:
            layout = space["figure"].layout
            title = next(one for one in FIGURES if one in layout.title.text)
            said[title] = " ".join(note.text for note in layout.annotations)
    assert list(said) == FIGURES
    return space, said
