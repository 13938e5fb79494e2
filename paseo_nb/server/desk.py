"""What is done for whoever asks from elsewhere, by whatever line: Jupyter's handlers and a Dask
worker share this desk. It knows nothing of HTTP, users or tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import msgspec

from ..attaching import Blocks, blocks_of
from ..drivers.acp_reading import as_dict
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..verbs import VERBS
from . import asked, brought
from .calls import Calls
from .refused import Refused

Json = dict[str, Any]
PROTOCOL = 1
MOST_ENDS = 500
PIECE = 4 << 20
HOLD_S = 10.0
RUN_ID = re.compile(r"[0-9A-Z]{1,64}")


def run_of(host: LocalHost, run_id: str) -> AsyncRun:
    """A run by its whole id."""
    if not (RUN_ID.fullmatch(run_id) and host.folder(run_id).spec.exists()):
        raise Refused(404, f"no run {run_id[:64]!r} here")
    return AsyncRun(host, run_id)


def place_of(home: Path) -> str:
    """What tells a project's home from every other one on any machine that is up now, also where
    machines were made alike, with the same name and the same folders."""
    try:
        running = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        running = f"{socket.gethostname()} {uuid.getnode()}"
    with contextlib.suppress(OSError):
        found = os.stat(home.parent)
        running += f" {found.st_dev} {found.st_ino}"
    return hashlib.sha256(f"{running} {home}".encode()).hexdigest()[:16]


def state_of(host: LocalHost, run_id: str) -> Json:
    """Its true state now, and whether it has processes."""
    return {"state": host.state(run_id), "alive": host.alive(run_id)}


def command_of(given: Json) -> tuple[str, str, Json]:
    """The id, the verb and the arguments of a command."""
    ident, verb, told = given.get("id"), given.get("verb"), given.get("args", {})
    if not (isinstance(ident, str) and 8 <= len(ident) <= 64 and isinstance(verb, str)):
        raise Refused(400, "a command has an id of 8 to 64 characters, and a verb")
    if not isinstance(told, dict):
        raise Refused(400, "a command's args are an object")
    return ident, verb, cast(Json, told)


def with_blobs(args: Json, host: LocalHost) -> None:
    """Fill in what a prompt's blocks point to."""
    prompt = args.get("prompt")
    if isinstance(prompt, list):
        args["prompt"] = blocks_of(Blocks(as_dict(one) for one in cast(list[Any], prompt)), host)


async def command(calls: Calls, project: Path, run: AsyncRun, given: Json) -> tuple[bool, Json]:
    """Have a command applied once: (whether that is done, what it gave)."""
    ident, verb, args = command_of(given)

    async def do() -> Json:
        environment = run.environment() if given.get("wake") is True else None
        return await run.host.command(run.id, verb, args, command_id=ident, environment=environment)

    return await calls.result(f"command {run.id} {ident}", project, do)


async def wake(calls: Calls, project: Path, run: AsyncRun) -> None:
    """See that a run has processes, for what it owes."""

    async def do() -> None:
        await run.host.ensure(run.id, None, run.environment())

    await calls.result(None, project, do)


async def hold(calls: Calls, project: Path, run: AsyncRun) -> None:
    """Hold a run's permission clock for some seconds."""

    async def do() -> None:
        with anyio.move_on_after(HOLD_S):
            await run.host.hold(run.id)

    await calls.result(None, project, do)


async def verb_done(
    calls: Calls, project: Path, verb: str, body: bytes, key: str | None, born: str | None
) -> tuple[bool, Any]:
    """Do a verb, once under its key: (whether it is done, what it gave). born: the desk that was
    asked before under that key; another one does not know what became of it, and says so."""
    if verb not in asked.served():
        raise Refused(404, f"no verb {verb[:40]!r} is served")
    positional, keywords = asked.call_of(verb, body)
    if key is not None:  # of this verb and project: what else has the same key is another call
        key = f"verb {verb} {project} {key}"
    if key is not None and born not in (None, calls.born) and not calls.knows(key):
        raise Refused(
            409, f"the server was restarted while {verb} was at work: whether it was done is"
            " not known; look with ls()", "Unreachable"
        )  # fmt: skip
    function: Callable[..., Any] = VERBS[verb].function
    return await calls.result(key, project, lambda: function(*positional, **keywords))


def repository(home: Path, project: Path, given: Json) -> Json:
    """Where a commit's repository is, brought along by a bundle where it is not here yet."""
    try:
        wanted = msgspec.convert(given, brought.Wanted)
    except msgspec.ValidationError as error:
        raise Refused(400, str(error)) from None
    return brought.find(LocalHost(home), project, wanted)


def result(run: AsyncRun, given: Json) -> Json:
    """A run's files now as a commit, in a bundle among the contents."""
    try:
        have = msgspec.convert(given.get("have", []), list[brought.Commit])
    except msgspec.ValidationError:
        raise Refused(400, "have is a list of commits") from None
    return brought.result(run, have[:MOST_ENDS])
