"""Places on a Dask cluster: the cluster gives them, we do not.

A place is a task that asks for the resource `agents: 1`. Once it has that, on whatever worker, it
says so, and is told which run it is for; it ends when that run's turn is over. Should Dask run such
a task again elsewhere, as its worker was lost, then it is told to leave: who asked decides what
becomes of the run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import Unreachable, UsageProblem
from .scheduler import RESOURCE, Scheduler

Json = dict[str, Any]
PREFIX = "paseo_nb-"
# As a text: a function of ours could not be read by a scheduler or a worker that does not have it,
# and Dask ends a worker that is sent what it cannot read.
_HELD = "__import__('paseo_nb.server.worker', fromlist=['held']).held(lease, topic)"


class Lease:
    """A place that was asked for. placed: where it is, once it is given."""

    def __init__(self, future: Any) -> None:
        self.placed: concurrent.futures.Future[Json] = concurrent.futures.Future()
        self.future = future
        self.at: str | None = None
        self.left = False

    def check(self) -> None:
        """Raise where it will never be given."""
        future = self.future
        if future is not None and future.status not in ("pending", "finished"):
            raise _problem(future)

    def give_back(self) -> None:
        """It is not wanted any more; for one that was not given yet."""
        self.left = True
        with contextlib.suppress(Exception):  # the cluster may be gone
            if self.future is not None:
                self.future.cancel(force=True)  # also what was to be done without us


class Leases:
    """The places that one client asks for. leave: tells a task on a worker to end."""

    def __init__(self, cluster: Scheduler, leave: Callable[[str, str], None]) -> None:
        self._cluster, self._client, self._leave = cluster, cluster.client, leave
        self._known: dict[str, Lease] = {}
        self._topic, self._heard_by = "", ""

    def _listen(self) -> str:
        """The topic that this scheduler tells us of places by: a new one knows of none."""
        if self._heard_by != self._cluster.ident:
            self._heard_by = self._cluster.ident
            self._topic = f"paseo_nb-{uuid.uuid4().hex}"
            self._client.subscribe_topic(self._topic, self._heard)
        return self._topic

    def ask(self, only: Sequence[str] = ()) -> Lease:
        """Ask for a place, on those workers only, or on any."""
        ident = f"{PREFIX}{uuid.uuid4().hex}"
        future: Any = self._client.submit(
            eval, _HELD, {"lease": ident, "topic": self._listen()}, key=ident, pure=False,
            resources={RESOURCE: 1}, retries=0, workers=list(only) or None,
        )  # fmt: skip
        distributed: Any = importlib.import_module("distributed")
        distributed.fire_and_forget(future)  # the turn goes on when this process does not
        lease = self._known[ident] = Lease(future)
        return lease

    def free(self, workers: Mapping[str, Json]) -> list[str]:
        """The workers with a free place. Dask counts what a worker has of a resource, not what is
        free of it: a task may queue at a full one while another one has nothing to do."""
        held = self._cluster.tasks()
        return [
            address
            for address, told in workers.items()
            if sum(str(key).startswith(PREFIX) for key in held.get(address, ()))
            < int(told.get("resources", {}).get(RESOURCE, 0))
        ]

    def _heard(self, event: Any) -> None:
        """A place is given; called in the client's loop."""
        _, told = event
        ident, address = str(told["lease"]), str(told["address"])
        lease = self._known.get(ident)
        if lease is not None and not lease.left and lease.at in (None, address):
            lease.at = address
            lease.future = None  # nothing is left of it to be done again, should that worker go
            if not lease.placed.done():
                lease.placed.set_result({**told, "lease": ident})
            return
        threading.Thread(target=self._leave, args=(address, ident), daemon=True).start()


def _problem(future: Any) -> Exception:
    """Why a place will never be given."""
    if future.status == "error":
        error = future.exception()
        if isinstance(error, ImportError):
            return UsageProblem(
                f"a worker of the cluster has no paseo_nb that serves ({error}): install it there,"
                f" in this version, or take the resource `{RESOURCE}` from that worker"
            )
        return Unreachable(f"the cluster gave no place: {error}")
    return Unreachable(
        "the cluster gave no place: its client was closed, or its scheduler is gone. Connect again:"
        " paseo.connect(client)"
    )
