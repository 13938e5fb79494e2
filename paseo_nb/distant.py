"""Verbs on another machine: what goes there and what comes back, and the handle of a run there.

A verb is done there as it would be by somebody at it; what reads a run's course reads the copy of
its journal here. The repository that is worked in goes along as a git bundle where it is not there
yet, and what was done comes back as commits on a branch.
Longer than other files, as it is the one list of what a handle and a verb do elsewhere.
"""

from __future__ import annotations

import inspect
import os
import tempfile
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
import msgspec

from . import config, connecting, refusing
from .applying import WAIT_S, Applied, message_of
from .attaching import Attachments, blocks_to_send
from .carrying import fetch_result
from .errors import GitProblem, PaseoError, UsageProblem
from .finding import find_run
from .git.applying import Merge, apply, work_out
from .git.commands import Repository
from .git.values import DiffSummary
from .handle import AsyncRun
from .host.cluster import DaskHost
from .host.local import LocalHost
from .host.mirror import Mirror
from .host.placements import Order
from .model import BUSY_STATES, When, short_id
from .rundiff import RunDiff
from .runview import RunView
from .store.columns import NOTE
from .typed import json_schema
from .verb_table import flat

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
ARROW = "application/vnd.apache.arrow.stream"
# What can be told of all machines at once.
LISTS = frozenset(
    ("ls", "runs", "turns", "events", "tool_traces", "permissions", "model_calls", "worktrees",
     "disk", "steps", "workflow_runs", "matches")
)  # fmt: skip
# Frames that are made of one run at a time, or of all of a project.
BY_RUN = frozenset(("cost", "cache_misses"))


class Shown:
    """Something that was made on another machine to be looked at; `value` has its facts."""

    def __init__(self, shown: dict[str, str], value: Any) -> None:
        self.value, self._shown = value, shown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self._shown

    def to_json(self, **_: Any) -> str:
        """Its facts."""
        return msgspec.json.encode(self.value).decode()

    def __repr__(self) -> str:
        return self._shown.get("text/plain", "")


class FarRun(AsyncRun):
    """The handle of a run on another machine."""

    host: Mirror  # pyright: ignore[reportIncompatibleVariableOverride]

    def environment(self) -> dict[str, str]:
        """The other machine's, which it takes by itself."""
        return {}

    async def _do(self, verb: str, **options: Any) -> Any:
        return await call(self.host, verb, {"run": self.id, **options})

    async def send_once(
        self,
        ident: str,
        prompt: str,
        *,
        when: When = "queue",
        attach: Attachments | None = None,
        most: Mapping[str, float] | None = None,
    ) -> AsyncRun:
        prompt = refusing.checked_prompt(prompt)
        self._check_awake()
        if when not in ("queue", "steer", "interrupt"):
            raise UsageProblem(f"when={when!r}: use queue, steer or interrupt")
        more = await anyio.to_thread.run_sync(brought_along, attach, self.host, self.id)
        blocks = [{"type": "text", "text": prompt}, *more]
        args: Json = {"prompt": blocks, "when": when, **({"most": dict(most)} if most else {})}
        await self.host.command(self.id, "send", args, command_id=ident, environment={})
        self._owed.add(ident)
        return self

    async def stop(self, *, force: bool = False) -> AsyncRun:
        await self._do("stop", force=force)
        return self

    async def archive(self, *, children: bool = False, keep_worktree: bool = False) -> AsyncRun:
        await self._do("archive", children=children, keep_worktree=keep_worktree)
        return self

    async def unarchive(self) -> AsyncRun:
        await self._do("unarchive")
        return self

    async def inspect(self) -> dict[str, Any]:
        return await self._do("inspect")

    async def diff(self, turn: int | None = None) -> RunDiff:
        return await self._do("diff", turn=turn)

    def diff_summary(self, turn: int | None = None) -> DiffSummary:
        """See `RunView.diff_summary`; asks the other machine."""
        answer = self.host.ask("POST", "/verbs/diff", {"run": self.id, "turn": turn}, run=self.id)
        return msgspec.convert(answer.json["value"], DiffSummary)

    async def undo(self, turn: int | None = None, *, force: bool = False) -> RunDiff:
        return await self._do("undo", turn=turn, force=force)

    async def fork(
        self,
        turn: int | None = None,
        prompt: str | None = None,
        *,
        agent: str | None = None,
        worktree: str | None = None,
    ) -> AsyncRun:
        return await self._do("fork", turn=turn, prompt=prompt, agent=agent, worktree=worktree)

    async def apply(
        self,
        onto: str | None = None,
        *,
        dry_run: bool = False,
        commit: bool = True,
        message: str | None = None,
    ) -> Applied:
        """The same in the repository here, where the run's base is in it; else in its own there."""
        here = config.git_top(config.here())
        if not await anyio.to_thread.run_sync(_has, here, self.base):
            return await self._do(
                "apply", onto=onto, dry_run=dry_run, commit=commit, message=message
            )
        if self.state in BUSY_STATES and not dry_run:
            raise UsageProblem(
                f"run {short_id(self.id)} is at work: wait for it, or cancel it first"
            )
        made = await anyio.to_thread.run_sync(self._apply, here, onto, dry_run, commit, message)
        if not dry_run:
            await self.note("applied", {"onto": made.onto, "commit": made.commit})
        return made

    def _apply(
        self, here: Path, onto: str | None, dry_run: bool, commit: bool, message: str | None
    ) -> Applied:
        result = bring(self, here)
        with LocalHost(config.home(here)).holding("apply.lock", WAIT_S):
            merge = work_out(here, result["base"], result["after"], onto)
            told = message_of(self) if message is None else message
            done = None if dry_run else apply(here, merge, told, commit=commit)
        return Applied(merge, done, dry_run)


