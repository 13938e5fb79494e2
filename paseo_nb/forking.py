"""Forking a run: a new one whose files are as at the end of a turn, in a worktree of its own, and
whose agent knows the conversation up to there: by forking its own session where it can, else it is
told in short with the first prompt."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import msgspec

from . import preparing, refusing
from .digest import conversation
from .drivers.acp_fitting import mcp_kind
from .drivers.filling import variables
from .drivers.fork_points import Point, command_of, point_of
from .environments import environment_again, remember
from .errors import GitProblem, UsageProblem
from .git.commands import Repository
from .git.forking import check_free, free_name, lay_over, take_away
from .git.snapshots import snapshot
from .host.base import Launch
from .host.local import storage_problem
from .journal import Journal, private_dir
from .mcp_secrets import PREFIX
from .model import OWN_LABELS, Fork, RunSpec, new_run_id, short_id
from .preparing import Cell, Prepared, Wish
from .unfinished import making

if TYPE_CHECKING:
    from .handle import AsyncRun


class Files(msgspec.Struct, frozen=True):
    """The files at a turn's end: all of them, what was committed of them, in which worktree they
    are to be."""

    files: str
    head: str
    worktree: str


async def fork(
    run: AsyncRun,
    turn: int | None,
    prompt: str | None,
    agent: str | None,
    worktree: str | None,
) -> str:
    """See `AsyncRun.fork`; the new run's id."""
    turn = _turn(run, turn)
    if prompt is not None:
        prompt = refusing.checked_prompt(prompt)
    return await anyio.to_thread.run_sync(_forked, run, turn, prompt, agent, worktree)


def _turn(run: AsyncRun, turn: int | None) -> int:
    name, turns = f"run {short_id(run.id)}", run.history().turns
    ended = [one.turn for one in turns if one.outcome is not None]
    if not ended:
        raise UsageProblem(f"{name} has had no turn yet that it could be forked after")
    if turn is None:
        return ended[-1]
    if turn in ended:
        return turn
    if any(one.turn == turn for one in turns):
        raise UsageProblem(f"turn {turn} of {name} goes on: wait for it, or fork an earlier one")
    raise UsageProblem(f"{name} has no turn {turn}; it has had {len(turns)}")


def _forked(
    run: AsyncRun, turn: int, prompt: str | None, agent: str | None, worktree: str | None
) -> str:
    host, spec = run.host, run.spec
    preparing.check_no_replay(host)
    if spec.git_base is None and worktree is not None:
        raise GitProblem(
            f"run {short_id(run.id)} works outside a git repository: its fork has no worktree"
        )
    prepared, same = _prepared(run, prompt, agent)
    point = Point(why=f"it is forked to {prepared.resolved.provider}")
    if same:
        folder = host.folder(run.id)
        environment = preparing.environment({**prepared.resolved.env, **(prepared.wish.env or {})})
        point = point_of(folder.journal, spec, turn, environment)
    before = spec.fork.context if spec.fork is not None else ""
    told = conversation(run.history(), spec, turn, before)
    forked = Fork(run.id, turn, told, point.session_id, point.at)
    run_id = new_run_id()
    with host.entry(run_id) as entry:
        with host.holding("launch.lock", preparing.LAUNCH_S), making(host, run_id):
            files = None
            if spec.git_base is not None:
                files = _files(run, turn, worktree)
                prepared.wish.worktree, prepared.wish.base = files.worktree, files.head
            one = _made(run, prepared, run_id, files, forked, point)
            if prompt is None:
                _stand_ready(run, one)
            host.make(one.spec)
        if prompt is not None:
            entry.go({str(host.folder(run_id).path): one.environment})
    return run_id


