"""Reading a journal: what each message of an agent becomes in the story of a run.

Invariants: (1) what comes after a turn's end changes no answer and no tool call of that turn; (2)
replayed history tells nothing twice; (3) what we do not know is kept and changes no story.
"""

from __future__ import annotations

from typing import Any

import pytest
from acp_samples import (
    ANSWERED,
    INITIALIZED,
    MESSAGES,
    MODEL_OPTION,
    OPENED,
    OPTIONS,
    Tape,
    call,
    more,
    request,
    result,
    said,
    snapshot,
    text,
    update,
)

from paseo_nb.drivers.acp_reading import AcpReading, problem_of

# ------------------------------------------------------------ each kind


def test_text_comes_together_and_the_answer_is_what_follows_the_last_tool_call() -> None:
    tape = Tape().begin()
    tape.take(said("I look. "), said("One moment."), said("hm", "agent_thought_chunk"))
    tape.take(call("c1", title="Look", kind="read", status="completed"))
    assert tape.history().text == "I look. One moment.", "until something follows"
    tape.take(said("The bug "), update("usage_update", used=5, size=10), said("is there."))
    tape.take(said("sure?", "agent_thought_chunk"), said("It is mended."))
    history = tape.end(answer=ANSWERED).history()
    assert history.text == "The bug is there.\n\nIt is mended."
    assert [(item.role, item.kind, item.text) for item in history.items] == [
        ("user", "message", "do it"),
        ("agent", "message", "I look. One moment."),
        ("agent", "thought", "hm"),
        ("agent", "tool_call", ""),
        ("agent", "message", "The bug is there."),
        ("agent", "thought", "sure?"),
        ("agent", "message", "It is mended."),
    ]


def test_what_an_agent_says_before_the_prompt_is_no_answer() -> None:
    """pi tells of a newer version when its session opens."""
    tape = Tape()
    tape.turn = 1
    tape.own("turn_start", origin="user", prompt=[text("hi")])
    tape.take(said("New version available: v9\n"))
    tape.put("out", "session/prompt", request(2, "session/prompt", prompt=[text("hi")]))
    tape.take(said("Hello."))
    history = tape.end().history()
    assert history.text == "Hello."
    assert any(item.text.startswith("New version") for item in history.items), "it is told, though"


def test_content_blocks_of_every_kind_read_as_text() -> None:
    tape = Tape().begin()
    for kind, message in MESSAGES:
        if kind == "agent_message_chunk":
            tape.take(message)
    assert tape.history().text == "DONE: tool result received[image][a]inner"


def test_a_tool_call_is_told_in_pieces() -> None:
    """Later pieces add to earlier ones; a list replaces the list before; null says nothing."""
    diff = {"type": "diff", "path": "/w/a.txt", "oldText": None, "newText": "x"}
    tape = Tape().begin()
    tape.take(
        call("c1", title="Preparing file…", kind="edit", rawInput={}, content=[], locations=[])
    )
    tape.take(
        more(
            "c1",
            title="Write a.txt",
            rawInput={"path": "/w/a.txt"},
            locations=[{"path": "/w/a.txt"}],
        )
    )
    tape.take(more("c1", content=[diff], title=None, kind=None, rawInput={}))
    told = tape.history().tool_calls["1/c1"]
    assert (told.title, told.kind, told.outcome) == ("Write a.txt", "edit", None)
    assert told.input == {"path": "/w/a.txt"}
    assert told.locations == ["/w/a.txt"]
    tape.take(more("c1", status="completed", rawOutput="File created"))
    history = tape.history()
    told = history.tool_calls["1/c1"]
    assert (told.outcome, told.output, told.content) == ("completed", "File created", [diff])
    assert told.finished_us is not None
    assert told.finished_us > told.started_us
    item = next(item for item in history.items if item.kind == "tool_call")
    assert (item.title, item.text, item.outcome) == ("Write a.txt", "[diff /w/a.txt]", "completed")
    assert history.turns[0].tool_calls == 1


def test_tool_calls_by_update_alone_failures_and_names() -> None:
    tape = Tape().begin()
    tape.take(more("g1", title="WriteFile", kind="edit", status="completed"))  # gemini, approved
    tape.take(call("c2", name="exec_command", title="run it", kind="execute"))
    tape.take(more("c2", status="failed", content=[{"type": "content", "content": text("exit 1")}]))
    tape.take(call("c3", title="left open", kind="execute", status="in_progress"))
    history = tape.end("cancelled").history()
    calls = {key: (c.outcome, c.error, c.tool_name) for key, c in history.tool_calls.items()}
    assert calls["1/g1"] == ("completed", None, "WriteFile")
    assert calls["1/c2"] == ("failed", "exit 1", "exec_command")
    assert calls["1/c3"][0] == "cancelled", "the turn ended before it did"


