"""What is asked of a Dask cluster, through a client that the user made: who its workers are, what
is said to the desk of one (`server.worker`), and whether it is there at all.

Dask waits half a minute for a scheduler that is gone, wherever one asks; here nobody does.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

from .. import __version__
from ..errors import PaseoError, Unreachable, UsageProblem
from .requests import Answer, LineBroken

Json = dict[str, Any]
OP = "paseo_nb"
RESOURCE = "agents"
ANSWER_S = 60.0
SCHEDULER_S = 10.0  # for what a scheduler knows by heart
LOOK_S = 0.1
GONE_S = 1.0
CONNECT_S = 2.0
NONE = (
    f"no worker of the cluster has the resource `{RESOURCE}`: start workers with"
    f" `dask worker … --resources {RESOURCE}=2`, or LocalCluster(resources={{{RESOURCE!r}: 2}})"
)
_TLS = (
    "require_encryption", "tls_ca_file", "tls_client_cert", "tls_client_key", "tls_ciphers",
)  # fmt: skip
# What any worker can be asked, whether or not it has us.
_PROBE = (
    "(lambda u, o, s: (u.find_spec('paseo_nb') and __import__('paseo_nb').__version__,"
    " o.getpid(), s.gethostname()))"
    "(__import__('importlib.util').util, __import__('os'), __import__('socket'))"
)


class Scheduler:
    """The cluster of one client. name: what we call it."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        self._looked_at: set[str] = set()
        self._gone = False
        self.address = str(client.scheduler.address) if client.scheduler is not None else ""
        self.ident = ""

    def identify(self) -> None:
        """Learn which cluster it is. UsageProblem for a client that cannot be used, Unreachable."""
        if getattr(self.client, "asynchronous", False):
            raise UsageProblem("give a Client that is not asynchronous: Client(address)")
        self._identity()

    # ------------------------------------------------------------ whether it is there

    @property
    def closed(self) -> bool:
        """Whether the client is of no use any more."""
        return self.client.status not in ("running", "connecting")

    @property
    def connected(self) -> bool:
        """Whether the client has a line to the scheduler, as far as it knows."""
        return self.client.status == "running"

    def gone(self) -> bool:
        """Whether the cluster is no more: the client was closed, as it is when it has tried in vain
        for a while, and nobody listens at the scheduler's address."""
        if not self.closed or self.client.status == "closing":
            return False
        self._gone = self._gone or not listens(self.address)
        return self._gone

    def _check_client(self) -> None:
        if self.closed:
            raise Unreachable(
                f"the Dask client of {self.name} is {self.client.status}: make a Client, then"
                f" paseo.connect(client, name={self.name!r})"
            )
        if not self.connected:
            raise LineBroken(
                f"the scheduler at {self.address} is not there; Dask's client tries to reach it a"
                " while longer. If it does not come back, start a cluster, make a Client, then"
                f" paseo.connect(client, name={self.name!r}): runs go on there by resume()"
            )

    def asked(
        self,
        make: Callable[[], Coroutine[Any, Any, Any]],
        within_s: float = SCHEDULER_S,
        address: str | None = None,
    ) -> Any:
        """What comes of something that is asked in the client's loop. LineBroken where nothing
        does, or where the worker at that address goes; Unreachable where the client was closed."""
        self._check_client()
        answer: Any = asyncio.run_coroutine_threadsafe(make(), self.client.loop.asyncio_loop)
        begun = looked = time.monotonic()
        try:
            while not concurrent.futures.wait([answer], LOOK_S).done:
                self._check_client()
                now = time.monotonic()
                if now - begun > within_s:
                    raise LineBroken(f"{self.name} does not answer")
                if address is not None and now - looked > GONE_S:
                    looked = now
                    if address not in self.workers():
                        raise LineBroken(f"the worker at {address} of {self.name} is gone")
            return answer.result()
        except PaseoError:
            raise
        except Exception as error:  # whatever Dask has for what is gone
            self._check_client()
            raise LineBroken(f"{self.name} does not answer: {error!r}") from None
        finally:
            answer.cancel()

    def _identity(self) -> Json:
        async def ask() -> Json:
            return await self.client.scheduler.identity(n_workers=-1)

        told = self.asked(ask)
        self.ident = str(told["id"])  # another one may have taken its place
        return told

    def security(self) -> Json:
        """How another client of it would be let in: what its TLS was set to, keys among it."""
        known: Any = self.client.security
        told = {name: getattr(known, name, None) for name in _TLS}
        return {name: value for name, value in told.items() if value}

    # ------------------------------------------------------------ workers

    def workers(self) -> dict[str, Json]:
        """The workers of the cluster, by address."""
        return cast("dict[str, Json]", self._identity()["workers"])

    def tasks(self) -> dict[str, Any]:
        """The tasks that each worker has, by its address."""

        async def ask() -> dict[str, Any]:
            return await self.client.scheduler.processing(workers=None)

        return self.asked(ask)

    def checked(self) -> int:
        """How many places the cluster has. UsageProblem where none of its workers has one, where
        one of those has no paseo_nb, or another version, or is a thread of this process."""
        workers = self.workers()
        having = {
            address: int(told.get("resources", {}).get(RESOURCE, 0))
            for address, told in workers.items()
        }
        places = {address: count for address, count in having.items() if count}
        if workers and not places:
            raise UsageProblem(NONE)
        found: dict[str, Any] = {}
        new = places.keys() - self._looked_at
        if new:
            found = self.client.run(eval, _PROBE, workers=list(new), on_error="return")
        for address, told in found.items():
            if isinstance(told, Exception):
                if isinstance(told, ImportError):
                    raise UsageProblem(
                        f"paseo_nb cannot be imported by the worker at {address}: {told}"
                    )
                continue  # it is just going
            version, pid, machine = told
            if version is None:
                raise UsageProblem(
                    f"the worker at {address} has no paseo_nb: install paseo_nb {__version__} there"
                    " (with git, and the agents that shall run), or take the resource"
                    f" `{RESOURCE}` from it"
                )
            if version != __version__:
                raise UsageProblem(
                    f"the worker at {address} has paseo_nb {version}, this one is {__version__}:"
                    " have the same version on both"
                )
            if (pid, machine) == (os.getpid(), os.uname().nodename):
                raise UsageProblem(
                    "the cluster's workers are threads of this process; agents need workers that"
                    " are processes of their own: LocalCluster(processes=True)"
                )
            self._looked_at.add(address)
        return sum(places.values())

    def request(
        self, address: str, method: str, path: str, query: Json, headers: Json, body: bytes
    ) -> Answer:
        """One request to a worker's desk. LineBroken where there is no answer. Dask would try for
        half a minute to reach a worker that is gone: it is looked at meanwhile whether it is."""
        message = {
            "op": OP, "method": method, "path": path, "query": query, "headers": headers,
            "body": body,
        }  # fmt: skip

        async def ask() -> Any:
            scheduler = self.client.scheduler
            told = await scheduler.broadcast(
                msg=message, workers=[address], on_error="return_pickle"
            )
            return told[address]

        told = self.asked(ask, ANSWER_S, address)
        if not isinstance(told, dict) or "body" not in told:  # none of us, or an error, pickled
            raise LineBroken(f"the worker at {address} of {self.name} does not answer")
        facts = cast(Json, told)
        return Answer(facts["status"], facts["headers"], facts["body"])


def listens(address: str) -> bool:
    """Whether anybody takes connections at a scheduler's address."""
    _, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if not port.isdecimal():  # of another kind than an address and a port: that is not known
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_S):
            return True
    except OSError:
        return False
