"""A workflow in a process of its own, that whoever called it may leave: `bg=True`.

The caller starts `main` below in a session of its own, hands it what to run by its standard input,
and reads one line: the workflow run's id, or why there is none. What the process says goes to
`output.log` beside the journal; what it was given stays there as `detached.json`, for `resume`.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import cells, config
from ..drivers import registry
from ..errors import PaseoError, Unreachable, UsageProblem, WorkflowError
from ..host.foreign import came_along
from ..host.local import LocalHost, make_home
from ..journal import write_all
from ..model import new_run_id
from .flows import Flow
from .handles import WorkflowHandle
from .journal import WorkflowFolder
from .keys import plain
from .loading import loaded
from .values import Options, Origin, changed
from .workflows import Workflow

if TYPE_CHECKING:
    from ..host.cluster import DaskHost

SPEC, LOG = "detached.json", "output.log"
_PROGRAM = "from paseo_nb.engine.detached import main; main()"


class OnCluster(msgspec.Struct):
    """The cluster that its steps run on. security: of the client's TLS; handed over, never
    written."""

    name: str
    address: str
    security: dict[str, Any] = {}


class Detached(msgspec.Struct):
    """What such a process runs."""

    origin: Origin
    name: str
    args: dict[str, Any]
    options: Options
    cwd: str
    source: str
    notebook: str | None = None
    providers: dict[str, dict[str, Any]] = {}
    cluster: OnCluster | None = None


class _Told(msgspec.Struct):
    id: str | None = None
    error: str | None = None


def start(
    workflow: Workflow,
    arguments: Mapping[str, Any],
    host: LocalHost,
    options: Options,
    on: DaskHost | None = None,
) -> WorkflowHandle:
    """Call a workflow in a process of its own; the run that the call is. on: the cluster of its
    steps, of which that process gets a client of its own. UsageProblem where it needs what only
    this process has."""
    given = {name: _carried(value, name, workflow.name) for name, value in arguments.items()}
    wanted = Detached(
        workflow.origin(), workflow.name, given, options, str(config.here()), workflow.source(),
        cells.current().notebook, registry.registered_here(), _cluster(on),
    )  # fmt: skip
    return launch(wanted, host, workflow.function)


def launch(
    wanted: Detached, host: LocalHost, function: Callable[..., Any] | None = None
) -> WorkflowHandle:
    """Start the process; the workflow run that it conducts, or follows. function: whose result is
    given as the type that it declares."""
    make_home(host.home)
    parent = host.home / "workflow_runs"
    parent.mkdir(mode=0o700, exist_ok=True)
    log = parent / f".{new_run_id()}.log"
    with log.open("xb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(log)], cwd=wanted.cwd, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=file, start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as given:
        given.write(msgspec.json.encode(wanted))
    with process.stdout as answer:  # until it says which run it is, not until its end
        said = answer.read()
    with contextlib.suppress(msgspec.DecodeError):
        told = msgspec.json.decode(said, type=_Told)
        if told.id is not None:
            return WorkflowHandle(host, WorkflowFolder(parent / told.id), function)
        log.unlink(missing_ok=True)
        raise UsageProblem(told.error or "it was not begun")
    tail = log.read_bytes().decode("utf-8", "replace").strip()[-2000:]
    log.unlink(missing_ok=True)
    raise WorkflowError(f"the process of {wanted.name} ended at once: {tail}")


def resume(
    folder: WorkflowFolder,
    host: LocalHost,
    known: Workflow | None = None,
    changes: Mapping[str, Any] | None = None,
) -> WorkflowHandle | None:
    """Go on with a run that had a process of its own; None where it had none. known: the workflow
    as it is defined now, where it is: it may have been mended. changes: other options."""
    try:
        wanted = msgspec.json.decode((folder.path / SPEC).read_bytes(), type=Detached)
    except (OSError, msgspec.DecodeError):
        return None
    if came_along(folder.path / SPEC):
        raise UsageProblem(
            f"workflow run {folder.path.name} came here with a repository (its files are in a"
            " commit), so its source is somebody else's: it can only be looked at"
        )
    wanted = msgspec.structs.replace(
        wanted,
        providers=registry.registered_here(),
        options=changed(wanted.options, changes or {}),
    )
    if wanted.cluster is not None:
        from .. import connecting
        from ..host.cluster import DaskHost

        on = connecting.connected(wanted.cluster.name)
        if isinstance(on, DaskHost):
            wanted = msgspec.structs.replace(wanted, cluster=_cluster(on))
    if known is not None:
        bound(known, wanted.args)
        wanted = msgspec.structs.replace(wanted, origin=known.origin(), source=known.source())
    return launch(wanted, host, None if known is None else known.function)


def _cluster(on: DaskHost | None) -> OnCluster | None:
    if on is None:
        return None
    return OnCluster(on.name, on.cluster.address, on.cluster.security())


def _connected(to: OnCluster) -> None:
    """Have the cluster connected in this process. Unreachable where nobody answers there."""
    from distributed import Client
    from distributed.security import Security

    from .. import connecting

    security: Any = Security(**to.security) if to.security else None
    try:
        client: Any = Client(to.address, security=security)
    except OSError as error:
        raise Unreachable(
            f"the cluster {to.name!r} at {to.address} does not answer ({error}): connect to one"
            f" under that name, paseo.connect(client, name={to.name!r}), then resume"
        ) from None
    connecting.connect(client, name=to.name)


def bound(workflow: Workflow, arguments: Mapping[str, Any]) -> inspect.BoundArguments:
    """Arguments by name, as a call has them. UsageProblem where it takes others now."""
    signature = inspect.signature(workflow.function)
    spread = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [one.name for one in signature.parameters.values()]
    needed = [
        one.name
        for one in signature.parameters.values()
        if one.default is one.empty and one.kind not in spread
    ]
    if set(arguments) - {*names} or {*needed} - set(arguments):
        told = ", ".join(arguments) or "nothing"
        raise UsageProblem(
            f"{workflow.name} takes {signature} now; this run was called with {told}, so it cannot"
            " go on. Call it anew: finished steps that ask for the same are taken"
        )
    found = inspect.BoundArguments(signature, OrderedDict(arguments))
    found.apply_defaults()
    return found


def _carried(value: Any, name: str, workflow: str) -> Any:
    told = plain(value, f"the argument {name}")
    if type(told) is not type(value) and not isinstance(value, tuple):
        raise UsageProblem(
            f"bg: the argument {name} of {workflow}, a {type(value).__name__}, would be another"
            " thing in another process; give texts, numbers, lists and mappings of them"
        )
    return told


def main() -> None:
    """Such a process: conduct a workflow, say at once which run it is, and leave at its end."""
    log = Path(sys.argv[1])
    out = os.dup(1)
    os.dup2(2, 1)  # what the body prints goes to the log
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Detached)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if wanted.cwd not in sys.path:
        sys.path.insert(0, wanted.cwd)
    told = _Told()
    run = None
    try:
        for name, given in wanted.providers.items():
            registry.register_provider(name, **given)
        workflow = _workflow(wanted)
        if wanted.cluster is not None:
            _connected(wanted.cluster)
            workflow = workflow.options(host=wanted.cluster.name)
            wanted.cluster.security = {}
        run = workflow.begin(bound(workflow, wanted.args), LocalHost(config.home()))
        told.id = run.id
        (run.folder.path / SPEC).write_bytes(msgspec.json.encode(wanted))
        with contextlib.suppress(OSError):
            log.rename(run.folder.path / LOG)
    except PaseoError as error:
        told.error = str(error)
    write_all(out, msgspec.json.encode(told))
    os.close(out)
    if run is not None:
        with contextlib.suppress(PaseoError):  # it is the last line of the journal
            run.wait()


def _workflow(wanted: Detached) -> Workflow:
    origin = wanted.origin
    if origin.text is None:
        from .discovery import named

        made = named(wanted.name)
    else:
        made = loaded(origin.text, wanted.name, origin.function, f"<{wanted.name}>")
    workflow = made.workflow if isinstance(made, Flow) else made
    options = msgspec.structs.asdict(wanted.options) | {"bg": False}
    return workflow.options(**options).with_text(wanted.source)
