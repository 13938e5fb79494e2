"""Claude Code's dialect against a program that keeps to no rule but the one under test."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kit import Project
from msgspec import structs

from paseo_nb.drivers import claude
from paseo_nb.drivers.claude_fitting import CUSTOM
from paseo_nb.history import History
from paseo_nb.model import Limits, Rule, Turn

FAKE = str(Path(__file__).with_name("fake_claude.py"))
SESSION = "11111111-2222-4333-8444-555555555555"


class Stage:
    """A project, and runs of the fake in it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.script = project.root / "script.json"

    def start(
        self,
        *turns: list[Any],
        start: Any = (),
        refuses: Any = None,
        answers: Any = None,
        **more: Any,
    ) -> str:
        """A run whose agent does that; its first prompt is sent."""
        plot = {
            "start": list(start),
            "turns": turns,
            "refuses": refuses or {},
            "answers": answers or {},
        }
        self.script.write_text(json.dumps(plot))
        arguments = [*claude.ARGS, f"--session-id={SESSION}"]
        command = [sys.executable, FAKE, str(self.script), *arguments]
        limits = more.pop("limits", None) or Limits(idle_s=30, permission_timeout_s=20)
        spec = self.project.spec(
            more.pop("model", "x"), "hello", command=command, limits=limits, **more
        )
        spec = structs.replace(spec, provider="claude", dialect="claude")
        self.project.runs.append(spec.run_id)
        asyncio.run(self.project.host.ensure(spec.run_id, spec, self.project.env))
        return spec.run_id

    def history(self, run_id: str) -> History:
        """The story so far."""
        blobs = self.project.host.home / "blobs"
        return History("claude", "claude", blobs).feed(self.project.lines(run_id))

    def ended(self, run_id: str, turns: int = 1) -> History:
        """The story once so many turns have ended."""

        def done() -> History | None:
            history = self.history(run_id)
            return history if sum(t.outcome is not None for t in history.turns) >= turns else None

        return self.project.until(done, 30, f"turn {turns} of {run_id}")

    def turn(self, *steps: Any, **more: Any) -> Turn:
        """One turn of a new run, ended."""
        return self.ended(self.start([BEGUN, *steps], **more)).turns[0]

    def got(self) -> list[dict[str, Any]]:
        """What the fake has got so far."""
        lines = Path(f"{self.script}.got").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def answers(self) -> list[dict[str, Any]]:
        """The answers to control requests that the fake has got."""
        return [m["response"] for m in self.got() if m["type"] == "control_response"]


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project)


def fate(state: str, ident: str = "$uuid") -> dict[str, Any]:
    return {"type": "command_lifecycle", "command_uuid": ident, "state": state}


