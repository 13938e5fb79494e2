"""deep-research: lines of inquiry, findings with sources, each of them checked by another agent.

A finding comes into the result through its check only: there is no way around it, and what could
not be checked is told as dropped. Cost: 1 plan; per line 1 search; per finding 1 check; per further
round 1 look for gaps; 1 report.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from ...errors import UsageProblem
from .. import words
from ..values import Result, StepFailed
from ..workflows import workflow
from .telling import listed, needed, prompt

Share = Annotated[float, Meta(ge=0, le=1)]
Trust = Literal["high", "medium", "low", "none"]
AT_MOST = {"high": 1.0, "medium": 0.8, "low": 0.5, "none": 0.0}  # confidence, by the best source
NOTHING = "No finding stood up to the checks."


class Line(msgspec.Struct, frozen=True):
    """One line of inquiry."""

    question: str
    why: str


class Plan(msgspec.Struct, frozen=True):
    """What is looked into."""

    lines: Annotated[list[Line], Meta(max_length=12)]


class Source(msgspec.Struct, frozen=True):
    """Where something stands: an address, or a file and line."""

    where: str
    title: str
    kind: Literal["primary", "secondary", "opinion", "unknown"] = "unknown"
    date: str | None = None


class Found(msgspec.Struct, frozen=True):
    """What a search says, unchecked."""

    claim: str
    evidence: str
    sources: Annotated[list[Source], Meta(min_length=1, max_length=6)]


class Search(msgspec.Struct, frozen=True):
    """What one search found, and what it did not."""

    findings: Annotated[list[Found], Meta(max_length=8)]
    missing: str = ""


class Weight(msgspec.Struct, frozen=True):
    """What a source is worth to who checked it."""

    where: str
    trust: Trust
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """What a check came to. claim: as it holds."""

    verdict: Literal["confirmed", "corrected", "refuted", "unclear"]
    claim: str
    sources: list[Weight]
    confidence: Share
    why: str


class Written(msgspec.Struct, frozen=True):
    """The report. rests_on: the numbers of the findings that the answer needs."""

    answer: str
    confidence: Share
    rests_on: list[int]
    limits: list[str]


class Weighed(msgspec.Struct, frozen=True):
    """A source, and what it is worth."""

    where: str
    title: str
    kind: str
    date: str | None
    trust: Trust
    why: str


class Finding(msgspec.Struct, frozen=True):
    """A claim that was checked. used: the answer rests on it."""

    claim: str
    evidence: str
    sources: list[Weighed]
    confidence: float
    checked: str
    line: str
    used: bool = False


class Adjustment(msgspec.Struct, frozen=True):
    """What a check changed. after: None where the claim was dropped."""

    before: str
    after: str | None
    why: str


class Research(msgspec.Struct, frozen=True):
    """An answer, and what it rests on. confidence: 0 to 1, never above its best finding's."""

    question: str
    answer: str
    confidence: float
    findings: list[Finding]
    adjustments: list[Adjustment]
    limits: list[str]

    def __str__(self) -> str:
        return self.answer

    def _repr_markdown_(self) -> str:
        told = [f"{self.answer}\n\n*Confidence {self.confidence:.0%}*"]
        for number, one in enumerate(self.findings, 1):
            places = "; ".join(f"{it.title}, {it.where} ({it.trust})" for it in one.sources)
            told.append(f"{number}. {one.claim} ({one.confidence:.0%}). {places}")
        return "\n\n".join([*told, *(f"Limit: {one}" for one in self.limits)])


_Checked = tuple[Found, Line, Result | StepFailed]


