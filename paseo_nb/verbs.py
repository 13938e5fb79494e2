"""Every verb once: what `%paseo VERB`, `paseo.VERB()`, `aio.VERB()` and `paseo-nb VERB` do.

Each is a typed `async def`; its signature is its options in all four places, the first line of its
docstring its help. `VERBS` is the table that the synchronous names, the magic's lines and the
terminal's commands are made from. Longer than other files, as it is that one table; the verbs of
the patterns are in `pattern_verbs`.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from inspect import signature as inspect_signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import anyio
import anyio.to_thread
import msgspec

from . import cells, config, importing, preparing, subagents
from .answering import OnPermission
from .applying import Applied
from .attaching import Attachments
from .errors import PaseoError, ReplayMiss, StorageProblem, UsageProblem
from .finding import find_run, session_run
from .handle import AsyncRun, launch
from .hints import command, ipython
from .host.local import LocalHost
from .model import BUSY_STATES, When, new_run_id
from .preparing import Cell, Wish
from .rundiff import RunDiff
from .store.columns import NOTE
from .timelines import Timeline
from .verb_table import VERBS as VERBS
from .verb_table import Verb as Verb
from .verb_table import Where as Where
from .verb_table import current_host, flat, options_as, run_of, verb
from .verb_table import told as told

if TYPE_CHECKING:
    import pandas as pd

    from .drivers.sessions import Session


_PERMISSION = re.compile(r"p\d+")


# ---------------------------------------------------------------- launching


async def start(
    agent: str | None,
    prompt: str,
    *,
    worktree: str | None = None,
    base: str | None = None,
    shared: bool = False,
    repo: str | None = None,
    mode: str | None = None,
    agent_mode: str | None = None,
    effort: str | None = None,
    label: str | None = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    mcp: Mapping[str, Any] | None = None,
    schema: Any = None,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    attach: Attachments | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    permission_timeout: float | None = None,
    session: str | None = None,
    reuse: bool | None = None,
    conduct: bool = False,
    steps: Sequence[str] | None = None,
    record: bool = False,
    record_content: bool = False,
    host: Where = None,
    cell: Cell | None = None,
) -> AsyncRun:
    """Launch an agent on a prompt and return its run at once.

    agent: `provider/model`, as `claude/opus` or `demo/fixer`, or a profile `@name`; None takes
        the configured one
    prompt: what the agent shall do (in a terminal, `-` reads it from standard input)
    worktree: a branch name; the run works in a git worktree of its own on that branch, which is
        made where there is none
    base: what a new branch starts from: any commit (default: the present HEAD), a branch of a
        remote, as `origin/main`, or a pull request, as `pr/12` or `upstream/pr/12`
    shared: work in that worktree though another run is at work in it
    repo: the repository to work in (default: the one that the current folder lies in)
    mode: what passes without a question: ask, edit, auto or read (default: edit in a worktree of
        its own, ask elsewhere)
    agent_mode: the agent's own mode, as plan or build
    effort: the reasoning effort, in the agent's word
    label: a short name for it
    title: a title for it (default: the agent's own, or the prompt)
    labels: further labels
    env: environment variables for the agent; their values are not kept
    mcp: MCP servers for it by name: a command with args and env, or a url with headers (a text is
        a program, a URL, or JSON); `${VAR}` in them is filled in from the environment
    schema: what the answer must be, in `run.value`: a JSON Schema (also its text, or a file), or a
        type (a pydantic model, a dataclass, list[int], …)
    allow: what passes without a question beyond the mode: KIND or KIND:PATTERN, as
        `execute:pytest *` (one plain command) or `edit:docs/**`
    deny: what is refused whatever the mode, in the same form, as `execute:git push *`
    attach: what to give along with the prompt, once or several times: a file, or `run:ID`, an
        earlier run in short; in Python also a DataFrame, a figure, an image, a run, any value; in
        a notebook names, as `df,fig,_,cell:3,tb`
    budget: US dollars that it may cost at most, as its agent tells or as its tokens are priced;
        refused where its model has no price
    token_budget: tokens that it may use at most, in (cached ones too) and out; held against what
        the agent tells: of each model call where it does, else of each turn
    timeout: seconds that a turn may take (in a terminal also 90s, 5m, 1h)
    permission_timeout: seconds until a question that nobody answers is denied
    session: a name; later launches with it go on in the same run
    reuse: give the finished run of the same content back instead of starting one
    conduct: let it start, follow and end agents of its own, within its policy and budget
    steps: what it is to do one by one, with `conduct`: it asks for the next and says which is done;
        those never begun are named at its turn's end
    record: let its model requests pass through a recorder on this machine, which notes times,
        tokens, and of what was sent hashes and sizes (docs/traces.md)
    record_content: the same, with the text of what was sent, known secrets masked
    host: the machine to run it on, by its name (docs/hosts.md); the repository that is worked in
        here is brought there, at its HEAD, and the run gets a worktree of its own

    Raises UsageProblem, GitProblem, NotTrusted, StorageProblem or (PASEO_NB_REPLAY=1) ReplayMiss;
    with `host` also Unreachable.
    """
    if host is not None:
        from . import distant

        given = {name: value for name, value in locals().items() if name in _LAUNCH}
        return await distant.start(host, given)
    here = current_host()
    wish = Wish(
        agent, prompt, worktree, base, shared, repo, mode, agent_mode, effort, label, title, labels,
        env, mcp, schema, allow, deny, attach, budget, token_budget, timeout, permission_timeout,
        session,
        cell or cells.current(), conduct, steps, _recorded(record, record_content),
    )  # fmt: skip
    made = await _started(here, wish, reuse)
    made.wanted = schema
    return made


def _recorded(calls: bool, content: bool) -> Literal["calls", "content"] | None:
    return "content" if content else "calls" if calls else None


_LAUNCH = frozenset(inspect_signature(start).parameters) - {"host"}


async def _started(host: LocalHost, wish: Wish, reuse: bool | None) -> AsyncRun:
    """The run that a wish leads to: a finished one, one that goes on, or a new one."""
    prepared = await anyio.to_thread.run_sync(preparing.prepare, wish, host)
    replay = prepared.settings.replay
    again = prepared.settings.reuse if reuse is None else reuse
    if replay or again:
        found = await _finished(host, prepared)
        if found is not None:
            return AsyncRun(host, found, cached=True)
        if replay:
            raise ReplayMiss(
                "PASEO_NB_REPLAY=1 answers from journals only, and no finished run with this"
                f" agent, prompt and options is in {host.home}. Unset it to start the agent."
            )
    if wish.session is not None:
        known = session_run(host, wish.session)
        if known is not None:
            run = AsyncRun(host, known)
            _same_run(run, prepared, wish.session)
            await run.send(wish.prompt, attach=wish.attach)
            return run
    elif wish.cell is not None and wish.cell.cell_id:
        nth, began_us = cells.call_in_execution(prepared.key)
        going_on = await anyio.to_thread.run_sync(_going_on, host, prepared, nth, began_us)
        if going_on is not None:
            return AsyncRun(host, going_on)
    return await launch(host, prepared)


@options_as(start)
async def run(
    agent: str | None,
    prompt: str,
    *,
    worktree: str | None = None,
    base: str | None = None,
    shared: bool = False,
    repo: str | None = None,
    mode: str | None = None,
    agent_mode: str | None = None,
    effort: str | None = None,
    label: str | None = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    mcp: Mapping[str, Any] | None = None,
    schema: Any = None,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    attach: Attachments | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    permission_timeout: float | None = None,
    session: str | None = None,
    reuse: bool | None = None,
    conduct: bool = False,
    steps: Sequence[str] | None = None,
    record: bool = False,
    record_content: bool = False,
    on_permission: OnPermission = "wait",
    host: Where = None,
    cell: Cell | None = None,
) -> AsyncRun:
    """Launch an agent on a prompt and wait until its turn is done.

    on_permission: what to do when the agent asks: wait for an answer, or raise (in Python also a
        function that is given each question and returns `Allow(…)`, `Deny(…)`, True, False, a
        reason to deny, or None)

    Raises RunFailed, RunInterrupted, RunCancelled or PermissionNeeded where the turn did not end
    well; the run is kept, and the error's `.run` is its handle. Also what `start` raises.
    """
    made = await start(
        agent,
        prompt,
        worktree=worktree,
        base=base,
        shared=shared,
        repo=repo,
        mode=mode,
        agent_mode=agent_mode,
        effort=effort,
        label=label,
        title=title,
        labels=labels,
        env=env,
        mcp=mcp,
        schema=schema,
        allow=allow,
        deny=deny,
        attach=attach,
        budget=budget,
        token_budget=token_budget,
        timeout=timeout,
        permission_timeout=permission_timeout,
        session=session,
        reuse=reuse,
        conduct=conduct,
        steps=steps,
        record=record,
        record_content=record_content,
        host=host,
        cell=cell,
    )
    try:
        return await made.wait(on_permission=on_permission)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await made.cancel()
        raise


verb(run)
verb(start)


@verb
@options_as(start)
async def spawn_subagent(
    agent: str | None,
    prompt: str,
    *,
    worktree: str | None = None,
    base: str | None = None,
    repo: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    label: str | None = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
    schema: Any = None,
    attach: Attachments | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    conduct: bool = False,
    on_finish: Any = None,
    quiet: bool = False,
) -> AsyncRun:
    """Start an agent in the background and say when it is done: its run at once.

    on_finish: what to do at the end of each of its turns, as the verb `on_finish` takes it
    quiet: do not tell the person here

    Raises what `start` raises.
    """
    made = await start(
        agent, prompt, worktree=worktree, base=base, repo=repo, mode=mode, effort=effort,
        label=label, title=title, labels=labels, schema=schema, attach=attach, budget=budget,
        token_budget=token_budget, timeout=timeout, conduct=conduct,
    )  # fmt: skip
    for hook in (on_finish, *_hooks):
        if hook is not None:
            await subagents.tell(made, hook)
    if not quiet:
        subagents.notify(made)
    return made


@verb
async def subagent_status(run: str) -> dict[str, Any]:
    """How a background agent stands, in short; not what it said.

    run: an id, or any beginning of one that fits a single run
    """
    handle = run_of(run)
    turn = handle.history().turn
    return {
        "run_id": handle.id,
        "agent": handle.agent,
        "state": handle.state,
        "turn": turn.turn if turn is not None else None,
        "outcome": turn.outcome if turn is not None else None,
        "error": handle.error.message if handle.error is not None else None,
        "pending": [one.title or one.kind for one in handle.pending()],
        "cost_usd": handle.cost_usd,
    }


@verb
async def subagent_result(run: str, turn: int | None = None) -> Any:
    """What a background agent said at the end of a turn, whole; a structured answer as a value.

    run: an id, or any beginning of one that fits a single run
    turn: which one, counted from 1 (default: the last that ended)

    Raises UsageProblem where no such turn has ended.
    """
    handle = run_of(run)
    ended = [one for one in handle.history().turns if one.outcome is not None]
    found = ended[-1:] if turn is None else [one for one in ended if one.turn == turn]
    if not found:
        raise UsageProblem(f"no such turn of run {handle.id} has ended; wait() waits for it")
    return found[0].text if found[0].value is None else found[0].value


_hooks: list[Any] = []


@verb
async def on_finish(hook: Any, *, run: str | None = None) -> str:
    """Have something done at the end of each turn of a run: once per turn, also after a restart.

    hook: a shell command, which finds PASEO_CHILD, PASEO_TURN, PASEO_OUTCOME and PASEO_TEXT in its
        environment; a run (`run:ID`, in Python also its handle), whose agent is told when it is
        idle; or, in Python, a function, which is called with the run
    run: which one, by its id or a beginning of it (default: every subagent that is spawned from
        here on in this process)

    Raises UsageProblem.
    """
    if run is not None:
        handle = run_of(run)
        return f"{await subagents.tell(handle, hook)} is told of run {handle.id}"
    subagents.receiver_of(hook, current_host())
    _hooks.append(hook)
    return "is told of every subagent that is spawned here from now on"


async def _finished(host: LocalHost, prepared: preparing.Prepared) -> str | None:
    """The run whose answer a call with this content may take: the nth of them for the nth call."""
    from .store import query

    count = cells.nth_call(prepared.key)
    try:
        found = await anyio.to_thread.run_sync(
            query.query,
            host.home,
            "select run_id from runs where cell_hash = ? and state in ('idle', 'stopped')"
            " and turns > 0 and error is null order by created_at, run_id",
            [prepared.key],
        )
    except StorageProblem:
        return None
    ids = found.column("run_id").to_pylist()
    return str(ids[count]) if count < len(ids) else None


def _going_on(host: LocalHost, prepared: preparing.Prepared, nth: int, began_us: int) -> str | None:
    """The run that an earlier execution of this very cell started and that is still at work: of
    several equal ones the nth for the nth equal call."""
    cell = prepared.wish.cell
    live = host.home / "live"
    found: list[str] = []
    for run_id in sorted(os.listdir(live)) if live.is_dir() else ():
        try:
            spec = host.folder(run_id).read_spec()
        except (OSError, msgspec.MsgspecError):
            continue
        same = spec.cell_hash == prepared.key and cell is not None and spec.cell_id == cell.cell_id
        if same and spec.created_us < began_us and host.state(run_id) in BUSY_STATES:
            found.append(run_id)
    return found[nth] if nth < len(found) else None


def _same_run(run: AsyncRun, prepared: preparing.Prepared, session: str) -> None:
    if (run.spec.provider, run.spec.model) != (prepared.resolved.provider, prepared.resolved.model):
        raise UsageProblem(
            f"session {session!r} is a run of {run.agent}; use another session name for another"
            " agent"
        )
    wish, spec = prepared.wish, run.spec
    for name in ("mode", "worktree", "agent_mode", "effort"):
        asked = getattr(wish, name)
        if asked is not None and asked != getattr(spec, name):
            raise UsageProblem(
                f"session {session!r} was started with {name}={getattr(spec, name)!r}; {name}="
                f"{asked!r} takes another session name"
            )
    for name, asked in (
        ("schema", prepared.schema),
        ("mcp", prepared.mcp or None),
        ("rules", prepared.rules or None),
    ):
        if asked is not None and asked != getattr(spec, name):
            what = "allow= and deny=" if name == "rules" else f"{name}="
            raise UsageProblem(f"{what} count at the start of session {session!r} only")
    counting = ("env", "budget", "token_budget", "timeout", "permission_timeout", "steps")
    for name in (*counting, *(("conduct",) if wish.conduct and not spec.conduct else ())):
        if getattr(wish, name) is not None:
            raise UsageProblem(f"{name}= counts at the start of session {session!r} only")


# ---------------------------------------------------------------- one run


@verb
async def attach(run: str, *, project: str | None = None) -> AsyncRun:
    """The handle of a run; in a cell, its live view.

    run: an id, or any beginning of one that fits a single run
    project: a folder of the project that the run is of; by default the one that you are in, else
        the notebook's
    """
    if project is not None:
        host = LocalHost(config.home(config.here() / Path(project).expanduser()))
        return AsyncRun(host, find_run(host, getattr(run, "id", run)))
    try:
        return run_of(run)
    except UsageProblem:
        folder, named = cells.notebook_folder(), str(run).strip().upper()
        host = None if folder is None else LocalHost(config.home(folder))
        if host is None or named not in host.list():
            raise
        return AsyncRun(host, named)


@verb
async def send(
    run: str,
    prompt: str,
    *,
    when: When = "queue",
    attach: Attachments | None = None,
    wait: bool = False,
) -> AsyncRun:
    """Give a run another prompt: queue, steer or interrupt.

    A run without processes is brought back first.

    run: an id, or any beginning of one that fits a single run
    prompt: what the agent shall do next (in a terminal, `-` reads it from standard input)
    when: queue it after the running turn, steer into that turn where the agent can, or interrupt
        (cancel that turn first)
    attach: what to give along with the prompt, as in `start`
    wait: also wait for the answer
    """
    handle = await run_of(run).send(prompt, when=when, attach=attach)
    return await handle.wait() if wait else handle


@verb
async def logs(run: str, *, tail: int | None = None) -> str:
    """What a run did, as text.

    run: an id, or any beginning of one that fits a single run
    tail: only the last so many entries
    """
    from .widgets.logs import plain_transcript

    return plain_transcript(run_of(run).history(), tail)


@verb
async def wait(
    *runs: str,
    timeout: float | None = None,
    on_permission: OnPermission = "wait",
    host: Where = None,
) -> RunList:
    """Wait until the turns of runs are done; raises if one did not end well.

    runs: their ids, or beginnings of them; in Python also handles, of runs wherever they are, and
        lists of them
    timeout: seconds in all (in a terminal also 90s, 5m, 1h)
    on_permission: what to do when an agent asks: wait for an answer, or raise
    host: the machine whose runs are meant by those ids, by its name (docs/hosts.md)
    """
    if host is not None:
        from . import distant

        handles = await distant.handles(host, flat(runs))
    else:
        handles = [run_of(run) for run in flat(runs)]
    if not handles:
        raise UsageProblem(f"no run id given; {command('ls')} lists the runs")
    problems: list[PaseoError] = []

    async def one(handle: AsyncRun) -> None:
        try:
            await handle.wait(timeout, on_permission=on_permission)
        except PaseoError as error:
            problems.append(error)

    async with anyio.create_task_group() as group:
        for handle in handles:
            group.start_soon(one, handle)
    if problems:
        raise problems[0]
    return RunList(handles)


@verb
async def cancel(run: str) -> AsyncRun:
    """End the running turn of a run; the run stays.

    run: an id, or any beginning of one that fits a single run
    """
    return await run_of(run).cancel()


@verb
async def stop(run: str, *, force: bool = False) -> AsyncRun:
    """End a run's agent processes; resume or send bring it back.

    run: an id, or any beginning of one that fits a single run
    force: kill processes that do not answer; the run is then interrupted
    """
    return await run_of(run).stop(force=force)


@verb
async def resume(run: str, prompt: str | None = None, *, wait: bool = False) -> AsyncRun:
    """Bring a run back in the agent's own session; an interrupted turn is gone on with.

    run: an id, or any beginning of one that fits a single run
    prompt: what to tell the agent (default: that it was interrupted, if it was)
    wait: also wait until the turn is done
    """
    handle = await run_of(run).resume(prompt)
    return await handle.wait() if wait else handle


@verb
async def archive(run: str, *, children: bool = False, keep_worktree: bool = False) -> AsyncRun:
    """Put a run away, and its worktree with it; unarchive brings both back.

    What is committed, staged, changed or untracked in the worktree is kept, ignored files are not.
    Where it holds something that cannot be kept, that is an error, and nothing is put away.

    run: an id, or any beginning of one that fits a single run
    children: also the runs that it started
    keep_worktree: leave its worktree where it is
    """
    return await run_of(run).archive(children=children, keep_worktree=keep_worktree)


@verb
async def unarchive(run: str) -> AsyncRun:
    """Bring an archived run back among the others.

    run: an id, or any beginning of one that fits a single run
    """
    return await run_of(run).unarchive()


@verb
async def inspect(run: str) -> dict[str, Any]:
    """Everything known about a run: identity, place, state, usage, processes.

    run: an id, or any beginning of one that fits a single run
    """
    return await run_of(run).inspect()


@verb
async def allow(
    run: str,
    permission: str | None = None,
    *,
    always: bool = False,
    option: str | None = None,
    input: Any = None,  # noqa: A002
) -> AsyncRun:
    """Allow what a run asks for.

    run: an id, or any beginning of one that fits a single run
    permission: the question's id (default: the oldest one that waits)
    always: not only this once, but for the rest of the run: the same command, edits in its folder,
        the same tool
    option: the id of one of the answers that the agent offers (default: allow once)
    input: the tool's whole input as it shall be used in place of the agent's own, an object or its
        JSON; an agent that cannot take it (all but claude) is told no, and to do it in that form
    """
    return await run_of(run).allow(permission, always=always, option=option, input=input)


@verb
async def deny(
    run: str,
    permission: str | None = None,
    message: str | None = None,
    *,
    cancel: bool = False,
) -> AsyncRun:
    """Deny what a run asks for.

    run: an id, or any beginning of one that fits a single run
    permission: the question's id (default: the oldest one that waits)
    message: the reason, which is kept, and told to an agent that can hear in mid-turn
    cancel: end the turn, too
    """
    if permission is not None and message is None and not _PERMISSION.fullmatch(permission):
        permission, message = None, permission
    return await run_of(run).deny(permission, message, cancel=cancel)


@verb
async def diff(run: str, turn: int | None = None) -> RunDiff:
    """What a run changed in its folder since it started, or during one turn.

    run: an id, or any beginning of one that fits a single run
    turn: only this turn, counted from 1
    """
    return await run_of(run).diff(turn)


@verb
async def undo(run: str, turn: int | None = None, *, force: bool = False) -> RunDiff:
    """Put back the files that a run's turn, and those after it, changed.

    run: an id, or any beginning of one that fits a single run
    turn: from which turn on (default: the last one)
    force: also files that were changed since
    """
    return await run_of(run).undo(turn, force=force)


@verb
async def fork(
    run: str,
    prompt: str | None = None,
    *,
    turn: int | None = None,
    agent: str | None = None,
    worktree: str | None = None,
    wait: bool = False,
) -> AsyncRun:
    """A new run that goes on from the end of a run's turn, with the files and words of then.

    run: an id, or any beginning of one that fits a single run
    prompt: what it shall do (default: it stands ready for `send`)
    turn: after which turn (default: the last one that ended)
    agent: another agent; one of another provider is told the conversation in short
    worktree: the name of its worktree and branch (default: the original's, with -fork)
    wait: also wait for the answer
    """
    handle = await run_of(run).fork(turn, prompt, agent=agent, worktree=worktree)
    return await handle.wait() if wait and prompt is not None else handle


@verb
async def timeline(run: str) -> Timeline:
    """A run's course in time: turns, waits, interruptions, and the runs forked off it as a tree.

    run: an id, or any beginning of one that fits a single run
    """
    handle = run_of(run)
    return await anyio.to_thread.run_sync(handle.timeline)


@verb
async def apply(
    run: str,
    onto: str | None = None,
    *,
    dry_run: bool = False,
    commit: bool = True,
    message: str | None = None,
) -> Applied:
    """Put what a run changed onto a branch, as one commit, where nothing conflicts.

    run: an id, or any beginning of one that fits a single run
    onto: a branch (default: what is checked out in the repository that it was started for)
    dry_run: only say what would change, and what conflicts
    commit: false leaves the change staged
    message: the commit's message (default: made from the run)
    """
    handle = run_of(run)
    return await handle.apply(onto, dry_run=dry_run, commit=commit, message=message)


# ---------------------------------------------------------------- all runs


class RunList(list[AsyncRun]):
    """Runs, newest first; a table to look at."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .widgets.live import runs_bundle

        return runs_bundle(list(self))

    def __str__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    __repr__ = __str__


@verb
async def ls(*, all: bool = False, limit: int = 50) -> RunList:  # noqa: A002
    """The project's runs, newest first, with their true states.

    all: archived ones too
    limit: how many at most
    """
    host = current_host()
    found = RunList()
    for run_id in reversed(host.list()):
        if len(found) >= limit:
            break
        handle = AsyncRun(host, run_id)
        with contextlib.suppress(UsageProblem):  # a folder without a readable spec is no run
            if handle.spec and (all or handle.state != "archived"):
                found.append(handle)
    return found


@verb
async def dashboard() -> Any:
    """All runs of the project by state: what waits for you, is at work, is to review, its cost.

    In a notebook live: questions are answered, runs stopped, resumed, opened and dismissed in it.
    For review is what is done in a worktree of its own and not in the project's folder yet.
    """
    from .widgets.dashboard.board import board_of_project
    from .widgets.dashboard.widget import Shown

    return Shown(board_of_project())


@verb
async def doctor(*providers: str, ask: bool = False) -> Any:
    """Look at this machine: Python, git, locks, file system, agents; what to do about each.

    providers: only these, started for a moment and asked for their modes and models
    ask: start and ask all of them
    """
    from . import examination

    project = config.project_root()
    return await anyio.to_thread.run_sync(lambda: examination.diagnose(project, providers, ask=ask))


@verb
async def install(*agents: str) -> Any:
    """Get agent CLIs, in tested versions, into a folder of yours: claude, codex, copilot, ….

    agents: their names

    Into ~/.local/share/paseo_nb/agents (XDG_DATA_HOME is respected); what is on PATH goes before
    it. Shows its progress on standard error.

    Raises InstallProblem.
    """
    from . import installing

    installing.check_names(agents)
    stop = threading.Event()

    def work() -> list[installing.Installed]:
        def say(text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        return [installing.install(name, say=say, stop=stop) for name in agents]

    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    finally:
        stop.set()


@verb
async def providers(*names: str, ask: bool = False) -> pd.DataFrame:
    """The ways to get an agent: one row per provider, with what it is and what it can do.

    names: only these, started for a moment and asked: modes, models, commands, who is signed in
    ask: start and ask all of them

    Columns: provider, source, found (path), version, tested, signed_in (the key or file), problem,
    modes, models, commands, returns (resume; load replays), steer, images, mcp (kinds of server),
    asks (for permission by itself), permissions (kinds of answer), effort, usage (in words),
    sessions (where it keeps them), record (yes, or why `record=True` does nothing), notes,
    next_step. None: not known, or not asked.
    """
    import pandas as pd

    from .examining_agents import AgentFacts, look

    project = config.project_root()
    found = await anyio.to_thread.run_sync(lambda: look(project, names, ask=ask))
    rows = [msgspec.structs.astuple(facts) for _, facts in found]
    made = pd.DataFrame(rows, columns=list(AgentFacts.__struct_fields__), dtype=object)
    made.attrs[NOTE] = "providers"
    return made


@verb
async def trust(path: str) -> str:
    """Let a project file that names commands count, as it is now.

    path: the file
    """
    from .trusting import trust as record

    file = Path(path).expanduser()
    await anyio.to_thread.run_sync(record, file)
    return f"trusted as it is now: {file}"


@verb
async def pair(
    name: str | None = None,
    *,
    rights: Sequence[str] | None = None,
    runs: Sequence[str] | None = None,
    expires: float = 7 * 86400.0,
    url: str | None = None,
) -> Any:
    """A token for a phone, shown as a QR code: for some runs and rights only, until `unpair`.

    The code opens the page of this project's running Jupyter server (docs/phone.md). The token
    opens those routes of the server that it is for and nothing else of it; it is shown once.

    name: what to call the device (default: phone); one of that name before loses its token
    rights: read (what runs do), answer (questions; cancel), send (further prompts, attachments);
    each has those before it (default: all)
    runs: ids of runs, or beginnings of them (default: all of the project)
    expires: seconds that it is good for
    url: the server's address as the phone sees it (default: that of the server that runs here and
    reaches farthest)

    Raises UsageProblem, StorageProblem.
    """
    from . import pairing, reaching

    here = current_host()
    only = None if runs is None else [run_of(run).id for run in runs]
    given = ["send"] if rights is None else [rights] if isinstance(rights, str) else rights

    def work() -> pairing.Pairing:
        best = [reaching.named(url)] if url is not None else reaching.doors(here.home)
        made = pairing.make(here, name or "phone", given, only, expires)
        if best:
            made.url, made.notes = best[0].url, best[0].notes
        else:
            made.notes = [reaching.NOBODY]
        return made

    return await anyio.to_thread.run_sync(work)


@verb
async def unpair(name: str) -> str:
    """Take a paired device's token back: it is good for nothing from now on.

    name: what the device was called
    """
    from . import pairing

    await anyio.to_thread.run_sync(pairing.revoke, current_host(), name)
    return f"{name} is not paired any more"


# ---------------------------------------------------------------- what lies on the disk


@verb
async def worktrees(
    *,
    run: Any = None,
    all: bool = False,  # noqa: A002
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The `worktrees` frame: whose they are, how they stand, what they hold (docs/frames.md).

    run: only those of this run (an id, a beginning of one, or a handle), or of these
    all: also those of archived runs, which are gone and come back with `unarchive`
    columns: only these columns, in this order
    """
    from . import keeping
    from .store.columns import WORKTREES
    from .store.filters import chosen
    from .store.frames import listed

    only, named = _ids(run), chosen(columns, WORKTREES, "worktrees")
    wanted = {only} if isinstance(only, str) else None if only is None else set(only)
    rows = await anyio.to_thread.run_sync(
        lambda: keeping.worktree_rows(current_host(), wanted, archived=all)
    )
    return cast("pd.DataFrame", listed("worktrees", rows)[named])


@verb
async def disk() -> pd.DataFrame:
    """What the project's runs take on the disk, by kind: worktrees, journals, blobs, refs, ….

    `prune` tells what of it may go.
    """
    from . import keeping
    from .store.frames import listed

    return listed("disk", await anyio.to_thread.run_sync(keeping.disk_rows, current_host()))


@verb
async def prune(*, dry_run: bool = True, older: Any = "30d") -> pd.DataFrame:
    """Remove what is put away and of no use any more; first only tells what would go.

    Archived runs (folder, journal and refs) whose work is applied, is on their branch, or is none;
    worktrees that no run works in, where all is committed; blobs that no run names; workflow runs,
    matches and contestants' clones that are over. Journals of archived runs that are not packed yet
    are. What must stay is listed with the reason.

    dry_run: only tell (--no-dry-run removes)
    older: only what was put away, or over, before this moment: 30d (ago), a date, or a time
    """
    from . import pruning
    from .store.filters import moment
    from .store.frames import listed

    host, before = current_host(), moment(older, "older")
    found = await anyio.to_thread.run_sync(pruning.pieces, host, before)
    if not dry_run:
        found = await anyio.to_thread.run_sync(pruning.carry_out, host, found)
    return listed("prune", pruning.rows(found))


# ---------------------------------------------------------------- what was done before


@verb
async def sessions(provider: str | None = None, *, since: Any = None) -> pd.DataFrame:
    """The sessions that an agent keeps by itself, of what was done in a terminal before.

    provider: the agent's provider, as claude; none: every agent that is installed. Where one keeps
        no files that we read it is started for a moment and asked (no model is)
    since: only those that went on after this moment: 2h (ago), a date, or a time

    Columns: provider, session_id, cwd, title, started, finished, turns, model (NULL where it does
    not tell), run_id (the run that has it, if one does), problem (without a provider: why an
    agent's cannot be listed; NULL else).
    """
    listed: list[tuple[list[Session], list[dict[str, str]]]] = []
    if provider is not None:
        listed = [((await _listed(provider, since))[1], [])]
    else:
        after = _after(since)
        project = preparing.project_of(current_host())
        names = await anyio.to_thread.run_sync(importing.installed, project)

        async def look(name: str) -> None:
            listed.append(await anyio.to_thread.run_sync(importing.look, name, project, after))

        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(look, name)
    found = sorted(
        (one for sessions, _ in listed for one in sessions),
        key=lambda one: one.finished_us or 0,
        reverse=True,
    )
    known = await _imported()
    rows: list[dict[str, Any]] = [
        {
            "provider": one.provider,
            "session_id": one.session_id,
            "cwd": one.cwd,
            "title": one.title,
            "started": _moment(one.started_us),
            "finished": _moment(one.finished_us),
            "turns": one.turns,
            "model": one.model,
            "run_id": known.get(one.session_id),
        }
        for one in found
    ]
    rows += [problem for _, problems in listed for problem in problems]
    return _table(rows, _SESSIONS)


@verb
async def import_session(provider: str, session_id: str) -> AsyncRun:
    """Take over one of an agent's own sessions as a run: what was said is read, send() goes on.

    provider: the agent's provider, as claude
    session_id: its id, or any beginning of one that fits a single session; all of it where the
        agent has no list of them, in the folder that it worked in
    """
    host = current_host()
    now = new_run_id()
    known = await _imported()
    if session_id.strip() in known:
        return AsyncRun(host, known[session_id.strip()])
    source = await anyio.to_thread.run_sync(importing.Source, provider, preparing.project_of(host))
    session = await anyio.to_thread.run_sync(source.find, session_id)
    run_id = known.get(session.session_id)
    if run_id is None:
        run_id, _ = await anyio.to_thread.run_sync(source.bring_over, host, session, now)
    return AsyncRun(host, run_id)


@verb
async def import_sessions(provider: str, *, since: Any = None) -> pd.DataFrame:
    """Load an agent's own sessions as finished runs, those that are not yet here.

    provider: the agent's provider, as claude
    since: only those that went on after this moment: 2h (ago), a date, or a time

    Columns: run_id, session_id, title, turns, problem (why one could not be loaded; NULL else).
    """
    host = current_host()
    now = new_run_id()
    known = await _imported()
    rows: list[dict[str, Any]] = []
    source, found = await _listed(provider, since)
    for session in found:
        if session.session_id in known:
            continue
        row: dict[str, Any] = {"session_id": session.session_id, "title": session.title}
        try:
            row["run_id"], row["turns"] = await anyio.to_thread.run_sync(
                source.bring_over, host, session, now
            )
        except UsageProblem as error:  # this one; the others are loaded all the same
            row["problem"] = str(error)
        rows.append(row)
    return _table(rows, ("run_id", "session_id", "title", "turns", "problem"))


_SESSIONS = (
    "provider", "session_id", "cwd", "title", "started", "finished", "turns", "model", "run_id",
    "problem",
)  # fmt: skip


def _after(since: Any) -> int | None:
    from .store.filters import moment

    return None if since is None else int(moment(since, "since").timestamp() * 1_000_000)


async def _listed(provider: str, since: Any) -> tuple[importing.Source, list[Session]]:
    after = _after(since)
    project = preparing.project_of(current_host())
    source = await anyio.to_thread.run_sync(importing.Source, provider, project)
    return source, await anyio.to_thread.run_sync(source.listed, after)


async def _imported() -> dict[str, str]:
    """The runs that have a session already, by its id."""
    have = await runs(columns=("run_id", "session_id"))
    rows = cast(list[dict[str, Any]], have.to_dict("records"))
    return {row["session_id"]: row["run_id"] for row in rows if isinstance(row["session_id"], str)}


def _moment(us: int | None) -> datetime.datetime | None:
    return None if us is None else datetime.datetime.fromtimestamp(us / 1_000_000, datetime.UTC)


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    made = pd.DataFrame(rows, columns=list(columns), dtype=object)
    kinds = {"started": "datetime64[us, UTC]", "finished": "datetime64[us, UTC]", "turns": "Int64"}
    told = {name: kinds[name] for name in columns if name in kinds}
    made.attrs[NOTE] = "sessions"
    return cast(Any, made).astype(told)


# ---------------------------------------------------------------- frames


_FILTERS = """

run: only this run (an id, a beginning of one, or a handle), or these
since: only from this moment on: 2h (ago), a date, or a time (local where it names no zone)
until: only what was before this moment
limit: only the newest so many rows
columns: only these columns, in this order
"""


def _frame(name: str, rows: str):
    """The verb that gives a frame; all of them take the same options."""

    async def function(
        *,
        run: Any = None,
        since: Any = None,
        until: Any = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        from .store import frames

        read = getattr(frames, name)
        only = _ids(run)
        return await anyio.to_thread.run_sync(
            lambda: read(
                current_host().home,
                run=only,
                since=since,
                until=until,
                limit=limit,
                columns=columns,
            )
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The `{name}` frame: one row per {rows} (columns: docs/frames.md).{_FILTERS}"
    )
    return verb(function)


def _ids(run: Any) -> Any:
    if run is None or isinstance(run, (list, tuple)):
        return None if run is None else [_ids(one) for one in run]  # pyright: ignore
    return run_of(run).id


runs = _frame("runs", "run")
turns = _frame("turns", "prompt and all that followed")
events = _frame("events", "journal line")
tool_traces = _frame("tool_traces", "tool call")
permissions = _frame("permissions", "question of an agent")
model_calls = _frame("model_calls", "request to a model")


@verb
async def sql(query: str) -> pd.DataFrame:
    """Query with SQL: runs, turns, events, tool_traces, permissions, model_calls, steps, …

    query: one statement that reads, in DuckDB's SQL; the tables are the frames
    """
    from .engine.frames import mentioned
    from .store import frames

    home = current_host().home

    def answer() -> pd.DataFrame:
        return frames.sql(home, query, beside=mentioned(home, query))

    return await anyio.to_thread.run_sync(answer)


if (shell := ipython()) is not None:
    from .widgets import frame_view

    frame_view.register(shell)


from .arena_verbs import arena as arena  # noqa: E402
from .arena_verbs import compare as compare  # noqa: E402
from .arena_verbs import leaderboard as leaderboard  # noqa: E402
from .arena_verbs import match as match  # noqa: E402
from .arena_verbs import matches as matches  # noqa: E402
from .arena_verbs import tournament as tournament  # noqa: E402
from .pattern_verbs import advisor as advisor  # noqa: E402
from .pattern_verbs import committee as committee  # noqa: E402
from .pattern_verbs import epic as epic  # noqa: E402
from .pattern_verbs import handoff as handoff  # noqa: E402
from .pattern_verbs import loop as loop  # noqa: E402
from .pattern_verbs import skills as skills  # noqa: E402
from .trace_verbs import bundle as bundle  # noqa: E402
from .trace_verbs import cache_misses as cache_misses  # noqa: E402
from .trace_verbs import cache_shape as cache_shape  # noqa: E402
from .trace_verbs import cost as cost  # noqa: E402
from .trace_verbs import export_traces as export_traces  # noqa: E402
from .trace_verbs import open_bundle as open_bundle  # noqa: E402
from .trace_verbs import trace as trace  # noqa: E402
from .workflow_verbs import approve as approve  # noqa: E402
from .workflow_verbs import steps as steps  # noqa: E402
from .workflow_verbs import stop_workflow as stop_workflow  # noqa: E402
from .workflow_verbs import workflow_runs as workflow_runs  # noqa: E402
from .workflow_verbs import workflows as workflows  # noqa: E402