def test_plans_modes_models_options_commands_and_titles() -> None:
    entries = [
        {"content": "look", "priority": "high", "status": "completed"},
        {"content": "mend", "priority": "high", "status": "in_progress"},
        {"content": "check", "priority": "low", "status": "pending"},
    ]
    other = {**MODEL_OPTION, "currentValue": "haiku"}
    mode = {"id": "mode", "category": "mode", "type": "select", "currentValue": "build"}
    tape = (
        Tape().put("in", "initialize:result", INITIALIZED).put("in", "session/new:result", OPENED)
    )
    history = tape.history()
    assert (history.agent_name, history.agent_version) == ("Claude Agent", "0.100.0")
    assert (history.agent_mode, history.model_answered) == ("default", "opus")
    tape.begin()
    tape.take(update("plan", entries=entries[:1]), update("plan", entries=entries))
    tape.take(update("plan_update", plan={"type": "markdown", "planId": "p", "content": "# Do it"}))
    tape.take(update("current_mode_update", currentModeId="plan"))
    tape.take(update("config_option_update", configOptions=[other]))
    tape.take(update("available_commands_update", availableCommands=[{"name": "init"}]))
    tape.take(
        update("session_info_update", title="A title"), update("session_info_update", title=None)
    )
    history = tape.history()
    plans = [item.text for item in history.items if item.kind == "plan"]
    assert plans == ["- [x] look\n- [~] mend\n- [ ] check", "# Do it"]
    assert (history.agent_mode, history.model_answered) == ("plan", "haiku")
    assert (history.commands, history.title) == ([{"name": "init"}], "A title")
    tape.take(update("config_option_update", configOptions=[other, mode]))
    assert tape.history().agent_mode == "build", "opencode tells of its mode as an option"
    tape.put("in", "session/set_config_option:result", result(7, configOptions=[MODEL_OPTION]))
    assert tape.history().model_answered == "opus", "the answer to a choice tells what holds now"
    tape.own("option", what="agent_mode", value="ask")
    assert tape.history().agent_mode == "ask", "a choice whose answer tells nothing"


def test_permission_that_names_only_the_call() -> None:
    tape = Tape().begin()
    tape.take(call("c1", title="Run rm", kind="execute", rawInput={"command": "rm -r build"}))
    ask = request("q", "session/request_permission", toolCall={"toolCallId": "c1"}, options=OPTIONS)
    tape.put("in", "session/request_permission", ask)
    history = tape.history()
    (asked,) = history.open_permissions()
    assert asked.id == f"p{len(tape.lines)}"
    assert (asked.title, asked.kind, asked.input) == (
        "Run rm",
        "execute",
        {"command": "rm -r build"},
    )
    assert [option["optionId"] for option in asked.options] == [
        "allow-once",
        "allow-with-updates",
        "reject",
    ]
    tape.own(
        "permission_answer",
        permission=asked.id,
        outcome="denied",
        option_id="reject",
        by="user",
        message="no",
    )
    history = tape.history()
    assert not history.open_permissions()
    told = history.permissions[asked.id]
    assert (told.outcome, told.by, told.option_id, told.message) == (
        "denied",
        "user",
        "reject",
        "no",
    )
    item = next(item for item in history.items if item.kind == "permission")
    assert (item.title, item.outcome) == ("Run rm", "denied")


def test_a_permission_open_at_the_turns_end_is_closed() -> None:
    ask = request(1, "session/request_permission", toolCall={"toolCallId": "c"}, options=OPTIONS)
    history = (
        Tape().begin().put("in", "session/request_permission", ask).end("interrupted").history()
    )
    (asked,) = history.permissions.values()
    assert (asked.outcome, asked.by) == ("cancelled", "turn end")
    assert history.state == "interrupted"


