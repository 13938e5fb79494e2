"""CPU per event from a journal to rows in DuckDB, beside what it could cost at least and what
OpenTelemetry's export to a JSON file costs, which leaves a file and no table yet.

The same 200,000 updates as in `ingest.py` (80 % message chunks, 10 % tool calls, 10 % updates of
them), and a journal of message chunks alone, as turns of 2,000 events. Each way in a process of its
own, in turn; CPU is user + system time of that process, imports left out.

- `floor`: event rows that are Arrow tables already, put into the same table in one transaction.
- `paseo_nb`: `store.advance` on the journal: events, turns, tool calls, offset, committed.
- `otel simple`, `otel batch`: one span per event with kind, text and raw message as attributes,
  through the SDK's console exporter into a file as one line of JSON (`pip install -r
  benchmarks/requirements.txt`). No fsync.

`python benchmarks/index_rows.py [--runs 3]` writes results/index_rows.json. Trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, median, write_results
from ingest import make_data

COUNT = 200_000
OTEL_COUNT = 20_000
TURN = 2_000
WAYS = ("floor", "paseo_nb", "otel simple", "otel batch")
GOAL_US = 8.5


# ---------------------------------------------------------------- the data


def make_project(home: Path, updates: Path) -> None:
    """A project with one ended run whose journal holds the updates."""
    from paseo_nb.journal import Journal, RunFolder, encode, private_dir, write_file_once
    from paseo_nb.model import RunSpec, new_run_id

    folder = RunFolder(home / "runs" / new_run_id())
    private_dir(folder.path)
    spec = RunSpec(folder.run_id, 1, provider="demo", command=["agent"], cwd="/")
    write_file_once(folder.spec, encode(spec))
    journal = Journal(folder)
    journal.own("run_started", host="bench")
    lines = updates.read_bytes().splitlines()
    for start in range(0, len(lines), TURN):
        journal.turn += 1
        journal.own("turn_start", origin="user", prompt=[{"type": "text", "text": "go on"}])
        part = lines[start : start + TURN]
        kinds = [json.loads(line)["params"]["update"]["sessionUpdate"] for line in part]
        journal.append(("in", kind, line) for kind, line in zip(kinds, part, strict=True))
        journal.own("turn_end", outcome="end_turn", stop_reason="end_turn")
    journal.own("run_ended", reason="stopped", state="stopped")
    journal.close()


def only_chunks(updates: Path, path: Path) -> None:
    """The message chunks of the updates, as many as there were updates."""
    chunks = [line for line in updates.read_bytes().splitlines(True) if b'"agent_message' in line]
    path.write_bytes(b"".join((chunks * 2)[:COUNT]))


# ---------------------------------------------------------------- one way, in its own process


def cpu_s() -> float:
    """Processor seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def index(home: Path) -> int:
    """paseo_nb: journal to index."""
    from paseo_nb.store import index

    progress = index.advance(home)
    assert progress is not None
    return COUNT


def floor(home: Path, tables: list[Any]) -> int:
    """Rows that are ready, into the same table."""
    import pyarrow as pa

    from paseo_nb.store import attach, schema

    con = attach.connection(home)
    con.execute("SET threads = 1")
    with attach.attached(con, attach.database(home), write=True):
        con.execute(schema.table_ddl("events", schema.FRAMES["events"]))
        con.execute("BEGIN")
        for at in range(0, len(tables), 50):
            con.register("rows", pa.concat_tables(tables[at : at + 50]))
            con.execute(f"INSERT INTO {schema.INDEX}.events SELECT * FROM rows")
        con.execute("COMMIT")
    con.close()
    return sum(table.num_rows for table in tables)


def read_tables(home: Path) -> list[Any]:
    """The event rows of the only run, as Arrow tables."""
    from paseo_nb.journal import RunFolder, read_lines
    from paseo_nb.store.fold import Fold
    from paseo_nb.store.reader import RunReader, events_table

    folder = RunFolder(next((home / "runs").iterdir()))
    reader = RunReader(folder.run_id, Fold(folder.read_spec(), folder.blobs))
    tables: list[Any] = []
    offset = 0
    while True:
        data, after = read_lines(folder.journal, offset, 1 << 20)
        if after == offset:
            return tables
        tables.append(events_table([reader.feed(data)]))
        offset = after


