"""Epic: a larger piece of work as phases in a plan file, one agent a phase, gates for a person.

First a planner makes the plan; people read and change it. Then each phase has an agent of its own
in the epic's worktree; its checks and, where the phase says what must hold, a verifier look at it;
what they say goes into the next attempt. A phase that verifies begins with that look: an agent
works only on what does not hold. The plan lies outside the worktree, and only this code
writes its marks. The file alone says how far it is: calling it again goes on there.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec

from ..errors import PaseoError, UsageProblem
from ..git.worktrees import ensure_worktree
from ..handle import AsyncRun
from . import plan_files
from .looping import VERDICT
from .plan_files import Phase, Plan
from .results import Epic, PhaseDone
from .working import LimitReached, Work, ended_well, how_it_ended, named, say

PLANNED = {
    "type": "object",
    "properties": {
        "phases": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "kind": {"enum": list(plan_files.KINDS)},
                    "task": {"type": "string"},
                    "acceptance": {"type": "string"},
                    "checks": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["title", "kind", "task", "acceptance", "checks"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["phases"],
    "additionalProperties": False,
}
OUTPUT = 6_000
UNTOUCHED = "(nobody has worked on this phase yet: look at what the phases before it left)"


class Ways(msgspec.Struct, kw_only=True):
    """Who does what in an epic, and how often a phase is tried."""

    agent: str | None
    planner: str | None
    verifier: str | None
    attempts: int
    approve: bool
    worktree: str


def slug(text: str) -> str:
    """A short name for a spec: its first words, and what tells it from others that begin so."""
    words = re.findall(r"[a-z0-9]+", text.lower())[:5]
    return "-".join([*words, hashlib.sha256(text.encode()).hexdigest()[:4]])


async def planned(work: Work, path: Path, spec: str, ways: Ways) -> Plan:
    """The plan of an epic: read where it has one, else made by the planner and written."""
    if path.exists():
        return plan_files.read(path)
    say("epic: an agent plans it")
    prompt = work.prompt("epic_plan", spec=spec)
    title = f"Plan: {spec.splitlines()[0][:60]}"
    run = await work.run(
        "plan", ways.planner, prompt, mode="read", schema=PLANNED, title=title, needed=True
    )
    say(f"  {named(run)}")
    value: Any = run.value
    phases = [msgspec.convert(_one_line(phase), Phase) for phase in value["phases"]]
    plan = Plan(spec, phases, {"status": "planned", "worktree": ways.worktree})
    plan_files.written(path, plan)
    return plan


def _one_line(phase: dict[str, Any]) -> dict[str, Any]:
    flat = {name: " ".join(str(phase[name]).split()) for name in ("title", "acceptance")}
    checks = [command.strip() for command in phase["checks"]]
    return {**phase, **flat, "checks": [command for command in checks if command]}


async def gone_on(work: Work, path: Path, ways: Ways) -> Epic:
    """Do what is left of a plan, up to a gate, a failure, a limit or the end. The file is read anew
    before each phase: what a person changes in it meanwhile counts."""
    done: dict[str, PhaseDone] = {}
    state = ""
    try:
        while not state:
            plan = plan_files.read(path)
            left = [number for number, one in enumerate(plan.phases, 1) if one.mark != "x"]
            state = await _next(work, path, plan, left[0], ways, done) if left else "delivered"
    except LimitReached as reached:
        state = reached.which
    plan = plan_files.read(path)
    plan.facts["status"] = state
    plan_files.written(path, plan)
    made = _standing(work, path, plan, state, done)
    runs = [one.run for one in made.phases if one.run is not None]
    made.branch = runs[-1].branch if runs else None
    if state == "delivered":
        work.end(state=state)
    say(f"epic: {state}")
    return made


async def _next(
    work: Work, path: Path, plan: Plan, number: int, ways: Ways, done: dict[str, PhaseDone]
) -> str:
    """Do one phase; why the epic ends here, "" where it goes on."""
    phase = plan.phases[number - 1]
    one = done[_key(phase)] = PhaseDone(
        number=number, title=phase.title, kind=phase.kind, mark=phase.mark
    )
    if phase.kind == "gate":
        if not await _let_pass(work, phase, ways, one):
            return "gate"
        _mark(path, phase, "x")
        return ""
    _mark(path, phase, "~")
    passed = await _phase(work, plan, number, ways, one)
    _mark(path, phase, "x" if passed else "!")
    return "" if passed else "failed"


def _mark(path: Path, phase: Phase, mark: str) -> None:
    """Mark a phase in the file as it is now; one whose text was changed meanwhile is another."""
    plan = plan_files.read(path)
    for one in plan.phases:
        if one.mark != "x" and _key(one) == _key(phase):
            one.mark = mark
            break
    plan.facts["status"] = "at work"
    plan_files.written(path, plan)


async def _let_pass(work: Work, phase: Phase, ways: Ways, done: PhaseDone) -> bool:
    """A gate: its commands where it has some, each time, and a person, once for each gate."""
    if not ways.approve:
        done.reason = phase.acceptance or phase.task or "a person must agree"
        return False
    ways.approve = False
    if phase.checks:
        folder = await anyio.to_thread.run_sync(_folder, work, ways.worktree)
        results = await work.checks(f"{_key(phase)}/gate", phase.checks, folder, anew=True)
        if not results[-1].passed:
            done.reason = str(results[-1])
            return False
    return True


def _folder(work: Work, worktree: str) -> Path:
    """The epic's worktree, made if no phase was done in it yet."""
    home = work.host.home
    return ensure_worktree(work.project, worktree, home, lambda _: None).path