def result(text: str = "fine", **more: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": text, **more}


def delta(kind: str, **given: str) -> dict[str, Any]:
    event = {"type": "content_block_delta", "delta": {"type": kind, **given}}
    return {"type": "stream_event", "event": event, "parent_tool_use_id": None}


def says(text: str) -> dict[str, Any]:
    return delta("text_delta", text=text)


def asks(ident: str, subtype: str = "can_use_tool", **more: Any) -> dict[str, Any]:
    given = {"tool_name": "Bash", "input": {"command": "rm x"}, "tool_use_id": "t1", **more}
    return {
        "type": "control_request",
        "request_id": ident,
        "request": {"subtype": subtype, **(given if subtype == "can_use_tool" else more)},
    }


def tool(ident: str, name: str, **given: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": ident, "name": name, "input": given}
    return {"type": "assistant", "message": {"id": "m1", "content": [block]}}


def gives(ident: str, content: Any, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": ident, "content": content}
    return {"type": "user", "message": {"role": "user", "content": [block | more]}}


BEGUN = fate("started")
CAN_STEER = {
    "type": "system",
    "subtype": "init",
    "session_id": "$session",
    "capabilities": ["msg_lifecycle_v1"],
}


def test_what_nobody_knows_is_kept_and_does_no_harm(stage: Stage) -> None:
    odd = [
        {"type": "news_of_tomorrow", "message": 5, "event": "x", "request": [1]},
        {"type": "system", "subtype": "unheard_of", "message": "text"},
        {"type": "stream_event", "event": "not an object"},
        {"type": "stream_event", "event": {"type": "content_block_delta", "delta": 7}},
        {"type": "assistant", "message": {"id": 5, "content": "plain"}},
        {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": 9}]}},
        {"type": "control_response", "response": {"subtype": "success", "request_id": "none"}},
        {"type": "control_cancel_request", "request_id": "none"},
        {"type": "result_of_another_kind"},
        {"raw": "Welcome to Claude!"},
        {"raw": "[1, 2]"},
        {"raw": '{"type": 5, "subtype": {}}'},
    ]
    run_id = stage.start([BEGUN, says("before, "), *odd, says("after"), result("x")])
    turn = stage.ended(run_id).turns[0]
    assert (turn.outcome, turn.text) == ("end_turn", "before, plainafter")
    kinds = [line.kind for line in stage.project.lines(run_id) if line.dir == "in"]
    assert {"news_of_tomorrow", "system/unheard_of", "garbage", "result_of_another_kind"} <= {
        *kinds
    }


def test_a_request_that_nobody_knows_is_answered_with_an_error(stage: Stage) -> None:
    turn = stage.turn(
        asks("q1", "paint_the_wall"),
        {"await": "control_response"},
        asks("q2", "hook_callback", callback_id="another's"),
        {"await": "control_response"},
        result(),
    )
    assert turn.outcome == "end_turn"
    refused = [a for a in stage.answers() if a["subtype"] == "error"]
    assert [a["request_id"] for a in refused] == ["q1", "q2"]
    assert "paint_the_wall" in refused[0]["error"]


@pytest.mark.parametrize(
    ("rules", "matcher", "name", "given", "denied"),
    [
        ([], "mcp__", "Bash", {"command": "ls"}, False),
        ([Rule("deny", "execute", "git push *")], "*", "Bash", {"command": "git push x"}, True),
        ([Rule("deny", "execute", "git push *")], "*", "Bash", {"command": "git pull"}, False),
        ([Rule("deny", "read", "keys/**")], "*", "Read", {"file_path": "keys/a"}, True),
        ([Rule("deny", "*")], "*", "StructuredOutput", {"word": "x"}, False),
    ],
)
def test_what_a_rule_denies_is_denied_before_its_own_rules_are_asked(
    stage: Stage, rules: list[Rule], matcher: str, name: str, given: Any, denied: bool
) -> None:
    told = {"hook_event_name": "PreToolUse", "tool_name": name, "tool_input": given}
    looks = asks("h1", "hook_callback", callback_id="$hook", tool_use_id="t1", input=told)
    run_id = stage.start(
        [BEGUN, tool("t1", name, **given), looks, {"await": "control_response"}, result()],
        mode="ask",
        rules=rules,
    )
    history = stage.ended(run_id)
    hooks = stage.got()[0]["request"]["hooks"]["PreToolUse"]
    assert matcher in hooks[0]["matcher"]
    said = stage.answers()[-1]["response"].get("hookSpecificOutput", {})
    assert said.get("permissionDecision") == ("deny" if denied else None)
    why = said.get("permissionDecisionReason")
    rows = [(row.outcome, row.by, row.input, row.message) for row in history.permissions.values()]
    assert rows == [("denied", "policy", given, why)] * denied
    assert not denied or f"rule {rules[0]}" in why


def test_a_question_that_is_withdrawn(stage: Stage) -> None:
    run_id = stage.start(
        [BEGUN, asks("q1"), {"sleep": 0.5}, {"type": "control_cancel_request", "request_id": "q1"},
         {"sleep": 0.3}, result()],
        mode="ask",
    )  # fmt: skip
    history = stage.ended(run_id)
    assert history.turns[0].outcome == "end_turn"
    assert not stage.answers()
    assert not history.open_permissions()


def test_what_comes_after_the_result_changes_no_story(stage: Stage) -> None:
    late = [says(" late"), {"type": "system", "subtype": "init", "session_id": "$session"}]
    run_id = stage.start(
        [BEGUN, says("said"), result("said"), {"sleep": 1.0}, *late, result("late", is_error=True)]
    )
    stage.ended(run_id)
    stage.project.until(lambda: any(x.kind == "result" for x in stage.project.lines(run_id)))
    history = stage.history(run_id)
    assert (history.turns[0].text, history.turns[0].outcome, history.state) == (
        "said", "end_turn", "idle",
    )  # fmt: skip


def test_a_result_of_a_turn_of_its_own_does_not_answer_our_prompt(stage: Stage) -> None:
    run_id = stage.start(
        [fate("queued"), says("a background task came back. "), result("not ours"),
         BEGUN, says("ours"), result("ours")],
    )  # fmt: skip
    turn = stage.ended(run_id).turns[0]
    assert turn.text.endswith("ours")
    kinds = [x.kind for x in stage.project.lines(run_id) if "result" in x.kind and x.dir == "in"]
    assert [k for k in kinds if k in ("result", "session/prompt:result")] == [
        "result", "session/prompt:result",
    ]  # fmt: skip


FAILURES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"is_error": True, "result": "API Error: 500", "api_error_status": 500}, "error", "server_error", "again"),
    ({"is_error": True, "result": "Not logged in · Please run /login"}, "error", "auth", "/login"),
    ({"is_error": True, "result": "slow down", "api_error_status": 429}, "error", "rate_limit", "Wait"),
    ({"is_error": True, "result": "API Error: Connection refused (ECONNREFUSED)"}, "error",
      "unreachable", "network"),
    ({"is_error": True, "subtype": "error_during_execution", "result": None,
      "terminal_reason": "aborted_streaming"}, "error", "agent_cancelled", "again"),
    ({"is_error": True, "subtype": "error_max_turns", "result": None}, "limit", "error_max_turns", ""),
    ({"is_error": True, "subtype": "error_max_structured_output_retries", "result": None,
      "errors": ["gave up"]}, "error", "schema", "simplify"),
]  # fmt: skip


@pytest.mark.parametrize(("told", "outcome", "code", "hint"), FAILURES)
def test_failures(stage: Stage, told: dict[str, Any], outcome: str, code: str, hint: str) -> None:
    turn = stage.turn(says("a little"), result(**{"text": told.pop("result"), **told}))
    assert turn.outcome == outcome
    assert turn.error is not None
    assert turn.error.code == code
    assert hint in (turn.error.hint or "")


LISTED = [
    {
        "value": "default",
        "displayName": "Default (recommended)",
        "resolvedModel": "claude-opus-5-5",
    },
    {"value": "opus", "displayName": "Opus", "resolvedModel": "claude-opus-5-5"},
    {"value": "sonnet", "displayName": "Sonnet", "resolvedModel": "claude-sonnet-5-5"},
]
NAMES = [
    ("sonnet", None, None),
    ("claude-sonnet-5-5", None, None),
    ("SONNET", "sonnet", None),
    ("sonnet[1m]", None, None),
    ("Sonnet 5.5", "claude-sonnet-5-5", None),
    ("opus 5.5[1m]", "claude-opus-5-5[1m]", None),
    ("opus 4.8", "claude-opus-4-8", "'claude-opus-4-8'"),
    ("gpt-4", "gpt-4", "lists no model 'gpt-4'"),
]


@pytest.mark.parametrize(("asked", "sent", "warned"), NAMES)
def test_a_models_name_is_looked_up(
    stage: Stage, asked: str, sent: str | None, warned: str | None
) -> None:
    own = {"value": asked, "displayName": asked, "resolvedModel": asked, "description": CUSTOM}
    told = {"initialize": {"models": [*LISTED, own]}}
    run_id = stage.start([BEGUN, result()], answers=told, model=asked, model_by="argv")
    history = stage.ended(run_id)
    names = [m["request"]["model"] for m in stage.got()
             if m.get("request", {}).get("subtype") == "set_model"]  # fmt: skip
    assert names == ([sent] if sent else [])
    assert [w for w in history.warnings if warned and warned in w] == history.warnings
    assert len(history.warnings) == (warned is not None)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("end_turn", "end_turn"), ("refusal", "refused"), ("max_tokens", "limit"), (None, "end_turn")],
)
def test_stop_reasons(stage: Stage, reason: str | None, outcome: str) -> None:
    assert stage.turn(says("x"), result(stop_reason=reason)).outcome == outcome


