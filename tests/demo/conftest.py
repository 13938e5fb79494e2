"""What the tests of the demo agent share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paseo_nb.programs.demo import copy_sample
from tests.acp_client import Client


class Demo(Client):
    """One process of the demo agent."""

    def __init__(self, home: Path, *args: str, env: dict[str, str] | None = None) -> None:
        self.home = home
        base = {"PASEO_DEMO_HOME": str(home), "PASEO_DEMO_PACE": "0"}
        super().__init__("demo", *args, env=base | (env or {}))


Launch = Callable[..., Demo]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "demo_home"


@pytest.fixture
def launch(home: Path) -> Iterator[Launch]:
    """`launch("--model", "echo")` gives a `Demo`; all are gone when the test is over."""
    started: list[Demo] = []

    def start(*args: str, env: dict[str, str] | None = None) -> Demo:
        started.append(Demo(home, *args, env=env))
        return started[-1]

    yield start
    for demo in started:
        demo.go_on_reading()
        demo.kill()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The sample repository."""
    return copy_sample(tmp_path / "repo")
