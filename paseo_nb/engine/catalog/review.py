"""multi-review: one reviewer per dimension, each finding put to agents that try to refute it.

Cost: 1 review per dimension; per finding `votes` checks; 1 report where anything stood up.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ...errors import UsageProblem
from .. import words
from ..values import Result, StepFailed
from ..workflows import workflow
from .telling import listed, needed, prompt, shortened

DIMENSIONS = {
    "correctness": "wrong results, broken edge cases, races, errors that are swallowed",
    "security": "untrusted input, injection, secrets, permissions, unsafe defaults",
    "performance": "work that grows too fast, needless copies, blocking, leaks",
    "tests": "behaviour without a test that would fail without it, tests that prove nothing",
    "simplicity": "code that is not needed, duplicates, names that mislead, layers without a use",
}
Severity = Literal["critical", "major", "minor"]
RANKS: tuple[Severity, ...] = ("critical", "major", "minor")


class Raised(msgspec.Struct, frozen=True):
    """What a reviewer says is wrong."""

    title: str
    file: str
    line: int
    severity: Severity
    what: str
    fix: str


class Raises(msgspec.Struct, frozen=True):
    """What one reviewer found."""

    findings: Annotated[list[Raised], Meta(max_length=12)]


class Vote(msgspec.Struct, frozen=True):
    """What an agent says that tried to refute a finding."""

    real: bool
    severity: Severity
    why: str


class Report(msgspec.Struct, frozen=True):
    """What is told of it all."""

    summary: str


class Issue(msgspec.Struct, frozen=True):
    """A finding, who raised it, and what came of the votes: those for it, of all that were cast."""

    title: str
    file: str
    line: int
    severity: Severity
    what: str
    fix: str
    dimensions: list[str]
    votes_for: int
    votes: int
    why: list[str]


class Review(msgspec.Struct, frozen=True):
    """A review. approved: nothing critical or major stood up, and nothing was left unseen."""

    approved: bool
    summary: str
    findings: list[Issue]
    dismissed: list[Issue]
    unverified: list[Issue]
    unseen: list[str]

    def __str__(self) -> str:
        return self.summary

    def _repr_markdown_(self) -> str:
        told = [f"**{'Approved' if self.approved else 'Changes are needed'}.** {self.summary}"]
        told += [
            f"- {it.severity}: {it.title} ({it.file}:{it.line}). {it.fix}" for it in self.findings
        ]
        return "\n".join(told)


@workflow(name="multi-review", budget=10.0, max_steps=400)
async def multi_review(
    subject: str,
    patch: str = "",
    *,
    dimensions: list[str] | None = None,
    agent: str | None = None,
    judge: str | None = None,
    votes: int = 1,
) -> Review:
    """Review a change or files by several dimensions; only what stands up to a second look counts.

    subject: what it is, in words: "the parser in src/parse.py", "the change below"
    patch: a change, as `run.diff()` gives it
    dimensions: correctness, security, performance, tests, simplicity (default: all), or own words
    agent: who reviews (default: the configured one)
    judge: who tries to refute (default: the same)
    votes: how many try; a finding stands where more than half could not
    """
    wanted = list(DIMENSIONS) if dimensions is None else dimensions
    if not wanted or votes < 1:
        raise UsageProblem("a review has one dimension at least, and votes of 1 or more")
    told = shortened(patch) if patch else "(no patch: look at the files)"
    unseen: list[str] = []

    async def find(dimension: str) -> Any:
        about = DIMENSIONS.get(dimension, dimension)
        text = prompt("review_find", subject=subject, patch=told, dimension=dimension, about=about)
        found = await words.agent(text, agent, schema=Raises, label=dimension, phase="review")
        if isinstance(found, StepFailed):
            unseen.append(f"{dimension}: {found.message}")
        return found

    async def verify(found: Result, dimension: str) -> list[Issue]:
        raised: list[Raised] = found.value.findings
        return await words.parallel([_put_to_votes(one, dimension) for one in raised])

    async def _put_to_votes(raised: Raised, dimension: str) -> Issue:
        text = prompt("review_check", subject=subject, patch=told, finding=listed(raised))
        cast = await words.parallel(
            [
                words.agent(
                    text, judge or agent, schema=Vote, key=n, phase="verify",
                    label=f"refute {n + 1}: {raised.title[:60]}",
                )
                for n in range(votes)
            ]
        )  # fmt: skip
        return _issue(raised, dimension, [one.value for one in cast if one])

    issues: list[Issue] = []
    for batch in await words.pipeline(wanted, find, verify):
        issues += batch if isinstance(batch, list) else []  # pyright: ignore
    findings = _merged([one for one in issues if one.votes and 2 * one.votes_for > one.votes])
    dismissed = [one for one in issues if one.votes and 2 * one.votes_for <= one.votes]
    unverified = [one for one in issues if not one.votes]
    summary = "No finding stood up to a second look."
    if findings:
        text = prompt("review_report", subject=subject, findings=listed(findings))
        step = words.agent(text, agent, schema=Report, label="report", phase="report", reads=False)
        summary = (await needed(step, "no report was written")).summary
    grave = any(one.severity != "minor" for one in [*findings, *unverified])
    approved = not grave and not unseen
    return Review(approved, summary, findings, dismissed, unverified, unseen)


def _issue(raised: Raised, dimension: str, votes: list[Vote]) -> Issue:
    """A finding with its votes; as grave as the mildest of those who hold it real say."""
    real = [one for one in votes if one.real]
    mildest = max((RANKS.index(one.severity) for one in real), default=None)
    severity = raised.severity if mildest is None else RANKS[mildest]
    return Issue(
        raised.title, raised.file, raised.line, severity, raised.what, raised.fix, [dimension],
        len(real), len(votes), [one.why for one in votes],
    )  # fmt: skip


def _merged(issues: list[Issue]) -> list[Issue]:
    """By gravity; what several dimensions say of one line under one title, once."""
    known: dict[tuple[str, int, str], Issue] = {}
    for one in sorted(issues, key=lambda it: RANKS.index(it.severity)):
        place = (one.file, one.line, one.title.casefold())
        if place in known:
            both = [*known[place].dimensions, *one.dimensions]
            known[place] = msgspec.structs.replace(known[place], dimensions=both)
        else:
            known[place] = one
    return list(known.values())
