"""What a user's name for a model stands for, and when another one answered."""

from __future__ import annotations

import pytest

from paseo_nb.drivers.names import resolve_name, same_name
from paseo_nb.drivers.seat import AgentProblem

OFFERED = {
    "anthropic/claude-opus-4-8": "Claude Opus 4.8",
    "anthropic/claude-sonnet-4-5": "Claude Sonnet 4.5 (latest)",
    "anthropic/claude-sonnet-4-5-20250929": "Claude Sonnet 4.5",
    "openai/gpt-5": "GPT-5",
    "openai/gpt-5-mini": "GPT-5 mini",
    "https://agentclientprotocol.com/protocol/session-modes#plan": "Planning",
}


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("openai/gpt-5", "openai/gpt-5"),
        ("GPT-5 mini", "openai/gpt-5-mini"),
        ("gpt5", "openai/gpt-5"),
        ("Claude_Opus 4.8", "anthropic/claude-opus-4-8"),
        ("opus-4.8", "anthropic/claude-opus-4-8"),
        ("opus", "anthropic/claude-opus-4-8"),
        ("sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("plan", "https://agentclientprotocol.com/protocol/session-modes#plan"),
    ],
)
def test_a_name_stands_for_one_id(wanted: str, meant: str) -> None:
    assert resolve_name("model", wanted, OFFERED) == meant


def test_any_name_goes_where_nothing_is_offered() -> None:
    assert resolve_name("model", "whatever", {}) == "whatever"


@pytest.mark.parametrize(
    ("wanted", "offered", "message", "hint"),
    [
        ("gpt-6", OFFERED, "knows no model 'gpt-6'", "openai/gpt-5"),
        ("gpt", {"a/gpt-5": "", "a/gpt-5-2": ""}, "'gpt' fits several: a/gpt-5, a/gpt", "Name one"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused(
    wanted: str, offered: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(AgentProblem) as raised:
        resolve_name("model", wanted, offered)
    assert message in raised.value.problem.message
    assert hint in str(raised.value.problem.hint)


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("opus", "claude-opus-4-8", True),
        ("claude-opus-4-8", "anthropic/claude-opus-4-8-20260101", True),
        ("fake-model", "fake/fake-model", True),
        ("gpt-5", "gpt-5-mini", False),
        ("claude-opus-4", "claude-opus-4-8", False),
        ("opus", "claude-haiku-4-5", False),
        ("", "x", False),
    ],
)
def test_whether_an_answer_is_what_was_asked_for(asked: str, answered: str, same: bool) -> None:
    assert same_name(asked, answered) is same
