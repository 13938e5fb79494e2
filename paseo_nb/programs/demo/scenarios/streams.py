"""Scenarios about amount and tempo: very much, very slow, nothing, too large, too late."""

from __future__ import annotations

from ..prompt import Prompt
from ..steps import Step
from .scenario import Scenario

_TICK_S = 0.2


def flood(prompt: Prompt) -> list[Step]:
    """Many updates, as fast as they are read."""
    count = prompt.count("count", 200_000)
    return [{"flood": count}, {"say": f"Scripted demo: that were {count} updates."}]


def slow(prompt: Prompt) -> list[Step]:
    """Each chunk is a step, so a continued turn goes on with the right one."""
    ticks = max(1, round(prompt.number("seconds", 20) / _TICK_S))
    return [{"say": f"{n} of {ticks}. ", "pause": _TICK_S} for n in range(1, ticks + 1)]


def silent(prompt: Prompt) -> list[Step]:
    """Nothing at all."""
    return [{"silent": prompt.number("seconds", 60)}, {"say": "Scripted demo: I was silent."}]


def big_line(prompt: Prompt) -> list[Step]:
    """One line that is far too long."""
    return [{"bytes": prompt.count("bytes", 200_000_000)}, {"say": "\nThat was one line."}]


def late(prompt: Prompt) -> list[Step]:
    """Updates after the turn's result."""
    after = {"after": prompt.number("after", 0.05), "count": prompt.count("count", 3)}
    return [{"late": after}, {"say": "Scripted demo: the result comes now, more text after it."}]


SCENARIOS = [
    Scenario("flood", "numbered updates as fast as they are read; count=200000", flood, False),
    Scenario("slow", "one short chunk each 200 ms; seconds=20", slow, False),
    Scenario("silent", "says nothing, not even to a cancel; seconds=60", silent, False),
    Scenario("bigline", "one update of very many bytes; bytes=200000000", big_line, False),
    Scenario("late", "updates after the turn's result; count=3, after=0.05", late, False),
]
