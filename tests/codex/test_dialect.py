"""The codex dialect against a scripted app-server: what it sends, and what it makes of odd turns.

Invariants: (1) a request of the server gets exactly one answer; (2) a turn that failed is never a
success; (3) only our own thread's words are the answer; (4) every model call is counted once.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from codex_kit import DONE, THREAD, Codex, approval, command, message, note, said, used
from kit import SLACK, Project, check_invariants

from paseo_nb.model import Limits

HIGH_DEMAND = {"message": "high demand", "codexErrorInfo": "internalServerError"}


def error(will_retry: bool, **fields: Any) -> Any:
    return note("error", error=fields, willRetry=will_retry)


# ---------------------------------------------------------------- how a turn ends


def test_an_error_that_is_final_is_no_success_whatever_the_turn_says(project: Project) -> None:
    codex = Codex(project, [said("Sorry."), error(False, **HIGH_DEMAND), DONE])
    turn = codex.ended().turns[0]
    assert turn.outcome == "error"
    assert turn.error is not None
    assert "high demand" in turn.error.message


def test_a_retry_is_told_and_the_turn_goes_on(project: Project) -> None:
    info = {"responseStreamDisconnected": {"httpStatusCode": 429}}
    again = error(
        True, message="Reconnecting... 1/5", codexErrorInfo=info, additionalDetails="429 Too Many"
    )
    history = Codex(project, [again, said("Here."), DONE]).ended()
    assert history.turns[0].outcome == "end_turn"
    assert [i.text for i in history.items if i.title == "retry"] == ["retry 1 of 5: 429 Too Many"]


def test_retries_without_end_are_no_sign_of_life(project: Project) -> None:
    """As where the connection is refused: Codex says so every 30 s, and never gives up."""
    again = error(True, message="Reconnecting... waiting for network", codexErrorInfo=None)
    tries = [step for _ in range(40) for step in (again, {"$sleep": 0.2})]
    words = [step for n in range(12) for step in (said(f"{n} "), {"$sleep": 0.2})]
    limits = Limits(silence_s=1.5, idle_s=60)
    stuck = Codex(project, [*tries, DONE], limits=limits)
    talks = Codex(project, [*words, again, DONE], limits=limits)
    turn = stuck.ended().turns[0]
    assert (turn.outcome, turn.error and turn.error.code) == ("limit", "silence")
    assert talks.ended().turns[0].outcome == "end_turn"


@pytest.mark.parametrize(
    ("info", "outcome", "code"),
    [
        ("unauthorized", "error", "auth"),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, "error", "auth"),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "error", "rate_limit"),
        ("usageLimitExceeded", "error", "quota"),
        ("contextWindowExceeded", "limit", "context_overflow"),
        ("cyberPolicy", "refused", "model_error"),
        ({"newKindOfFailure": {"x": 1}}, "error", "model_error"),
        (None, "error", "model_error"),
    ],
)
def test_a_failed_turn_says_why(project: Project, info: Any, outcome: str, code: str) -> None:
    failed = {"$end": "failed", "error": {"message": "it broke", "codexErrorInfo": info}}
    turn = Codex(project, [failed]).ended().turns[0]
    assert turn.error is not None
    assert (turn.outcome, turn.error.code, turn.error.message) == (outcome, code, "it broke")
    if code in ("auth", "rate_limit", "quota"):
        assert turn.error.hint


def test_a_refused_turn_start(project: Project) -> None:
    refused = {"$refuse": {"code": -32600, "message": "thread is busy"}}
    turn = Codex(project, [refused]).ended().turns[0]
    assert turn.outcome == "error"
    assert turn.error is not None
    assert turn.error.message == "thread is busy"


def test_interrupted_though_nobody_cancelled(project: Project) -> None:
    turn = Codex(project, [said("Well"), {"$end": "interrupted"}]).ended().turns[0]
    assert turn.outcome == "error"
    assert turn.error is not None
    assert turn.error.code == "agent_cancelled"


def test_a_cancel_before_the_turn_has_an_id(project: Project) -> None:
    late = {"$answer": {"turn": {"id": "$turn", "status": "inProgress"}}}
    steps = [{"$sleep": 1.0}, late, {"$wait": "turn/interrupt"}, {"$end": "interrupted"}]
    codex = Codex(project, steps)
    project.until(lambda: codex.file.with_name(codex.file.name + ".got").exists(), 20)
    project.until(lambda: codex.got("turn/start"), 20)
    project.command(codex.run_id, "cancel")
    assert codex.ended().turns[0].outcome == "cancelled"
    params = codex.got("turn/interrupt")[0]["params"]
    assert params == {"threadId": THREAD, "turnId": "turn-1"}


def test_it_dies_in_mid_turn(project: Project) -> None:
    codex = Codex(project, [said("So far"), {"$sleep": 0.2}, {"$exit": 3}])
    turn = codex.ended().turns[0]
    assert turn.outcome == "error"
    assert turn.text == "So far"
    assert turn.error is not None
    assert "exit code 3" in turn.error.message


def test_not_logged_in(project: Project) -> None:
    needs = {"account/read": {"account": None, "requiresOpenaiAuth": True}}
    codex = Codex(project, [DONE], answers=needs)
    turn = codex.ended().turns[0]
    assert turn.outcome == "error"
    assert turn.error is not None
    assert turn.error.code == "auth"
    assert "codex login" in (turn.error.hint or "")
    assert not codex.got("turn/start")


# ---------------------------------------------------------------- what it asks


def test_what_is_said_with_a_denial_goes_before_it(project: Project) -> None:
    steps = [command("inProgress", "make all"), approval("make all"), said("Fine."), DONE]
    codex = Codex(project, steps, mode="ask")
    waiting = project.until(lambda: codex.history().open_permissions(), 20)[0]
    project.command(
        codex.run_id, "answer", permission=waiting.id, allow=False, message="use make test"
    )
    assert codex.ended().turns[0].outcome == "end_turn"
    order = [m.get("method", "answer") for m in codex.got()]
    assert order.index("turn/steer") < order.index("answer")
    steered = codex.got("turn/steer")[0]["params"]
    assert steered["input"][0]["text"] == "use make test"
    assert codex.answers()[0]["result"] == {"decision": "decline"}


def test_another_input_is_said_into_the_turn_before_the_no(project: Project) -> None:
    steps = [command("inProgress", "make all"), approval("make all"), said("Fine."), DONE]
    codex = Codex(project, steps, mode="ask")
    waiting = project.until(lambda: codex.history().open_permissions(), 20)[0]
    edited = {"command": "make test"}
    project.command(codex.run_id, "answer", permission=waiting.id, allow=True, input=edited)
    history = codex.ended()
    order = [m.get("method", "answer") for m in codex.got()]
    assert order.index("turn/steer") < order.index("answer")
    assert json.dumps(edited) in codex.got("turn/steer")[0]["params"]["input"][0]["text"]
    assert codex.answers()[0]["result"] == {"decision": "decline"}
    told = history.permissions[waiting.id]
    assert (told.outcome, told.by, told.edited) == ("denied", "user", edited)
    assert len(history.turns) == 1


def test_a_no_that_ends_the_turn(project: Project) -> None:
    asked = approval("make all")
    steps = [command("inProgress", "make all"), asked, {"$end": "interrupted"}]
    codex = Codex(project, steps, mode="ask")
    waiting = project.until(lambda: codex.history().open_permissions(), 20)[0]
    project.command(
        codex.run_id, "answer", permission=waiting.id, allow=False, cancel=True, message="stop"
    )
    history = codex.ended()
    assert history.turns[0].outcome == "cancelled"
    assert codex.answers()[0]["result"] == {"decision": "cancel"}
    told = history.permissions[waiting.id]
    assert (told.outcome, told.by, told.message) == ("denied", "user", "stop")
    assert not codex.got("turn/steer")


@pytest.mark.parametrize(
    ("option", "decision", "outcome"),
    [
        ("acceptForSession", "accept", "end_turn"),
        ("cancel", "cancel", "cancelled"),
    ],
)
def test_other_answers(project: Project, option: str, decision: Any, outcome: str) -> None:
    asked = approval("make all", proposedExecpolicyAmendment=["make"])
    end = {"$end": "interrupted"} if option == "cancel" else DONE
    codex = Codex(project, [command("inProgress", "make all"), asked, end], mode="ask")
    waiting = project.until(lambda: codex.history().open_permissions(), 20)[0]
    yes = option != "cancel"
    project.command(codex.run_id, "answer", permission=waiting.id, allow=yes, option_id=option)
    assert codex.ended().turns[0].outcome == outcome
    assert codex.answers()[0]["result"] == {"decision": decision}


CHANGES = [
    {"path": "/srv/new.txt", "kind": {"type": "add"}, "diff": "one\n"},
    {"path": "/srv/gone.txt", "kind": {"type": "delete"}, "diff": "x\n"},
    {
        "path": "/srv/old.txt",
        "kind": {"type": "update", "move_path": None},
        "diff": "@@ -1,3 +1,3 @@\n alpha\n-beta\n+BETA\n gamma\n",
    },
]


def file_change(status: str, root: str = "/srv") -> Any:
    method = "item/started" if status == "inProgress" else "item/completed"
    changes = json.loads(json.dumps(CHANGES).replace("/srv", root))
    return note(method, item={"type": "fileChange", "id": "f1", "status": status,
                              "changes": changes})  # fmt: skip


@pytest.mark.parametrize("inside", [True, False])
def test_edits_pass_in_mode_edit_where_they_are_inside(project: Project, inside: bool) -> None:
    root = str(project.root) if inside else "/srv"
    asked = {"$ask": note("item/fileChange/requestApproval", itemId="f1")}
    steps = [file_change("inProgress", root), asked, file_change("completed", root), DONE]
    limits = Limits(permission_timeout_s=0.2, idle_s=20)
    codex = Codex(project, steps, mode="edit", limits=limits)
    history = codex.ended()
    expected = "accept" if inside else "decline"
    assert codex.answers()[0]["result"] == {"decision": expected}
    call = history.tool_calls["1/f1"]
    assert call.kind == "edit"
    assert call.locations == [f"{root}/{name}.txt" for name in ("new", "gone", "old")]
    diffs = [(block["oldText"], block["newText"]) for block in call.content]
    assert diffs == [
        (None, "one\n"),
        ("x\n", ""),
        ("alpha\nbeta\ngamma\n", "alpha\nBETA\ngamma\n"),
    ]


@pytest.mark.parametrize(
    ("mode", "script", "decision"),
    [
        ("read", "cat a.txt | wc -l", "accept"),
        ("read", "python3 x.py", "decline"),
        ("edit", "ls && cat b", "accept"),
        ("auto", "rm -rf /", "accept"),
    ],
)
def test_modes_decide_about_commands(
    project: Project, mode: Any, script: str, decision: str
) -> None:
    codex = Codex(project, [command("inProgress", script), approval(script), DONE], mode=mode)
    codex.ended()
    assert codex.answers()[0]["result"] == {"decision": decision}


def test_a_tool_of_an_mcp_server(project: Project) -> None:
    item = {"type": "mcpToolCall", "id": "t1", "server": "calc", "tool": "add",
            "status": "inProgress", "arguments": {"a": 2}}  # fmt: skip
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_name": "add", "tool_params": {"a": 2},
            "persist": ["session"]}  # fmt: skip
    asked = note("mcpServer/elicitation/request", serverName="calc", mode="form", _meta=meta,
                 message="Allow it?", requestedSchema={})  # fmt: skip
    result = {"content": [{"type": "text", "text": "5"}]}
    done = note("item/completed", item={**item, "status": "completed", "result": result})
    codex = Codex(project, [note("item/started", item=item), {"$ask": asked}, done, DONE])
    history = codex.ended()
    assert codex.answers()[0]["result"] == {"action": "accept", "content": {}, "_meta": None}
    permission = next(iter(history.permissions.values()))
    assert (permission.tool_call_id, permission.input) == ("t1", {"a": 2})
    call = history.tool_calls["1/t1"]
    assert (call.tool_name, call.outcome, call.output) == ("calc.add", "completed", result)


def test_what_it_asks_beside_permissions(project: Project) -> None:
    """A question with choices is asked; what we cannot do is refused, not passed over."""
    question = {"id": "q1", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}
    ask = "item/tool/requestUserInput"
    steps = [
        {"$ask": note(ask, itemId="i", questions=[question])},
        {"$ask": note(ask, itemId="i", questions=[question, question])},
        {"$ask": note("item/tool/call", tool="x", arguments={})},
        {"$ask": note("brand/new", data=[1])},
        {"$ask": note("item/permissions/requestApproval", itemId="i",
                      permissions={"network": {"enabled": True}, "fileSystem": None})},
        DONE,
    ]  # fmt: skip
    codex = Codex(project, steps)
    assert codex.ended().turns[0].outcome == "end_turn"
    first, *refused, last = codex.answers()
    assert first["result"] == {"answers": {"q1": {"answers": ["Red"]}}}
    assert [answer["error"]["code"] for answer in refused] == [-32601] * 3
    assert last["result"] == {"permissions": {"network": {"enabled": True}}, "scope": "turn"}


# ---------------------------------------------------------------- what it says


def test_messages_apart_and_one_that_was_not_streamed(project: Project) -> None:
    steps = [
        said("Looking", "m1"), message("Looking", "m1"),
        said("Found ", "m2"), said("it", "m2"), message("Found it", "m2"),
        message("At once.", "m3"),
        DONE,
    ]  # fmt: skip
    assert Codex(project, steps).ended().text == "Looking\n\nFound it\n\nAt once."


def test_another_threads_words_are_no_answer_but_its_tokens_count(project: Project) -> None:
    other = "01a1fc02-0000-7000-8000-000000000000"
    began = note("turn/started", other, turn={"id": "sub-1", "status": "inProgress"})
    end = {"method": "turn/completed",
           "params": {"threadId": other, "turn": {"id": "sub-1", "status": "failed"}}}  # fmt: skip
    steps = [
        used(1, 1), began, said("from below", "s1", other),
        used(2, 2, "sub-1", other), end, said("Done."), used(2, 1), DONE,
    ]  # fmt: skip
    history = Codex(project, steps).ended()
    assert history.turns[0].outcome == "end_turn"
    assert history.text == "Done."
    assert history.usage.input_tokens == 4000
    assert len(history.model_calls) == 3


def test_tokens_are_counted_once(project: Project) -> None:
    """Twice the same report; one that was lost; the window's size as a total; a return that first
    reports what was before, with a call that nobody heard of."""
    full = used(3, 1)
    full["params"]["tokenUsage"]["total"]["totalTokens"] = 258400
    codex = Codex(
        project,
        [used(1, 1), used(1, 1), used(3, 1), full, DONE],
        [used(4, 1, "turn-1"), said("Back."), used(5, 1), DONE],
    )
    codex.ended()
    project.command(codex.run_id, "stop")
    project.gone(codex.run_id)
    project.send(codex.run_id, "again")
    history = codex.ended(2)
    assert [turn.usage.input_tokens for turn in history.turns] == [3000, 1000]
    usage = history.usage
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (2400, 200)
    assert (usage.output_tokens, usage.reasoning_tokens) == (400, 40)
    assert usage.total_tokens == 4400


def test_tokens_are_held_against_their_limit_call_by_call(project: Project) -> None:
    steps = [
        used(1, 1),
        used(1, 1),
        used(2, 1),
        {"$wait": "turn/interrupt"},
        {"$end": "interrupted"},
    ]
    codex = Codex(project, steps, limits=Limits(tokens=2000, idle_s=20))
    codex.ended()
    assert [facts["tokens"] for facts in project.own(codex.run_id, "metered")] == [1100, 2200]
    (end,) = project.own(codex.run_id, "turn_end")
    assert (end["outcome"], end["error"]["code"]) == ("limit", "tokens")
    assert "2,200 tokens, its limit is 2,000" in end["error"]["message"]


def test_a_command_as_it_goes_on(project: Project) -> None:
    output = [note("item/commandExecution/outputDelta", itemId="c1", delta=f"line {n}\n")
              for n in range(3)]  # fmt: skip
    steps = [command("inProgress", "make"), *output, {"$sleep": 0.6}, said("wait"),
             {"$wait": "turn/steer"},
             command("failed", "make", exitCode=2, aggregatedOutput="all of it"), DONE]  # fmt: skip
    codex = Codex(project, steps)
    project.until(lambda: codex.history().text == "wait", 20)
    call = codex.history().tool_calls["1/c1"]
    assert call.content[0]["content"]["text"] == "line 0\nline 1\nline 2\n"
    assert (call.status, call.kind, call.title) == ("in_progress", "execute", "make")
    project.send(codex.run_id, "go", when="steer")
    call = codex.ended().tool_calls["1/c1"]
    assert (call.outcome, call.output) == ("failed", {"exit_code": 2, "output": "all of it"})


def test_plans_warnings_limits_and_other_models(project: Project) -> None:
    steps = [
        note("turn/plan/updated", plan=[{"step": "a", "status": "completed"},
                                        {"step": "b", "status": "inProgress"}]),
        note("warning", message="careful"), note("warning", message="careful"),
        note("mcpServer/startupStatus/updated", name="x", status="failed", error="no such file"),
        note("account/rateLimits/updated",
             rateLimits={"primary": {"usedPercent": 95, "windowDurationMins": 300}}),
        note("model/rerouted", fromModel="a", toModel="b", reason="highRiskCyberActivity"),
        note("item/completed", item={"type": "contextCompaction", "id": "k"}),
        note("thread/compacted"),
        note("thread/name/updated", threadName="A name"),
        DONE,
    ]  # fmt: skip
    history = Codex(project, steps).ended()
    assert [entry["status"] for entry in history.plan] == ["completed", "in_progress"]
    notes = [item.text for item in history.items if item.role == "system"]
    assert notes == [
        "careful",
        "MCP server x did not start: no such file",
        "More than 90 % of the account's primary limit of 5 h is used",
        "Codex went from a to b: highRiskCyberActivity",
        "the agent shortened its context",
    ]
    assert (history.model_answered, history.title) == ("b", "A name")


def test_another_version_than_the_tested_one(project: Project) -> None:
    assert Codex(project, [DONE], tested="0.169.0").ended().warnings == []
    (warning,) = Codex(project, [DONE], tested="0.170.0").ended().warnings
    assert "tells version 0.169.0; 0.170.0 is the one that is tested" in warning


# ---------------------------------------------------------------- settings


def test_how_it_is_started(project: Project) -> None:
    servers = [
        {"name": "files", "command": "/bin/mcp", "args": ["-v"],
         "env": [{"name": "FILES_TOKEN", "value": "files-token-9876543210"}]},
        {"type": "http", "name": "web", "url": "http://127.0.0.1:9/mcp",
         "headers": [{"name": "Authorization", "value": "Bearer web-secret-9876543210"}]},
    ]  # fmt: skip
    project.env["FILES_TOKEN"] = "files-token-9876543210"
    codex = Codex(project, [DONE], mcp=servers, model="GPT 6 Sol", effort="high", mode="read")
    codex.ended()
    started = codex.got("thread/start")[0]["params"]
    assert started["config"] == {
        "mcp_servers": {
            "files": {"command": "/bin/mcp", "args": ["-v"],
                      "env": {"FILES_TOKEN": "files-token-9876543210"}},
            "web": {"url": "http://127.0.0.1:9/mcp",
                    "http_headers": {"Authorization": "Bearer web-secret-9876543210"}},
        }
    }  # fmt: skip
    assert (started["model"], started["cwd"]) == ("gpt-6-sol", str(project.root))
    assert (started["approvalPolicy"], started["sandbox"]) == ("untrusted", "read-only")
    assert codex.got("turn/start")[0]["params"]["effort"] == "high"
    assert b"files-token" not in project.folder(codex.run_id).journal.read_bytes()
    assert codex.history().commands[0]["name"] == "$review"


def test_changes_between_turns(project: Project) -> None:
    codex = Codex(project, [said("ok"), DONE], mode="ask")
    codex.ended()
    for verb, value in (("set_model", "other-model"), ("set_effort", "Low"),
                        ("set_agent_mode", "danger-full-access/never")):  # fmt: skip
        project.command(codex.run_id, verb, value=value)
    project.send(codex.run_id, "again")
    codex.ended(2)
    project.command(codex.run_id, "set_agent_mode", value="workspace-write")
    project.send(codex.run_id, "again")
    codex.ended(3)
    first, second, third = (m["params"] for m in codex.got("turn/start"))
    assert set(first) == {"threadId", "input"}
    assert (second["model"], second["effort"]) == ("other-model", "low")
    assert second["approvalPolicy"] == "never"
    assert second["sandboxPolicy"] == {"type": "dangerFullAccess"}
    # the sandbox as Codex told it, with what its own configuration adds
    assert third["sandboxPolicy"]["writableRoots"] == ["/srv"]
    assert third["approvalPolicy"] == "untrusted"
    assert "model" not in third


def test_plan_mode_comes_and_goes(project: Project) -> None:
    """What it says of model and effort stands above theirs: told again where these change."""
    codex = Codex(project, [said("ok"), DONE], mode="ask", agent_mode="Plan")
    codex.ended()
    project.command(codex.run_id, "set_effort", value="high")
    for turn, mode in ((2, None), (3, "workspace-write"), (4, None)):
        if mode is not None:
            project.command(codex.run_id, "set_agent_mode", value=mode)
        project.send(codex.run_id, "again")
        codex.ended(turn)
    told = [m["params"].get("collaborationMode") for m in codex.got("turn/start")]
    model = told[0]["settings"]["model"]
    assert model
    assert told == [
        {"mode": "plan", "settings": {"model": model, "reasoning_effort": None}},
        {"mode": "plan", "settings": {"model": model, "reasoning_effort": "high"}},
        {"mode": "default", "settings": {"model": model, "reasoning_effort": "high"}},
        None,
    ]
    assert codex.history().agent_mode == "workspace-write"
    assert "sandboxPolicy" not in codex.got("turn/start")[0]["params"]


def test_the_permission_mode_that_holds_now_decides(project: Project) -> None:
    codex = Codex(project, [DONE], mode="ask")
    codex.ended()
    project.command(codex.run_id, "set_mode", mode="auto")
    project.send(codex.run_id, "again")
    codex.ended(2)
    second = codex.got("turn/start")[1]["params"]
    assert second["sandboxPolicy"] == {"type": "dangerFullAccess"}


@pytest.mark.parametrize(
    ("option", "near"), [({"effort": "hihg"}, "high"), ({"agent_mode": "redonly"}, "read-only")]
)
def test_what_is_not_offered(project: Project, option: Any, near: str) -> None:
    turn = Codex(project, [DONE], **option).ended().turns[0]
    assert turn.outcome == "error"
    assert turn.error is not None
    assert near in (turn.error.hint or "")


def test_an_answer_by_a_schema(project: Project) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    whole = message('{"n": 3}')
    codex = Codex(project, [said('{"n"'), said(": 3}"), whole, DONE], schema=schema)
    assert codex.ended().turns[0].value == {"n": 3}
    assert codex.got("turn/start")[0]["params"]["outputSchema"] == {
        **schema,
        "additionalProperties": False,
    }
    beyond = {"type": "array", "items": {"type": "integer"}}
    asked = Codex(project, [message("Here: [1, 2]"), DONE], schema=beyond)
    assert asked.ended().turns[0].value == [1, 2]
    start = asked.got("turn/start")[0]["params"]
    assert "outputSchema" not in start, "an endpoint would refuse it"
    assert json.dumps(beyond) in start["input"][-1]["text"]
    plain = Codex(project, [whole, DONE])
    assert plain.ended().turns[0].value is None, "JSON that nobody asked for is text"


# ---------------------------------------------------------------- hostile lines


def test_secrets_over_the_borders_of_deltas(project: Project) -> None:
    project.env["MY_API_KEY"] = "verysecretvalue123"
    steps: list[Any] = [command("inProgress", "env")]
    for text in ("KEY=verysec", "retvalue", "123\n"):
        steps.append(note("item/commandExecution/outputDelta", itemId="c1", delta=text))
    steps += [said("It is verysecr"), said("etvalue123, I think"), DONE]
    codex = Codex(project, steps)
    assert codex.ended().turns[0].outcome == "end_turn"
    journal = project.folder(codex.run_id).journal.read_text()
    assert "verysec" not in journal
    assert "retvalue" not in journal


def test_mutated_messages(project: Project) -> None:
    """2,000 messages with odd values in odd places: the turn ends as it should."""
    rng = random.Random(1121)
    odd = [None, 7, "x", [], {}, [1, {"a": None}], {"id": [1]}, True, 1.5, "\ud800", "é" * 50]
    models = [
        said("hello"), command("inProgress", "ls"), command("completed", "ls", exitCode=0),
        file_change("inProgress"), message("x"), used(1, 1), error(True, message="1/2"),
        note("turn/plan/updated", plan=[{"step": "a"}]), note("thread/settings/updated"),
        note("mcpServer/startupStatus/updated", status="failed"),
        note("item/completed", item={"type": "reasoning", "id": "r", "summary": ["s"]}),
    ]  # fmt: skip
    lines: list[str] = []
    asked = 0
    for number in range(2000):
        told = json.loads(json.dumps(rng.choice(models)))
        params = told["params"]
        where = rng.choice([told, params, *(v for v in params.values() if isinstance(v, dict))])
        keys = [key for key in where if key not in ("threadId", "method")]
        if keys:
            where[rng.choice(keys)] = rng.choice(odd)
        if rng.random() < 0.1:
            asked += 1
            told["id"] = 10_000 + number
        lines.append(json.dumps(told))
    lines += ["[1, 2]", "nonsense", '{"id": 99, "result": 3}', '{"id": "a", "error": 1}', "{}"]
    codex = Codex(project, [{"$raw": "\n".join(lines)}, {"$sleep": 0.5}, said("Still here.", "z"),
                            DONE])  # fmt: skip
    history = codex.ended()
    assert history.turns[0].outcome == "end_turn"
    assert history.text.endswith("Still here.")
    project.until(lambda: len(codex.answers()) == asked, 2 * SLACK, "each request is answered")
    project.send(codex.run_id, "again")
    codex.ended(2)
    project.command(codex.run_id, "stop")
    check_invariants(project, codex.run_id)


def test_a_line_too_long_to_be_joined(project: Project) -> None:
    big = said("x" * (17 << 20), "big")
    codex = Codex(project, [big, said("After it.", "m2"), DONE])
    history = codex.ended()
    assert history.turns[0].outcome == "end_turn"
    assert history.text.endswith("After it.")
