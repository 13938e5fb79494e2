"""Hosts by name: those of the settings, those that were connected here, and how to get one."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from pathlib import Path
from typing import Any

from . import config
from .errors import UsageProblem
from .host.cluster import DaskHost
from .host.http import HttpHost
from .host.mirror import Mirror
from .host.requests import Server

ALL = "all"
OFF_US = 60_000_000  # clocks that are further apart are worth a word
_connected: dict[str, Mirror] = {}
_NAME = re.compile(r"\w[\w.-]{0,199}")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def connect(
    url: Any, token: str | None = None, *, name: str | None = None, project: str = ""
) -> Mirror:
    """The host behind another machine's Jupyter Server, for `host=` of every verb; or a Dask
    cluster.

    url: the server's address, with its base URL; `?token=…` in it is taken, too; or a
    `dask.distributed.Client`. token: the server's token. name: what frames call it (default: the
    machine's name, with the port where that is another host's already; of a cluster `dask`).
    project: a folder below the server's own, whose runs are meant.

    Raises UsageProblem for what is no address, for a name that another host has, and for a cluster
    whose workers cannot have agents;
    Unreachable where nothing answers there, where the token is not accepted, and where the other
    side is of another version.
    """
    if name is not None and not (isinstance(name, str) and _fits(name)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageProblem(
            f"name={name!r} is no name for a host: letters, digits, - _ and single dots, and not"
            f" {ALL!r}, as it is a branch's, too (paseo/NAME/RUN)"
        )
    if not isinstance(url, str):
        return _cluster(url, name or "dask")
    address, _, query = url.partition("?")
    found = re.search(r"(?:^|&)token=([^&#]+)", query)
    server = Server(address, token or (found[1] if found else None), project)
    made = HttpHost(name or server.parts.hostname or "host", server, _mirrors())
    before = _connected.get(name) if name is not None else None
    if name is None:
        made.name = _name_for(made)
    elif before is not None and not _is_free(before, made):
        raise UsageProblem(
            f"name={name!r} is already what {before!r} is called here: give another name= (frames"
            " tell hosts apart by it), or close() that one first"
        )
    if abs(server.ahead_us) > OFF_US:
        warnings.warn(
            f"the clock of {made.name} is {abs(server.ahead_us) / 6e7:.0f} min"
            f" {'ahead of' if server.ahead_us > 0 else 'behind'} this machine's: times of its runs"
            " are by its own; set the one that is wrong",
            stacklevel=2,
        )
    before = _connected.get(made.name)
    if isinstance(before, HttpHost) and before.server.same(server) and not before.closed:
        return before
    return _named(made)


def _name_for(made: HttpHost) -> str:
    """What a host without a name of its user's is called: as its machine, never as another host."""
    netloc = made.server.parts.netloc.rpartition("@")[2]
    machine = str(made.about.get("host"))
    own = [machine, re.sub("[^A-Za-z0-9]+", "-", netloc), "host"]
    first = next(filter(_fits, own))
    tried = itertools.chain(
        [first],
        filter(_fits, [f"{first}-{made.server.parts.port}"] if made.server.parts.port else []),
        (f"{first}-{number}" for number in itertools.count(2)),
    )
    named = config.settings(config.project_root()).hosts

    def is_free(name: str) -> bool:
        before = _connected.get(name)
        if before is not None:
            return _is_free(before, made)
        return (
            name not in named
            or Server(named[name].url.partition("?")[0], None).parts == made.server.parts
        )

    return next(filter(is_free, tried))


def _is_free(before: Mirror, made: HttpHost) -> bool:
    """Whether a host's name may be another one's: it is the same place, or closed."""
    return isinstance(before, HttpHost) and (before.closed or before.is_where(made))


def _fits(name: str) -> bool:
    """Whether a host may have this name: it is a part of a branch's, and `all` means all."""
    ends = name.endswith((".", ".lock"))
    return bool(_NAME.fullmatch(name)) and ".." not in name and not ends and name != ALL


def _named(made: Mirror) -> Any:
    before = _connected.get(made.name)
    if before is not None:
        before.close()
    _connected[made.name] = made
    return made


def _cluster(client: Any, name: str) -> DaskHost:
    try:
        from distributed import Client
    except ImportError:
        Client = None
    if Client is None or not isinstance(client, Client):
        more = "" if Client is not None else " (which takes pip install 'paseo_nb[dask]')"
        raise UsageProblem(
            "connect() takes a Jupyter Server's address, or a dask.distributed.Client"
            f"{more}, not {type(client).__name__}"
        )
    before = _connected.get(name)
    if isinstance(before, DaskHost):
        if before.cluster.client is client:
            before.checked()
            return before
        if before.may_use(client):  # handles that are had go on with it
            before.use(client)
            return before
    from .distant import carried

    return _named(DaskHost(name, client, _mirrors(), carried))


def _mirrors() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    data = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return data / "paseo_nb" / "hosts"


def host_of(given: Any) -> Mirror:
    """The host that `host=` means: one that `connect` gave, or a name. UsageProblem."""
    if isinstance(given, Mirror):
        return given
    if not isinstance(given, str):
        raise UsageProblem(f"a host is its name, or what connect() gave, not {given!r}")
    if given in _connected:
        return _connected[given]
    known = config.settings(config.project_root()).hosts
    if given not in known:
        names = ", ".join(sorted({*known, *_connected})) or "none"
        raise UsageProblem(
            f"no host {given!r}; there is: {names}. Name one in the settings ([hosts.NAME]), or"
            " connect(url, token) to it"
        )
    told = known[given]
    return connect(told.url, _filled(told.token, given), name=given, project=told.project)


def connected(name: str) -> Mirror | None:
    """What was connected in this process under a name."""
    return _connected.get(name)


def names() -> list[str]:
    """All hosts but this machine."""
    return sorted({*config.settings(config.project_root()).hosts, *_connected})


def _filled(token: str | None, name: str) -> str | None:
    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UsageProblem(f"the token of host {name!r} is in ${found[1]}, which is not set")
        return os.environ[found[1]]

    return None if token is None else _VARIABLE.sub(value, token)
