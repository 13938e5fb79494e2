"""`%paseo workflow ls|runs|show|run|resume|stop` and `%%paseo_workflow NAME`, and the same at a
terminal. The Python names are the workflow itself (`review(…)`), `paseo.workflow_run`,
`paseo.workflow_runs` and `paseo.stop_workflow`: `workflow` is the decorator's there.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from . import _sync, config, connecting  # pyright: ignore[reportPrivateUsage]
from .engine import detached, discovery
from .engine.flows import Flow
from .engine.handles import WorkflowHandle, workflow_run
from .engine.journal import WorkflowFolder, folders
from .engine.loading import loaded
from .engine.standing_alone import WORDS, free_names
from .engine.story import Story
from .engine.values import Origin
from .engine.workflows import Workflow, defined
from .errors import UsageProblem
from .host.local import LocalHost
from .model import short_id
from .options import HelpShown, call_arguments, parser_for
from .verb_table import VERBS, Verb, inspect_doc

if TYPE_CHECKING:
    import pandas as pd


def ls() -> pd.DataFrame:
    """The workflows that are known here, and the newest run of each.

    Columns: name, source (project, user, built-in, cell), trusted, runs, last_run, state,
    description.
    """
    import pandas as pd

    files = {one.name: one for one in discovery.found()}
    runs: dict[str, list[WorkflowFolder]] = {}
    for folder in folders(config.home()):
        header = folder.header()
        if header is not None:
            runs.setdefault(header["name"], []).append(folder)
    rows: list[tuple[Any, ...]] = []
    for name in sorted({*files, *defined, *runs}):
        one, of_it = files.get(name), runs.get(name, [])
        last = Story(of_it[-1]) if of_it else None
        rows.append(
            (
                name,
                one.source if one is not None and name not in defined else "cell",
                one is None or one.trusted,
                len(of_it),
                None if last is None else last.folder.id,
                None if last is None else last.state,
                one.description if one is not None else None,
            )
        )
    columns = ["name", "source", "trusted", "runs", "last_run", "state", "description"]
    return pd.DataFrame(rows, columns=columns)


def show(workflow_run: str) -> Any:
    """A workflow run as it stands, live while it is at work.

    workflow_run: its id, any beginning of one, or a workflow's name: its newest run
    """
    return _handle(workflow_run)


def run(
    name: str,
    *args: str,
    bg: bool = False,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    concurrency: int | None = None,
    refresh: bool = False,
    worktrees: str | None = None,
) -> Any:
    """Call a workflow, of a cell or a file, and wait: what it returns.

    name: its name
    args: its arguments, as NAME=VALUE (a value is JSON, else a text), or one JSON object
    bg: in a process of its own, and return at once
    budget: what it may spend in all, in US dollars
    token_budget: the same in tokens
    timeout: the same in seconds at work (in a terminal also 90s, 5m, 1h)
    concurrency: how many of its steps may be at work at once
    refresh: a new run that takes nothing from others
    worktrees: of finished steps, when it is done: archive (the default) or keep
    """
    given = {
        "bg": bg, "budget": budget, "token_budget": token_budget, "timeout": timeout,
        "concurrency": concurrency, "refresh": refresh, "worktrees": worktrees,
    }  # fmt: skip
    changed = {
        name: value for name, value in given.items() if not (value is None or value is False)
    }
    workflow, told = _named(name), _arguments(args)
    if workflow.suffix == ".js" and told and "args" not in told:
        told = {"args": told}  # a script has one value
    signature = inspect.signature(workflow.function)
    try:
        signature.bind(**told)
    except TypeError as error:
        raise UsageProblem(f"{name}: {error}; it takes {signature}") from None
    return (workflow.options(**changed) if changed else workflow)(**told)


def resume(
    workflow_run: str,
    *,
    bg: bool = False,
    changed_tree: str | None = None,
    worktrees: str | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    concurrency: int | None = None,
) -> Any:
    """Go on with a workflow run that was cut off, stopped, or failed: what it returns. One that had
    a process of its own gets one again. The workflow is taken as it is defined now.

    workflow_run: its id, any beginning of one, or a workflow's name: its newest run
    bg: in a process of its own, and return at once
    changed_tree: where files are others than its last step left: restore puts those back, and keeps
        what is there now as a commit; accept goes on with what is there
    worktrees: of finished steps, when it is done: archive (the default) or keep
    budget: what it may spend in all, in US dollars: a new total
    token_budget: the same in tokens
    timeout: the same in seconds at work (in a terminal also 90s, 5m, 1h)
    concurrency: how many of its steps may be at work at once
    """
    handle = _handle(workflow_run)
    if handle.state in ("done", "running"):
        return handle
    header = handle.folder.header() or {}
    if header.get("bundled"):
        raise UsageProblem(f"workflow run {short_id(handle.id)} came here in a bundle: look at it")
    _newest_of_its_call(handle, header)
    given = {
        "changed_tree": changed_tree, "worktrees": worktrees, "budget": budget,
        "token_budget": token_budget, "timeout": timeout, "concurrency": concurrency,
    }  # fmt: skip
    changes = {option: value for option, value in given.items() if value is not None}
    workflow = _known(handle.name)
    again = detached.resume(handle.folder, LocalHost(config.home()), workflow, changes)
    if again is not None:
        return again
    if workflow is None:
        raise UsageProblem(
            f"workflow run {short_id(handle.id)} was called in a notebook or a program, and its"
            f" workflow {handle.name!r} is not known here: execute the cell that defines it, then"
            " resume it, or call it there again"
        )
    bound = detached.bound(workflow, header["args"])
    where = Story(handle.folder).engine.get("where")
    if where is not None:  # the cluster that its steps were on
        changes["host"] = _cluster(handle, where)
    return workflow.options(bg=bg, **changes)(*bound.args, **bound.kwargs)


def _newest_of_its_call(handle: WorkflowHandle, header: dict[str, Any]) -> None:
    """A call goes on with its newest run only. UsageProblem where this is an older one."""
    call = (header.get("name"), header.get("args_hash"))
    for folder in folders(config.home()):
        other = folder.header() or {}
        if folder.id > handle.id and (other.get("name"), other.get("args_hash")) == call:
            raise UsageProblem(
                f"workflow run {short_id(handle.id)} is not gone on with: the same call was made"
                f" again later, as run {short_id(folder.id)} ({Story(folder).state})"
            )


def _known(name: str) -> Workflow | None:
    """The workflow of that name as it is defined here and now, if it is."""
    if name in defined:
        return _named(name)
    if any(one.name == name for one in discovery.found()):
        return _named(name)
    return None


def _cluster(handle: WorkflowHandle, where: str) -> str:
    if where not in connecting.names():
        raise UsageProblem(
            f"the steps of workflow run {short_id(handle.id)} run on the Dask cluster {where!r},"
            f" which this process has no client of: paseo.connect(client, name={where!r}) first"
        )
    return where


def _handle(known_as: str) -> WorkflowHandle:
    return workflow_run(known_as)


def _named(name: str) -> Workflow:
    known = defined.get(name) or discovery.named(name)
    return known.workflow if isinstance(known, Flow) else known


def _arguments(words: Sequence[str]) -> dict[str, Any]:
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            return cast(dict[str, Any], json.loads(words[0]))
        except ValueError as error:
            raise UsageProblem(f"the arguments are no JSON: {error}") from None
    told: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageProblem(f"{word!r}: arguments are NAME=VALUE, or one JSON object")
        try:
            told[name] = json.loads(value)
        except ValueError:
            told[name] = value
    return told


def _own(function: Callable[..., Any]) -> Verb:
    return Verb(function.__name__, function, inspect_doc(function).split("\n")[0])


COMMANDS = {
    "ls": _own(ls),
    "runs": VERBS["workflow_runs"],
    "show": _own(show),
    "run": _own(run),
    "resume": _own(resume),
    "stop": VERBS["stop_workflow"],
}
SUMMARY = "The workflows: " + ", ".join(COMMANDS)


def do(words: Sequence[str], prog: str) -> Any:
    """Carry out one of the commands. UsageProblem; HelpShown where help was printed."""
    if not words or words[0] in ("help", "-h", "--help"):
        rows = "\n".join(f"  {name:<8} {verb.summary}" for name, verb in COMMANDS.items())
        print(f"usage: {prog} COMMAND …\n\n{rows}")
        raise HelpShown
    if words[0] not in COMMANDS:
        raise UsageProblem(f"{prog}: no command {words[0]!r}; there are {', '.join(COMMANDS)}")
    verb = COMMANDS[words[0]]
    values = parser_for(verb, f"{prog} {words[0]}").values(words[1:])
    positional, keywords = call_arguments(verb, values)
    if inspect.iscoroutinefunction(verb.function):
        return getattr(_sync, verb.name)(*positional, **keywords)
    return verb.function(*positional, **keywords)


def define(name: str, text: str) -> Workflow | Flow:
    """A workflow from a cell's text, which is a module of its own, with the words of workflows in
    it. UsageProblem with the names that it takes from nowhere."""
    free = [one for one in free_names(text) if one not in (*WORDS, "paseo")]
    if free:
        raise UsageProblem(
            f"{name} uses {', '.join(free)}, which its cell does not define: such a cell stands by"
            " itself, as a file does. Import or define what it needs in it, or give it as arguments"
        )
    made = loaded(text, name, None, f"<{name}>")
    defined[name] = made = made.with_text(text, Origin(text))
    return made
