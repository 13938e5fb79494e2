"""A trace is a tree with times, tokens and classes of errors, from the lines of journals alone."""

from __future__ import annotations

from typing import Any

import pytest

from paseo_nb.errors import UsageProblem
from paseo_nb.tracing import otel, questions
from paseo_nb.tracing.classes import error_class
from paseo_nb.tracing.spans import walk
from paseo_nb.tracing.trace import Trace
from paseo_nb.widgets.trace import rows


def whole(tale: Any) -> Any:
    """A turn with parallel reads, a question, a failed call, a retry; then a short turn."""
    one = tale(label="fix")
    one.begin("fix it", 0).model("m1", 0.5, 2, 1000, 50)
    one.tool("r1", 2, 3, "Read", kind="read", rawInput={"path": "a.py"}, output="x" * 300)
    one.tool("r2", 2.5, 4, "Read", kind="read", rawInput={"path": "b.py"}, output="y" * 100)
    one.model("m2", 4, 5, 1210, 30, read=1000)
    one.tool("b1", 5, None).ask("b1", 5.5, 8.5).done("b1", 10, "failed", "3 failed, 1 passed")
    one.extension("retry", 10.5, attempt=1, maxAttempts=2, error={"message": "429 busy"})
    one.model("m3", 11, 12, 1300, 20, read=1200).text("done", 12).end(at=12)
    one.begin("and?", 20).text("yes", 21.5).end(at=22)
    return one


def test_the_tree_has_its_kinds_in_order_of_time(tale: Any) -> None:
    spans = list(walk(whole(tale).tree()))
    told = [(one.depth, one.kind, one.name) for one in spans]
    assert told == [
        (0, "run", "fix"),
        (1, "turn", "Turn 1"),
        (2, "model_call", "Model call 1"),
        (2, "tool_call", "Read r1"),
        (2, "tool_call", "Read r2"),
        (2, "model_call", "Model call 2"),
        (2, "tool_call", "Bash b1"),
        (3, "permission", "Waiting for permission"),
        (2, "retry", "Retry"),
        (2, "model_call", "Model call 3"),
        (1, "turn", "Turn 2"),
    ]
    assert len({one.span_id for one in spans}) == len(spans)
    by_id = {one.span_id: one for one in spans}
    assert all(by_id[one.parent_id].depth == one.depth - 1 for one in spans if one.parent_id)


def test_times_outcomes_and_classes(tale: Any) -> None:
    spans = whole(tale).spans()
    assert spans["b1"].took_us == 5_000_000
    assert (spans["b1"].outcome, spans["b1"].error_class) == ("failed", "test_failure")
    assert spans["r1"].error_class is None
    assert spans["Turn 2"].first_token_us - spans["Turn 2"].started_us == 1_500_000
    assert spans["fix"].outcome == "end_turn"


def test_parallel_calls_are_told_apart_from_those_one_after_the_other(tale: Any) -> None:
    spans = whole(tale).spans()
    assert (spans["r1"].parallel, spans["r2"].parallel, spans["b1"].parallel) == (True, True, False)
    blind = tale().begin(at=0).tool("a", 1, 5).tool("b", 2, 3).tool("c", 4, 6).tool("d", 7, 8)
    found = blind.end(at=9).spans()
    assert [found[i].parallel for i in "abcd"] == [True, True, True, False]


def test_a_tool_calls_tokens_are_those_that_were_reported(tale: Any) -> None:
    spans = whole(tale).spans()
    assert [spans[i].call_output_tokens for i in ("r1", "r2", "b1")] == [25, 25, 30]
    assert [spans[i].result_tokens for i in ("r1", "r2", "b1")] == [120, 40, 60]  # 160 by bytes
    assert {spans[i].tokens_source for i in ("r1", "r2", "b1")} == {"reported"}
    assert spans["b1"].asked_by == spans["Model call 2"].span_id


