"""Verbs on a Dask cluster: a run is placed, a list is gathered from the workers, what is about one
run goes to the worker that has it."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import msgspec

from . import cells, config, refusing
from .attaching import blocks_to_send
from .distant import BY_RUN, LISTS, FarRun, call, commit_of, from_there, together
from .drivers import registry
from .errors import ReplayMiss, UsageProblem
from .finding import session_run
from .host.cluster import DaskHost
from .host.placements import Order
from .journal import write_file_once
from .model import new_run_id
from .preparing import Wish
from .runview import RunView
from .store.columns import FRAMES
from .typed import json_schema
from .verb_table import VERBS

if TYPE_CHECKING:
    from .verbs import RunList

Json = dict[str, Any]
_LAUNCH = frozenset(Wish.__struct_fields__)
# What an equal launch has in common, as of one here (`preparing.content_key`).
_CONTENT = (
    "agent", "prompt", "mode", "agent_mode", "effort", "mcp", "schema", "allow", "deny", "attach",
    "session", "conduct", "steps", "worktree", "repo",
)  # fmt: skip


def order_of(
    host: DaskHost, given: Mapping[str, Any], folder: Path, commit: str | None, **more: Any
) -> tuple[Order, dict[str, str]]:
    """What a run is placed with, and the values of its environment, which are not kept. given: as a
    `Wish` has it. UsageProblem for what cannot go elsewhere."""
    wish = {name: value for name, value in given.items() if value is not None}
    values = dict(cast("Mapping[str, str]", wish.pop("env", None) or {}))
    if "schema" in wish:
        wish["schema"] = json_schema(wish["schema"])
    blocks, files = blocks_to_send(wish.pop("attach", None), host)
    for file in files:
        data = file.read_bytes()
        (digest,) = {one["blob"] for one in blocks if "blob" in one and _is(one["blob"], data)}
        write_file_once(host.home / "blobs" / digest, data)
    wish["attach"] = list(blocks)
    try:
        plain = msgspec.json.decode(msgspec.json.encode(wish))
    except (TypeError, msgspec.MsgspecError) as error:
        raise UsageProblem(f"an option cannot go to another machine: {error}") from None
    order = Order(
        cast(Json, plain), sorted(values), None if commit is None else str(folder), commit,
        providers=registry.registered_here(), **more,
    )  # fmt: skip
    return order, values


def _is(digest: str, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == digest


async def start(host: DaskHost, options: Json) -> FarRun:
    """Start a run where the cluster has a place, in the repository that is worked in here; returns
    when it has one."""
    if options.get("shared"):
        raise UsageProblem(
            "shared= means a worktree that another run works in; on a cluster each run has one of"
            " its own: send() to that run, or fork() it, to go on in its files"
        )
    wished = {name: value for name, value in options.items() if name in _LAUNCH - {"cell"}}
    wished["prompt"] = refusing.checked_prompt(options["prompt"])
    recorded = "calls" if options.get("record") else None
    wished["record"] = "content" if options.get("record_content") else recorded
    if wished.get("session"):
        known = await anyio.to_thread.run_sync(_session, host, wished)
        if known is not None:
            await known.send(wished["prompt"], attach=wished.get("attach"))
            return known
    run_id = new_run_id()

    def ready() -> tuple[Order, dict[str, str]]:
        here = {**wished, "repo": str(wished.get("repo") or config.here())}
        asked = {name: here.get(name) for name in _CONTENT}
        named, base = wished.pop("repo", None), wished.pop("base", None)
        folder = Path(named).expanduser() if named is not None else config.here()
        begun = commit_of(folder, base) if folder.is_dir() else None
        if named is not None and begun is None:
            raise UsageProblem(f"repo={named!r} is no git repository here: none can be brought")
        if begun is not None:
            wished["worktree"] = wished.get("worktree") or f"paseo-{uuid.uuid4().hex[:8]}"
            wished["base"] = begun[1]
        elif wished.get("worktree"):
            raise UsageProblem("worktree= needs a git repository: there is none here")
        order, values = order_of(host, wished, *(begun or (folder, None)))
        content = {**asked, "schema": order.wish.get("schema"), "attach": order.wish.get("attach")}
        told = json.dumps(content, sort_keys=True, default=str).encode()
        return msgspec.structs.replace(order, key=hashlib.sha256(told).hexdigest()), values

    order, values = await anyio.to_thread.run_sync(ready)
    settings = config.settings(config.project_root())
    reuse = options.get("reuse")
    if settings.replay or (settings.reuse if reuse is None else reuse):
        found = await anyio.to_thread.run_sync(_finished, host, order.key)
        if found is not None:
            return found
        if settings.replay:
            raise ReplayMiss(
                "PASEO_NB_REPLAY=1 answers from journals only, and no finished run with this agent,"
                f" prompt and options is on {host.name}. Unset it to start the agent."
            )
    await host.place(run_id, order, values)
    made = FarRun(host, run_id)
    made.wanted = options.get("schema")
    return made


def _finished(host: DaskHost, key: str) -> FarRun | None:
    """The run whose answer an equal launch may take: the nth of them for the nth call."""
    nth, found = cells.nth_call(key), list[FarRun]()
    for run_id in host.list():
        placed = host.placement(run_id)
        if placed.lost or placed.order.key != key:
            continue
        run = FarRun(host, run_id, cached=True)
        turn = run.history().turn
        if run.state in ("idle", "stopped") and turn is not None and turn.error is None:
            found.append(run)
    return found[nth] if nth < len(found) else None


def _session(host: DaskHost, wished: Json) -> FarRun | None:
    """The run that a session's name means. UsageProblem where its worker is gone, and for what
    counts at its start only."""
    name = wished["session"]
    run_id = session_run(host, name)
    if run_id is None:
        return None
    placed = host.placement(run_id)
    if placed.lost or host.cluster.gone():
        raise UsageProblem(
            f"the worker that had session {name!r} is gone, with its files: use another name"
        )
    for option in _LAUNCH - {"prompt", "attach", "session", "cell", "base", "repo"}:
        asked, was = wished.get(option), placed.order.wish.get(option)
        if option == "schema" and asked is not None:
            asked = json_schema(asked)
        if asked and asked != was:
            raise UsageProblem(
                f"session {name!r} was started with {option}={was!r} on {host.name}; {option}="
                f"{asked!r} takes another session name"
            )
    return FarRun(host, run_id)


async def over(host: DaskHost, verb: str, options: Json) -> Any:
    """Another verb: about one run where that is, a list from all workers. UsageProblem for what is
    neither."""
    run = options.get("run")
    if isinstance(run, RunView) or (isinstance(run, str) and run):
        if verb == "export_traces":
            return await over(host, verb, {**options, "run": [run]})
        return await _of_one(host, verb, await _meant(host, run), options)
    if verb == "ls":
        return await anyio.to_thread.run_sync(_listed, host, options)
    several = [await _meant(host, one) for one in cast("Sequence[Any]", run)] if run else None
    if verb in BY_RUN:
        wanted = host.list() if several is None else several
        frames = [await _of_one(host, verb, one, options) for one in wanted]
    elif verb in LISTS:
        frames = await _of_several(host, verb, several, options)
    elif verb == "export_traces":  # written here, not where a worker lies
        wanted = host.list() if several is None else several
        there = [FarRun(host, one) for one in wanted]
        return await inspect.unwrap(VERBS[verb].function)(**{**options, "run": there})
    else:
        raise UsageProblem(
            f"{verb} is not done on a cluster. There start, run and what is about one run take"
            " host=, and lists and frames; tournament(…, host=…) and workflows by"
            " options(host=…) have their runs placed there"
        )
    return together(frames or [from_there(host, verb, _empty(host, verb))])


def _empty(host: DaskHost, verb: str) -> Any:
    if verb in BY_RUN:
        from .tracing.rows import listed

        return listed(verb, [])
    if verb not in FRAMES:
        raise UsageProblem(f"{host.name} has no runs yet")
    return _of_lost(host, verb, {}, [])


async def _of_one(host: DaskHost, verb: str, whose: str, options: Json) -> Any:
    if host.placement(whose).lost or host.cluster.gone():
        if verb in FRAMES:
            return await anyio.to_thread.run_sync(_of_lost, host, verb, options, [whose])
        if verb in _READ_HERE:
            given = {name: value for name, value in options.items() if name != "run"}
            read = inspect.unwrap(VERBS[verb].function)
            made = await read(FarRun(host, whose), **given)
            return from_there(host, verb, made) if verb in BY_RUN else made
    if verb in _BY_HANDLE:
        given = {name: value for name, value in options.items() if name != "run"}
        return await getattr(FarRun(host, whose), verb)(**given)
    return await call(host, verb, {**options, "run": whose})


async def _of_several(
    host: DaskHost, verb: str, several: list[str] | None, options: Json
) -> list[Any]:
    """The frames of workers, and of what is here of those that are gone."""
    by_worker = await anyio.to_thread.run_sync(
        lambda: host.by_worker(host.list() if several is None else several)
    )
    frames: list[Any] = []
    for part, runs in by_worker.items():
        only = {} if several is None else {"run": runs}
        if part is not None:
            frames.append(await call(host, verb, {**options, **only}, part))
        elif verb in FRAMES:
            frames.append(await anyio.to_thread.run_sync(_of_lost, host, verb, options, runs))
    return frames


# Verbs that the handle does by commands: also where the worker is gone.
_BY_HANDLE = frozenset(("cancel", "send", "resume", "apply"))
# What reads journals only: of a run whose worker is gone it is read from the copy here.
_READ_HERE = frozenset(
    ("logs", "timeline", "trace", "cost", "cache_shape", "cache_misses", "inspect",
     "subagent_status", "subagent_result")
)  # fmt: skip


async def _meant(host: DaskHost, run: Any) -> str:
    if isinstance(run, RunView):
        return run.id
    return await anyio.to_thread.run_sync(host.run_id_of, run)


def _of_lost(host: DaskHost, verb: str, options: Json, lost: list[str]) -> Any:
    """The rows of runs whose workers are gone: their copies here are closed."""
    from .store import frames

    given = {name: value for name, value in options.items() if name != "run"}
    return from_there(host, verb, getattr(frames, verb)(host.home, run=lost, **given))


def _listed(host: DaskHost, options: Json) -> RunList:
    from .verbs import RunList

    shown, most = RunList(), int(options.get("limit", 50))
    for run_id in reversed(host.list()):
        run = FarRun(host, run_id)
        with contextlib.suppress(UsageProblem):  # it never began there
            if len(shown) < most and (options.get("all") or run.state != "archived"):
                shown.append(run)
    return shown