def far_run(run: RunView) -> FarRun:
    """The handle of a run that is seen from here."""
    if not isinstance(run.host, Mirror):
        raise UsageProblem(f"run {short_id(run.id)} is on no other machine")
    return FarRun(run.host, run.id)


def _has(folder: Path, commit: str | None) -> bool:
    if commit is None:
        return False
    try:
        return Repository(folder).commit(commit) == commit
    except GitProblem:
        return False


def bring(run: FarRun, here: Path) -> Json:
    """Bring what a run did into the repository here, as a branch: `after` and `base` (commits),
    `branch` (its name here)."""
    repository = Repository(here)
    name = f"paseo/{run.host.name}/{short_id(run.id)}"
    ref, mine = f"refs/heads/{name}", f"refs/paseo/{run.id}/brought"
    ours = [repository.commit(one) for one in (mine, f"refs/paseo/{run.id}/result")]
    told = fetch_result(run, repository)
    after, before = str(told["after"]), repository.commit(ref)
    if before not in (None, after):
        _check_ours(repository, name, before in ours)
    repository.run("update-ref", "-m", "paseo_nb: brought", ref, after, before or "")
    repository.run("update-ref", mine, after)
    return {"after": after, "base": str(told["base"]), "branch": name}


def _check_ours(repository: Repository, name: str, as_it_was: bool) -> None:
    """GitProblem where a branch that is to be brought anew is at work in a worktree, or has what
    somebody else put on it: nothing of that may be lost."""
    for one in repository.worktrees():
        if one.get("branch") == f"refs/heads/{name}":
            raise GitProblem(
                f"the branch {name} is checked out in {one['worktree']}, and more was done on the"
                " other machine since: switch to another branch there (git switch -), then again"
            )
    if not as_it_was:
        raise GitProblem(
            f"the branch {name} here is not as it was brought, and more was done on the other"
            f" machine since: keep yours by another name (git branch -m {name} NAME), then again"
        )


def brought_along(attach: Attachments, host: Mirror, run: str | None = None) -> list[Json]:
    blocks, files = blocks_to_send(attach, host)
    for file in files:
        host.send_content(file, run)
    return list(blocks)


# ---------------------------------------------------------------- calling


async def call(host: Mirror, verb: str, options: Json, part: str | None = None) -> Any:
    """Do a verb there, once; what it gave, as it would be here. part: one of the host's `parts`,
    where no run is meant."""
    headers = {"Paseo-Key": uuid.uuid4().hex, "Accept": f"{ARROW}, application/json"}
    body = msgspec.json.encode({name: _ago(one) for name, one in options.items()}, enc_hook=_plain)
    run = options.get("run")
    whose = run if isinstance(run, str) else part
    answer = await host.until_done(f"/verbs/{verb}", body, headers, whose)
    if isinstance(run, str):
        host.touched(run)
    made = await anyio.to_thread.run_sync(_here, host, verb, answer)
    if isinstance(made, FarRun) and isinstance(run, str):
        await host.made_there(made.id, run)
    return made


def _ago(value: Any) -> Any:
    """A time span in the words that `since` takes: so long ago by the clock there."""
    return f"{value.total_seconds():f}s" if isinstance(value, timedelta) else value


def _plain(value: Any) -> Any:
    if isinstance(value, RunView):
        return value.id
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise UsageProblem(f"{type(value).__name__} cannot go to another machine; write it in words")