def _prepared(run: AsyncRun, prompt: str | None, agent: str | None) -> tuple[Prepared, bool]:
    """The wish that the fork is, from what its original was started with and what was chosen since;
    whether it is of the same agent, so that a session can be forked."""
    spec, history, project = run.spec, run.history(), preparing.project_of(run.host)
    asked = history.asked
    model = asked.get("model", spec.model)
    own = f"{spec.provider}/{model}" if model else spec.provider
    named = agent or own
    same = preparing.provider_of(named, project) == spec.provider
    wanted = set(spec.env_names if same else variables(spec.mcp))
    told = environment_again(spec, project) if wanted else {}
    env = {name: told[name] for name in wanted}
    limits = spec.limits
    wish = Wish(
        named,
        prompt or "(it stands ready)",
        repo=str(run.repository),
        mode=asked.get("mode", spec.mode),
        agent_mode=spec.agent_mode if same else None,
        effort=asked.get("effort", spec.effort) if same else None,
        label=spec.label,
        title=spec.title or history.title if prompt is None else None,
        labels={name: told for name, told in spec.labels.items() if name not in OWN_LABELS},
        env=env,
        schema=spec.schema,
        allow=[str(r).partition(" ")[2] for r in spec.rules if r.verdict == "allow"],
        deny=[str(r).partition(" ")[2] for r in spec.rules if r.verdict == "deny"],
        budget=limits.cost_usd if spec.pricing is None or spec.pricing.firm else None,
        token_budget=limits.tokens,
        timeout=limits.timeout_s,
        permission_timeout=limits.permission_timeout_s,
        cell=Cell(spec.notebook),
    )
    prepared = preparing.prepare(wish, run.host)
    takes = prepared.resolved.mcp
    prepared.mcp = prepared.mcp or [
        server for server in spec.mcp if takes is None or mcp_kind(server) in takes
    ]
    secrets = {name: value for name, value in env.items() if name.startswith(PREFIX)}
    prepared.secrets = {**prepared.secrets, **secrets}
    prepared.blocks = [] if prompt is None else prepared.blocks
    return prepared, same


def _files(run: AsyncRun, turn: int, worktree: str | None) -> Files:
    """What the fork's worktree is to be made of. GitProblem."""
    repo, home = run.repository, run.host.home
    if worktree is not None:
        check_free(repo, home, worktree)
    name = worktree or free_name(repo, home, run.spec.worktree or f"run-{short_id(run.id).lower()}")
    files, head = _end_of(run, turn)
    if head is None:
        raise GitProblem(
            "nothing was committed yet at the end of that turn, and a worktree needs a commit:"
            " make a first one (git commit), then fork a later turn"
        )
    return Files(files, head, name)


def _end_of(run: AsyncRun, turn: int) -> tuple[str, str | None]:
    """The commits of the files, and of HEAD, at a turn's end; where it was cut off, as they were
    found next."""
    history = run.history()
    for state in history.files:
        ends = (state.turn, state.at) == (turn, "end")
        if ends or (state.turn > turn and state.at == "start"):
            return state.commit, state.head
    if run.there:
        return snapshot(run.path), Repository(run.path).commit("HEAD")
    if run.shelved is None:
        raise GitProblem(f"the files of turn {turn} of run {short_id(run.id)} were not kept")
    return run.shelved.files, run.shelved.head


def _made(
    run: AsyncRun,
    prepared: Prepared,
    run_id: str,
    files: Files | None,
    forked: Fork,
    point: Point,
) -> Launch:
    """The spec, and the worktree with the files as they were."""
    spec, host = run.spec, run.host
    one = preparing.make(prepared, host, run_id)
    command = command_of(one.spec.dialect, one.spec.command, point)
    warnings = list(one.spec.warnings)
    if files is None:
        warnings.append("outside git a fork takes over the conversation only: no files were kept")
        cwd = spec.cwd
        one.spec = msgspec.structs.replace(one.spec, cwd=cwd, write_roots=[cwd])
    else:
        path = Path(one.spec.cwd)
        try:
            one.spec = _laid_over(run, one.spec, path, files)
        except GitProblem:
            with contextlib.suppress(GitProblem):
                take_away(run.repository, path, files.worktree)
            raise
    one.spec = msgspec.structs.replace(
        one.spec,
        command=command,
        fork=forked,
        warnings=warnings,
        limits=spec.limits,
        cell_hash=None,  # another launch of the same words must not take its answer
    )
    remember(run_id, prepared.secrets)
    return one


def _laid_over(run: AsyncRun, spec: RunSpec, path: Path, files: Files) -> RunSpec:
    """The files as they were; what `diff` and `apply` count from is the original's base."""
    lay_over(path, files.files)
    start = snapshot(path, ref=f"refs/paseo/{spec.run_id}/start")
    base = run.spec.git_base or start
    Repository(path).run("update-ref", f"refs/paseo/{spec.run_id}/base", base)
    return msgspec.structs.replace(spec, git_base=base, git_start=start)


def _stand_ready(run: AsyncRun, one: Launch) -> None:
    """Without a prompt nothing is started: the first `send` does it."""
    folder = run.host.folder(one.spec.run_id)
    try:
        private_dir(folder.path)
        journal = Journal(folder)
        journal.own("state", state="idle")
        journal.close()
    except OSError as error:
        raise storage_problem(error, run.host.home) from error
