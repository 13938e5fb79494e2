"""A match at work: seats are drawn, contestants run, judges speak. What is looked at is `match`.

It is a workflow in a process of its own, so that judges speak though nobody looks; in a workflow it
is a part of that. Contestants and judging models are its steps: a match that was cut off goes on
where it was, and attaches to contestants that ran on meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from .. import config, preparing, refusing
from ..engine import words
from ..engine.handles import WorkflowHandle
from ..engine.values import Base, Origin, Result, StepFailed
from ..engine.workflows import Workflow
from ..errors import GitProblem, UsageProblem
from ..git.commands import Repository
from ..git.snapshots import snapshot
from ..host.local import LocalHost
from ..model import new_run_id, now_us
from ..plain_git import WHO
from . import rubric
from .records import MatchFolder
from .testing import Tested, tested
from .values import FEWEST, MOST, SEATS, Asked, Checks, Ended, Header, Verdict

PERSON = "person"
NAME = "arena"
POLL_S = 0.2


def checked(asked: Asked) -> Asked:
    """What is asked for, as far as it can be had. UsageProblem."""
    refusing.checked_prompt(asked.prompt)
    refusing.check_limit("budget", asked.budget)
    refusing.check_limit("timeout", asked.timeout)
    try:
        Repository(Path(asked.repo))
    except GitProblem as problem:
        raise UsageProblem(f"contestants work in clones of a git repository: {problem}") from None
    if not FEWEST <= len(asked.agents) <= MOST:
        raise UsageProblem(
            f"{len(asked.agents)} contestants: a match has {FEWEST} to {MOST}; for more, see"
            " paseo.tournament"
        )
    project = preparing.project_of(LocalHost(config.home()))
    if asked.tests is not None and asked.tests.hidden is not None:
        hidden = Path(asked.tests.hidden).expanduser().resolve()
        if not hidden.is_dir():
            raise UsageProblem(f"hidden={asked.tests.hidden!r} is no folder")
        tests = msgspec.structs.replace(asked.tests, hidden=str(hidden))
        asked = msgspec.structs.replace(asked, tests=tests)
    models = [one for one in asked.judges if one != PERSON]
    for judge in models if not asked.same_family else ():
        rubric.check_family(judge, asked.agents, project)
    for agent in (*asked.agents, *models):
        rubric.family_of(agent, project)  # that it is known
    return asked


def begin(asked: Asked) -> WorkflowHandle:
    """Begin a match of its own in a process of its own, or go on with one that was cut off."""
    alone = Workflow(play, NAME).options(cache="run", concurrency=2 * MOST, bg=True)
    module = f"from {__name__} import play"
    return alone.with_text(module, Origin(module, "play")).start(msgspec.to_builtins(asked))


async def play(asked: dict[str, Any]) -> str:
    """The workflow that a match of its own is; its id."""
    conductor = words.current("a match")
    await played(msgspec.convert(asked, Asked), conductor.folder.id)
    return conductor.folder.id


async def within(asked: Asked) -> tuple[str, dict[str, Result]]:
    """A match as a part of the workflow that this is called in: its id, and contestants' results;
    waits for the person's vote, where one is asked for."""
    conductor = words.current("a match")
    match_id = str(conductor.once("match", new_run_id))
    results = await played(asked, match_id)
    folder = MatchFolder(conductor.folder.home / "matches" / match_id)
    while PERSON in asked.judges and not any(v.kind == "person" for v in folder.verdicts()):
        await asyncio.sleep(POLL_S)
    return match_id, results


async def played(asked: Asked, match_id: str) -> dict[str, Result]:
    """Play a match to the end of its automatic judges; contestants' results by seat."""
    conductor = words.current("a match")
    folder = MatchFolder(conductor.folder.home / "matches" / match_id)
    header = folder.header()
    if header is None:
        header = await asyncio.to_thread(_begun, asked, match_id, conductor.folder.id)
        folder.begin(header)
    kept = await words.together([_contestant(header, seat) for seat in header.seats])
    results: dict[str, Result] = {}
    ended: list[Ended] = []
    for seat, one in zip(header.seats, kept, strict=True):
        if isinstance(one, StepFailed):
            ended.append(Ended(seat, one.run_id, one.step, one.cause, one.message))
        else:
            results[seat] = one
            ended.append(
                Ended(
                    seat, one.run_id, one.step, None, "", one.text, one.commit, one.tree, one.base
                )
            )
    folder.end(ended)
    await _judged(header, folder, ended, results)
    folder.mark("judged")
    return results


