"""The frames: typed always, filtered as asked, documented from the same list."""

from __future__ import annotations

import time
import warnings
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest

from paseo_nb.errors import UsageProblem
from paseo_nb.history import History
from paseo_nb.journal import read_journal
from paseo_nb.store import advance, columns, docs, frames
from paseo_nb.store.filters import moment

DTYPES = {
    "VARCHAR": "str",
    "JSON": "str",
    "BIGINT": "Int64",
    "DOUBLE": "float64",
    "TIMESTAMPTZ": "datetime64[us, UTC]",
}


def check_types(frame, listed):
    assert list(frame.columns) == columns.names(listed)
    for column in listed:
        assert str(frame[column.name].dtype) == DTYPES[column.type], column.name


@pytest.mark.parametrize("name", columns.FRAMES)
def test_a_frame_is_typed_empty_live_and_indexed(project, name):
    frame = getattr(frames, name)
    listed = columns.FRAMES[name]
    check_types(frame(project.home), listed)
    run = project.run().session().turn()
    run.begin().model_call().end()
    check_types(frame(project.home), listed)
    assert len(frame(project.home)) > 0
    advance(project.home)
    check_types(frame(project.home), listed)
    check_types(frame(project.home, run=run.id, limit=0), listed)


def test_columns_are_chosen_in_the_order_asked(project):
    project.run().turn()
    frame = frames.turns(project.home, columns=["text", "turn"])
    assert frame.to_dict("records") == [{"text": "all done", "turn": 1}]
    assert list(frames.runs(project.home, columns="state").columns) == ["state"]
    with pytest.raises(UsageProblem, match=r"no column 'input_token': did you mean input_tokens"):
        frames.turns(project.home, columns=["input_token"])
    with pytest.raises(UsageProblem, match=r"no column 'zzz'"):
        frames.events(project.home, columns=["zzz"])
    with pytest.raises(UsageProblem, match="nothing to show"):
        frames.events(project.home, columns=[])


def test_rows_come_run_by_run_however_they_came_into_the_index(project):
    one, two = project.run(), project.run()
    for run in (two, one, two, one):
        run.turn()
        advance(project.home)
    two.turn()  # of which the index knows nothing yet
    for name in ("turns", "events", "tool_traces", "permissions"):
        frame = getattr(frames, name)(project.home)
        keys = ["run_id", {"turns": "turn", "permissions": "asked_at"}.get(name, "seq")]
        assert frame.run_id.nunique() == 2
        assert frame[keys].equals(frame[keys].sort_values(keys, ignore_index=True)), name
        check_types(frame, columns.FRAMES[name])
    raw = frames.events(project.home, columns=["raw"]).raw
    both = [line for run in sorted((one, two), key=lambda run: run.id) for line in run.raw()]
    assert raw.tolist() == both


def test_model_calls_count_cached_tokens_and_make_up_a_turn_that_tells_none(project):
    run = project.run().session().begin().model_call("a").model_call("b").model_call("a")
    run.own("turn_end", outcome="cancelled", stop_reason=None)
    told = frames.model_calls(project.home)
    assert told[["message_id", "model", "input_tokens", "output_tokens"]].values.tolist() == [
        ["a", "opus-5", 38, 2], ["b", "opus-5", 38, 2],
    ]  # fmt: skip
    assert frames.turns(project.home).input_tokens.tolist() == [76]
    advance(project.home)
    assert frames.turns(project.home).input_tokens.tolist() == [76]
    assert len(frames.model_calls(project.home)) == 2


def test_run_takes_ids_prefixes_handles_and_lists(project):
    one, two = project.run().turn(), project.run().turn()
    assert frames.turns(project.home, run=one.id).run_id.tolist() == [one.id]
    assert frames.turns(project.home, run=one.id[:10].lower()).run_id.tolist() == [one.id]
    assert frames.turns(project.home, run=[one.id, two.id]).run_id.tolist() == [one.id, two.id]
    assert frames.turns(project.home, run=one).run_id.tolist() == [one.id]
    assert len(frames.turns(project.home, run=[])) == 0
    assert len(frames.turns(project.home, run="0" * 26)) == 0
    with pytest.raises(UsageProblem, match="fits 2 runs"):
        frames.turns(project.home, run="0")
    with pytest.raises(UsageProblem, match="no run begins"):
        frames.turns(project.home, run="ZZZ")


def test_since_until_and_limit(project):
    old = project.run().turn()
    time.sleep(0.02)
    middle = datetime.now(UTC)
    time.sleep(0.02)
    new = project.run().turn("b").turn("c")
    for _ in range(2):
        assert frames.runs(project.home, since=middle).run_id.tolist() == [new.id]
        assert frames.runs(project.home, until=middle).run_id.tolist() == [old.id]
        assert frames.turns(project.home, since=middle.isoformat()).prompt.tolist() == ["b", "c"]
        assert len(frames.turns(project.home, since="1h", until=timedelta(0))) == 3
        assert len(frames.turns(project.home, since=date.today() + timedelta(2))) == 0
        assert frames.turns(project.home, limit=2).prompt.tolist() == ["b", "c"]
        last = frames.events(project.home, run=new.id, limit=3)
        assert last.seq.tolist() == [new.lines() - 2, new.lines() - 1, new.lines()]
        advance(project.home)
    for wrong in (-1, True, "5"):
        with pytest.raises(UsageProblem, match="limit"):
            frames.turns(project.home, limit=wrong)
    with pytest.raises(UsageProblem, match=r'since=.soon.: write a time .*"2h"'):
        frames.turns(project.home, since="soon")