def test_where_no_next_request_is_seen_the_result_is_estimated(tale: Any) -> None:
    one = tale().begin(at=0).model("m1", 0, 1, 1000, 40).tool("a", 1, 2, output="z" * 401)
    spans = one.end("cancelled", 3).spans()
    told = (spans["a"].call_output_tokens, spans["a"].result_tokens, spans["a"].tokens_source)
    assert told == (40, 101, "estimated")
    shrunk = tale().begin(at=0).model("m1", 0, 1, 9000, 40).tool("a", 1, 2, output="z" * 400)
    spans = shrunk.model("m2", 3, 4, 500, 10).end(at=5).spans()  # its context was cut between
    assert (spans["a"].result_tokens, spans["a"].tokens_source) == (100, "estimated")
    spans = tale().begin(at=0).tool("a", 1, 2, output="z" * 400).end(at=3).spans()
    assert (spans["a"].call_output_tokens, spans["a"].result_tokens) == (None, 100)


def test_calls_that_are_told_once_and_late_are_still_who_asked(tale: Any) -> None:
    """Codex tells a model call's count after the tool call that it asked for has begun."""
    one = tale(provider="codex").begin(at=0).tool("a", 1, 2)
    for ident, at, into in (("m1", 2.5, 900), ("m2", 4, 1000)):
        counts = {"inputTokens": into, "outputTokens": 20}
        one.extension("model_call", at, messageId=ident, usage=counts)
        if ident == "m1":
            one.tool("b", 3, 3.5)
    spans = one.end(at=5).spans()
    first, second = spans["Model call 1"], spans["Model call 2"]
    assert (spans["a"].asked_by, spans["b"].asked_by) == (first.span_id, second.span_id)
    assert (spans["a"].result_tokens, spans["a"].tokens_source) == (80, "reported")
    assert spans["b"].tokens_source == "estimated"


def test_sub_agents_and_started_runs_stand_below_what_started_them(tale: Any) -> None:
    one = tale().begin(at=0).tool("task", 1, name="Task").tool("inner", 2, 3, parent="task")
    one.done("task", 5).tool("spawn", 6, name="create_agent").done("spawn", 8).end(at=30)
    child = tale("01K3VS41QX0000000000000002", at=7, parent_run_id=one.spec.run_id, label="kid")
    child.begin(at=7.2).end(at=20)
    later = tale("01K3VS41QX0000000000000003", at=10, parent_run_id=one.spec.run_id, label="late")
    spans = one.spans(child, later)
    assert spans["inner"].parent_id == spans["task"].span_id
    assert spans["kid"].parent_id == spans["spawn"].span_id
    turn = next(x for x in walk(one.tree(child, later)) if x.kind == "turn")
    assert spans["late"].parent_id == turn.span_id


def test_what_is_told_when_it_is_over_has_no_times(tale: Any) -> None:
    one = tale().begin(at=0)
    one.update("tool_call", 2, toolCallId="a", status="completed", title="x", rawOutput="y")
    row = Trace(one.end(at=3).tree()).frame.set_index("tool_call_id").loc["a"]
    assert row.isna()[["started_at", "latency_ms"]].all()
    assert row["outcome"] == "completed"


def test_questions(tale: Any) -> None:
    tree = whole(tale).tree()
    trace = Trace(tree)
    slow = trace.slowest_tools()
    assert list(slow["tool_name"]) == ["Bash", "Read"]
    assert list(slow["total_ms"]) == [5000, 2500]
    rates = trace.error_rates().set_index("tool_name")
    assert tuple(rates.loc["Bash"]) == (1, 1, 1.0, "test_failure")
    assert rates.loc["Read", "rate"] == 0
    spent = {what: seconds for what, seconds, _ in questions.time_spent(tree)}
    assert spent == pytest.approx(
        {"waiting": 3, "sub-agents": 0, "tools": 4, "model": 7, "between turns": 8}
    )
    assert "429" in trace.retries()["text"][0]
    assert list(trace.files_read()["path"]) == ["a.py", "b.py"]
    assert list(trace.first_tokens()["first_token_ms"]) == [2000, 1500]


