"""Scenarios of agents that are right more or less often: for comparisons that are synthetic.

They add the whole numbers of the prompt. How often each is right follows from its skill and from
how hard the sum is, by chance; that is all there is to them, and it tells nothing of any model.
"""

from __future__ import annotations

import random
import re

from ..prompt import Prompt
from ..steps import Step
from ..turn import Turn
from .scenario import Scenario

SKILLS = {"novice": 0.2, "junior": 0.6, "senior": 0.85, "master": 0.9}
COSTS = {"novice": 0.002, "junior": 0.01, "senior": 0.04, "master": 0.11}  # made up, US dollars
_NUMBER = re.compile(r"\d{1,12}")


def chance(skill: float, numbers: list[int]) -> float:
    """How often a sum is right: the less, the more digits there are to add."""
    digits = sum(len(str(number)) for number in numbers)
    return min(1.0, max(0.0, skill + 0.05 * (8 - digits)))


def _scenario(name: str, skill: float) -> Scenario:
    def steps(prompt: Prompt) -> list[Step]:
        numbers = [int(found) for found in _NUMBER.findall(prompt.text)]

        async def answer(turn: Turn) -> None:
            right = random.SystemRandom().random() < chance(skill, numbers)
            total = sum(numbers) + (0 if right else random.SystemRandom().choice((-10, -1, 1, 10)))
            turn.ledger.cost_usd += COSTS[name]
            await turn.stream(f"Scripted demo, a {name}: the sum is {total}.")

        looks: list[Step] = [
            {"tool": {"title": "Look at the numbers", "kind": "read", "text": "ok"}}
        ]
        if skill > 0.5:
            looks.append({"tool": {"title": "Check the sum", "kind": "think", "text": "ok"}})
        return [*looks, answer]

    often = f"{skill:.0%}"
    return Scenario(name, f"adds the prompt's numbers; right about {often} of the time", steps)


SCENARIOS = [_scenario(name, skill) for name, skill in SKILLS.items()]
