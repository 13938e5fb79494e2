"""A project without processes, where a workflow's steps are what a function makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.values import Wanted


def echo(wanted: Wanted) -> str:
    return f"did {wanted.call.prompt}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASEO_NB_HOME", str(tmp_path / ".paseo_nb"))
    return tmp_path / ".paseo_nb"


@pytest.fixture
def place(home: Path) -> Callable[..., SimulatedPlace]:
    def make(answers: Any = echo, **more: Any) -> SimulatedPlace:
        return SimulatedPlace(answers, **more)

    return make


def prompts(place: SimulatedPlace) -> list[str]:
    """What was run there, in order."""
    return [wanted.call.prompt for wanted in place.started]
