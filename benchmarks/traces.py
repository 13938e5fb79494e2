"""What a traced tool call costs, and how fast traces come back into pandas, beside MLflow, Inspect
AI and OpenTelemetry; and what our views add to SQL over 10,000,000 tool calls.

A tool call here has a path as its input and 2 kB of text as its output. Each way in a process of
its own, in turn; CPU is user + system time of that process, imports and set-up left out.

- `paseo_nb`: the agent's two messages from a pipe through `AgentLink`, as the supervisor runs it,
  into the journal (durable every 250 ms), then into the index. Back: `frames.tool_traces()`.
- `otel`: a span with input and output as attributes, through the SDK's console exporter into a file
  as one line of JSON, no fsync. Back: `json.loads` line by line, attributes as columns.
- `mlflow`: a span each, 100 in a trace, into SQLite, exported in the background, which is its faster
  way; flushed at the end. Back: `search_traces()` as a DataFrame, spans not even unpacked.
- `inspect`: an eval with a mock model that asks for 50 tool calls a sample, so this is its whole
  loop and not its log alone. Back: `events_df()`; per event (a tool call has about four).

The queries: an index of 10,000 runs, 50 turns each, 20 tool calls each. The same SQL once by
`paseo.sql`'s way (attach, views of index and live runs, let go), then by DuckDB alone: a connection
that opens the file and asks, and the same again, the file still open, which no other process could
write meanwhile. All into a DataFrame, taking turns.

`pip install -r benchmarks/requirements.txt`, then `python benchmarks/traces.py [--runs 3] [--only
spans queries]` writes results/traces.json. The goals: a tool call 100 times under MLflow's and
Inspect's, 10 times OpenTelemetry's rows per second back, queries 1.2 times raw SQL at most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, median, write_results

TURNS, CALLS = 100, 1_000  # of paseo_nb
SPANS = {"otel": 50_000, "mlflow": 2_000, "inspect": 500}
PER_TRACE, PER_SAMPLE = 100, 50
WAYS = ("paseo_nb", *SPANS)
RUNS, TURNS_EACH, CALLS_EACH = 10_000, 50, 20


def output(pick: random.Random) -> str:
    """2 kB that a tool might say."""
    from ingest import WORDS

    return " ".join(pick.choices(WORDS, k=400))[:2000]


def cpu_s() -> float:
    """Processor seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Watch:
    """CPU and wall seconds of the block."""

    def __enter__(self) -> Watch:
        self._cpu, self._wall = cpu_s(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = cpu_s() - self._cpu, time.perf_counter() - self._wall


# ---------------------------------------------------------------- paseo_nb


def with_paseo(home: Path) -> dict[str, float]:
    """From an agent's pipe to the index, and back."""
    from paseo_nb.store import frames, index

    feeds = [_messages(home / f"turn{number}.jsonl", number) for number in range(10)]
    with Watch() as kept:
        asyncio.run(_kept(home, feeds))
    with Watch() as indexed:
        index.advance(home)
    assert frames.tool_traces(home, limit=0).empty  # pandas and pyarrow import on their first use
    with Watch() as back:
        frame = frames.tool_traces(home)
    assert len(frame) == TURNS * CALLS
    assert (frame["outcome"] == "completed").all()
    assert (frame["output"].str.len() > 2000).all()
    small = [name for name in frame.columns if name not in ("input", "output")]
    with Watch() as without:
        frame = frames.tool_traces(home, columns=small)
    count = TURNS * CALLS
    parts = {
        "journal_us": kept.cpu / count * 1e6,
        "index_us": indexed.cpu / count * 1e6,
        "rows_per_s_without_texts": len(frame) / without.wall,
    }
    return _told(count, kept.cpu + indexed.cpu, kept.wall + indexed.wall, count, back) | parts


def _messages(path: Path, seed: int) -> Path:
    """What an agent sends for one turn's tool calls."""
    import msgspec

    pick = random.Random(seed)
    with path.open("wb") as out:
        for number in range(CALLS):
            begun = {
                "sessionUpdate": "tool_call",
                "toolCallId": f"toolu_{number:024d}",
                "title": f"Read src/module_{number % 97}.py",
                "kind": "read",
                "status": "pending",
                "rawInput": {"path": f"src/module_{number % 97}.py"},
            }
            done = {
                "sessionUpdate": "tool_call_update",
                "toolCallId": begun["toolCallId"],
                "status": "completed",
                "rawOutput": {"output": output(pick)},
            }
            for update in (begun, done):
                params = {"sessionId": "sess_0123456789abcdef", "update": update}
                message = {"jsonrpc": "2.0", "method": "session/update", "params": params}
                out.write(msgspec.json.encode(message) + b"\n")
    return path


async def _kept(home: Path, feeds: list[Path]) -> None:
    """The supervisor's byte path, a turn at a time."""
    from ingest import SECRETS, Seat

    from paseo_nb.journal import Journal, RunFolder, private_dir, write_file_once
    from paseo_nb.journal import encode as encoded
    from paseo_nb.model import RunSpec, new_run_id, now_us
    from paseo_nb.supervisor.children import Children
    from paseo_nb.supervisor.link import AgentLink
    from paseo_nb.supervisor.masking import Masker, secrets_in
    from paseo_nb.supervisor.recorder import Recorder

    folder = RunFolder(home / "runs" / new_run_id())
    private_dir(folder.path)
    environment = {**os.environ, **SECRETS}
    journal = Journal(folder)
    recorder = Recorder(journal, Masker(secrets_in(environment)))
    children = Children(asyncio.get_running_loop())
    prompt = [{"type": "text", "text": "go on"}]
    recorder.own("run_started", host="bench")
    for turn in range(TURNS):
        command = ["cat", str(feeds[turn % len(feeds)])]
        spec = RunSpec(folder.run_id, now_us(), provider="demo", command=command, cwd=str(home))
        if turn == 0:
            write_file_once(folder.spec, encoded(spec))
        journal.turn += 1
        recorder.own("turn_start", origin="user", prompt=prompt)
        link = AgentLink(Seat(spec, recorder), folder, recorder, children, environment, None)
        await link.exited.wait()
        recorder.own("turn_end", outcome="end_turn", stop_reason="end_turn")
        recorder.durable()
    recorder.own("run_ended", reason="stopped", state="stopped")
    recorder.durable()
    journal.close()


# ---------------------------------------------------------------- the others


def with_otel(home: Path) -> dict[str, float]:
    """OpenTelemetry: JSON lines in a file."""
    import pandas as pd
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    pick = random.Random(1)
    said = [output(pick) for _ in range(CALLS)]
    path = home / "spans.jsonl"
    count = SPANS["otel"]
    with path.open("w") as file:
        exporter = ConsoleSpanExporter(
            out=file, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("bench")
        with Watch() as written:
            for number in range(count):
                with tracer.start_as_current_span("execute_tool read") as span:
                    span.set_attribute("gen_ai.tool.name", "read")
                    span.set_attribute("gen_ai.tool.call.id", f"toolu_{number:024d}")
                    span.set_attribute("gen_ai.tool.call.arguments", f'{{"path":"m{number}.py"}}')
                    span.set_attribute("gen_ai.tool.call.result", said[number % CALLS])
            provider.shutdown()
    assert pd.DataFrame([{"warm": 1}]).size == 1
    with Watch() as back:
        spans = map(json.loads, path.open())
        frame = pd.DataFrame([{**span, **span.pop("attributes")} for span in spans])
    assert len(frame) == count
    return _told(count, written.cpu, written.wall, count, back)


def with_mlflow(home: Path) -> dict[str, float]:
    """MLflow: SQLite, exported in the background."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import logging

    import mlflow

    logging.disable(logging.INFO)
    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    mlflow.set_experiment("bench")
    pick = random.Random(1)
    said = [output(pick) for _ in range(CALLS)]
    count = SPANS["mlflow"]
    _mlflow_trace(mlflow, said)
    mlflow.flush_trace_async_logging()
    with Watch() as written:
        for _ in range(count // PER_TRACE):
            _mlflow_trace(mlflow, said)
        mlflow.flush_trace_async_logging()
    with Watch() as back:
        frame = mlflow.search_traces(max_results=10_000)
    spans = sum(map(len, frame["spans"]))
    assert spans >= count, spans
    return _told(count, written.cpu, written.wall, spans, back)


def _mlflow_trace(mlflow: Any, said: list[str]) -> None:
    with mlflow.start_span(name="turn", span_type="AGENT"):
        for number in range(PER_TRACE):
            with mlflow.start_span(name="read", span_type="TOOL") as span:
                span.set_inputs({"path": f"m{number}.py"})
                span.set_outputs({"output": said[number]})


def with_inspect(home: Path) -> dict[str, float]:
    """Inspect AI: a mock model that asks for a tool again and again."""
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.analysis import events_df
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.solver import generate, use_tools
    from inspect_ai.tool import tool

    text = output(random.Random(1))

    @tool
    def read() -> Any:
        async def execute(path: str) -> str:
            """Read a file.

            Args:
                path: Which one.
            """
            return text

        return execute

    def evaluated(samples: int, where: Path) -> None:
        name = "mockllm/model"
        call = ModelOutput.for_tool_call(name, "read", {"path": "m.py"})
        outputs = [*[call] * PER_SAMPLE, ModelOutput.from_content(name, "done")]
        for one in outputs:  # told, so that it counts no tokens
            one.usage = ModelUsage(input_tokens=1000, output_tokens=20, total_tokens=1020)
        task = Task(
            dataset=[Sample(input="go on") for _ in range(samples)],
            solver=[use_tools(read()), generate()],
        )
        model = get_model(name, custom_outputs=outputs * samples, memoize=False)
        (log,) = evaluate(task, model=model, log_dir=str(where), display="none", max_samples=1)
        assert log.status == "success", str(log.error)[:300]

    evaluated(1, home / "warm")
    count = SPANS["inspect"]
    with Watch() as written:
        evaluated(count // PER_SAMPLE, home / "logs")
    with Watch() as back:
        frame = events_df(str(home / "logs"), quiet=True)
    assert (frame["event"] == "tool").sum() == count
    return _told(count, written.cpu, written.wall, len(frame), back)


def _told(count: int, cpu: float, wall: float, rows: int, back: Watch) -> dict[str, float]:
    return {
        "calls": count,
        "cpu_us": cpu / count * 1e6,
        "wall_us": wall / count * 1e6,
        "rows": rows,
        "rows_per_s": rows / back.wall,
        "rows_per_cpu_s": rows / back.cpu,
    }


BY_NAME: dict[str, Callable[[Path], dict[str, float]]] = {
    "paseo_nb": with_paseo,
    "otel": with_otel,
    "mlflow": with_mlflow,
    "inspect": with_inspect,
}


def spans(runs: int) -> dict[str, dict[str, Any]]:
    """Every way in turn, medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(runs):
        for name in WAYS:
            with tempfile.TemporaryDirectory() as home:
                command = [sys.executable, __file__, "--one", name, home]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    table: dict[str, dict[str, Any]] = {}
    for name, told in found.items():
        row = {key: round(median([one[key] for one in told]), 1) for key in told[0]}
        for key in ("cpu_us", "rows_per_s"):
            row[f"{key}_min_max"] = [round(f(one[key] for one in told), 1) for f in (min, max)]
        table[name] = row
    ours = table["paseo_nb"]
    for row in table.values():
        row["times_our_cpu"] = round(row["cpu_us"] / ours["cpu_us"], 1)
        row["our_rows_times"] = round(ours["rows_per_s"] / row["rows_per_s"], 1)
    return table


# ---------------------------------------------------------------- queries


QUERIES = {
    "p50 and p95 latency by tool": "SELECT tool_name, count(*) AS calls,"
    " quantile_cont(latency_ms, 0.5) AS p50, quantile_cont(latency_ms, 0.95) AS p95"
    " FROM {tool_traces} GROUP BY 1 ORDER BY 1",
    "error rate by tool": "SELECT tool_name, count(*) AS calls,"
    " count(*) FILTER (WHERE outcome = 'failed') / count(*) AS rate"
    " FROM {tool_traces} GROUP BY 1 ORDER BY 1",
    "hit rate by turn, 500,000 groups, best 20": "SELECT run_id, turn,"
    " sum(input_tokens) / sum(output_tokens) AS ratio FROM {tool_traces}"
    " GROUP BY 1, 2 ORDER BY ratio DESC, run_id, turn LIMIT 20",
    "tokens and cost by run": "SELECT run_id, sum(input_tokens) AS tokens, sum(cost_usd) AS cost"
    " FROM {turns} GROUP BY 1 ORDER BY 1",
    "last 50 of a run": "SELECT * FROM {tool_traces} WHERE run_id = '{run}'"
    " ORDER BY seq DESC LIMIT 50",
}


def many(home: Path) -> str:
    """An index of ten million tool calls, made by SQL; one of its runs."""
    from paseo_nb.store import attach, index
    from paseo_nb.store.columns import FRAMES, names

    (home / "runs").mkdir(parents=True)
    (home / "live").mkdir()
    index.advance(home)
    con = attach.connection(home)
    con.execute("CREATE MACRO h(i, salt, most) AS (hash(i, salt) % most)::BIGINT")
    number = f"(i // {TURNS_EACH * CALLS_EACH})"
    made = {
        "run_id": f"'01K3VS41QX' || lpad({number}::VARCHAR, 16, '0')",
        "turn": f"(i // {CALLS_EACH}) % {TURNS_EACH} + 1",
        "tool_call_id": "'toolu_' || i",
        "seq": f"i % {TURNS_EACH * CALLS_EACH} * 4 + 3",
        "tool_name": "['Bash', 'Read', 'Edit', 'Grep', 'Write', 'Glob'][1 + h(i, 0, 6)]",
        "kind": "['execute', 'read', 'edit', 'search'][1 + h(i, 0, 4)]",
        "title": "'Read src/module_' || h(i, 0, 997) || '.py'",
        "input": "'{\"path\":\"src/module_' || h(i, 0, 997) || '.py\"}'",
        "output": "'{\"output\":\"' || i * 7919 || ' lines\"}'",
        "started_at": "TIMESTAMPTZ '2026-01-01' + to_seconds(i)",
        "finished_at": "TIMESTAMPTZ '2026-01-01' + to_seconds(i + 1)",
        "latency_ms": "exp((h(i, 0, 10000)) / 1000.0)",
        "input_tokens": "h(i, 1, 2000)",
        "output_tokens": "h(i, 2, 300) + 1",
        "outcome": "CASE WHEN h(i, 3, 25) = 0 THEN 'failed' ELSE 'completed' END",
        "cost_usd": "(h(i, 0, 1000)) / 10000.0",
        "cache_read_tokens": "h(i, 4, 1000)",
    }
    with attach.attached(con, attach.database(home), write=True):
        for name, rows, step in (
            ("tool_traces", RUNS * TURNS_EACH * CALLS_EACH, 1),
            ("turns", RUNS * TURNS_EACH, CALLS_EACH),
        ):
            known = [column for column in names(FRAMES[name]) if column in made]
            told = ", ".join(f"{made[column]} AS {column}" for column in known)
            con.execute(
                f"INSERT INTO {attach.INDEX}.{name} BY NAME SELECT {told}"
                f" FROM (SELECT range * {step} AS i FROM range({rows}))"
            )
    con.close()
    return "01K3VS41QX" + str(RUNS // 2).zfill(16)


def queries(runs: int) -> dict[str, Any]:
    """The same SQL through our views and by DuckDB alone."""
    import duckdb

    from paseo_nb.store import attach, frames

    home = Path(tempfile.mkdtemp())
    try:
        run = many(home)
        path = attach.database(home)
        table: dict[str, Any] = {"index_mb": round(path.stat().st_size / 1e6)}
        for name, query in QUERIES.items():
            ours, raw = (
                query.format(run=run, tool_traces=f"{at}tool_traces", turns=f"{at}turns")
                for at in ("", "idx.")
            )
            took: dict[str, list[float]] = {"paseo_nb": [], "raw": [], "raw_kept_open": []}
            for _ in range(2 * runs + 1):
                with Watch() as watch:
                    frame = frames.sql(home, ours)
                took["paseo_nb"].append(watch.wall * 1000)
                with Watch() as watch:
                    con = duckdb.connect()
                    con.execute("SET TimeZone = 'UTC'")
                    con.execute(f"ATTACH '{path}' AS idx (READ_ONLY)")
                    other = con.execute(raw).df()
                took["raw"].append(watch.wall * 1000)
                with Watch() as watch:
                    con.execute(raw).df()
                took["raw_kept_open"].append(watch.wall * 1000)
                con.close()
                assert len(frame) == len(other) > 0
            ms = {f"{key}_ms": round(median(values[1:]), 1) for key, values in took.items()}
            times = round(ms["paseo_nb_ms"] / ms["raw_ms"], 2)
            times_open = round(ms["paseo_nb_ms"] / ms["raw_kept_open_ms"], 2)
            table[name] = {**ms, "times_raw": times, "times_kept_open": times_open}
        return table
    finally:
        shutil.rmtree(home)


# ---------------------------------------------------------------- the table


def main() -> None:
    """Run it all and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["spans", "queries"], nargs="*")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "HOME"))
    options = parser.parse_args()
    if options.one:
        name, home = options.one
        print(json.dumps(BY_NAME[name](Path(home))))
        return
    only = options.only or ["spans", "queries"]
    table = {"spans": spans, "queries": queries}
    result = {name: table[name](options.runs) for name in only}
    print(json.dumps(result, indent=1))
    if len(only) == 2:
        goal = (
            "a tool call 100 times under MLflow and Inspect; rows back 10 times OpenTelemetry's;"
            " queries <= 1.2 times raw SQL"
        )
        told = machine()
        told["versions"] |= {name: _version(name) for name in PEERS}
        write_results("traces", {"runs": options.runs, **result, "goal": goal, "machine": told})


PEERS = ("pandas", "mlflow", "inspect-ai", "opentelemetry-sdk")


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


if __name__ == "__main__":
    main()
