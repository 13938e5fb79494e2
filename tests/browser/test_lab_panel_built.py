"""The panel's built files are what its sources make, are read by a type checker, and are what a wheel
brings."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser.lab import ROOT
from browser.node import run

pytestmark = pytest.mark.browser
LAB = ROOT / "extensions" / "lab"
WIDGETS = ROOT / "paseo_nb" / "widgets"
LIMIT = 300_000


def test_the_built_files_are_those_of_the_sources(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    ignore = shutil.ignore_patterns("node_modules", "__pycache__", "built")
    shutil.copytree(LAB, tmp_path / "extensions" / "lab", ignore=ignore)
    shutil.copytree(WIDGETS, tmp_path / "paseo_nb" / "widgets", ignore=ignore)
    tools = tmp_path / "paseo_nb" / "widgets" / "run_view"
    run(tools, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    here = tmp_path / "extensions" / "lab"
    run(here, "node", "build.mjs")
    made = {path.relative_to(here / "built"): path for path in (here / "built").rglob("*.*")}
    kept = {path.relative_to(LAB / "built"): path for path in (LAB / "built").rglob("*.*")}
    assert made.keys() == kept.keys()
    for name, path in made.items():
        if path.is_file():
            assert path.read_bytes() == kept[name].read_bytes(), (
                f"{name} is out of date: npm ci in {WIDGETS / 'run_view'}, node build.mjs in {LAB}"
            )
            assert path.stat().st_size < LIMIT
    run(here, str(tools / "node_modules" / ".bin" / "tsc"), "-p", ".")


def test_no_source_is_long_and_none_writes_html() -> None:
    for path in (LAB / "src").glob("*.ts"):
        text = path.read_text()
        assert text.count("\n") <= 400, path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function"):
            assert word not in text, f"{path.name} uses {word}"


def clean_checkout(to: Path) -> Path:
    """What git has of this tree, as it is now: nothing that is ignored, or was only made here."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()]
    assert "pyproject.toml" in names
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to / name)
    return to


def test_a_wheel_of_a_clean_checkout_brings_panel_and_extension_without_node(
    tmp_path: Path,
) -> None:
    checkout, elsewhere = clean_checkout(tmp_path / "checkout"), tmp_path

    def python(cwd: Path, *words: str, **env: str) -> str:
        path = {"PATH": str(tmp_path / "no-node"), "HOME": str(tmp_path)}
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=cwd, env={**path, **env}, capture_output=True, text=True, timeout=250
        )
        assert done.returncode == 0, done.stderr
        plain = re.sub("\x1b\\[[0-9;]*m", "", done.stdout + done.stderr)
        return " ".join(plain.split())

    python(checkout, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    [wheel] = tmp_path.glob("*.whl")
    prefix = tmp_path / "installed"
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--ignore-installed")
    python(elsewhere, "-m", "pip", "install", *options, "--prefix", str(prefix), str(wheel))
    [packages] = prefix.glob("lib/python*/site-packages")
    env = {
        "PYTHONPATH": str(packages),
        "JUPYTER_PATH": str(prefix / "share" / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(prefix / "etc" / "jupyter"),
    }
    version = json.loads((LAB / "built" / "package.json").read_text())["version"]
    told = python(elsewhere, "-m", "jupyter", "labextension", "list", **env)
    assert f"paseo-nb v{version} enabled OK (python, paseo_nb)" in told
    assert "paseo_nb.server enabled" in python(
        elsewhere, "-m", "jupyter", "server", "extension", "list", **env
    )