def otel(out: Path, updates: list[tuple[str, str, str]], batch: bool) -> int:
    """OpenTelemetry: a span per event, as JSON lines into a file."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    with out.open("w") as file:
        exporter = ConsoleSpanExporter(
            out=file, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        size = 2 * len(updates)
        processor = (
            BatchSpanProcessor(exporter, max_queue_size=size)
            if batch
            else SimpleSpanProcessor(exporter)
        )
        provider = TracerProvider()
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("bench")
        for kind, text, raw in updates:
            with tracer.start_as_current_span(kind) as span:
                span.set_attribute("text", text)
                span.set_attribute("raw", raw)
        provider.shutdown()
    assert out.read_text().count("\n") == len(updates)
    return len(updates)


def one(way: str, home: Path, updates: Path) -> dict[str, float]:
    """Run one way and measure it."""
    import pandas  # noqa: F401  so that no import is measured

    from paseo_nb.store import index as _  # noqa: F401

    tables = read_tables(home) if way == "floor" else []
    told: list[tuple[str, str, str]] = []
    if way.startswith("otel"):
        import opentelemetry.sdk.trace.export  # noqa: F401

        for line in updates.read_text().splitlines()[:OTEL_COUNT]:
            update = json.loads(line)["params"]["update"]
            content = update.get("content")
            text = content["text"] if isinstance(content, dict) else update.get("title", "")
            told.append((update["sessionUpdate"], text, line))
    database = home / "paseo.duckdb"
    before, started = cpu_s(), time.perf_counter()
    if way == "paseo_nb":
        count = index(home)
    elif way == "floor":
        count = floor(home, tables)
    else:
        count = otel(home / "spans.jsonl", told, way == "otel batch")
    result = {
        "cpu_us": (cpu_s() - before) / count * 1e6,
        "wall_us": (time.perf_counter() - started) / count * 1e6,
        "bytes": database.stat().st_size if database.exists() else 0,
    }
    for path in (database, home / "spans.jsonl"):
        path.unlink(missing_ok=True)
    return result


def main() -> None:
    """Interleave the ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "HOME", "UPDATES"))
    options = parser.parse_args()
    if options.one:
        way, home, updates = options.one
        print(json.dumps(one(way, Path(home), Path(updates))))
        return
    folder = Path(tempfile.mkdtemp())
    try:
        results = measure(folder, options.runs)
    finally:
        shutil.rmtree(folder)
    print(f"{'':12} {'journal':8} {'CPU µs/event':>13} {'wall µs/event':>14}")
    for name, row in results.items():
        print(f"{row['way']:12} {row['journal']:8} {row['cpu_us']:13.2f} {row['wall_us']:14.2f}")
        results[name] = row
    goal = f"paseo_nb on message chunks <= {GOAL_US} CPU us/event"
    write_results(
        "index_rows",
        {
            "events": COUNT,
            "runs": options.runs,
            "rows": results,
            "goal": goal,
            "machine": machine(),
        },
    )


def measure(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """Medians per way and journal."""
    mixed, chunks = folder / "mixed.jsonl", folder / "chunks.jsonl"
    make_data(mixed, COUNT)
    only_chunks(mixed, chunks)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for name, updates in (("mixed", mixed), ("chunks", chunks)):
        make_project(folder / name, updates)
    for _ in range(runs):
        for name, updates in (("mixed", mixed), ("chunks", chunks)):
            for way in WAYS if name == "mixed" else WAYS[:2]:
                command = [sys.executable, __file__, "--one", way, str(folder / name), str(updates)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found.setdefault((way, name), []).append(json.loads(done.stdout))
    return {
        f"{way}, {name}": {
            "way": way,
            "journal": name,
            "cpu_us": round(median([run["cpu_us"] for run in told]), 2),
            "cpu_us_min_max": [
                round(min(run["cpu_us"] for run in told), 2),
                round(max(run["cpu_us"] for run in told), 2),
            ],
            "wall_us": round(median([run["wall_us"] for run in told]), 2),
            "database_mb": round(told[0]["bytes"] / 1e6, 1),
        }
        for (way, name), told in found.items()
    }


if __name__ == "__main__":
    main()