def test_unknown_kinds_are_kept_as_events_and_change_no_story() -> None:
    tape = Tape().begin().take(said("a"))
    before = snapshot(tape.history())
    for name in (
        "demo_unknown",
        "session",
        "permission_request",
        "prompt_result",
        "request",
        "agent_info",
        "prompt_error",
        "unknown",
    ):
        tape.take(
            update(name, session_id="stolen", title="no", tool_call={}, usage={"inputTokens": 1})
        )
    extension = {
        "jsonrpc": "2.0",
        "method": "_x/notice",
        "params": {"update": {"sessionUpdate": "plan", "entries": []}},
    }
    tape.put("in", "_x/notice", extension)
    assert snapshot(tape.history()) == before
    event = AcpReading().event(tape.lines[-1])
    assert (event.kind, event.data()) == ("_x/notice", extension)


# ------------------------------------------------------------ turns, late lines, replay


def test_what_comes_after_a_turns_result() -> None:
    tape = (
        Tape()
        .begin("one")
        .take(said("The answer."), call("c1", title="Slow", status="in_progress"))
    )
    tape.take(said("All of it."))
    tape.end(answer=ANSWERED)
    tape.take(
        said("This came late."),
        more("c1", status="completed", title="Other"),
        call("new", title="after"),
    )
    tape.take(update("usage_update", used=9, size=10, cost={"amount": 0.5, "currency": "USD"}))
    history = tape.history()
    assert history.text == "All of it.", "nobody's answer changes after it was given"
    assert any(item.text == "This came late." for item in history.items), "told all the same"
    assert (history.tool_calls["1/c1"].outcome, history.tool_calls["1/c1"].title) == (
        "cancelled",
        "Slow",
    )
    assert history.turns[0].usage.cost_usd == 0.5
    tape.begin("two").take(more("c1", status="completed", title="Other"))
    history = tape.history()
    assert "2/c1" not in history.tool_calls, "an update of a call of the turn before begins none"
    tape.take(call("c1", title="Again", status="pending"), more("c1", status="completed"))
    history = tape.take(said("Two.")).end(answer=ANSWERED).history()
    assert (history.tool_calls["2/c1"].title, history.tool_calls["2/c1"].outcome) == (
        "Again",
        "completed",
    )
    assert [turn.text for turn in history.turns] == ["All of it.", "Two."]
    assert [turn.tool_calls for turn in history.turns] == [2, 1]


def test_replayed_history_is_told_once() -> None:
    tape = (
        Tape().begin("one").take(said("First answer."), call("c1", title="T", status="completed"))
    )
    tape.end(answer=ANSWERED)
    before = snapshot(tape.history())
    tape.own("agent_started", argv=[], pid=1)
    tape.take(
        said("one", "user_message_chunk"), said("First answer."), call("c1", title="T", status="completed"),
        update("plan", entries=[]), update("usage_update", used=1, size=2, cost={"amount": 9, "currency": "USD"}),
        prefix="replay/",
    )  # fmt: skip
    assert snapshot(tape.history()) == before
    tape.take(update("current_mode_update", currentModeId="plan"))
    assert tape.history().agent_mode == "plan", "what is so now counts"
    events = [AcpReading().event(line).kind for line in tape.lines]
    assert "replay/agent_message_chunk" in events, "and the lines are there for who asks"


def test_outcomes_and_errors() -> None:
    problem = {"code": "timeout", "message": "the turn took longer than 5 s"}
    tape = Tape().begin().end("limit", error=problem)
    history = tape.history()
    assert (history.turns[0].outcome, history.state) == ("limit", "idle")
    assert history.error is not None
    assert history.error.message == problem["message"]
    assert history.items[-1].text == problem["message"]
    history = tape.begin().end("error", error=problem).history()
    assert history.state == "error"
    assert tape.begin().history().error is None, "a new turn begins without it"


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        ({"code": -32603, "message": "Internal error", "data": {"details": "no such model"}}, "Internal error: no such model", "model_not_found"),
        ({"code": -32603, "message": "Internal error"}, "Internal error", "-32603"),
        ({"code": 401, "message": '{"error":{"code":401,"message":"bad key"}}'}, "HTTP 401: bad key", "auth"),
        ({"code": -32000, "message": "Authentication required"}, "Authentication required", "auth"),
        ({"code": 1, "message": "Rate limited", "data": "Rate limited"}, "Rate limited", "1"),
        ("boom", "boom", "error"),
        (None, "the agent reported an error without a message", "error"),
        ({"message": 5, "data": [1]}, "the agent reported an error without a message", "error"),
    ],
)  # fmt: skip
def test_errors_in_words(error: Any, message: str, code: str) -> None:
    problem = problem_of(error)
    assert (problem.message, problem.code) == (message, code)
