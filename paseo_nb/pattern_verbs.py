"""The verbs of the patterns: handoff, loop, advisor, committee, epic. `verbs` has the others."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from . import preparing
from .answering import OnPermission
from .attaching import Attachments
from .errors import UsageProblem
from .handle import AsyncRun
from .patterns import (
    advising,
    committees,
    epics,
    families,
    handing_over,
    looping,
    skills_files,
)
from .patterns.prompts_of import filled
from .patterns.results import Committee, Epic, Loop, names_of, sequence_of
from .patterns.working import Limits, Work, working
from .refusing import checked_prompt
from .verb_table import current_host, run_of, verb

if TYPE_CHECKING:
    import pandas as pd


async def _start(agent: str | None, prompt: str, **options: Any) -> AsyncRun:
    from .verbs import start

    return await start(agent, prompt, **options)


def _given_a_handle(until: Callable[[Any], Any] | None) -> Callable[[AsyncRun], Any] | None:
    """A function that is not async gets the handle that it can call without awaiting."""
    if until is None or inspect.iscoroutinefunction(until):
        return until
    from . import _sync  # pyright: ignore[reportPrivateUsage]

    return lambda run: until(_sync.Run(run))


def _prompts(name: str, **fields: str) -> str:
    return filled(name, preparing.project_of(current_host()), **fields)


@contextlib.asynccontextmanager
async def _at_work(
    pattern: str,
    asked: dict[str, Any],
    time_limit: float | None,
    budget: float | None,
    again: bool,
    on_permission: OnPermission,
    by_options: bool = True,
    **options: Any,
) -> AsyncGenerator[Work]:
    async with working(
        current_host(),
        _start,
        pattern,
        asked,
        limits=Limits(time_limit, budget),
        options=options,
        on_permission=on_permission,
        again=again,
        by_options=by_options,
    ) as work:
        yield work


@verb
async def handoff(
    run: str,
    *,
    to: str | None = None,
    task: str | None = None,
    acceptance: str | None = None,
    note: bool = False,
    worktree: str | None = None,
    base: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    title: str | None = None,
    attach: Attachments | None = None,
    budget: float | None = None,
    timeout: float | None = None,
    wait: bool = False,
) -> AsyncRun:
    """Have another agent take over what a run was at; its run, at once.

    It gets a briefing that needs no context: task, plan, last words, changed files, what failed.

    run: an id, or any beginning of one that fits a single run
    to: the agent that takes over, `provider/model` or a profile
    task: what it shall do (default: what the run was asked for)
    acceptance: how one sees that it is done
    note: ask the first agent for a note, too: decisions, open ends (a turn of its own)
    worktree: where it works (default: where the run worked)
    base: what a new worktree's branch starts from
    mode: what passes without a question, as in `start`
    effort: the reasoning effort
    title: a title for its run
    attach: what to give along, as in `start`
    budget: US dollars that it may cost at most
    timeout: seconds that its turn may take
    wait: wait until its turn is done
    """
    options = {
        "worktree": worktree, "base": base, "mode": mode, "effort": effort, "title": title,
        "attach": attach, "budget": budget, "timeout": timeout,
    }  # fmt: skip
    made = await handing_over.handed_over(
        _start, run_of(run), to, task, acceptance, note, _prompts, options
    )
    return await made.wait() if wait else made


@verb
async def advisor(
    question: str,
    *,
    run: str | None = None,
    agent: str | None = None,
    repo: str | None = None,
    effort: str | None = None,
    attach: Attachments | None = None,
    budget: float | None = None,
    timeout: float | None = None,
) -> AsyncRun:
    """Ask another agent for its opinion, read-only; its run, whose text is the advice.

    question: what you want to know
    run: the run that it is about, which goes along in short (an id, or a beginning of one)
    agent: who advises (default: the profile @advisor, else an agent of another family of models
        than the run's, signed in here)
    repo: the folder to look at (default: the run's, else the current repository)
    effort: the reasoning effort
    attach: what to give along, as in `start`
    budget: US dollars that it may cost at most
    timeout: seconds that it may take
    """
    about = None if run is None else run_of(run)
    options = {
        "repo": repo, "effort": effort, "attach": attach, "budget": budget, "timeout": timeout,
    }  # fmt: skip
    project = preparing.project_of(current_host())
    made = await advising.advised(
        _start, project, checked_prompt(question), about, agent, _prompts, options
    )
    return await made.wait()


@verb
async def loop(
    task: str,
    *,
    agent: str | None = None,
    checks: Sequence[str] | None = None,
    verify: str | None = None,
    verifier: str | None = None,
    until: Callable[[AsyncRun], Any] | None = None,
    worktree: str | None = None,
    base: str | None = None,
    repo: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    iterations: int = 5,
    time_limit: float | None = None,
    budget: float | None = None,
    pause: float = 0.0,
    again: bool = False,
    on_permission: OnPermission = "wait",
) -> Loop:
    """Have agents try, one after the other, until checks and a verifier say that it is done.

    Each attempt is a new run in the same folder, and is told why those before were not enough. The
    same call goes on where it was cut off (a killed kernel, ■); one that has ended begins anew.

    task: what is to be done
    agent: who works, `provider/model` or a profile (default: the configured one)
    checks: shell commands that must succeed, run in the folder after each attempt, in order
    verify: what another agent looks for, read-only, after the checks
    verifier: who verifies (default: as agent)
    until: in Python, a function that is given the worker's run and returns True, or why not
    worktree: a branch name: all of it happens in that worktree
    base: what a new worktree's branch starts from
    repo: the repository to work in
    mode: what passes without a question, as in `start`
    effort: the reasoning effort
    allow: what passes beyond the mode, as in `start`
    deny: what is refused whatever the mode
    iterations: attempts at most
    time_limit: seconds of work in all, kept inside attempts and checks, too
    budget: US dollars in all; an agent whose model has no price is refused with it
    pause: seconds between two attempts
    again: begin anew, though one like this was cut off
    on_permission: what to do when an agent asks: wait for an answer, or raise
    """
    wanted = looping.Wanted(
        checked_prompt(task), agent, verify, verifier, sequence_of(checks),
        _given_a_handle(until), iterations, pause,
    )  # fmt: skip
    asked = {
        "task": wanted.task, "agent": agent, "checks": wanted.checks, "verify": verify,
        "verifier": verifier, "until": until is not None,
    }  # fmt: skip
    async with _at_work(
        "loop", asked, time_limit, budget, again, on_permission, worktree=worktree, base=base,
        repo=repo, mode=mode, effort=effort, allow=allow, deny=deny,
    ) as work:  # fmt: skip
        return await looping.looped(work, wanted)


@verb
async def committee(
    problem: str,
    *,
    agents: Sequence[str] | None = None,
    implement: str | None = None,
    worktree: str | None = None,
    base: str | None = None,
    repo: str | None = None,
    mode: str | None = None,
    rounds: int = 3,
    effort: str | None = None,
    time_limit: float | None = None,
    budget: float | None = None,
    again: bool = False,
    on_permission: OnPermission = "wait",
) -> Committee:
    """Have two contrasting agents analyse a problem, challenge each other, and agree on a plan.

    Members only read. With `implement` an agent carries the plan out, and both review its change
    until they approve it. The same call goes on where it was cut off.

    problem: what it is about
    agents: the two members, as claude,codex (default: two signed-in agents of different families)
    implement: who carries the plan out
    worktree: a branch name: where it is carried out
    base: what a new worktree's branch starts from
    repo: the repository to work in
    mode: what passes without a question for who carries it out, as in `start`
    rounds: how often a plan is made anew, and a change reviewed, at most
    effort: the reasoning effort
    time_limit: seconds of work in all
    budget: US dollars in all; an agent whose model has no price is refused with it
    again: begin anew, though one like this was cut off
    on_permission: what to do when an agent asks: wait for an answer, or raise
    """
    problem = checked_prompt(problem)
    members = names_of(agents)
    if not members:
        project = preparing.project_of(current_host())
        members = await anyio.to_thread.run_sync(families.others, project, set[str](), 2)
    if rounds < 1:
        raise UsageProblem(f"rounds={rounds}: at least 1")
    seats = committees.seated(members)
    asked = {"problem": problem, "agents": members, "implement": implement}
    place = {
        name: value
        for name, value in (("worktree", worktree), ("base", base), ("mode", mode))
        if value is not None
    }
    async with _at_work(
        "committee", {**asked, **place}, time_limit, budget, again, on_permission,
        repo=repo, effort=effort,
    ) as work:  # fmt: skip
        asked_for = committees.Asked(problem, seats, rounds, implement, place)
        return await committees.committee_of(work, asked_for)


@verb
async def epic(
    spec: str,
    *,
    agent: str | None = None,
    planner: str | None = None,
    verifier: str | None = None,
    worktree: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    attempts: int = 3,
    autopilot: bool = False,
    approve: bool = False,
    time_limit: float | None = None,
    budget: float | None = None,
    on_permission: OnPermission = "wait",
) -> Epic:
    """A larger piece of work: a plan of phases to read and change, then one agent for each.

    The first call makes the plan file and stops, for you to read it: the checks in it are commands
    that will run. `epic(path)` carries it out, up to a gate, and goes on from wherever it stands.

    spec: what is wanted, or the path of a plan (`….md`)
    agent: who does the phases (default: the configured one; a phase may name another)
    planner: who makes the plan (default: as agent)
    verifier: who looks whether a phase is done (default: as agent)
    worktree: a branch name: where all phases work (default: one by the plan's name)
    mode: what passes without a question, as in `start`
    effort: the reasoning effort
    attempts: how often a phase is tried at most, each call
    autopilot: carry the plan out as it was made, without stopping to be read
    approve: let the next gate pass
    time_limit: seconds of work in all
    budget: US dollars in all; an agent whose model has no price is refused with it
    on_permission: what to do when an agent asks: wait for an answer, or raise
    """
    host = current_host()
    path, text = epics.plan_path(host.home, spec)
    if attempts < 1:
        raise UsageProblem(f"attempts={attempts}: at least 1")
    existed = path.exists()
    ways = epics.Ways(
        agent=agent, planner=planner or agent, verifier=verifier, attempts=attempts,
        approve=approve, worktree=worktree or f"epic/{path.stem}",
    )  # fmt: skip
    if existed and worktree is None:
        from .patterns.plan_files import read

        ways.worktree = read(path).facts.get("worktree") or ways.worktree
    async with _at_work(
        "epic", {"plan": str(Path(path))}, time_limit, budget, False, on_permission,
        by_options=False, mode=mode, effort=effort,
    ) as work:  # fmt: skip
        plan = await epics.planned(work, path, text or "", ways)
        if text is not None and not existed and not autopilot:
            return epics.only_planned(work, path, plan)
        return await epics.gone_on(work, path, ways)


@verb
async def skills(action: str | None = None, *, for_: Sequence[str] | None = None) -> pd.DataFrame:
    """Put our skills where other agents look for them, take them away, or show how it is.

    action: install, uninstall or show (default: show)
    for_: the agents, as claude,codex (default: all; codex, copilot, gemini, opencode and pi share
        one place)

    Columns: skill, agents (who reads that place), path, done. A file that was there before, or that
    you changed, is left.
    """
    import pandas as pd

    do = {None: skills_files.shown, "show": skills_files.shown}
    do |= {"install": skills_files.installed, "uninstall": skills_files.uninstalled}
    if action not in do:
        raise UsageProblem(f"skills {action}: use install, uninstall or show")
    found = await anyio.to_thread.run_sync(do[action], names_of(for_))
    columns = list(skills_files.Skill.__struct_fields__)
    return pd.DataFrame([msgspec.structs.astuple(one) for one in found], columns=columns)
