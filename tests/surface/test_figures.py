"""Figures: what they draw is what the frames say; nothing to draw is said; labels are harmless."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from kernels import Kernel

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem

T0 = pd.Timestamp("2026-11-21 10:00", tz="UTC")


def minutes(*after: float | None) -> list[Any]:
    return [None if at is None else T0 + pd.Timedelta(minutes=at) for at in after]


@pytest.fixture
def runs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_id": ["01aaaaaaaaaa1", "01bbbbbbbbbb2", "01cccccccccc3", "01dddddddddd4"],
            "provider": ["claude", "codex", "claude", "demo"],
            "model_asked": ["opus", None, "opus", "<b>$x$</b>"],
            "created_at": pd.to_datetime(minutes(0, 1, 2, 3)),
            "finished_at": pd.to_datetime(minutes(9, 4, 5, None)),
            "cost_usd": [0.5, 0.2, 0.25, None],
            "input_tokens": pd.array([1000, 400, None, None], dtype="Int64"),
            "cache_read_tokens": pd.array([900, None, None, None], dtype="Int64"),
            "output_tokens": pd.array([50, 20, 7, None], dtype="Int64"),
        }
    )


def test_cost_is_summed_over_time_by_agent(runs: pd.DataFrame) -> None:
    figure = paseo.plot_cost(runs)
    assert isinstance(figure, go.Figure)
    lines = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data}
    assert lines == {
        "claude/opus": list(zip(minutes(0, 5, 9), (0, 0.25, 0.75), strict=True)),
        "codex": list(zip(minutes(1, 4), (0, 0.2), strict=True)),
    }
    assert figure.layout.title.text == "&#36;0.95 in 3 of 4 runs, 1 told no cost"


def test_tokens_are_told_apart_by_where_they_came_from(runs: pd.DataFrame) -> None:
    figure = paseo.plot_tokens(runs)
    assert {bar.name: list(bar.x) for bar in figure.data} == {
        "In, from the cache": [900, 0, 0],
        "In": [100, 400, 0],
        "Out": [50, 20, 7],
    }
    assert figure.data[0].y[0] == "01aaaaaaaa  claude/opus"
    assert figure.layout.title.text == "1.5k tokens in 3 of 4 runs"


def test_time_has_a_lane_for_each_run_and_goes_on_up_to_now(runs: pd.DataFrame) -> None:
    now = pd.Timestamp.now("UTC")
    turns = pd.DataFrame(
        {
            "run_id": ["01aaaaaaaaaa1", "01aaaaaaaaaa1", "01bbbbbbbbbb2"],
            "turn": [1, 2, 1],
            "outcome": ["end_turn", "error", None],
            "started_at": pd.to_datetime([*minutes(0, 2), now - pd.Timedelta(seconds=30)]),
            "finished_at": pd.to_datetime(minutes(1, 3, None)),
        }
    )
    figure = paseo.plot_time(turns)
    drawn = {
        bar.name: [(y, round(x / 1000)) for y, x in zip(bar.y, bar.x, strict=True)]
        for bar in figure.data
    }
    assert drawn["Done"] == [("01aaaaaaaa", 60)]
    assert drawn["Failed"] == [("01aaaaaaaa", 60)]
    [(lane, seconds)] = drawn["Goes on"]
    assert lane == "01bbbbbbbb"
    assert 30 <= seconds < 60
    assert figure.layout.title.text == "3 turns of 2 runs"


@pytest.mark.parametrize("draw", [paseo.plot_cost, paseo.plot_tokens, paseo.plot_time])
def test_nothing_to_draw_is_said(runs: pd.DataFrame, draw: Any) -> None:
    if draw is paseo.plot_time:
        runs["turn"], runs["outcome"] = 1, None
        runs["started_at"] = pd.to_datetime([None] * 4, utc=True)
    runs[["cost_usd", "input_tokens", "output_tokens"]] = None
    unknown, empty = draw(runs), draw(runs.head(0))
    assert unknown.layout.annotations[0].text.startswith("No ")
    assert empty.layout.annotations[0].text == "The frame has no rows."
    assert len(unknown.data) == len(empty.data) == 0
    with pytest.raises(UsageProblem, match="no column"):
        draw(runs[["provider"]])
    with pytest.raises(UsageProblem, match="takes a DataFrame"):
        draw("01abc")


def test_labels_are_neither_html_nor_tex(runs: pd.DataFrame) -> None:
    runs["cost_usd"] = 1.0
    runs["output_tokens"] = 1
    for figure in (paseo.plot_cost(runs), paseo.plot_tokens(runs)):
        told = json.loads(figure.to_json())
        assert "<b>" not in str(told["data"])
        assert "$x$" not in str(told)
        assert "demo/&lt;b&gt;&#36;x&#36;&lt;/b&gt;" in str(told)


def test_many_agents_and_runs_stay_small(runs: pd.DataFrame) -> None:
    many = pd.concat([runs.head(1)] * 500, ignore_index=True)
    many["provider"] = [f"p{at % 40}" for at in range(500)]
    many["run_id"] = [f"01{at:020}" for at in range(500)]
    assert [trace.name for trace in paseo.plot_cost(many).data][-1] == "32 more"
    assert len(paseo.plot_tokens(many).data[0].y) == 30
    assert len(paseo.plot_cost(many).to_json()) < 60_000


def test_in_a_kernel_a_figure_is_small_and_has_its_numbers_beside_it(repo: Path) -> None:
    kernel = Kernel(repo)
    try:
        code = "import paseo_nb as paseo\npaseo.run('demo/echo', 'hi')\npaseo.plot_cost()"
        bundle = kernel.run(code).displays[-1]
        assert set(bundle) == {
            "application/vnd.plotly.v1+json", "text/html", "text/markdown", "text/plain",
        }  # fmt: skip
        assert bundle["application/vnd.plotly.v1+json"]["data"][0]["name"] == "demo/echo"
        assert "demo/echo" in bundle["text/html"]
        assert "<script" not in bundle["text/html"]
        assert len(json.dumps(bundle)) < 8000
        assert kernel.run("paseo.plot_time().show()").displays, "plotly's own ways go on"
    finally:
        kernel.close()
