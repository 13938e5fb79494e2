"""The run view's files are what its sources make, small enough, and read by a type checker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from browser.node import run
from browser.run_view_page import WIDGET

pytestmark = pytest.mark.browser
LIMIT = 300_000


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    folder = tmp_path / "widgets" / "run_view"
    shutil.copytree(WIDGET, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copy(WIDGET.parent / "tokens.css", folder.parent)
    run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    run(folder, "npm", "run", "build")
    for name in ("run_view.js", "run_view.css"):
        assert (folder / name).read_bytes() == (WIDGET / name).read_bytes(), (
            f"{name} is out of date: npm ci && npm run build in {WIDGET}"
        )
        assert (WIDGET / name).stat().st_size < LIMIT
    run(folder, "npm", "run", "check")


def test_no_source_is_long_and_none_writes_html() -> None:
    for path in (WIDGET / "src").glob("*.js"):
        text = path.read_text()
        assert text.count("\n") <= 400, path.name
        code = text.replace("nothing in this folder uses innerHTML", "")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "DOMParser",
        ):
            assert word not in code, f"{path.name} uses {word}"


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((WIDGET / "package-lock.json").read_text())
    assert not [name for name, one in lock["packages"].items() if "resolved" in one]