def test_the_same_call_again_is_a_repeated_step(tale: Any) -> None:
    one = tale().begin(at=0)
    for at, ident in enumerate(["a", "b", "c"]):
        one.tool(ident, at, at + 0.5, rawInput={"command": "ls"}, status="failed")
    frame = Trace(one.tool("d", 5, 6).end(at=9).tree()).repeated_steps()
    assert frame[["input", "times", "failed"]].values.tolist() == [['{"command":"ls"}', 3, 3]]


def test_a_turn_tells_its_hit_rate_and_that_of_all_up_to_it(tale: Any) -> None:
    one = tale().begin(at=0).model("a", 0, 1, 1000, 9).end(at=2)
    one.begin(at=3).model("b", 3, 4, 1000, 9, read=800).end(at=5)
    tree = one.tree()
    for turn in tree.children:
        turn.usage = turn.children[0].usage
    said = [dict(rows.detail_of(tree, turn.span_id)["facts"])["Hit rate"] for turn in tree.children]
    assert said == ["0%, 0% so far", "80%, 40% so far"]


def test_a_filter_keeps_what_fits_and_what_is_above_it(tale: Any) -> None:
    trace = Trace(whole(tale).tree())
    assert [s.kind for s in trace.filter(tool="bash").spans] == ["run", "turn", "tool_call"]
    assert [s.name for s in trace.filter(errors=True).spans][-1] == "Bash b1"
    found = trace.filter(slower_than=4.9, search="PASSED").spans
    assert [s.kind for s in found] == ["run", "turn", "tool_call"]
    assert [s.kind for s in trace.filter(search="nowhere").spans] == ["run"]
    assert trace.filter() is trace
    for wrong in ({"slower_than": "long"}, {"tool": 7}, {"search": b"x"}):
        with pytest.raises(UsageProblem, match=next(iter(wrong))):
            trace.filter(**wrong)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("denied: policy", "denied"),
        ("HTTP 429 Too Many Requests", "rate_limit"),
        ("cat: x: No such file or directory", "not_found"),
        ("Command timed out after 120s", "timeout"),
        ("exit code 1", "exit_code"),
        ("42 passed, 1 failed", "test_failure"),
        ("1 passed", "other"),
        (None, "other"),
    ],
)
def test_error_classes(text: str | None, named: str) -> None:
    assert error_class(text) == named


def test_hostile_texts_are_harmless_and_ten_thousand_spans_are_drawn(tale: Any) -> None:
    bad = "<script>alert(1)</script>"
    one = tale(label=bad).begin(bad, 0).tool("a", 1, 2, name=bad, output=bad, title=bad)
    html = Trace(one.end(at=3).tree())._repr_mimebundle_()["text/html"]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    many = tale().begin(at=0)
    for at in range(5000):
        many.tool(f"t{at}", at, at + 0.5)
    bundle = Trace(many.end(at=9999).tree())._repr_mimebundle_()
    assert "3,502 further spans" in bundle["text/html"]
    assert len(bundle["text/html"]) < 2_500_000


def test_a_run_that_goes_on_is_drawn_to_now(tale: Any) -> None:
    tree = tale().begin(at=0).tool("a", 1).tree()
    trace = Trace(tree, at_us=tree.started_us + 61_000_000)
    assert "1 min, goes on" in str(trace)
    spent = trace.time_spent().set_index("what")["seconds"]
    assert (spent["tools"], spent["model"]) == (60, 1)


def test_no_call_is_lost_whatever_an_agent_says_of_what_started_it(tale: Any) -> None:
    round_about = tale().begin(at=0).tool("a", 1, 2, parent="b").tool("b", 1, 2, parent="a")
    assert {"a", "b"} <= set(round_about.end(at=3).spans())
    deep = tale().begin(at=0)
    for number in range(1500):
        deep.tool(f"t{number}", 1, 9, parent=f"t{number - 1}")
    tree = deep.end(at=10).tree()
    assert sum(one.kind == "tool_call" for one in walk(tree)) == 1500
    early = tale().tool("before", 0, 1).begin(at=2).end(at=3)
    assert early.spans()["before"].depth == 1
    long_ago = tale().begin(at=-1.9e9).end(at=1).tree()
    assert otel.encoded(otel.payload(list(otel.spans_of(long_ago)), "1"))
