"""`paseo.trace` of a real run of the demo agent: in a cell, as a frame, on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import paseo_nb as paseo


def test_a_run_is_drawn_and_is_a_table(repo: Path) -> None:
    run = paseo.run("demo/fixer", "fix the bug", mode="auto")
    trace = paseo.trace(run.id)
    frame = trace.frame
    tools = frame[frame["kind"] == "tool_call"]
    assert sorted(tools["tool_call_id"]) == sorted(run.tool_calls()["tool_call_id"])
    assert frame["kind"].iloc[0] == "run"
    assert tools["latency_ms"].notna().all()
    bundle = trace._repr_mimebundle_()
    assert "<details" in bundle["text/html"]
    assert "Turn 1" in bundle["text/plain"]
    edits = paseo.trace(run, tool="edit").frame
    assert set(edits["tool_kind"].dropna()) == {"edit"}
    assert {"run", "turn", "tool_call"} <= set(edits["kind"])
    told = subprocess.run(
        [sys.executable, "-m", "paseo_nb.cli", "trace", run.id, "--json"],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert {row["span_id"] for row in json.loads(told.stdout)} == set(frame["span_id"])


def test_a_cost_is_told_or_said_why_not(repo: Path) -> None:
    run = paseo.run("demo/fixer", "fix the bug", mode="auto")
    frame = paseo.cost(run)
    assert list(frame["level"][:2]) == ["run", "turn"]
    assert frame["computed_usd"].isna().all()  # the demo's models have no price
    assert frame["why"].notna().all()
    assert len(paseo.cost()) == len(frame)


def test_a_trace_is_written_as_parquet(repo: Path, tmp_path: Path) -> None:
    run = paseo.run("demo/fixer", "fix the bug", mode="auto")
    count = paseo.export_traces(str(tmp_path / "all.parquet"))
    assert count == len(paseo.trace(run).frame) == len(pd.read_parquet(tmp_path / "all.parquet"))
    assert paseo.export_traces(str(tmp_path / "one.parquet"), run) == count


@pytest.mark.parametrize("name", ["trace", "cost"])
def test_the_verb_is_everywhere(name: str) -> None:
    from paseo_nb import aio

    assert callable(getattr(paseo, name))
    assert callable(getattr(aio, name))
