"""A user of one's own for every test: an empty home, an empty project, no PASEO_NB_ variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paseo_nb.drivers import registry


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder (not made yet)."""
    home = tmp_path / "user"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith("PASEO_NB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    for name in list(registry._registered):
        monkeypatch.delitem(registry._registered, name)
    return home / "xdg" / "paseo_nb"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a space in its name."""
    folder = tmp_path / "my project"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only one on PATH beside the system's."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder
