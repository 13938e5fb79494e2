"""Which steps went on at once: each in the first lane that is free. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from ...engine.story import StepRecord

MOST_LANES, MOST_BARS = 16, 300


class Bar(msgspec.Struct, frozen=True):
    """One step in its lane. torn: it began before the lanes do."""

    step: StepRecord
    lane: int
    start_us: int
    end_us: int
    torn: bool = False


def lanes(steps: Iterable[StepRecord], begin_us: int, now_us: int) -> list[Bar]:
    """The bars of what was run from `begin_us` on; what was taken from before has none."""
    ran = [
        (max(one.issued_us, begin_us), one.ended_us or now_us, number, one)
        for number, one in enumerate(steps)
        if one.state != "cached" and (one.ended_us or now_us) > begin_us
    ]
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    made: list[Bar] = []
    count = 0
    for start, end, _, step in sorted(ran)[-MOST_BARS:]:
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else count
        count = max(count, lane + 1)
        heapq.heappush(busy, (end, lane))
        made.append(Bar(step, lane, start, end, step.issued_us < begin_us))
    return made
