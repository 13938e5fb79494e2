"""The verbs that look at what runs did: traces. `verbs` has the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from . import bundling, config, opening, preparing
from .bundling import Bundle
from .errors import UsageProblem
from .host.local import LocalHost
from .tracing.cache import CacheShape
from .tracing.prices import Book
from .tracing.seen import Traced, TracedRun, TracedWorkflow, all_of, alone, readable
from .tracing.trace import Trace, trace_of
from .verb_table import current_host, run_of, verb

if TYPE_CHECKING:
    import pandas as pd


def _traced(run: Any) -> Traced:
    """A run or a workflow run, from an id, a beginning of one, or a handle; that which a match is.
    UsageProblem for a blind match: what its runs tell has their names."""
    from .contests.match import Match
    from .engine.handles import WorkflowHandle
    from .engine.journal import find_folder, folders

    if isinstance(run, Match):
        if run.blind:
            raise UsageProblem("this tells names: vote(…) first, or reveal()")
        workflow, home = run.header.workflow_run, run.folder.home
        if workflow != run.id:
            raise UsageProblem(f"this match is a part of workflow run {workflow}: ask for that")
        return TracedWorkflow(LocalHost(home), find_folder(home, workflow))
    if isinstance(run, WorkflowHandle):
        return TracedWorkflow(run.host, run.folder)
    if isinstance(run, str) and run.strip():
        host, wanted = current_host(), run.strip().upper()
        if not any(one.startswith(wanted) for one in host.list()) and any(
            one.id.startswith(wanted) for one in folders(host.home)
        ):
            return TracedWorkflow(host, find_folder(host.home, run))
    return TracedRun(run_of(run))


@verb
async def trace(
    run: str,
    *,
    tool: str | None = None,
    errors: bool | None = None,
    slower_than: float | None = None,
    search: str | None = None,
) -> Trace:
    """A run as a tree of turns, model calls, tool calls, waits and the runs that it started; a
    workflow run as one of steps and their runs.

    To look at, as a DataFrame (`.frame`), and to ask: `.slowest_tools()`, `.error_rates()`,
    `.time_spent()`, `.retries()`, `.repeated_steps()`, `.files_read()`, `.first_tokens()`.

    run: an id, or any beginning of one that fits a single run, else a single workflow run, or a
        match
    tool: only calls of this tool, by its name or kind
    errors: only what failed
    slower_than: only what took more than so many seconds
    search: only what has this text in its name, input, output or error
    """
    found = await anyio.to_thread.run_sync(trace_of, _traced(run))
    return found.filter(tool, errors, slower_than, search)


def _book(host: LocalHost) -> Book:
    return Book(config.settings(preparing.project_of(host)).prices)


@verb
async def cost(run: str | None = None) -> pd.DataFrame:
    """What a run cost, by run, turn and model call: computed, beside what its agent reports; of a
    workflow run or a match, what its runs cost.

    Columns stand in docs/frames.md. Prices are those of the settings (`[prices]`), else of the
    bundled table, whose version is told; what has no price is empty, and `why` says why.

    run: an id, or any beginning of one that fits a single run, else a single workflow run, or a
        match (default: all runs of the project)
    """

    def work() -> pd.DataFrame:
        from .tracing.cost import costs
        from .tracing.rows import listed
        from .tracing.spans import run_span

        host = current_host()
        if run is None:
            found = [alone(one) for one in readable(host)]
        else:
            traced = _traced(run)
            host, found = traced.host, traced.seen()
        return listed("cost", [one.row() for one in costs(map(run_span, found), _book(host))])

    return await anyio.to_thread.run_sync(work)


@verb
async def cache_shape(run: str) -> CacheShape:
    """What a run's model requests shared, what the provider's cache gave, and why not more.

    To look at, and as DataFrames: `.frame`, `.misses`, `.turns()`. Exact where the agent tells what
    it sent (`api`), else an estimate from sizes and times, and labelled so.

    run: an id, or any beginning of one that fits a single run
    """
    view = run_of(run)

    def work() -> CacheShape:
        return CacheShape(view.spec, view.history(), _book(view.host))

    return await anyio.to_thread.run_sync(work)


@verb
async def cache_misses(run: str | None = None) -> pd.DataFrame:
    """The model requests that were billed again for what had been sent before, and why.

    Columns stand in docs/frames.md.

    run: an id, or any beginning of one that fits a single run (default: all runs of the project)
    """
    host = current_host() if run is None else run_of(run).host

    def work() -> pd.DataFrame:
        from .tracing.rows import listed

        views = readable(host) if run is None else [run_of(run)]
        book = _book(host)
        shapes = [CacheShape(one.spec, one.history(), book) for one in views]
        rows = [row for shape in shapes for row in shape.rows(misses=True)]
        return listed("cache_misses", rows)

    return await anyio.to_thread.run_sync(work)


def _file(path: str) -> Path:
    if not str(path).strip() or "\0" in str(path):
        raise UsageProblem(f"{str(path)!r} is no path of a file")
    return Path(path).expanduser().absolute()


@verb
async def bundle(path: str, runs: Any = None) -> str:
    """Write runs as one file: journals, attachments, patches, versions; where it lies. Workflow
    runs go along where all their runs do.

    `open_bundle` brings them over elsewhere: the same frames, and answers for PASEO_NB_REPLAY. The
    file holds what agents and users wrote (known secrets are masked, prompts are not).

    path: the file to write, as `session.paseo.zip`
    runs: ids, beginnings of them, or handles, of runs and workflow runs (default: all of the
        project); those that they started go along
    """
    target = _file(path)
    several = isinstance(runs, (list, tuple, set, frozenset))
    given: list[Any] | None = (
        None if runs is None else list(cast(list[Any], runs)) if several else [runs]
    )

    def work() -> str:
        from .engine.journal import folders

        host = current_host()
        if given is None:
            ids, flows = [one.id for one in readable(host)], folders(host.home)
            flows = [one for one in flows if not one.held]
        else:
            sources = [_traced(one) for one in given]
            ids = [one.spec.run_id for source in sources for one in source.seen()]
            flows = [one.folder for one in sources if isinstance(one, TracedWorkflow)]
        return str(bundling.write(host, target, ids, flows))

    return await anyio.to_thread.run_sync(work)


@verb
async def open_bundle(path: str) -> Bundle:
    """Bring the runs of a bundle over into this project: to look at, to query, to replay from.

    They keep their ids; those that are here already stay as they are. They can be looked at, and
    never be gone on with.

    path: the file that `bundle` wrote
    """
    given = _file(path)
    return await anyio.to_thread.run_sync(opening.open_file, current_host(), given)


@verb
async def export_traces(
    to: str,
    run: Any = None,
    *,
    content: bool = False,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Send traces to an OpenTelemetry receiver, or write them as Parquet; how many spans.

    What goes on, and tool calls without times, are not sent (Parquet has them).

    to: the receiver's address (OTLP over HTTP), as `http://localhost:4318`; or a file `….parquet`
    run: a run, a workflow run, or several (default: all of the project); runs that they started go
        along
    content: send prompts, answers, inputs and outputs, too (Parquet has them always)
    headers: what the receiver wants to be told, as its key
    """
    host = current_host()
    if run is not None:
        several = isinstance(run, (list, tuple))
        sources = [_traced(one) for one in (cast(list[Any], run) if several else [run])]
    else:
        sources = await anyio.to_thread.run_sync(all_of, host)

    def work() -> int:
        from . import __version__
        from .tracing import otel, parquet

        if not isinstance(cast(Any, headers), (Mapping, type(None))):
            raise UsageProblem(f"headers={headers!r}: give names and values, as {{'x-key': '…'}}")

        read = (one.read() for one in sources)
        if to.endswith(".parquet"):
            return parquet.write(Path(to).expanduser(), (root for root, _ in read))
        spans = (
            span
            for root, sessions in read
            for span in otel.spans_of(root, content=content, sessions=sessions)
        )
        return otel.send(spans, to, __version__, headers)

    return await anyio.to_thread.run_sync(work)
