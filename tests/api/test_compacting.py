"""Making room: whatever the conversation was, what is left is one that an endpoint takes."""

from __future__ import annotations

import random

import pytest
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from paseo_nb.programs.api.compacting import compact, used_tokens


def conversation(seed: int) -> list[ModelMessage]:
    """Some turns of some steps; a turn may be steered, and the last one is not over."""
    chance = random.Random(seed)
    messages: list[ModelMessage] = []
    turns = chance.randint(1, 6)
    for turn in range(turns):
        prompt = UserPromptPart(f"prompt {turn}")
        messages.append(ModelRequest([prompt]))
        for step in range(chance.randint(0, 8)):
            ids = [f"{turn}-{step}-{n}" for n in range(chance.randint(1, 3))]
            calls = [
                ToolCallPart("shell", {"command": "x" * chance.randint(0, 900)}, i) for i in ids
            ]
            messages.append(ModelResponse([TextPart("I look."), *calls]))
            parts = [ToolReturnPart("shell", "y" * chance.randint(0, 9_000), i) for i in ids]
            steered = [UserPromptPart(f"steer {turn}")] if chance.random() < 0.1 else []
            messages.append(ModelRequest([*parts, *steered]))
        if turn < turns - 1:
            messages.append(ModelResponse([TextPart(f"answer {turn}")]))
    return messages


def prompts(messages: list[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    texts = [str(part.content) for part in parts if isinstance(part, UserPromptPart)]
    return [text for text in texts if not text.startswith("[")]


@pytest.mark.parametrize("seed", range(200))
def test_what_is_left_is_whole(seed: int) -> None:
    before = conversation(seed)
    made = compact(before, 0.3)
    if made is None:
        assert len(before) < 7, "there was much to leave out"
        return
    after = made.messages
    assert made.left_out
    assert [m.kind for m in after] == ["request", "response"] * (len(after) // 2) + (
        ["request"] if len(after) % 2 else []
    ), "the roles alternate"
    assert prompts(after) == prompts(before), "what the user said stays"
    open_calls: set[str] = set()
    for message in after:
        if isinstance(message, ModelResponse):
            assert not open_calls, "each call has its result"
            open_calls = {p.tool_call_id for p in message.parts if isinstance(p, ToolCallPart)}
        else:
            results = {p.tool_call_id for p in message.parts if isinstance(p, ToolReturnPart)}
            assert results == open_calls
            open_calls = set()
    assert after[-1].kind == before[-1].kind
    again = compact(after, 0.0)
    assert again is None or compact(again.messages, 0.0) is None or len(again.messages) < len(after)


def test_what_the_endpoint_counted_is_taken_with_a_guess_at_the_rest() -> None:
    counted = ModelResponse(
        [TextPart("a")], usage=RequestUsage(input_tokens=900, output_tokens=100)
    )
    later = ModelRequest([ToolReturnPart("shell", "x" * 400, "c")])
    assert used_tokens([ModelRequest([UserPromptPart("x" * 4_000)])]) == 1000
    assert used_tokens([ModelRequest([UserPromptPart("x" * 4_000)]), counted]) == 1000
    assert used_tokens([counted, later]) == 1100
    huge = ModelResponse([TextPart("a")], usage=RequestUsage(input_tokens=900_000))
    made = compact([*conversation(3), huge], 0.1)
    assert made is not None
    assert used_tokens(made.messages) < 100_000, "that count holds no longer"
