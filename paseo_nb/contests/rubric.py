"""A judge that is a model: two solutions at a time, in both orders of seats, names taken out.

Who changes its mind with the order has no opinion: it abstains. A judge of a contestant's own
family of models is refused unless that is allowed, as it may know its own hand.
"""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

from ..drivers import registry
from ..engine import words
from ..engine.values import Base, Result
from ..errors import UsageProblem
from ..patterns.families import family
from ..patterns.prompts_of import filled
from .values import Ended, Header, Verdict

RUBRIC = "correct first, then complete, then simple; no change that the task does not ask for"
CHOICE = {
    "type": "object",
    "properties": {
        "better": {"enum": ["first", "second", "tie"]},
        "reason": {"type": "string"},
    },
    "required": ["better", "reason"],
    "additionalProperties": False,
}
PATCH = 200_000
_NAMES = (
    r"claude(?:[ -]?code)?|anthropic|opus|sonnet|haiku|codex|open ?ai|(?:chat)?gpt[-\w.]*|copilot|"
    r"gemini|google|deepseek[-\w.]*|opencode|qwen[-\w.]*|mistral|llama[-\w.]*|grok|kimi|moonshot"
)


def check_family(judge: str, agents: list[str], project: Path) -> None:
    """UsageProblem for a judge of a contestant's own family of models."""
    own = family_of(judge, project)
    for agent in agents:
        if family_of(agent, project) == own:
            raise UsageProblem(
                f"judge {judge} is of the family {own}, as contestant {agent} is, whose hand it may"
                " prefer: name a judge of another family, or allow it by same_family=True"
            )


def family_of(agent: str, project: Path) -> str:
    """The family of models of an agent."""
    known = registry.resolve(agent, project, os.environ, to_start=False)
    return family(known.provider, known.model)


def without_names(text: str, agents: list[str]) -> str:
    """A text without what tells who wrote it: agents' names, and well-known makers and models."""
    own = sorted({part for name in agents for part in (name, *name.split("/")) if len(part) > 2})
    pattern = "|".join([*(re.escape(name) for name in own[::-1]), _NAMES])
    return re.sub(rf"(?<![\w/])(?:{pattern})(?![\w])", "[name]", text, flags=re.IGNORECASE)


async def judged(
    header: Header,
    judge: str,
    ended: list[Ended],
    results: dict[str, Result],
    project: Path,
) -> list[Verdict]:
    """A verdict on each pair of contestants that ended well."""
    agents = header.asked.agents
    shown = {
        one.seat: _solution(results[one.seat], agents)
        for one in ended
        if one.cause is None and one.seat in results
    }

    async def pair(a: str, b: str) -> Verdict:
        asked = [
            _asked(header, judge, project, shown[first], shown[second], f"{first}{second}")
            for first, second in ((a, b), (b, a))
        ]
        ahead, back = await words.parallel(asked)
        return _verdict(judge, a, b, ahead, back)

    found = await words.parallel([pair(a, b) for a, b in combinations(sorted(shown), 2)])
    return [one for one in found if isinstance(one, Verdict)]


def _solution(result: Result, agents: list[str]) -> str:
    patch = result.diff()
    left = len(patch) - PATCH
    if left > 0:
        patch = f"{patch[:PATCH]}\n… {left:,} characters more"
    text = f"What it changed:\n{patch or '(nothing)'}\n\nWhat it said at the end:\n{result.text}"
    return without_names(text, agents)


async def _asked(
    header: Header, judge: str, project: Path, first: str, second: str, order: str
) -> Any:
    asked = header.asked
    prompt = filled(
        "arena_judge", project, rubric=asked.rubric or RUBRIC, task=asked.prompt, first=first,
        second=second,
    )  # fmt: skip
    return await words.contestant(
        prompt, judge, repo=header.repo, at=Base(header.base, header.tree), match=header.id,
        seat=f"judge {order}", key=["judge", judge, order], schema=CHOICE, mode="read",
        keep=False,
    )  # fmt: skip


def _verdict(judge: str, a: str, b: str, ahead: Any, back: Any) -> Verdict:
    """Of the answers for (a first, b second) and (b first, a second)."""
    seats = {"first": a, "second": b, "tie": "tie"}, {"first": b, "second": a, "tie": "tie"}
    told = [
        names[one.plain["better"]] if isinstance(one, Result) and one.plain else None
        for names, one in zip(seats, (ahead, back), strict=True)
    ]
    reasons = [
        one.plain["reason"] if isinstance(one, Result) and one.plain else str(one)
        for one in (ahead, back)
    ]
    agree = told[0] is not None and told[0] == told[1]
    return Verdict(
        name=f"model:{judge}:{a}{b}", judge=judge, kind="model",
        rule="the same in both orders of seats, else it abstains", seat=a, other=b,
        choice=told[0] if agree else None, abstained=not agree,
        evidence={"choices": told, "reasons": reasons},
        run_ids=[one.run_id for one in (ahead, back) if one.run_id],
    )  # fmt: skip
