"""What can be played: the scenarios by name, and a script's turns if one was given.

A script is JSON: a list of turns, each a list of steps; the nth turn of a session plays the nth.
It is checked as a whole before the agent starts, so that a typo is not found in mid-test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from .errors import BadScript
from .prompt import Prompt
from .scenarios import SCENARIOS
from .steps import Step, verb_of

SCRIPT = "script"
DEFAULT = "fixer"


class Catalog:
    """`models` maps each name that can be chosen to its one line; `default` is for new sessions."""

    def __init__(self, model: str | None = None, script: str | None = None) -> None:
        self._script = None if script is None else read_script(script)
        self.models = {scenario.name: scenario.line for scenario in SCENARIOS}
        self._by_name = {scenario.name: scenario for scenario in SCENARIOS}
        # The script goes by the name that it was asked for by: `script`, `script:FILE`.
        self._scripts = model if model and model.startswith(SCRIPT) else SCRIPT
        if self._script is not None:
            self.models = {self._scripts: "The turns of the given script, one by one"} | self.models
        self.default = model or (DEFAULT if self._script is None else SCRIPT)
        self.check(self.default)

    def check(self, name: str) -> None:
        """Raises `BadScript`, which names the known ones."""
        if name not in self.models:
            known = ", ".join(self.models)
            raise BadScript(f"unknown scenario {name!r}; the scripted demo knows: {known}")

    def steps(self, name: str, prompt: Prompt, turn: int) -> list[Step]:
        """The steps of a turn (which counts from 1). Raises `BadScript` for an unknown name."""
        self.check(name)
        if name == self._scripts and self._script is not None:
            if turn <= len(self._script):
                return list(self._script[turn - 1])
            return [{"say": f"Scripted demo: the script has no turn {turn}."}]
        scenario = self._by_name[name]
        if prompt.empty and scenario.needs_prompt:
            return [{"say": "The prompt was empty, so this scripted demo agent did nothing."}]
        return scenario.steps(prompt)


def read_script(path: str) -> list[list[dict[str, Any]]]:
    """The turns in a script file. Raises `BadScript` with the place that is wrong."""
    try:
        turns = msgspec.json.decode(Path(path).read_bytes(), type=list[list[dict[str, Any]]])
    except OSError as error:
        raise BadScript(f"the script cannot be read: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadScript(f"{path} is no list of turns, each a list of steps: {error}") from error
    for number, steps in enumerate(turns, 1):
        for place, step in enumerate(steps, 1):
            try:
                verb_of(step)
            except BadScript as error:
                raise BadScript(f"{path}, turn {number}, step {place}: {error}") from error
    return turns