def _here(host: Mirror, verb: str, answer: Json) -> Any:
    from .verbs import RunList

    kind, value = answer["kind"], answer.get("value")
    if kind.startswith(ARROW):
        import pyarrow

        pa: Any = pyarrow
        return from_there(host, verb, pa.ipc.open_stream(answer["body"]).read_pandas())
    if kind == "run":
        return FarRun(host, answer["run"]["run_id"])
    if kind == "runs":
        return RunList(FarRun(host, one["run_id"]) for one in answer["runs"])
    if kind == "diff":
        return RunDiff(msgspec.convert(value, DiffSummary))
    if kind == "applied":
        told = cast(Json, value)
        summary = msgspec.convert(told, DiffSummary)
        merge = Merge(told["onto"], "", "", told["conflicts"], summary, None, told["in_the_way"])
        return Applied(merge, told["commit"], told["dry_run"])
    if kind == "frame":
        import pandas as pd

        return from_there(host, verb, pd.DataFrame(value))
    return Shown(answer["shown"], value) if kind == "shown" else value


def from_there(host: Mirror, verb: str, frame: Any) -> pd.DataFrame:
    """A frame that says which host it is of."""
    if "host" in frame.columns:
        frame["host"] = host.name
    else:
        frame.insert(0, "host", host.name)
    frame.attrs[NOTE] = verb
    return frame


async def over(
    where: Any, verb: str, function: Callable[..., Any], given: inspect.BoundArguments
) -> Any:
    """A verb on another machine, or (`all`) on all of them and here."""
    if where == connecting.ALL:
        return await _everywhere(verb, function, given)
    host = await anyio.to_thread.run_sync(connecting.host_of, where)
    options = dict(given.arguments)
    if verb == "attach":
        if options.get("project") is not None:
            raise UsageProblem("project= is of this machine; connect(…, project=) names one there")
        return FarRun(host, await _meant(host, options["run"]))
    if verb in ("dashboard", "trust", "pair", "unpair"):
        raise UsageProblem(f"{verb} is of the machine that you are at: call it there")
    wait = options.pop("wait", False)
    if isinstance(host, DaskHost):
        from . import placing

        done = await placing.over(host, verb, options)
        return await done.wait() if wait and isinstance(done, AsyncRun) else done
    done = await done_there(host, verb, options)
    return await done.wait() if wait and isinstance(done, AsyncRun) else done


def _is_far(run: Any) -> bool:
    return isinstance(run, RunView) and isinstance(run.host, Mirror)


async def done_there(host: Mirror, verb: str, options: Json) -> Any:
    """A verb with the options of a call here."""
    if options.get("attach") is not None:
        options["attach"] = await anyio.to_thread.run_sync(brought_along, options["attach"], host)
    if options.get("schema") is not None:
        options["schema"] = json_schema(options["schema"])
    return await call(host, verb, options)


async def _meant(host: Mirror, run: Any) -> str:
    if isinstance(run, RunView):
        return run.id
    return await anyio.to_thread.run_sync(find_run, host, run)


async def start(where: Any, options: Json) -> AsyncRun:
    """Start a run on another machine, in the repository that is worked in here."""
    host = await anyio.to_thread.run_sync(connecting.host_of, where)
    if isinstance(host, DaskHost):
        from . import placing

        return await placing.start(host, options)
    wanted, wanted_type = dict(options), options.get("schema")
    wanted.pop("cell", None)
    wanted["schema"] = json_schema(wanted_type)
    refusing.checked_prompt(wanted["prompt"])
    wanted["attach"] = await anyio.to_thread.run_sync(brought_along, wanted["attach"], host) or None
    named = wanted["repo"]
    folder = Path(named).expanduser() if named is not None else config.here()
    if named is None or folder.is_dir():
        wanted["repo"] = None
        place = await anyio.to_thread.run_sync(_carry, host, folder, wanted["base"])
        if place is not None:
            path, commit = place
            wanted |= {"repo": path, "base": commit}
            wanted["worktree"] = wanted["worktree"] or f"paseo-{uuid.uuid4().hex[:8]}"
    made = await call(host, "start", wanted)
    made.wanted = wanted_type
    return made


def _carry(host: Mirror, folder: Path, base: str | None) -> tuple[str, str] | None:
    """Where the repository of a folder here is there, and the commit to begin from; brought along
    where it is not. None outside a repository."""
    begun = commit_of(folder, base)
    return None if begun is None else (carry(host, *begun), begun[1])


def commit_of(folder: Path, base: str | None) -> tuple[Path, str] | None:
    """The repository of a folder here, and the commit to begin from. None outside a repository."""
    top = config.git_top(folder.resolve())
    if not (top / ".git").exists():
        return None
    commit = Repository(top).commit(base or "HEAD")
    if commit is None:
        told = "yet: make one first" if base is None else f"{base!r}: base= names one that is here"
        raise GitProblem(f"{top} has no commit {told}")
    return top, commit


