"""How each provider gets into the suite: the agent's name, and the environment that points it at
the model server in a fresh HOME. A new provider is a row here, and rows in differences.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.agents import recipes as clis

Environment = Callable[[Path, str], dict[str, str]]
PATIENT = 10


@dataclass(frozen=True)
class Recipe:
    """`cli`: its name in tests/agents/install.py; None for what comes with us. `agent`: None for
    the scripted demo, whose agent is a file that each test writes. `patient`: an environment in
    which it tries a failed model request many times."""

    agent: str | None
    environment: Environment
    patient: Environment
    cli: str | None


def _nothing(home: Path, url: str) -> dict[str, str]:
    return {}


RECIPES: dict[str, Recipe] = {
    "demo": Recipe(None, _nothing, _nothing, None),
    "opencode": Recipe("opencode/fake/fake-model", clis.opencode, clis.opencode, "opencode"),
    "gemini": Recipe(
        "gemini/gemini-2.5-pro",
        clis.gemini,
        lambda home, url: clis.gemini(home, url, attempts=PATIENT),
        "gemini",
    ),
    "copilot": Recipe("copilot/gpt-4.1", clis.copilot, clis.copilot, "copilot"),
    "pi": Recipe(
        "pi/fake/fake-model", clis.pi, lambda home, url: clis.pi(home, url, retries=True), "pi"
    ),
}
