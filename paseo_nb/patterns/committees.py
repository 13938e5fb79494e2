"""Committee: two experts of different kinds look at a problem alone, challenge each other, and one
plan is made of both; on wish an agent carries it out, and they review until they agree.

Members never edit: their mode is `read`. Both are waited for, each phase; nothing of what they said
is cut on its way to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import UsageProblem
from ..handle import AsyncRun
from .results import Committee, Member, Review
from .working import Work, ended_well, how_it_ended, named, say

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


async def committee_of(
    work: Work,
    problem: str,
    agents: Sequence[str],
    rounds: int,
    implement: str | None,
    place: dict[str, Any],
) -> Committee:
    """Go on with a committee until it has come to its end.

    place: options of the run that implements, as its worktree and mode.
    """
    if len(agents) != 2 or agents[0] == agents[1]:
        raise UsageProblem("a committee has two members, of different kinds: agents=[…, …]")
    first, second = agents
    seats = [("a", first), ("b", second)]
    say(f"committee: {first} and {second} look at it, each alone")
    prompt = work.prompt("committee_analysis", problem=problem)
    runs = await work.together(
        *(_member(work, f"{seat}/analysis", agent, prompt) for seat, agent in seats)
    )
    members = [Member(run=run, analysis=_first_text(run)) for run in runs]
    for run in runs:
        say(f"  {named(run)}")
        if not _first_text(run):
            raise UsageProblem(
                f"member {run.agent} found nothing: {how_it_ended(run)}. Its run is {run.id}; what"
                " the other found is kept. Name another member, or mend what it lacks."
            )
    say("committee: each challenges the other")
    challenges = [
        work.prompt("committee_challenge", other=members[1 - at].analysis) for at in (0, 1)
    ]
    await work.together(
        *(
            work.send(f"{seat}/challenge", run, text)
            for (seat, _), run, text in zip(seats, runs, challenges, strict=True)
        )
    )
    for member in members:
        member.challenge = _text_of(member.run, 2)
    made = await _plan(work, problem, seats, members, rounds)
    made.record, made.members = work.record.name, members
    if implement is not None and made.plan:
        await _carried_out(work, problem, seats, made, implement, rounds, place)
    if work.record.ended is None:
        work.end(agreed=made.agreed, approved=made.approved)
    made.took_s, made.cost_usd = round(work.spent_s(), 1), work.spent_usd()
    return made


async def _member(work: Work, step: str, agent: str, prompt: str, **options: Any) -> AsyncRun:
    title = f"Committee: {step.replace('/', ', ')}"
    return await work.run(step, agent, prompt, mode="read", title=title, **options)


def _text_of(run: AsyncRun, turn: int) -> str:
    turns = run.history().turns
    return turns[turn - 1].text.strip() if len(turns) >= turn else ""


def _first_text(run: AsyncRun) -> str:
    return _text_of(run, 1)


async def _plan(
    work: Work,
    problem: str,
    seats: list[tuple[str, str]],
    members: list[Member],
    rounds: int,
) -> Committee:
    """Merge, and have both confirm; what they object to goes into the next plan."""
    objections = ""
    plan, differences, agreed = "", "", False
    for number in range(1, rounds + 1):
        prompt = work.prompt(
            "committee_merge",
            problem=problem + objections,
            first=members[0].analysis,
            first_challenge=members[0].challenge,
            second=members[1].analysis,
            second_challenge=members[1].challenge,
        )
        merged = await _member(work, f"merge/{number}", seats[0][1], prompt, schema=MERGED)
        value: Any = merged.value
        if value is None:
            raise UsageProblem(
                f"no plan was made: {how_it_ended(merged)} (run {merged.id}). What both found is"
                " kept: call it again once that is mended."
            )
        plan, differences = str(value["plan"]), str(value["differences"])
        agreed = await _confirmed(work, problem, seats, members, plan, number)
        say(f"committee: {'both stand by the plan' if agreed else 'no agreement yet'}")
        if agreed:
            break
        objections = "".join(
            f"\n\nObjection of expert {at} to the last plan: {member.objections}\nThat plan: {plan}"
            for at, member in enumerate(members, 1)
            if member.objections
        )
    return Committee(record="", plan=plan, agreed=agreed, differences=differences, members=members)


async def _confirmed(
    work: Work,
    problem: str,
    seats: list[tuple[str, str]],
    members: list[Member],
    plan: str,
    number: int,
) -> bool:
    judged = await work.together(
        *(
            _member(
                work,
                f"{seat}/confirm/{number}",
                agent,
                work.prompt("committee_confirm", plan=plan, problem=problem, own=member.challenge),
                schema=CONFIRMED,
            )
            for (seat, agent), member in zip(seats, members, strict=True)
        )
    )
    for member, run in zip(members, judged, strict=True):
        value: Any = run.value
        member.agrees = None if value is None else bool(value["agree"])
        member.objections = "" if value is None else str(value["objections"])
    return all(member.agrees for member in members)


async def _carried_out(
    work: Work,
    problem: str,
    seats: list[tuple[str, str]],
    made: Committee,
    implement: str,
    rounds: int,
    place: dict[str, Any],
) -> None:
    """One agent carries the plan out; the members review its change until both approve."""
    say(f"committee: {implement} carries the plan out")
    prompt = work.prompt("committee_implement", plan=made.plan, problem=problem)
    title = f"Committee: {problem.splitlines()[0][:60]}"
    run = await work.run("implement", implement, prompt, title=title, **place)
    made.run, made.approved = run, False
    say(f"  {named(run)}")
    for number in range(1, rounds + 1):
        if not ended_well(run):
            return
        patch = run.diff_summary().patch
        if len(patch) > PATCH:
            patch = f"{patch[:PATCH]}\n… {len(patch) - PATCH:,} characters more: look at the files"
        review = await work.together(
            *(
                _member(
                    work,
                    f"{seat}/review/{number}",
                    agent,
                    work.prompt("committee_review", plan=made.plan, diff=patch or "(nothing)"),
                    schema=REVIEWED,
                    repo=run.spec.cwd,
                    worktree=None,
                )
                for seat, agent in seats
            )
        )
        values: list[Any] = [one.value for one in review]
        findings = [
            f"{how_it_ended(one)}" if value is None else str(value["findings"])
            for one, value in zip(review, values, strict=True)
        ]
        approved = [value is not None and bool(value["approved"]) for value in values]
        made.reviews.append(Review(approved=approved, findings=findings))
        made.approved = all(approved)
        say(f"committee: review {number}: {'approved' if made.approved else 'findings'}")
        if made.approved or number == rounds:
            return
        told = "\n\n".join(
            text for text, yes in zip(findings, approved, strict=True) if text and not yes
        )
        await work.send(f"mend/{number}", run, work.prompt("committee_mend", findings=told))
