"""The table of verbs, and what every verb needs: the project's host and the run that is meant."""

from __future__ import annotations

import functools
import inspect as _inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias, cast

import msgspec

from . import config
from .errors import UsageProblem
from .finding import find_run
from .handle import AsyncRun
from .host.local import LocalHost
from .runview import RunView

Where: TypeAlias = Any
"""The host that is meant: a name, what `connect` gave, "all" for lists; None: this machine."""
_HOST = """

host: the machine whose runs are meant, by its name (docs/hosts.md); lists and frames also take
    `all`, this machine and every host
"""


class Verb(msgspec.Struct):
    """One row of the table."""

    name: str
    function: Callable[..., Awaitable[Any]]
    summary: str
    magic: bool = True


VERBS: dict[str, Verb] = {}


def verb(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Put a function into the table; it takes `host=`, too, and does it there."""
    summary = inspect_doc(function).split("\n")[0]
    if "host" not in _inspect.signature(function).parameters:
        function = _anywhere(function)
    VERBS[function.__name__] = Verb(function.__name__, function, summary)
    return function


def _anywhere(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A verb that is done on another machine where its arguments mean one."""
    signature = _inspect.signature(function)

    @functools.wraps(function)
    async def anywhere(*args: Any, host: Where = None, **options: Any) -> Any:
        try:
            given = signature.bind(*args, **options)
        except TypeError:
            return await function(*args, **options)  # which says what is wrong with them
        where = _host_among(given.arguments.values()) if host is None else host
        runs = given.arguments.get("run")
        several = isinstance(runs, (list, tuple))
        if where is None and not several:
            return await function(*args, **options)
        from . import distant

        if several and host != "all" and distant.is_of_each(function.__name__, host, runs):
            return await distant.over_each(host, function.__name__, function, given)
        if where is None:
            return await function(*args, **options)
        return await distant.over(where, function.__name__, function, given)

    takes = _inspect.Parameter(
        "host", _inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Where"
    )
    parameters = [*signature.parameters.values(), takes]
    told = signature.replace(parameters=parameters)
    anywhere.__signature__ = told  # pyright: ignore[reportAttributeAccessIssue]
    anywhere.__doc__ = inspect_doc(function) + _HOST
    return anywhere


def _host_among(given: Iterable[Any]) -> Where:
    """The other machine that a verb's arguments belong to, where they are runs there."""
    for value in given:
        if isinstance(value, RunView) and value.host.name != "local":
            return value.host
        if isinstance(value, (list, tuple)) and value:
            found = _host_among(cast("list[Any]", value))
            if found is not None:
                return found
    return None


def flat(runs: Iterable[Any]) -> list[Any]:
    """Runs, of which some were given as lists."""
    found: list[Any] = []
    for one in runs:
        found += flat(cast("list[Any]", one)) if isinstance(one, (list, tuple)) else [one]
    return found


def inspect_doc(function: Callable[..., Any]) -> str:
    """A function's docstring, indentation taken off."""
    return _inspect.getdoc(function) or ""


_ENTRY = re.compile(r"^(\w+): (.*(?:\n[ \t]+.*)*)$", re.M)


def told(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a verb's docstring says: its text, and of each option what it means."""
    doc = inspect_doc(function)
    meanings = {match[1]: " ".join(match[2].split()) for match in _ENTRY.finditer(doc)}
    return re.sub(r"\n{3,}", "\n\n", _ENTRY.sub("", doc)).strip(), meanings


def options_as(other: Callable[..., Any]) -> Callable[[Any], Any]:
    """The decorated function takes what `other` takes: its docstring says what that means."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        takes = _inspect.signature(function).parameters
        told_there = _ENTRY.finditer(inspect_doc(other))
        entries = "".join(match[0] + "\n" for match in told_there if match[1] in takes)
        first, blank, rest = inspect_doc(function).partition("\n\n")
        function.__doc__ = first + blank + entries + rest
        return function

    return add


def current_host() -> LocalHost:
    """The host of the project that the current folder belongs to."""
    return LocalHost(config.home())


def run_of(run: str | AsyncRun | Any) -> AsyncRun:
    """A handle from an id, a prefix of one, or any handle."""
    if isinstance(run, str):
        host = current_host()
        return AsyncRun(host, find_run(host, run))
    if not isinstance(run, RunView):
        raise UsageProblem(f"a run is its id or a handle, not {run!r}")
    if run.host.name != "local":
        from .distant import far_run

        return far_run(run)
    return AsyncRun(run.host, run.id)