def _key(phase: Phase) -> str:
    """What tells a phase from the others, wherever it stands: a changed text is another phase."""
    told = msgspec.json.encode(
        [phase.title, phase.kind, phase.task, phase.acceptance, phase.checks]
    )
    return f"phase/{hashlib.sha256(told).hexdigest()[:10]}"


async def _phase(work: Work, plan: Plan, number: int, ways: Ways, done: PhaseDone) -> bool:
    phase, key = plan.phases[number - 1], _key(plan.phases[number - 1])
    say(f"phase {number} of {len(plan.phases)}, {phase.kind}: {phase.title}")
    first = int(work.record.known.get(f"{key}/given up", {}).get("attempts", 0)) + 1
    said: list[str] = []
    if phase.kind == "verify":
        folder = await anyio.to_thread.run_sync(_folder, work, ways.worktree)
        done.reason = await _look(work, phase, f"{key}/{first}/before", ways, folder, UNTOUCHED)
        if not done.reason:
            return True
        said.append(f"It was looked at, and does not hold yet:\n{done.reason}")
    for attempt in range(first, first + ways.attempts):
        prompt = work.prompt(
            "epic_phase",
            phase=f"{phase.title}\n\n{phase.task}",
            acceptance="\n".join(
                [
                    phase.acceptance or "what the phase asks for is done",
                    *(f"- the command `{command}` succeeds" for command in phase.checks),
                ]
            ),
            spec=plan.task,
            plan="\n".join(f"{n}. [{p.mark}] {p.title}" for n, p in enumerate(plan.phases, 1)),
            attempts="\n\n".join(said[-2:]) or "This is the first attempt.",
        )
        run = await work.run(
            f"{key}/{attempt}", phase.agent or ways.agent, prompt,
            title=f"Epic {number}: {phase.title[:60]}", worktree=ways.worktree,
        )  # fmt: skip
        done.run = run
        say(f"  {named(run)}")
        done.reason = await _lacks(work, phase, f"{key}/{attempt}", ways, run)
        if not done.reason:
            return True
        said.append(f"An attempt was not enough:\n{done.reason}")
        if run.error is not None and len(said) > 1 and said[-1] == said[-2]:
            break
    work.record.put(f"{key}/given up", {"attempts": first + ways.attempts - 1})
    return False


async def _lacks(work: Work, phase: Phase, step: str, ways: Ways, run: AsyncRun) -> str:
    """Why a phase is not done yet; "" where it is."""
    if not ended_well(run):
        return f"the agent did not end well: {how_it_ended(run)}"
    return await _look(work, phase, step, ways, Path(run.spec.cwd), run.text or "(nothing)")


async def _look(work: Work, phase: Phase, step: str, ways: Ways, folder: Path, worker: str) -> str:
    """What does not hold in a folder of that which a phase asks for; worker: what who worked on it
    says."""
    results = await work.checks(step, phase.checks, folder)
    failed = [one for one in results if not one.passed]
    if failed:
        return f"{failed[0]}\n{failed[0].output.strip()[-OUTPUT:]}"
    holds = phase.acceptance or (phase.task if phase.kind == "verify" else "")
    if not holds:
        return ""
    prompt = work.prompt(
        "epic_verify",
        acceptance=holds,
        phase=f"{phase.title}\n\n{phase.task}",
        said=worker,
    )
    judge = await work.run(
        f"{step}/verify", ways.verifier or ways.agent, prompt, mode="read", schema=VERDICT,
        title=f"Verify: {phase.title[:60]}", worktree=ways.worktree, shared=True,
    )  # fmt: skip
    value: Any = judge.value
    if value is None:
        return f"the verifier gave no verdict: {how_it_ended(judge)}"
    say(f"  verifier: {'passed' if value['passed'] else 'not passed'}")
    return "" if value["passed"] else str(value["reason"])


def plan_path(home: Path, given: str) -> tuple[Path, str | None]:
    """Where the plan of what was given lies, and the spec: a path of a plan, or a text."""
    looks_like_a_path = "\n" not in given and given.strip().endswith(".md")
    if looks_like_a_path:
        path = Path(given.strip()).expanduser().absolute()
        if not path.is_file():
            raise UsageProblem(f"there is no plan {path}")
        return path, None
    if not given.strip():
        raise PaseoError("an epic needs what is wanted: a text, or the path of its plan")
    return home / "plans" / f"{slug(given)}.md", given.strip()


def only_planned(work: Work, path: Path, plan: Plan) -> Epic:
    """An epic whose plan waits to be read."""
    say(f"epic: planned in {len(plan.phases)} phases; read {path}, then epic({str(path)!r})")
    return _standing(work, path, plan, "planned", {})


def _standing(work: Work, path: Path, plan: Plan, state: str, done: dict[str, PhaseDone]) -> Epic:
    phases: list[PhaseDone] = []
    for number, phase in enumerate(plan.phases, 1):
        new = PhaseDone(number=number, title=phase.title, kind=phase.kind, mark=phase.mark)
        one = done.get(_key(phase), new)
        one.number, one.mark = number, phase.mark
        phases.append(one)
    took, cost = round(work.spent_s(), 1), work.spent_usd()
    return Epic(
        record=work.record.name, path=str(path), state=state, phases=phases, took_s=took,
        cost_usd=cost,
    )  # fmt: skip