def carry(host: Mirror, top: Path, commit: str, run: str | None = None) -> str:
    """Bring a commit of a repository here to where a run is, as far as it is not there yet; where
    it lies there."""
    repository = Repository(top)
    roots = repository.run("rev-list", "--max-parents=0", commit).decode().split()[:50]
    wanted: Json = {"commit": commit, "roots": roots, "name": top.name[:200] or "repository"}
    found = host.ask("POST", "/repositories", wanted, run=run).json
    if found["path"] is None:
        have = [one for one in found["have"] if repository.commit(one) == one]
        with tempfile.TemporaryDirectory(prefix="paseo-bundle-") as made:
            bundle = Path(made) / "repository.bundle"
            ref = f"refs/paseo/carried/{uuid.uuid4().hex}"
            repository.run("update-ref", ref, commit)
            try:
                repository.run("bundle", "create", "-q", str(bundle), ref, *(f"^{x}" for x in have))
            finally:
                repository.run("update-ref", "-d", ref)
            wanted["bundle"] = host.send_content(bundle, run)
        found = host.ask("POST", "/repositories", wanted, run=run).json
    return str(found["path"])


def carried(host: DaskHost, order: Order, run: str) -> str | None:
    """Bring along what an order needs to where its run is; where its repository lies there."""
    for block in order.wish.get("attach") or ():
        if "blob" in block:
            host.send_content(host.home / "blobs" / block["blob"], run)
    if order.folder is None or order.commit is None:
        return None
    return carry(host, Path(order.folder), order.commit, run)


async def _everywhere(
    verb: str, function: Callable[..., Any], given: inspect.BoundArguments
) -> Any:
    """What a listing verb gives of this machine and of every host that answers."""
    from .verbs import RunList

    if verb not in LISTS | BY_RUN:
        raise UsageProblem(f'host="all" is for lists and frames, not for {verb}')
    told: list[Any] = [await function(*given.args, **given.kwargs)]
    for name in await anyio.to_thread.run_sync(connecting.names):
        try:
            told.append(await over(name, verb, function, given))
        except PaseoError as error:
            warnings.warn(f"host {name}: {error}", stacklevel=2)
    if isinstance(told[0], RunList):
        every = [run for runs in cast("list[RunList]", told) for run in runs]
        return RunList(sorted(every, key=lambda run: run.id, reverse=True))
    return together([_from_here(told[0]), *told[1:]])


def _from_here(frame: Any) -> Any:
    if "host" not in frame.columns:
        frame.insert(0, "host", "local")
    return frame


def together(frames: Sequence[Any]) -> pd.DataFrame:
    """Frames of several places as one."""
    import pandas as pd

    found = [one for one in frames if len(one)] or frames[:1]
    made: Any = pd.concat(found, ignore_index=True)
    made.attrs.update(frames[0].attrs)
    return made


def is_of_each(verb: str, host: Any, runs: Any) -> bool:
    """Whether what is asked about several runs is asked for each place or run by itself."""
    places = {id(one.host if _is_far(one) else host) for one in flat(runs)}
    return verb in BY_RUN or len(places) > 1


async def over_each(
    where: Any, verb: str, function: Callable[..., Any], given: inspect.BoundArguments
) -> Any:
    """A frame of runs that may be in several places, each asked for its own."""
    options = dict(given.arguments)
    runs = [one for one in flat(options.pop("run")) if one is not None]
    if not (verb in LISTS or verb in BY_RUN):
        raise UsageProblem(f"{verb} takes runs of one place at a time; these are of several")
    places: dict[int, tuple[Any, list[Any]]] = {}
    for number, run in enumerate(runs):
        there = run.host if _is_far(run) else where
        key = number if verb in BY_RUN else id(there)
        places.setdefault(key, (there, []))[1].append(run)
    frames: list[Any] = []
    for there, its in places.values():
        only = {**options, "run": its[0] if verb in BY_RUN else its}
        if there is None:
            frames.append(await function(**only))
        else:
            bound = inspect.signature(function).bind(**only)
            frames.append(await over(there, verb, function, bound))
    if any("host" in one.columns for one in frames):
        frames = [_from_here(one) for one in frames]
    return together(frames)


async def handles(where: Any, runs: Sequence[Any]) -> list[FarRun]:
    """Runs on another machine; handles are what they are."""
    host = await anyio.to_thread.run_sync(connecting.host_of, where)
    return [far_run(one) if _is_far(one) else FarRun(host, await _meant(host, one)) for one in runs]