def test_a_prompt_that_is_dropped_is_an_error(stage: Stage) -> None:
    run_id = stage.start([fate("queued"), fate("discarded")])
    turn = stage.ended(run_id).turns[0]
    assert turn.error is not None
    assert turn.error.code == "dropped"


def test_it_dies_in_mid_turn(stage: Stage) -> None:
    turn = stage.turn(says("a"), {"stderr": "out of memory"}, {"exit": 3})
    assert turn.outcome == "error"
    assert turn.error is not None
    assert "out of memory" in turn.error.message


def test_a_session_that_is_not_there(stage: Stage) -> None:
    gone = "No conversation found with session ID: x"
    failed = {"type": "result", "subtype": "error_during_execution", "is_error": True}
    run_id = stage.start(start=[{"mute": True}, {**failed, "errors": [gone]}, {"sleep": 5}])
    turn = stage.ended(run_id).turns[0]
    assert turn.error is not None
    assert (turn.error.code, turn.error.message) == ("no_session", gone)


def test_it_never_gets_ready(stage: Stage) -> None:
    run_id = stage.start(start=[{"mute": True}], limits=Limits(start_s=1.0))
    turn = stage.ended(run_id).turns[0]
    assert turn.error is not None
    assert turn.error.code == "start_timeout"


def test_usage_of_an_older_version(stage: Stage) -> None:
    """Without `model_usage_since_last_result`: its usage, and what was added to the total."""
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 1000,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    first = result(usage=usage, total_cost_usd=0.5)
    second = result(usage=usage, total_cost_usd=0.75)
    run_id = stage.start([BEGUN, says("a"), first], [BEGUN, says("b"), second])
    stage.ended(run_id)
    stage.project.send(run_id, "more")
    one, two = stage.ended(run_id, 2).turns
    assert (one.usage.input_tokens, one.usage.output_tokens) == (1110, 5)
    assert (one.usage.cache_read_tokens, one.usage.cache_write_tokens) == (100, 1000)
    assert one.usage.reasoning_tokens == 2
    assert (one.usage.cost_usd, two.usage.cost_usd) == (0.5, 0.25)


