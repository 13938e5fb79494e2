"""Making room in a conversation that nearly fills the model's context. Pure, and without a model:
what is left out can be told exactly.

In this order, until it fits: what older tools gave back, then what earlier turns did (what the user
said and the turn's last words stay), then the earlier steps of the running turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

FULL = 0.8  # of the context window: then room is made
ROOM = 0.5  # what is kept at most
_STEPS = 2  # the latest steps of the running turn, which stay as they are
_SHORT = 400  # characters of a tool's output that are not worth it
_IMAGE = 6_000  # characters that a picture counts as
_TOKEN = 4  # characters, where nobody has counted
_OUTPUT = "[This output was left out to make room. Run the tool again if you need it.]"
_DID = "[What was done here was left out to make room.]"
_EARLIER = "[The first {} steps of this turn were left out to make room; their effects remain.]"


class Compacted(NamedTuple):
    """The shorter conversation, and what was left out of it, in words."""

    messages: list[ModelMessage]
    left_out: str


def used_tokens(messages: Sequence[ModelMessage]) -> int:
    """How much of the context they take: what the endpoint counted last, and a guess at what has
    come since."""
    since = 0
    for message in reversed(messages):
        if isinstance(message, ModelResponse) and message.usage.input_tokens:
            counted = message.usage.input_tokens + message.usage.output_tokens
            return counted + since // _TOKEN
        since += _size(message)
    return since // _TOKEN


def compact(messages: Sequence[ModelMessage], share: float) -> Compacted | None:
    """The conversation cut to this share of its size, or as near to it as can be; None where
    nothing can be left out."""
    whole = sum(map(_size, messages))
    made = [_uncounted(message) for message in messages]
    said: list[str] = []
    for step in (_without_outputs, _without_earlier_turns, _without_earlier_steps):
        if sum(map(_size, made)) <= whole * share:
            break
        made, left_out = step(made)
        said += [left_out] if left_out else []
    return Compacted(made, ", ".join(said)) if said else None


def _without_outputs(messages: list[ModelMessage]) -> tuple[list[ModelMessage], str]:
    count = 0
    older = _last_steps(messages)
    made = list(messages)
    for at, message in enumerate(messages[:older]):
        if isinstance(message, ModelRequest):
            parts: list[ModelRequestPart] = []
            for part in message.parts:
                if isinstance(part, ToolReturnPart) and _part_size(part) > _SHORT:
                    part, count = replace(part, content=_OUTPUT), count + 1
                parts.append(part)
            made[at] = replace(message, parts=parts)
    return made, f"the output of {count} older tool calls" if count else ""


def _without_earlier_turns(messages: list[ModelMessage]) -> tuple[list[ModelMessage], str]:
    begins = [at for at, message in enumerate(messages) if _is_prompt(message)]
    if len(begins) < 2:
        return messages, ""
    made: list[ModelMessage] = []
    count = 0
    for begin, end in pairwise(begins):
        answers = [m for m in messages[begin:end] if isinstance(m, ModelResponse)]
        if not answers:
            made.append(_prompt_only(messages[begin]))
            continue
        texts = [part for part in answers[-1].parts if isinstance(part, TextPart) and part.content]
        made += [_prompt_only(messages[begin]), ModelResponse(texts or [TextPart(_DID)])]
        count += end - begin > 2
    last = begins[-1]
    made += [_prompt_only(messages[last]), *messages[last + 1 :]]
    return made, f"what {count} earlier turns did" if count else ""


def _without_earlier_steps(messages: list[ModelMessage]) -> tuple[list[ModelMessage], str]:
    begin = max((at for at, message in enumerate(messages) if _is_prompt(message)), default=0)
    kept = _last_steps(messages)
    steps = (kept - begin - 1) // 2
    first = messages[begin] if messages else None
    if steps < 1 or not isinstance(first, ModelRequest):
        return messages, ""
    note = UserPromptPart(_EARLIER.format(steps))
    told = replace(first, parts=[*first.parts, note])
    return [*messages[:begin], told, *messages[kept:]], f"the first {steps} steps of this turn"


def _last_steps(messages: list[ModelMessage]) -> int:
    """Where the latest steps of the running turn begin: each an answer and what its tools gave."""
    begin = max((at for at, message in enumerate(messages) if _is_prompt(message)), default=-1)
    answers = [at for at, m in enumerate(messages) if at > begin and isinstance(m, ModelResponse)]
    return answers[-_STEPS] if len(answers) >= _STEPS else begin + 1


def _is_prompt(message: ModelMessage) -> bool:
    return any(isinstance(part, UserPromptPart) for part in message.parts)


def _prompt_only(message: ModelMessage) -> ModelMessage:
    """Without the results of calls that were left out."""
    if not isinstance(message, ModelRequest):
        return message
    return replace(message, parts=[p for p in message.parts if isinstance(p, UserPromptPart)])


def _uncounted(message: ModelMessage) -> ModelMessage:
    """Without the endpoint's count, which holds no longer."""
    return replace(message, usage=RequestUsage()) if isinstance(message, ModelResponse) else message


def _size(message: ModelMessage) -> int:
    return sum(map(_part_size, message.parts))


def _part_size(part: Any) -> int:
    if isinstance(part, ToolCallPart):
        return len(part.args_as_json_str())
    if isinstance(part, TextPart | ThinkingPart):
        return len(part.content)
    return sum(_content_sizes(getattr(part, "content", "")))


def _content_sizes(content: Any) -> Iterator[int]:
    for one in content if isinstance(content, list) else [content]:  # pyright: ignore[reportUnknownVariableType]
        yield _IMAGE if isinstance(one, BinaryContent) else len(str(one))  # pyright: ignore[reportUnknownArgumentType]
