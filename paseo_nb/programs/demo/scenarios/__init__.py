"""The scenarios: what the scripted agent can play, each a name, a line and a list of steps.

They stand in files by what they are for; this is the one list of them, in the order shown to users.
The catalogue offers them as the agent's models; nothing else calls into here.
"""

from __future__ import annotations

from . import everyday, faults, fixer, hostile, pupils, streams
from .scenario import Scenario

SCENARIOS: list[Scenario] = [
    fixer.SCENARIO,
    *everyday.SCENARIOS,
    *pupils.SCENARIOS,
    *streams.SCENARIOS,
    *faults.SCENARIOS,
    *hostile.SCENARIOS,
]
__all__ = ["SCENARIOS", "Scenario"]