def test_model_calls_are_counted_once(stage: Stage) -> None:
    start = {
        "type": "message_start",
        "message": {"id": "m1", "model": "opus", "usage": {"input_tokens": 7, "output_tokens": 1}},
    }
    ends = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 9},
    }
    whole = {
        "type": "assistant",
        "message": {
            "id": "m1",
            "model": "opus",
            "content": [{"type": "text", "text": "said"}],
            "usage": {"input_tokens": 7, "output_tokens": 1},
        },
    }
    sub = {
        "type": "assistant",
        "parent_tool_use_id": "t1",
        "message": {**whole["message"], "id": "m2", "content": [{"type": "text", "text": "sub"}]},
    }
    lines = [{"type": "stream_event", "event": event} for event in (start, ends)]
    cut = {**start, "message": {**start["message"], "id": "m3"}}  # its last figures never come
    lines.append({"type": "stream_event", "event": cut})
    run_id = stage.start([BEGUN, lines[0], says("said"), whole, sub, lines[1], lines[2], result()])
    history = stage.ended(run_id)
    assert history.turns[0].text == "said", "a sub-agent's words are no answer"
    calls = [(c.id, c.usage.input_tokens, c.usage.output_tokens, c.stop_reason)
             for c in history.model_calls.values()]  # fmt: skip
    assert calls == [("m1", 7, 9, "end_turn"), ("m2", 7, None, None), ("m3", 7, None, None)]


