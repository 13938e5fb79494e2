"""The value that a scenario is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..prompt import Prompt
from ..steps import Step


class Scenario(NamedTuple):
    """`line` says what it does and which parameters it takes from the prompt. The number of
    `steps` must follow from the prompt alone, so that an interrupted turn can be continued."""

    name: str
    line: str
    steps: Callable[[Prompt], list[Step]]
    needs_prompt: bool = True
