"""Committee: two experts of different kinds look at a problem alone, challenge each other, and one
plan is made of both; on wish an agent carries it out, and they review until they agree.

Members never edit: their mode is `read`. Both are waited for, each phase; nothing of what they said
is cut on its way to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import UsageProblem
from ..handle import AsyncRun
from .results import Committee, Member, Review
from .working import LimitReached, Work, named, say

MERGED = {
    "type": "object",
    "properties": {"plan": {"type": "string"}, "differences": {"type": "string"}},
    "required": ["plan", "differences"],
    "additionalProperties": False,
}
CONFIRMED = {
    "type": "object",
    "properties": {"agree": {"type": "boolean"}, "objections": {"type": "string"}},
    "required": ["agree", "objections"],
    "additionalProperties": False,
}
REVIEWED = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "findings": {"type": "string"}},
    "required": ["approved", "findings"],
    "additionalProperties": False,
}
PATCH = 400_000


class Asked(msgspec.Struct):
    """What a committee is asked. seats: its members, each with the agent in it. place: options of
    the run that implements, as its worktree and mode."""

    problem: str
    seats: dict[str, str]
    rounds: int
    implement: str | None
    place: dict[str, Any]


def seated(agents: Sequence[str]) -> dict[str, str]:
    """The members by their seats. UsageProblem."""
    if len(agents) != 2 or agents[0] == agents[1]:
        raise UsageProblem(
            f"a committee has two members, of different kinds, not {', '.join(agents)}"
        )
    return dict(zip("ab", agents, strict=True))


async def committee_of(work: Work, asked: Asked) -> Committee:
    """Go on with a committee until it has come to its end, or to a limit."""
    made = Committee(record=work.record.name, state="", plan="", differences="", members=[])
    try:
        await _looked(work, asked, made)
        await _plan(work, asked, made)
        made.state = "agreed" if made.agreed else "disagreed"
        if asked.implement is not None:
            await _carried_out(work, asked, asked.implement, made)
    except LimitReached as reached:
        made.state = reached.which
    else:
        if work.record.ended is None:
            work.end(state=made.state, approved=made.approved)
    say(f"committee: {made.state}")
    made.took_s, made.cost_usd = round(work.spent_s(), 1), work.spent_usd()
    return made


async def _member(
    work: Work, step: str, agent: str, prompt: str, *, beside: int = 2, **options: Any
) -> AsyncRun:
    title = f"Committee: {step.replace('/', ', ')}"
    return await work.run(
        step, agent, prompt, mode="read", title=title, needed=True, beside=beside, **options
    )


async def _looked(work: Work, asked: Asked, made: Committee) -> None:
    """Each member's analysis, made alone, and what it holds against the other's."""
    say(f"committee: {' and '.join(asked.seats.values())} look at it, each alone")
    prompt = work.prompt("committee_analysis", problem=asked.problem)
    runs = await work.together(
        *(_member(work, f"{seat}/analysis", agent, prompt) for seat, agent in asked.seats.items())
    )
    made.members = [
        Member(run=run, analysis=work.said(f"{seat}/analysis"))
        for seat, run in zip(asked.seats, runs, strict=True)
    ]
    for member in made.members:
        say(f"  {named(member.run)}")
        if not member.analysis:
            raise UsageProblem(f"member {member.run.agent} said nothing (run {member.run.id})")
    say("committee: each challenges the other")
    others = [member.analysis for member in reversed(made.members)]
    await work.together(
        *(
            work.send(
                f"{seat}/challenge", run, work.prompt("committee_challenge", other=other), beside=2
            )
            for seat, run, other in zip(asked.seats, runs, others, strict=True)
        )
    )
    for seat, member in zip(asked.seats, made.members, strict=True):
        member.challenge = work.said(f"{seat}/challenge")


async def _plan(work: Work, asked: Asked, made: Committee) -> None:
    """Merge, and have both confirm; what they object to goes into the next plan."""
    objections = ""
    first, second = made.members
    for number in range(1, asked.rounds + 1):
        prompt = work.prompt(
            "committee_merge",
            problem=asked.problem + objections,
            first=first.analysis,
            first_challenge=first.challenge,
            second=second.analysis,
            second_challenge=second.challenge,
        )
        agent = asked.seats["a"]
        merged = await _member(work, f"merge/{number}", agent, prompt, beside=1, schema=MERGED)
        value: Any = merged.value
        made.plan, made.differences = str(value["plan"]), str(value["differences"])
        made.agreed = await _confirmed(work, asked, made, number)
        say(f"committee: {'both stand by the plan' if made.agreed else 'no agreement yet'}")
        if made.agreed:
            return
        objections = "".join(
            f"\n\nObjection of expert {at} to the last plan: {one.objections}\n"
            f"That plan: {made.plan}"
            for at, one in enumerate(made.members, 1)
            if one.objections
        )


async def _confirmed(work: Work, asked: Asked, made: Committee, number: int) -> bool:
    def prompt(own: str) -> str:
        return work.prompt("committee_confirm", plan=made.plan, problem=asked.problem, own=own)

    judged = await work.together(
        *(
            _member(
                work, f"{seat}/confirm/{number}", agent, prompt(one.challenge), schema=CONFIRMED
            )
            for (seat, agent), one in zip(asked.seats.items(), made.members, strict=True)
        )
    )
    for one, run in zip(made.members, judged, strict=True):
        value: Any = run.value
        one.agrees, one.objections = bool(value["agree"]), str(value["objections"])
    return all(one.agrees for one in made.members)


async def _carried_out(work: Work, asked: Asked, implement: str, made: Committee) -> None:
    """One agent carries the plan out; the members review its change until both approve."""
    say(f"committee: {implement} carries the plan out")
    prompt = work.prompt("committee_implement", plan=made.plan, problem=asked.problem)
    title = f"Committee: {asked.problem.splitlines()[0][:60]}"
    made.approved = False
    run = made.run = await work.run(
        "implement", implement, prompt, title=title, needed=True, **asked.place
    )
    say(f"  {named(run)}")
    for number in range(1, asked.rounds + 1):
        patch = run.diff_summary().patch
        if len(patch) > PATCH:
            patch = f"{patch[:PATCH]}\n… {len(patch) - PATCH:,} characters more: look at the files"
        prompt = work.prompt("committee_review", plan=made.plan, diff=patch or "(nothing)")
        review = await work.together(
            *(
                _member(
                    work, f"{seat}/review/{number}", agent, prompt, schema=REVIEWED,
                    repo=run.spec.cwd, worktree=None,
                )
                for seat, agent in asked.seats.items()
            )
        )  # fmt: skip
        values: list[Any] = [one.value for one in review]
        findings = [str(value["findings"]) for value in values]
        approved = [bool(value["approved"]) for value in values]
        made.reviews.append(Review(approved=approved, findings=findings))
        made.approved = all(approved)
        say(f"committee: review {number}: {'approved' if made.approved else 'findings'}")
        if made.approved or number == asked.rounds:
            return
        told = "\n\n".join(
            text for text, yes in zip(findings, approved, strict=True) if text and not yes
        )
        await work.send(f"mend/{number}", run, work.prompt("committee_mend", findings=told))