def test_tools_plans_and_results(stage: Stage) -> None:
    todos = [
        {"content": "first", "status": "completed"},
        {"content": "second", "status": "pending"},
    ]
    run_id = stage.start(
        [BEGUN,
         tool("t1", "TodoWrite", todos=todos), gives("t1", "ok"),
         tool("t2", "Edit", file_path="/a.py", old_string="x", new_string="y"),
         {**gives("t2", "done"), "tool_use_result": {"filePath": "/a.py", "oldString": "x"}},
         tool("t3", "Grep", pattern="needle"), gives("t3", [{"type": "text", "text": "found"}]),
         tool("t4", "mcp__db__query", sql="select 1"), gives("t4", "no such table", is_error=True),
         tool("t5", "Bash", command="sleep 9"),
         result()],
    )  # fmt: skip
    history = stage.ended(run_id)
    assert [e["content"] for e in history.plan] == ["first", "second"]
    calls = {c.tool_call_id: c for c in history.tool_calls.values()}
    told = {i: (c.kind, c.title, c.outcome) for i, c in calls.items()}
    assert told["t2"] == ("edit", "Edit /a.py", "completed")
    assert told["t3"] == ("search", "Grep needle", "completed")
    assert told["t4"] == ("other", "query (db)", "failed")
    assert told["t5"] == ("execute", "sleep 9", "cancelled")
    diff = calls["t2"].content[0]
    assert (diff["type"], diff["oldText"], diff["newText"]) == ("diff", "x", "y")
    assert calls["t4"].error == "no such table"
    assert "t1" not in calls, "the plan is told as a plan"


def test_a_result_of_two_megabytes(stage: Stage) -> None:
    run_id = stage.start([BEGUN, tool("t1", "Bash", command="cat"), gives("t1", "x" * (2 << 20)),
                          says("done"), result()])  # fmt: skip
    history = stage.ended(run_id)
    call = next(iter(history.tool_calls.values()))
    assert (call.outcome, len(call.output)) == ("completed", 2 << 20)


def test_a_secret_in_pieces_of_a_tools_input(stage: Stage) -> None:
    secret = "hunter2-and-some-more"
    stage.project.env["MY_PASSWORD"] = secret
    pieces = [
        delta("input_json_delta", partial_json=p) for p in (secret[:7], secret[7:13], secret[13:])
    ]
    run_id = stage.start([BEGUN, *pieces, result()])
    stage.ended(run_id)
    lines = [x for x in stage.project.lines(run_id) if x.kind == "tool_input_chunk"]
    joined = "".join(json.loads(bytes(x.raw))["event"]["delta"]["partial_json"] for x in lines)
    assert len(lines) == 3
    assert "some-more" not in joined
    assert "hunter2-and" not in joined


def test_secrets_are_not_in_its_arguments(stage: Stage) -> None:
    server = {
        "name": "s",
        "command": "x",
        "args": [],
        "env": [{"name": "T", "value": "tell-nobody"}],
    }
    answer = result(structured_output={})
    run_id = stage.start([BEGUN, answer], mcp=[server], schema={"type": "object"}, effort="low")
    stage.ended(run_id)
    assert "tell-nobody" not in Path(f"{stage.script}.argv").read_text()
    requests = {m["request"]["subtype"]: m["request"] for m in stage.got() if "request" in m}
    assert requests["mcp_set_servers"]["servers"]["s"]["env"] == {"T": "tell-nobody"}
    assert requests["initialize"]["jsonSchema"] == {"type": "object"}
    assert requests["apply_flag_settings"]["settings"] == {"effortLevel": "low"}
    assert len(stage.project.own(run_id, "agent_started")) == 1


