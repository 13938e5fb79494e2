"""Verbs on a Dask cluster: a run is placed, a list is gathered from the workers, what is about one
run goes to the worker that has it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import msgspec

from . import config, refusing
from .attaching import blocks_to_send
from .distant import LISTS, FarRun, call, commit_of, from_there
from .drivers import registry
from .errors import UsageProblem
from .host.cluster import DaskHost, Order
from .journal import write_file_once
from .model import new_run_id
from .preparing import Wish
from .runview import RunView
from .store.columns import FRAMES
from .typed import json_schema

if TYPE_CHECKING:
    from .verbs import RunList

Json = dict[str, Any]
_LAUNCH = frozenset(Wish.__struct_fields__)
# Options of `start` that mean runs of one place, which a cluster is not.
_NOT_THERE = ("session", "reuse", "shared")


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
    import hashlib

    return hashlib.sha256(data).hexdigest() == digest


async def start(host: DaskHost, options: Json) -> FarRun:
    """Start a run where the cluster has a place, in the repository that is worked in here; returns
    when it has one."""
    for name in _NOT_THERE:
        if options.get(name):
            raise UsageProblem(f"{name}= is of runs at one place: on a cluster it has no meaning")
    wished = {name: value for name, value in options.items() if name in _LAUNCH - {"cell"}}
    wished["prompt"] = refusing.checked_prompt(options["prompt"])
    recorded = "calls" if options.get("record") else None
    wished["record"] = "content" if options.get("record_content") else recorded
    run_id = new_run_id()

    def ready() -> tuple[Order, dict[str, str]]:
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
        return order_of(host, wished, *(begun or (folder, None)))

    order, values = await anyio.to_thread.run_sync(ready)
    await host.place(run_id, order, values)
    made = FarRun(host, run_id)
    made.wanted = options.get("schema")
    return made


async def over(host: DaskHost, verb: str, options: Json) -> Any:
    """Another verb: about one run where that is, a list from all workers. UsageProblem for what is
    neither."""
    run = options.get("run")
    if isinstance(run, RunView) or (isinstance(run, str) and run):
        whose = run.id if isinstance(run, RunView) else await _meant(host, run)
        if verb in FRAMES and host.placement(whose).lost:
            return await anyio.to_thread.run_sync(_of_lost, host, verb, options, [whose])
        if verb in _BY_HANDLE:
            given = {name: value for name, value in options.items() if name != "run"}
            return await getattr(FarRun(host, whose), verb)(**given)
        return await call(host, verb, {**options, "run": whose})
    if verb == "ls":
        return await anyio.to_thread.run_sync(_listed, host, options)
    if verb not in LISTS:
        raise UsageProblem(
            f"{verb} is not done on a cluster. There start, run and what is about one run take"
            " host=, and lists and frames; tournament(…, host=…) and workflows by"
            " options(host=…) have their runs placed there"
        )
    import pandas as pd

    parts = await anyio.to_thread.run_sync(lambda: host.parts)
    frames = [await call(host, verb, options, part) for part in parts]
    if verb in FRAMES:
        lost = [one for one in host.list() if host.placement(one).lost]
        frames.append(await anyio.to_thread.run_sync(_of_lost, host, verb, options, lost))
    found = [one for one in frames if len(one)] or frames[:1]
    if not found:
        raise UsageProblem(f"{host.name} has no runs yet")
    made = pd.concat(found, ignore_index=True)
    made.attrs.update(frames[0].attrs)
    return made


# Verbs that the handle does by commands: also where the worker is gone.
_BY_HANDLE = frozenset(("cancel", "send", "resume", "apply"))


async def _meant(host: DaskHost, run: str) -> str:
    return await anyio.to_thread.run_sync(host.run_id_of, run)


def _of_lost(host: DaskHost, verb: str, options: Json, lost: list[str]) -> Any:
    """The rows of runs whose workers are gone: their copies here are closed."""
    from .store import frames

    given = {name: value for name, value in options.items() if name != "run"}
    return from_there(host, verb, getattr(frames, verb)(host.home, run=lost, **given))


def _listed(host: DaskHost, options: Json) -> RunList:
    from .verbs import RunList

    runs = [FarRun(host, one) for one in reversed(host.list())]
    archived = bool(options.get("all"))
    shown = [one for one in runs if archived or one.state != "archived"]
    return RunList(shown[: options.get("limit", 50)])