def test_moments():
    now = datetime.now(UTC)
    for text, ago in (("90s", 90), ("30 min", 1800), ("2h ago", 7200), ("1.5 days", 129600)):
        assert abs((now - moment(text, "since")).total_seconds() - ago) < 5
    assert moment("2026-11-21T10:00+02:00", "since") == datetime(2026, 11, 21, 8, tzinfo=UTC)
    local = datetime(2026, 11, 21).astimezone(UTC)
    assert moment("2026-11-21", "since") == moment(date(2026, 11, 21), "since") == local
    for wrong in ("soon", "9999999999w", True, 5, [], {}):
        with pytest.raises(UsageProblem, match="since=.*how long ago"):
            moment(wrong, "since")


def test_values_say_what_happened(project):
    run = project.run(model="opus", mode="edit", session_name="s", git_base="abc")
    run.session(model="opus-5").turn("first")
    run.begin("second").tool("t2", "failed").tool("t3", None)
    run.end("error", error={"code": "x", "message": "it broke", "hint": None}).stop()
    row = frames.runs(project.home).iloc[0]
    assert (row.provider, row.model_asked, row.model_answered) == ("claude", "opus", "opus-5")
    assert (row.agent_version, row.permission_mode, row.session_name) == ("1.2", "edit", "s")
    assert (row.prompt, row.error, row.state) == ("first", "it broke", "stopped")
    assert (row.turns, row.tool_calls) == (2, 3)
    assert (row.input_tokens, row.output_tokens, row.total_tokens) == (90, 8, 102)
    assert pd.isna(row.cost_usd)
    assert row.created_at <= row.started_at <= row.finished_at
    calls = frames.tool_traces(project.home)
    assert calls.outcome.tolist() == ["completed", "failed", "cancelled"]
    assert calls.tool_name.tolist() == ["Write"] * 3
    assert calls.input[0] == '{"path":"x"}'
    assert calls.error[1] == "done"
    assert (calls.latency_ms >= 0).all()
    asked = frames.permissions(project.home).iloc[0]
    assert (asked.outcome, asked.option_id, asked.answered_by) == ("selected", "yes", "user")
    assert asked.wait_ms >= 0


def test_cost_is_per_turn_and_summed(project):
    run = project.run()
    for total in (0.25, 0.75):
        run.begin().update(
            "usage_update", used=5, size=9, cost={"amount": total, "currency": "USD"}
        )
        run.end()
        advance(project.home)
    assert frames.turns(project.home).cost_usd.tolist() == [0.25, 0.5]
    assert frames.runs(project.home).cost_usd.tolist() == [0.75]


def test_sql_gives_counts_as_counts(project):
    project.run().turn()
    frame = frames.sql(
        project.home,
        "SELECT sum(input_tokens) s, count(*) c, avg(input_tokens) a, max(finished_at) t,"
        " 1.50 d, true b, NULL n FROM turns",
    )
    assert [str(dtype) for dtype in frame.dtypes][:6] == [
        "Int64", "Int64", "float64", "datetime64[us, UTC]", "float64", "boolean",
    ]  # fmt: skip
    assert (frame.s[0], frame.c[0], frame.d[0]) == (45, 1, 1.5)
    huge = frames.sql(project.home, "SELECT 170141183460469231731687303715884105727 AS big")
    assert huge.big[0] > 1e38


def test_many_rows_name_the_other_way(project, monkeypatch):
    project.run().turn()
    monkeypatch.setattr(frames, "MANY_ROWS", 10)
    with pytest.warns(UserWarning, match=r"paseo\.sql"):
        frames.events(project.home)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames.events(project.home, limit=10)


def test_one_runs_story(project):
    run = project.run().turn("please").begin("more").tool("t2", None)
    history = History("acp", "claude").feed(read_journal(run.folder.journal))
    story = frames.transcript(history)
    check_types(story, columns.TRANSCRIPT)
    assert story[["role", "kind", "turn"]].values.tolist() == [
        ["user", "message", 1],
        ["agent", "message", 1],
        ["agent", "tool_call", 1],
        ["agent", "permission", 1],
        ["agent", "message", 1],
        ["user", "message", 2],
        ["agent", "tool_call", 2],
    ]
    assert story.text[1] == "word 0 word 1 word 2 "
    calls = frames.tool_calls(history)
    check_types(calls, [c for c in columns.TOOL_TRACES if c.name != "run_id"])
    assert calls.tool_call_id.tolist() == ["t1", "t2"]
    check_types(frames.transcript(History()), columns.TRANSCRIPT)
    check_types(frames.tool_calls(History()), columns.TOOL_TRACES[1:])


def test_the_docs_page_is_up_to_date():
    path = docs.default_path()
    if not path.parent.is_dir():
        pytest.skip("an installed package has no docs folder")
    assert path.read_text() == docs.page(), "run: python -m paseo_nb.store.docs"


def test_every_column_has_one_line_of_meaning():
    for name, listed in {**columns.FRAMES, "transcript": columns.TRANSCRIPT}.items():
        assert len(set(columns.names(listed))) == len(listed), name
        for column in listed:
            assert column.meaning
            assert "|" not in column.meaning
            assert "\n" not in column.meaning
            if column.name.endswith(("_ms", "_usd", "_tokens")):
                assert column.unit
