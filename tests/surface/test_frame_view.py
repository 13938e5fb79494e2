"""A frame in a notebook: what matters first, in people's units; pandas' own ways untouched."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from kernels import Kernel

from paseo_nb.store import frames
from paseo_nb.store.columns import RUNS, TURNS, names
from paseo_nb.widgets import frame_view


@pytest.fixture
def runs() -> pd.DataFrame:
    """Seventy runs as `paseo.runs()` gives them; none has a parent, all have a title."""
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    rows = [
        {
            "run_id": f"01m7ztf{at:019}", "state": "idle" if at else "waiting", "title": f"job {at}",
            "created_at": pd.Timestamp("2026-11-21 14:32:05", tz="UTC"), "cost_usd": at / 100,
            "total_tokens": 88_400 + at, "prompt": "p" * 500, "cwd": "/w",
        }
        for at in range(70)
    ]  # fmt: skip
    schema = pa.schema([(c.name, kinds.get(c.type, pa.string())) for c in RUNS])
    return frames.to_frame(pa.Table.from_pylist(rows, schema), "runs")


def header(frame: pd.DataFrame) -> list[str]:
    return re.findall(r"<th [^>]*>(?:<[^>]*>)*([\w ]+)", frame_view.as_html(frame))


def test_what_matters_comes_first_and_empty_columns_are_not_displayed(runs: pd.DataFrame) -> None:
    assert header(runs) == ["run_id", "state", "title", "created_at", "cost_usd", "total_tokens"]
    assert list(runs.columns) == names(RUNS), "the frame itself is as it was"
    html = frame_view.as_html(runs)
    assert "2 more have values: cwd, prompt" in html
    assert "70 rows, 46 columns" in html
    assert "times in UTC" in html
    runs["mine"] = 1.5
    assert header(runs)[-1] == "mine", "a column of the user's own is displayed"


def test_chosen_columns_are_displayed_as_chosen(runs: pd.DataFrame) -> None:
    chosen = runs[["label", "cost_usd", "run_id"]]
    assert header(chosen) == ["label", "cost_usd", "run_id"]


def test_values_are_read_by_people(runs: pd.DataFrame) -> None:
    row = frame_view.as_markdown(runs.tail(1)).splitlines()[2]
    assert "✓ Done" in row
    assert "| 88.5k |" in row
    assert "\\$0.69" in row
    assert "2026-11-21 14:32:05" in row
    first = frame_view.as_plain(runs[runs.state == "waiting"], 120).splitlines()[1]
    assert re.match(r"01m7ztf000\s+waiting\s+job 0\s+2026-11-21 14:32:05\s+\$0.00\s+88.4k", first)
    spent = pd.DataFrame({"duration_ms": [1234.0, None, -5.0], "note": [None, [1, 2], "x" * 999]})
    spent.attrs["paseo"] = "sql"
    assert [line.split("|")[1].strip() for line in frame_view.as_markdown(spent).splitlines()[2:5]] == [
        "1.2 s", "", "-5",
    ]  # fmt: skip
    assert len(frame_view.as_html(spent)) < 3000


def test_a_long_frame_shows_its_ends(runs: pd.DataFrame) -> None:
    html = frame_view.as_html(runs)
    assert "job 0" in html
    assert "job 69" in html
    assert "job 35" not in html
    with pd.option_context("display.max_rows", None):
        assert "job 35" in frame_view.as_html(runs)
    assert frame_view.as_html(runs.head(0)).count("<tr>") == 1


@pytest.mark.parametrize(
    "made",
    [
        lambda f: f[f.cost_usd > 0.3],
        lambda f: f.sort_values("cost_usd").head(3),
        lambda f: f.query("cost_usd < 0.2").assign(more=1)[["title", "more"]],
        lambda f: pd.concat([f.head(2), f.tail(2)]),
        lambda f: f.drop(columns="label").dropna(axis=1, how="all").reset_index(drop=True),
    ],
)
def test_it_stays_ours_through_filters(runs: pd.DataFrame, made: Any) -> None:
    found = made(runs)
    assert type(found) is pd.DataFrame
    assert frame_view.is_ours(found)
    assert "job " in frame_view.as_html(found)


@pytest.mark.parametrize(
    "made",
    [
        lambda f: f.describe(),
        lambda f: f.groupby("state")[["cost_usd"]].sum(),
        lambda f: f.set_index("run_id"),
        lambda f: f.T,
        lambda f: pd.DataFrame({"cost_usd": [1]}),
    ],
)
def test_what_pandas_makes_of_it_is_displayed_by_pandas(runs: pd.DataFrame, made: Any) -> None:
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    frame_view.register(shell)
    frame_view.register(shell)
    found = made(runs)
    bundle, _ = shell.display_formatter.format(found)
    assert bundle == {"text/html": found._repr_html_(), "text/plain": repr(found)}


def test_a_formatter_that_was_there_keeps_what_is_not_ours(runs: pd.DataFrame) -> None:
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, lambda _: "theirs")
    frame_view.register(shell)
    assert shell.display_formatter.format(pd.DataFrame({"a": [1]}))[0]["text/html"] == "theirs"
    assert "job 0" in shell.display_formatter.format(runs)[0]["text/html"]
    assert "job 0" in runs.style.to_html()


def test_in_a_kernel_without_load_ext_and_after_it(repo: Path) -> None:
    kernel = Kernel(repo)
    try:
        kernel.run("import pandas as pd; pd.DataFrame({'a': [1]})")
        shown = kernel.run(
            "import paseo_nb as paseo\nmade = paseo.run('demo/echo', 'hi <b>')\npaseo.runs()"
        )
        bundle = shown.displays[-1]
        assert "hi &lt;b&gt;" in bundle["text/html"]
        assert bundle["text/markdown"].startswith("| run\\_id | state |")
        assert bundle["text/plain"].startswith("run_id ")
        again = kernel.run("%load_ext paseo_nb\nx = paseo.turns()\nx[x.cost_usd > 0]").displays[-1]
        assert f"1 row, {len(TURNS)} columns" in again["text/plain"]
        listed = kernel.run("paseo.wait(made.id)").displays[-1]
        assert "<table" in listed["text/html"]
    finally:
        kernel.close()