def _begun(asked: Asked, match_id: str, workflow_run: str) -> Header:
    repo = Path(asked.repo)
    ref = f"refs/paseo/matches/{match_id}/base"
    try:
        commit = snapshot(repo, ref=ref)
        repository = Repository(repo)
        hidden = asked.tests.hidden if asked.tests is not None else None
        if hidden is not None:
            commit = without_hidden(repository, commit, Path(hidden), ref)
        tree = repository.line("rev-parse", f"{commit}^{{tree}}")
    except GitProblem as problem:
        raise UsageProblem(f"contestants work in clones of a git repository: {problem}") from None
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1 << 31)
    order = list(range(len(asked.agents)))
    random.Random(seed).shuffle(order)
    return Header(match_id, asked, order, seed, commit, tree, str(repo), workflow_run, now_us())


def without_hidden(repository: Repository, commit: str, hidden: Path, ref: str) -> str:
    """A commit without the hidden tests: where they lie in the repository, neither its files nor
    its history go along."""
    top = repository.working_tree()
    inside = os.path.relpath(os.path.realpath(hidden), os.path.realpath(top))
    if inside.startswith(".."):
        return commit
    if inside == ".":
        raise UsageProblem("hidden= is the whole repository: name the folder of the hidden tests")
    with repository.temporary_index() as index:
        repository.run("read-tree", commit, index=index)
        repository.run(
            "rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", f":(top,literal){inside}",
            index=index,
        )  # fmt: skip
        tree = repository.line("write-tree", index=index)
    made = repository.line("commit-tree", tree, "-m", "The files as they are now", env=WHO)
    repository.run("update-ref", ref, made)
    return made


async def _contestant(header: Header, seat: str) -> Result | StepFailed:
    asked, at = header.asked, SEATS.index(seat)
    return await words.contestant(
        asked.prompt, header.seats[seat], repo=header.repo, at=Base(header.base, header.tree),
        match=header.id, seat=seat, key=["match", header.order[at]], mode=asked.mode,
        effort=asked.effort, budget=asked.budget, timeout=asked.timeout,
    )  # fmt: skip


async def _judged(
    header: Header, folder: MatchFolder, ended: list[Ended], results: dict[str, Result]
) -> None:
    asked = header.asked
    if asked.tests is not None:
        for one in ended:  # one by one: they would only slow each other
            if one.commit is not None and one.cause is None:
                folder.add(await _tested(header, one, asked.tests))
    project = preparing.project_of(LocalHost(folder.home))
    models = [judge for judge in asked.judges if judge != PERSON]
    found = await words.together(
        [rubric.judged(header, judge, ended, results, project) for judge in models]
    )
    for verdict in (one for verdicts in found for one in verdicts):
        verdict.cost_usd = await asyncio.to_thread(_cost, folder.home, verdict.run_ids)
        folder.add(verdict)


async def _tested(header: Header, one: Ended, checks: Checks) -> Verdict:
    name = f"tests:{one.seat}"

    async def work() -> Any:
        return msgspec.to_builtins(
            await on_the_library_loop(
                lambda: tested(Path(header.repo), one.commit or "", header.base, checks)
            )
        )

    kept = await words.current("a match").recalled(f"{header.id}:{name}", work)
    done = msgspec.convert(kept, Tested)
    return Verdict(
        name=name, judge=checks.command, kind="tests", rule="share of tests passed", seat=one.seat,
        score=done.score, evidence=done.evidence(),
    )  # fmt: skip


async def on_the_library_loop(make: Callable[[], Awaitable[Any]]) -> Any:
    """Await something on the library's own loop, where processes are waited for."""
    from .. import _portal

    async def call() -> Any:
        return await make()

    return await asyncio.wrap_future(_portal.start_soon(call))


def _cost(home: Path, run_ids: list[str]) -> float | None:
    from ..runview import RunView

    host = LocalHost(home)
    told = [RunView(host, run_id).cost_usd for run_id in run_ids]
    known = [one for one in told if one is not None]
    return sum(known) if known else None
