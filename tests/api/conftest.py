"""What the tests of the api agent share: a process of it that knows only the local model server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paseo_nb.programs.demo import copy_sample
from tests.acp_client import Client
from tests.modelserver import ModelServer

MODEL = "fake-model"


class Api(Client):
    """One process of the api agent. Nothing of the developer's environment gets in."""

    def __init__(self, home: Path, *args: str, env: dict[str, str]) -> None:
        self.home = home
        super().__init__("api", *args, env={"HOME": str(home), "PASEO_API_HOME": str(home)} | env)

    def calls(self) -> list[dict[str, Any]]:
        """What was told of each model call."""
        return [m["params"] for m in self.messages if m.get("method") == "_paseo_nb/model_call"]

    def tool_results(self) -> list[dict[str, Any]]:
        """The last update of each tool call."""
        last = {u["toolCallId"]: u for u in self.updates("tool_call_update")}
        return list(last.values())


Launch = Callable[..., Api]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "api_home"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def launch(home: Path, server: ModelServer) -> Iterator[Launch]:
    """`launch()` gives an `Api` on the model server; all are gone when the test is over."""
    started: list[Api] = []

    def start(*args: str, model: str | None = MODEL, env: dict[str, str] | None = None) -> Api:
        usual = {"OPENAI_BASE_URL": f"{server.url}/v1"}
        chosen = ("--model", model) if model else ()
        started.append(Api(home, *chosen, *args, env=usual if env is None else env))
        return started[-1]

    yield start
    for api in started:
        api.go_on_reading()
        api.kill()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The sample repository."""
    return copy_sample(tmp_path / "repo")