@workflow(name="deep-research", budget=10.0, max_steps=200)
async def deep_research(
    question: str,
    *,
    agent: str | None = None,
    judge: str | None = None,
    lines: int = 4,
    rounds: int = 2,
    where: str = "web",
) -> Research:
    """Research a question: findings with sources, each checked by another agent, and an answer.

    agent: who plans, searches and writes (default: the configured one)
    judge: who checks (default: the same; a different model sees other mistakes)
    lines: lines of inquiry, at most, in each round
    rounds: searches, at most; from the second on for what is missing
    where: what is looked at: web, files, or both
    """
    if where not in LOOKS or lines < 1 or rounds < 1:
        raise UsageProblem(f"where is {', '.join(LOOKS)}; lines and rounds are at least 1")
    judge = judge or agent
    findings: list[Finding] = []
    adjustments: list[Adjustment] = []
    limits: list[str] = []

    async def search(line: Line) -> Any:
        text = prompt("research_search", question=question, line=line.question, why=line.why)
        found = await words.agent(
            text, agent, schema=Search, label=line.question[:60], **LOOKS[where]
        )
        if not found:
            limits.append(f"Not searched: {line.question} ({_why(found)})")
        return found

    async def check(found: Result, line: Line) -> list[Any]:
        if found.value.missing:
            limits.append(found.value.missing)
        return await words.parallel([_checked(one, line) for one in found.value.findings])

    async def _checked(found: Found, line: Line) -> _Checked:
        text = prompt("research_check", finding=listed(found), question=question)
        label = f"check: {found.claim[:60]}"
        told = await words.agent(
            text, judge, schema=Verdict, label=label, retries=1, **LOOKS[where]
        )
        return found, line, told

    words.phase("plan")
    text = prompt("research_plan", question=question, lines=str(lines))
    plan = await needed(words.agent(text, agent, schema=Plan, reads=where != "web"), "no plan")
    todo: list[Line] = plan.lines
    for number in range(1, rounds + 1):
        if len(todo) > lines:
            limits.append("Left out: " + "; ".join(one.question for one in todo[lines:]))
        words.phase(f"search {number}")
        for batch in await words.pipeline(todo[:lines], search, check):
            for one in cast(list[_Checked], batch) if isinstance(batch, list) else []:
                _weigh(*one, findings, adjustments)
        if number == rounds:
            break
        known = listed([one.claim for one in findings])
        text = prompt("research_gaps", question=question, findings=known, lines=str(lines))
        gaps = await words.agent(
            text, agent, schema=Plan, label=f"gaps {number}", reads=where != "web"
        )
        if isinstance(gaps, StepFailed):
            limits.append(f"Nobody looked for gaps: {gaps.message}")
            break
        todo = gaps.value.lines
        if not todo:
            break
    words.phase("report")
    if not findings:
        return Research(question, NOTHING, 0.0, [], adjustments, limits)
    return await _report(question, agent, findings, adjustments, limits)


LOOKS: dict[str, dict[str, Any]] = {
    "files": {"mode": "read"},
    "web": {
        "mode": "edit", "effects": "none", "reads": False, "allow": ["fetch"],
        "deny": ["execute", "edit", "delete", "move"],
    },
    "both": {
        "mode": "edit", "effects": "none", "allow": ["fetch"],
        "deny": ["execute", "edit", "delete", "move"],
    },
}  # fmt: skip


def _weigh(
    found: Found,
    line: Line,
    told: Result | StepFailed,
    findings: list[Finding],
    adjustments: list[Adjustment],
) -> None:
    """The only way into the findings: with a check that says that the claim holds."""
    if isinstance(told, StepFailed):
        why = f"it could not be checked: {told.message}"
        adjustments.append(Adjustment(found.claim, None, why))
        return
    verdict: Verdict = told.value
    weights = {one.where: one for one in verdict.sources}
    sources = [_weighed(one, weights.get(one.where)) for one in found.sources]
    confidence = min(verdict.confidence, max(AT_MOST[one.trust] for one in sources))
    holds = verdict.verdict in ("confirmed", "corrected") and confidence > 0
    if not holds or verdict.verdict == "corrected":
        why = verdict.why if confidence > 0 else f"no source is to be trusted: {verdict.why}"
        adjustments.append(Adjustment(found.claim, verdict.claim if holds else None, why))
    if holds:
        claim = verdict.claim if verdict.verdict == "corrected" else found.claim
        findings.append(
            Finding(claim, found.evidence, sources, confidence, verdict.why, line.question)
        )


def _weighed(source: Source, weight: Weight | None) -> Weighed:
    trust, why = ("none", "who checked it did not weigh it") if weight is None else _of(weight)
    return Weighed(source.where, source.title, source.kind, source.date, trust, why)


def _of(weight: Weight) -> tuple[Trust, str]:
    return weight.trust, weight.why


async def _report(
    question: str,
    agent: str | None,
    findings: list[Finding],
    adjustments: list[Adjustment],
    limits: list[str],
) -> Research:
    numbered = [
        {
            "number": number,
            "claim": one.claim,
            "evidence": one.evidence,
            "confidence": one.confidence,
            "sources": [{"where": it.where, "trust": it.trust} for it in one.sources],
        }
        for number, one in enumerate(findings, 1)
    ]
    text = prompt(
        "research_report", question=question, findings=listed(numbered), limits=listed(limits)
    )
    step = words.agent(text, agent, schema=Written, label="report", reads=False)
    written: Written = await needed(step, "no report was written")
    used = set(written.rests_on)
    told = [
        msgspec.structs.replace(one, used=number in used) for number, one in enumerate(findings, 1)
    ]
    best = max((one.confidence for one in told if one.used), default=0.0)
    confidence = round(min(written.confidence, best), 3)
    return Research(
        question, written.answer, confidence, told, adjustments, [*limits, *written.limits]
    )


def _why(failed: Any) -> str:
    return failed.message if isinstance(failed, StepFailed) else "no answer"
