"""How each provider gets into the suite: the agent's name, and the environment that points it at
the model server in a fresh HOME. A new provider is a row here, and rows in differences.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paseo_nb.drivers import registry
from tests.agents import recipes as clis

Environment = Callable[[Path, str], dict[str, str]]
PATIENT = 10


@dataclass(frozen=True)
class Recipe:
    """`cli`: its name in tests/agents/install.py; None for what comes with us. `agent`: None for
    the scripted demo, whose agent is a file that each test writes. `patient`: an environment in
    which it tries a failed model request many times. `price`: USD per million tokens that it was
    told its model costs: fresh, read from the cache, written to it, put out. `command`: of one
    that is no built-in provider, and is registered under its name. `edits`: whether its model has a
    tool that writes files, or does it by commands. `choices`: another model,
    agent mode and effort than it begins with."""

    agent: str | None
    environment: Environment
    patient: Environment
    cli: str | None
    price: tuple[float, float, float, float] | None = None
    command: tuple[str, ...] = ()
    edits: bool = True
    choices: Mapping[str, str] = field(default_factory=dict[str, str])


def providers() -> list[str]:
    """The names of what is tested: every built-in provider, and a foreign agent."""
    known = registry.built_in()
    return [name for name, recipe in RECIPES.items() if name in known or recipe.command]


def _nothing(home: Path, url: str) -> dict[str, str]:
    return {}


def _api(home: Path, url: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": url, "PASEO_API_HOME": str(home / "api-sessions")}


def _choices(
    model: str, agent_mode: str | None = None, effort: str | None = None
) -> dict[str, str]:
    told = {"model": model, "agent_mode": agent_mode, "effort": effort}
    return {what: value for what, value in told.items() if value is not None}


# In the order of the table's columns. Those that the registry knows are tested.
RECIPES: dict[str, Recipe] = {
    "demo": Recipe(None, _nothing, _nothing, None, choices=_choices("echo", "plan", "high")),
    "api": Recipe(
        "api/claude-sonnet-4-5",
        _api,
        _api,
        None,
        choices=_choices("claude-haiku-4-5", "plan", "low"),
    ),
    "claude": Recipe(
        "claude/sonnet",
        clis.claude,
        lambda home, url: clis.claude(home, url, attempts=PATIENT),
        "claude",
        choices=_choices("haiku", "acceptEdits", "low"),
    ),
    "codex": Recipe(
        "codex/gpt-5.1-codex",
        clis.codex,
        lambda home, url: clis.codex(home, url, attempts=PATIENT),
        "codex",
        edits=False,
        choices=_choices("gpt-6-sol", "plan", "low"),
    ),
    "opencode": Recipe(
        "opencode/fake/fake-model",
        clis.opencode,
        clis.opencode,
        "opencode",
        choices=_choices("fake/other-model", "plan", "high"),
        price=(1, 0.1, 1, 2),  # it knows no writing to the cache of this kind of endpoint
    ),
    "gemini": Recipe(
        "gemini/gemini-2.5-pro",
        clis.gemini,
        lambda home, url: clis.gemini(home, url, attempts=PATIENT),
        "gemini",
        choices=_choices("gemini-3-flash-preview", "autoEdit"),
    ),
    "copilot": Recipe(
        "copilot/gpt-4.1", clis.copilot, clis.copilot, "copilot", choices={"agent_mode": "plan"}
    ),
    "pi": Recipe(
        "pi/fake/fake-model",
        clis.pi,
        lambda home, url: clis.pi(home, url, retries=True),
        "pi",
        choices=_choices("fake/other-model", effort="high"),
        price=(1, 0.1, 0, 2),
    ),
    # any ACP command: here a CLI under a name that paseo_nb does not know
    "foreign": Recipe(
        "foreign",
        clis.copilot,
        clis.copilot,
        "copilot",
        command=("copilot", "--acp"),
        choices={"agent_mode": "plan"},
    ),
}