def test_a_version_that_is_not_the_tested_one(stage: Stage) -> None:
    history = stage.ended(stage.start([BEGUN, result()], tested="2.1.329"))
    (warning,) = history.warnings
    assert warning.startswith("claude tells no version; 2.1.329 is the one that is tested")


def test_steering_where_it_cannot_be_taken_is_queued(stage: Stage) -> None:
    run_id = stage.start([BEGUN, says("working"), {"await": "control_request"}, result()],
                         [BEGUN, says("second"), result()])  # fmt: skip
    stage.project.until(lambda: stage.history(run_id).text == "working", 20)
    stage.project.send(run_id, "left", when="steer")
    stage.project.until(lambda: stage.project.own(run_id, "warning"), 10)
    stage.project.command(run_id, "set_agent_mode", value="plan")
    history = stage.ended(run_id, 2)
    assert [t.prompt for t in history.turns] == ["hello", "left"]


@pytest.mark.parametrize("state", ["started", "cancelled"])
def test_steering_is_acknowledged_only_where_it_was_taken(stage: Stage, state: str) -> None:
    run_id = stage.start(
        [CAN_STEER, BEGUN, says("working"), {"await": "user"}, fate("queued", "$steer"),
         {"sleep": 0.5}, fate(state, "$steer"), {"sleep": 0.5}, result()],
        [BEGUN, says("second"), result()],
    )  # fmt: skip
    stage.project.until(lambda: stage.history(run_id).text == "working", 20)
    stage.project.send(run_id, "left", when="steer")
    taken = state == "started"
    history = stage.ended(run_id, 1 if taken else 2)
    said = [m for m in stage.got() if m["type"] == "user"][1]
    assert said["message"]["content"] == [{"type": "text", "text": "left"}]
    assert len(stage.project.own(run_id, "steered")) == taken
    assert [t.prompt for t in history.turns] == (["hello"] if taken else ["hello", "left"])


def test_a_flood_is_read_to_its_end(stage: Stage) -> None:
    run_id = stage.start([BEGUN, {"flood": [20000, says("12345")]}, result()])
    assert len(stage.ended(run_id).turns[0].text) == 100_000


def test_what_it_costs_is_held_against_the_budget(stage: Stage) -> None:
    spent = {"m": {"inputTokens": 1, "outputTokens": 1, "costUSD": 0.75}}
    told = result(model_usage_since_last_result=spent, total_cost_usd=99.0)
    limits = Limits(idle_s=30, cost_usd=1.0)
    run_id = stage.start([BEGUN, says("a"), told], [BEGUN, says("b"), told], limits=limits)
    stage.ended(run_id, 1)
    stage.project.send(run_id, "more")
    stage.ended(run_id, 2)
    stage.project.send(run_id, "and more")
    turns = stage.ended(run_id, 3).turns
    assert [t.usage.cost_usd for t in turns[:2]] == [0.75, 0.75]
    assert turns[2].outcome == "limit"
    assert turns[2].error is not None
    assert turns[2].error.code == "cost"


def streamed(event: dict[str, Any], agent: str | None = None) -> dict[str, Any]:
    return {"type": "stream_event", "event": event, "parent_tool_use_id": agent}


def begins(ident: str, tokens: int) -> dict[str, Any]:
    usage = {"input_tokens": tokens, "output_tokens": 1}
    return streamed({"type": "message_start", "message": {"id": ident, "usage": usage}})


