"""What a tool call cost in tokens: to ask for it, and to read its result. Pure.

The asking is the output of the model call that asked for it, split evenly over the calls that it
asked for. The result is what the next request's input has grown by beyond that output, split over
the results by their bytes; where no next request is seen, or the context was cut between, it is
estimated from the bytes (4 a token).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from ..model import ModelCall, ToolCall

BYTES_PER_TOKEN = 4


class Spent(NamedTuple):
    """Of one tool call. `asked_by`: the model call's seq; `source`: of `result`, and of
    `call_output` where that is known."""

    asked_by: int | None = None
    call_output: int | None = None
    result: int | None = None
    source: str | None = None


NOTHING = Spent()


def spent_by_turn(calls: Iterable[ModelCall], tools: Iterable[ToolCall]) -> dict[str, Spent]:
    """By `turn/tool call id`, as a history names them: `call_tokens` of each turn."""
    asked, used = defaultdict[int, list[ModelCall]](list), defaultdict[int, list[ToolCall]](list)
    for call in calls:
        asked[call.turn].append(call)
    for tool in tools:
        used[tool.turn].append(tool)
    return {
        f"{turn}/{ident}": spent
        for turn, some in used.items()
        for ident, spent in call_tokens(asked[turn], some).items()
    }


def call_tokens(calls: Sequence[ModelCall], tools: Sequence[ToolCall]) -> dict[str, Spent]:
    """By tool call id, for the calls of one turn."""
    calls = [call for call in calls if call.parent is None]
    ordered = sorted(calls, key=lambda one: (one.started_us, one.seq))
    groups: dict[int | None, list[ToolCall]] = defaultdict(list)
    for tool in tools:
        groups[_asking(ordered, tool)].append(tool)
    found: dict[str, Spent] = {}
    for at, group in groups.items():
        if at is None:
            found |= {tool.tool_call_id: estimated(tool) for tool in group}
            continue
        sizes = [result_bytes(tool) for tool in group]
        estimates = [_tokens(size, tool) for size, tool in zip(sizes, group, strict=True)]
        asking = ordered[at]
        later = ordered[at + 1 :]
        asked = _split(asking.usage.output_tokens, [1] * len(group))
        grown = _growth(asking, later[0]) if later else None
        results = estimates if grown is None else _split(grown, sizes)
        for tool, out, back in zip(group, asked, results, strict=True):
            known = grown is not None
            source = "reported" if known else None if back is None else "estimated"
            found[tool.tool_call_id] = Spent(asking.seq, out, back, source)
    return found


def estimated(tool: ToolCall) -> Spent:
    """What a call used of which no model call is known to have asked for it."""
    if tool.outcome is None:
        return NOTHING
    return Spent(None, None, _tokens(result_bytes(tool), tool), "estimated")


def result_bytes(tool: ToolCall) -> int:
    """How large a result is, as JSON; 0 for none."""
    told = tool.output if tool.output is not None else (tool.content or None)
    if told is None:
        return len((tool.error or "").encode())
    return (
        len(told.encode("utf-8", "replace"))
        if isinstance(told, str)
        else len(msgspec.json.encode(told))
    )


def _asking(ordered: Sequence[ModelCall], tool: ToolCall) -> int | None:
    """The last call that had begun. Where calls are told of once, when they are over (codex), the
    first that was told of with the tool call or after it."""
    if tool.parent is not None:
        return None  # a sub-agent's: its model calls are not told apart
    if all(call.started_us == call.finished_us for call in ordered):
        return next((at for at, call in enumerate(ordered) if call.seq >= tool.seq), None)
    begun = [at for at, call in enumerate(ordered) if call.started_us <= tool.started_us]
    return begun[-1] if begun else None


def _growth(asking: ModelCall, later: ModelCall) -> int | None:
    before, after = asking.usage, later.usage
    if None in (before.input_tokens, before.output_tokens, after.input_tokens):
        return None
    if asking.model and later.model and asking.model != later.model:
        return None  # another tokenizer, or a small helper model
    grown = (after.input_tokens or 0) - (before.input_tokens or 0) - (before.output_tokens or 0)
    return grown if grown > 0 else None


def _tokens(size: int, tool: ToolCall) -> int | None:
    return None if tool.outcome is None else -(-size // BYTES_PER_TOKEN)


def _split(total: int | None, weights: Sequence[int]) -> list[int | None]:
    """Whole numbers in these shares, whose sum is the total."""
    if total is None:
        return [None] * len(weights)
    whole = sum(weights) or len(weights)
    parts: list[int] = []
    seen = given = 0
    for weight in weights if sum(weights) else [1] * len(weights):
        seen += weight
        parts.append(total * seen // whole - given)
        given += parts[-1]
    return list(parts)