def whole(ident: str, tokens: int, agent: str | None = None) -> dict[str, Any]:
    usage = {"input_tokens": tokens, "cache_read_input_tokens": 10, "output_tokens": 1}
    said = {"id": ident, "content": [{"type": "text", "text": "a"}], "usage": usage}
    return {"type": "assistant", "message": said, "parent_tool_use_id": agent}


def test_tokens_are_held_against_their_limit_call_by_call(stage: Stage) -> None:
    """Each call once, whatever tells it again; a sub-agent's; and what only the result tells."""
    told = {"m": {"inputTokens": 500, "outputTokens": 50, "costUSD": 0.1}}
    first = [
        begins("m1", 100),
        streamed({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 20}}),
        whole("m1", 90),
        whole("m1", 90),
        whole("s1", 180, "t1"),
        result(model_usage_since_last_result=told),
        fate("completed"),
    ]
    second = [begins("m2", 600), {"await": "control_request"}]
    cut = result(subtype="error_during_execution", is_error=True)
    run_id = stage.start(
        [BEGUN, *first],
        [BEGUN, *second, cut, fate("completed")],
        limits=Limits(idle_s=30, tokens=1000),
    )
    stage.ended(run_id)
    counted = [facts["tokens"] for facts in stage.project.own(run_id, "metered")]
    assert counted == [101, 120, 311, 550]
    stage.project.send(run_id, "more")
    turn = stage.ended(run_id, 2).turns[1]
    assert (turn.outcome, turn.error and turn.error.code) == ("limit", "tokens")
    assert turn.error is not None
    assert "1,151 tokens, its limit is 1,000" in turn.error.message
    asked = [m["request"]["subtype"] for m in stage.got() if m["type"] == "control_request"]
    assert asked[-1] == "interrupt"


# ---------------------------------------------------------------- answers to its questions

RESPONSE = {"await": "control_response"}


def asked(stage: Stage, *steps: Any, **more: Any) -> tuple[str, str]:
    """A run whose agent asks for a command, and the question's id."""
    run_id = stage.start([BEGUN, asks("r1"), *steps], mode="ask", **more)
    return run_id, stage.project.until(lambda: stage.history(run_id).open_permissions(), 20)[0].id


def test_a_yes_with_another_input(stage: Stage) -> None:
    run_id, ident = asked(stage, RESPONSE, result(), fate("completed"))
    edited = {"command": "ls"}
    stage.project.command(run_id, "answer", permission=ident, allow=True, input=edited)
    permission = stage.ended(run_id).permissions[ident]
    assert stage.answers()[-1]["response"] == {"behavior": "allow", "updatedInput": edited}
    assert (permission.outcome, permission.edited) == ("allowed", edited)
    assert permission.input == {"command": "rm x"}, "what it asked for stays told"


def test_a_no_that_ends_the_turn(stage: Stage) -> None:
    ended = result(subtype="error_during_execution", is_error=True)
    run_id, ident = asked(stage, RESPONSE, ended, fate("completed"))
    stage.project.command(
        run_id, "answer", permission=ident, allow=False, cancel=True, message="stop that"
    )
    history = stage.ended(run_id)
    told = {"behavior": "deny", "message": "stop that", "interrupt": True}
    assert [a["response"] for a in stage.answers()] == [told]
    assert history.turns[0].outcome == "cancelled"
    permission = history.permissions[ident]
    assert (permission.outcome, permission.by) == ("denied", "user")


def test_a_question_that_it_takes_back(stage: Stage) -> None:
    back = {"type": "control_cancel_request", "request_id": "r1"}
    steps = [{"sleep": 0.5}, back, {"sleep": 0.5}, says("Well."), result(), fate("completed")]
    run_id, ident = asked(stage, *steps)
    history = stage.ended(run_id)
    permission = history.permissions[ident]
    assert (permission.outcome, permission.by) == ("cancelled", "agent")
    assert history.turns[0].outcome == "end_turn"
    assert not stage.answers()
