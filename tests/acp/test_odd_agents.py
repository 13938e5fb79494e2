"""Agents that do not keep to the protocol, or to life: a run lives through them, tells of it, and
answers whatever it is asked.

Invariants: (1) a request with an id that we can give back gets exactly one answer; (2) only an
answer to a request of ours changes anything; (3) what was said before an agent's end is told.
"""

from __future__ import annotations

import json
import random
import re
import socket
import sqlite3
import sys
from typing import Any

import pytest
from acp_samples import MESSAGES, mutated, request, result, said, text, update
from kit import SLACK, Project, check_invariants

from paseo_nb.history import History
from paseo_nb.model import Limits
from paseo_nb.store import frames

DONE = {"id": "$id", "result": {"stopReason": "end_turn"}}
QUICK = Limits(start_s=2, idle_s=60, permission_timeout_s=0.05)


def play(
    project: Project, *steps: Any, turns: int = 1, **more: Any
) -> tuple[str, list[str], History]:
    """A run of a puppet whose first turn does these steps; (run, command, story at its end)."""
    does = more.pop("does", {})
    command = project.puppet({"session/prompt": [list(steps)], **does})
    run_id = project.start(command=command, limits=more.pop("limits", QUICK), **more)
    return run_id, command, project.ended(run_id, turns, within=12 * SLACK)


def test_mutated_messages_in_mid_turn(project: Project) -> None:
    """3,000 messages with odd values in odd places, some of them requests."""
    rng = random.Random(1121)
    lines: list[str] = []
    asked: list[Any] = []
    for number in range(3000):
        kind, message = rng.choice(MESSAGES)
        if kind == "session/prompt:result" or kind == "session/prompt:error":
            continue  # under the right id it would end the turn, as it should
        message = mutated(message, rng, spare=("id", "method"))
        if "method" in message and "id" in message:
            message["id"] = rng.choice(
                [f"q{number}", 10_000 + number, 0.5 + number, 2**70 + number]
            )
            asked.append(message["id"])
        elif "id" in message:
            message["id"] = rng.choice([987654321, "none", -3, "2 ", 2.5, [2], {"id": 2}])
        lines.append(json.dumps(message))
    path = project.root / "mutated.jsonl"
    path.write_text("\n".join(lines) + "\n")
    steps = [{"$file": str(path)}, {"$sleep": 1}, said("Still here."), DONE]
    run_id, command, history = play(project, *steps, mode="auto")
    assert history.turns[0].outcome == "end_turn"
    assert history.text.endswith("Still here.")
    project.send(run_id, "again")
    assert project.ended(run_id, turns=2).turns[1].outcome == "end_turn"
    answered = [message["id"] for message in project.got(command) if "method" not in message]
    assert len(asked) > 300
    assert sorted(map(str, answered)) == sorted(map(str, asked * 2)), "each once, in either turn"
    check_invariants(project, run_id)


def test_what_is_nearly_json_and_what_is_not(project: Project) -> None:
    half = json.dumps(said("half an emoji \ud83d, "))
    spaced = json.dumps(said("carriage returns, "), indent=1).replace("\n", "\r")
    number = json.dumps(update("usage_update", used=float("nan"), size=10))
    ask = '{"jsonrpc":"2.0","id":"half","method":"fs/read_text_file","params":{"path":"/\\udead"}}'
    deep = '{"jsonrpc":"2.0","method":"_x/deep","params":' + "[" * 20_000 + "]" * 20_000 + "}"
    nothing = '{"jsonrpc":"2.0","id":"nul","method":"fs/write_text_file","params":{"path":"/a\\u0000b","content":""}}'
    utf16 = {"$hex": b'{"jsonrpc":"2.0","method":"_x/\xff\xfe","params":{}}'.hex()}
    fine = json.dumps(said("CRLF.")) + "\r"
    steps = [
        "words",
        "[1, 2]",
        "null",
        "",
        '{"cut',
        half,
        spaced,
        number,
        ask,
        deep,
        nothing,
        ask.replace("half", "big").replace("{", "{" + " " * 1_200_000, 1),
        utf16,
        fine,
        {"$sleep": 0.3},
        DONE,
    ]
    run_id, command, history = play(project, *steps)
    assert history.turns[0].outcome == "end_turn"
    assert history.text == "half an emoji \ufffd, carriage returns, CRLF."
    answers = {m["id"]: m["error"]["code"] for m in project.got(command) if "error" in m}
    assert answers == {"half": -32002, "nul": -32603, "big": -32002}
    garbage = [json.loads(bytes(x.raw)) for x in project.lines(run_id) if x.kind == "garbage"]
    assert garbage[:4] == ["words", "[1, 2]", "null", '{"cut']
    check_invariants(project, run_id)


def test_answers_that_nobody_asked_for_change_nothing(project: Project) -> None:
    wrong = [0, -1, 1, 999, "999", "2.0", True, 2.5, None]
    steps = [result(ident, stopReason="refusal", sessionId="stolen") for ident in wrong]
    steps += [{"id": ident, "error": {"code": 1, "message": "no"}} for ident in wrong]
    steps += [said("The answer."), DONE, DONE, {"id": "$id", "error": {"code": 1, "message": "no"}}]
    run_id, _, history = play(project, *steps)
    assert (history.turns[0].outcome, history.text) == ("end_turn", "The answer.")
    assert history.session_id == "puppet-session"
    project.send(run_id, "again")
    assert project.ended(run_id, turns=2).turns[1].outcome == "end_turn"
    kinds = [line.kind for line in project.lines(run_id)]
    assert kinds.count("unasked:result") > 8
    check_invariants(project, run_id)


def test_ids_as_text_updates_as_requests_and_requests_we_do_not_know(project: Project) -> None:
    chunk = {**said("Acknowledged. "), "id": "u1"}
    look_alike = request(
        "x1",
        "_vendor/update",
        update={"sessionUpdate": "agent_message_chunk", "content": text("no")},
    )
    does = {"session/new": ['{"jsonrpc":"2.0","id":"1","result":{"sessionId":"puppet-session"}}']}
    steps = [
        chunk,
        look_alike,
        request(7, "session/unheard_of"),
        request(8, "terminal/create"),
        {"$sleep": 0.3},
        said("End."),
        DONE,
    ]
    run_id, command, history = play(project, *steps, does=does)
    assert history.text == "Acknowledged. End."
    answers = {
        m["id"]: m.get("error", {}).get("code", m.get("result"))
        for m in project.got(command)
        if "method" not in m
    }
    assert answers == {"u1": {}, "x1": -32601, 7: -32601, 8: -32602}
    check_invariants(project, run_id)


@pytest.mark.parametrize(
    ("does", "code", "words"),
    [
        ({"initialize": [{"id": "$id", "result": {"protocolVersion": 2}}]}, "protocol", "version 2"),
        ({"initialize": []}, "start_timeout", "2 s"),
        ({"initialize": [{"id": "$id", "error": "not today"}]}, "-32603", "not today"),
        ({"initialize": [{"id": "$id", "result": {"agentCapabilities": [], "authMethods": {"a": 1}}}]}, None, ""),
        ({"session/new": [{"id": "$id", "result": {}}]}, "session", "no id"),
        ({"session/new": [{"id": "$id", "result": {"sessionId": "puppet-session", "modes": [], "models": 5, "configOptions": {"a": 1}}}]}, None, ""),
        ({"session/new": [{"$stderr": ["cannot find the model\n"]}, {"$exit": 9}]}, "agent_exit", "cannot find the model"),
        ({"initialize": [{"$exit": 0}]}, "agent_exit", "before it was ready"),
        ({"session/prompt": [[{"id": "$id", "result": None}]]}, None, ""),
        ({"session/prompt": [[{"id": "$id", "result": {"stopReason": "cancelled"}}]]}, "agent_cancelled", "nobody cancelled"),
        ({"session/prompt": [[{"id": "$id", "result": {"stopReason": "brand_new"}}]]}, "stop_reason", "brand_new"),
        ({"session/prompt": [[{"id": "$id", "error": {"code": 429, "message": "slow down", "data": {"message": "in 5 s"}}}]]}, "rate_limit", "slow down: in 5 s"),
        ({"session/prompt": [[{"$exit": 255}]]}, "agent_exit", "exit code 255"),
        ({"session/prompt": [[{"$exit": 137}]]}, "agent_killed", "signal 9"),
    ],
)  # fmt: skip
def test_how_it_begins_and_ends(project: Project, does: Any, code: str | None, words: str) -> None:
    _, _, history = play(project, DONE, does=does)
    problem = history.error
    if code is None:
        assert (problem, history.turns[0].outcome) == (None, "end_turn")
    else:
        assert problem is not None
        assert problem.code == code
        assert words in problem.message


@pytest.mark.parametrize("begins", [[], [{"$exit": 3}]])
def test_an_agent_that_is_not_met_may_be_another_version(project: Project, begins: Any) -> None:
    does = {"initialize": begins}
    _, _, history = play(project, DONE, does=does, tested="0.61.0", extends="gemini")
    assert history.error is not None
    assert "gemini 0.61.0 is the version that is tested" in (history.error.hint or "")


def test_a_session_that_cannot_be_returned_to(project: Project) -> None:
    none = {"protocolVersion": 1, "agentCapabilities": {"sessionCapabilities": {"resume": None}}}
    run_id, _, _ = play(project, DONE, does={"initialize": [{"id": "$id", "result": none}]})
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    problem = project.ended(run_id, turns=2).error
    assert problem is not None
    assert problem.code == "no_resume"
    assert problem.hint is not None
    assert "new run" in problem.hint
    # One whose resume fails is loaded instead.
    can = {
        "protocolVersion": 1,
        "agentCapabilities": {"loadSession": True, "sessionCapabilities": {"resume": {}}},
    }
    does = {
        "initialize": [{"id": "$id", "result": can}],
        "session/resume": [{"id": "$id", "error": {"code": -32601, "message": "not really"}}],
        "session/load": [said("told again"), {"id": "$id", "result": None}],
    }
    run_id, _, _ = play(project, said("told"), DONE, does=does)
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    history = project.ended(run_id, turns=2)
    assert [turn.text for turn in history.turns] == ["told", "told"]
    assert not any("told again" in item.text for item in history.items)
    assert any("not really" in item.text for item in history.items), "and it is said"
    check_invariants(project, run_id)


def test_an_earlier_session_is_taken_up(project: Project) -> None:
    """A run may begin with a session of somebody else (an import): loaded, and kept by its id."""
    does = {"session/load": [said("what was said before"), {"id": "$id", "result": {}}]}
    run_id, command, history = play(project, said("New."), DONE, does=does, load_session_id="older")
    assert (history.text, history.session_id) == ("New.", "older")
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    project.ended(run_id, turns=2)
    loads = [
        m["params"]["sessionId"] for m in project.got(command) if m.get("method") == "session/load"
    ]
    assert loads == ["older", "older"]
    check_invariants(project, run_id)


def test_the_last_words_of_a_process_are_heard(project: Project) -> None:
    """A long last line, without a line feed, written just before the end; a child holds the pipe."""
    words = "w" * 700_000
    code = (
        "import json,os,subprocess,sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    r = {'initialize': {'protocolVersion': 1}, 'session/new': {'sessionId': 's'}}.get(m['method'])\n"
        "    if r is not None:\n"
        "        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n"
        "        continue\n"
        "    subprocess.Popen(['/bin/sleep', '600'])\n"
        "    u = {'sessionUpdate': 'agent_message_chunk', 'content': {'type': 'text', 'text': 'w' * 700000}}\n"
        "    s = json.dumps({'jsonrpc': '2.0', 'method': 'session/update', 'params': {'update': u}})\n"
        "    sys.stdout.write(s); sys.stdout.flush(); os._exit(3)\n"
    )
    run_id = project.start(command=[sys.executable, "-c", code])
    history = project.ended(run_id, within=12 * SLACK)
    assert history.text == words
    assert history.error is not None
    assert "exit code 3" in history.error.message
    project.gone(run_id, 30)
    assert not project.left(run_id)


def test_a_line_of_200_mb(project: Project) -> None:
    """It is kept beside the journal, costs little memory, and the turn goes on."""
    run_id = project.start("bigline", "bytes=200000000")
    history = project.ended(run_id, within=30 * SLACK)
    assert history.turns[0].outcome == "end_turn"
    blobs = [path for path in (project.host.home / "blobs").iterdir() if path.stat().st_size > 2e8]
    assert len(blobs) == 1
    assert any(
        "200,000" in item.text and "beside the journal" in item.text for item in history.items
    )
    assert project.folder(run_id).journal.stat().st_size < 100_000
    supervisor = project.processes(run_id)["supervisor"]
    with open(f"/proc/{supervisor}/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert peak < 250_000, f"peak {peak} kB for a line of 195,000 kB"
    blobs[0].unlink()


def test_megabytes_on_stderr_and_an_agent_that_ends_at_once(project: Project) -> None:
    run_id = project.start("stderr", "bytes=6000000")
    assert "6000000 bytes" in project.ended(run_id, within=12 * SLACK).text
    assert 500_000 < project.folder(run_id).stderr.stat().st_size <= 1 << 20
    run_id = project.start("exit")
    problem = project.ended(run_id).error
    assert problem is not None
    assert "exit code 7" in problem.message
    assert "scripted to exit before initialize" in problem.message
    project.gone(run_id, 30)
    assert project.host.state(run_id) == "error"


def test_large_messages_both_ways(project: Project) -> None:
    """A 3 MB file through fs/write and fs/read, a 3 MB prompt: whole, and blobs in the journal."""
    big = "line of a file\n" * 200_000
    path = str(project.root / "big.txt")
    params = {"sessionId": "s", "path": path}
    write = {"$ask": {"method": "fs/write_text_file", "params": {**params, "content": big}}}
    read = {"$ask": {"method": "fs/read_text_file", "params": params}}
    command = project.puppet({"session/prompt": [[write, read, said("ok"), DONE]]})
    run_id = project.start(prompt=big, command=command)
    assert project.ended(run_id, within=12 * SLACK).text == "ok"
    assert (project.root / "big.txt").read_text() == big
    got = project.got(command)
    assert [m["result"]["content"] == big for m in got if "content" in m.get("result", {})] == [
        True
    ]
    sent = next(m for m in got if m.get("method") == "session/prompt")
    assert sent["params"]["prompt"][0]["text"] == big
    blobs = [x for x in project.lines(run_id) if bytes(x.raw).startswith(b'{"$blob"')]
    assert {(x.dir, x.kind) for x in blobs} >= {
        ("in", "fs/write_text_file"),
        ("out", "fs/read_text_file:result"),
    }


def test_another_model_than_asked_for_is_flagged_on_the_run(project: Project) -> None:
    models = {"currentModelId": "gpt-5-mini", "availableModels": []}
    opened = {"id": "$id", "result": {"sessionId": "puppet-session", "models": models}}
    does = {"session/new": [opened]}
    run_id, _, history = play(project, said("hi"), DONE, does=does, model="gpt-5")
    (warning,) = project.own(run_id, "warning")
    assert warning["message"] == "asked for the model gpt-5, the agent answers with gpt-5-mini"
    assert history.warnings == [warning["message"]]
    assert history.model_answered == "gpt-5-mini"


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2.0.0", []),
        ("1.9.0", ["tells version 1.9.0; 2.0.0 is the one that is tested"]),
        (None, ["tells no version; 2.0.0 is the one that is tested"]),
    ],
)
def test_another_version_than_the_tested_one_is_flagged_on_the_run(
    project: Project, version: str | None, said: list[str]
) -> None:
    told = {"protocolVersion": 1, "agentInfo": {"name": "p", "version": version}}
    does = {"initialize": [{"id": "$id", "result": told}]}
    _, _, history = play(project, text("hi"), DONE, does=does, extends="gemini", tested="2.0.0")
    assert [warning.split(": ")[0] for warning in history.warnings] == [
        f"gemini {words}" for words in said
    ]


def test_an_mcp_server_that_the_agent_does_not_take_is_an_error(project: Project) -> None:
    """Of an agent that nothing is known of: by what it announces."""
    server = {"name": "mine", "type": "http", "url": "http://127.0.0.1:9/", "headers": []}
    _, _, history = play(project, said("hi"), DONE, mcp=[server])
    assert history.turns[0].outcome == "error"
    assert "takes no MCP server over http (mine)" in str(history.turns[0].error)


TRIES = [
    f"[2026-11-21T20:20:56.226Z] [WARN] Attempt {n} failed with status 429. Retrying with backoff... _ApiError:"
    ' {"error":{"code":429,"message":"too many requests"}}\n    at somewhere (file.js:1:2)\n'
    for n in (1, 2)
]


def test_what_gemini_tells_on_its_standard_error_only(project: Project) -> None:
    parted = ["[now] [LOG] [MCP error] Error during disc", "overy for MCP server 'probe': no\n"]
    steps = [{"$stderr": [*TRIES, *parted]}, {"$sleep": 0.5}, said("Back."), DONE]
    run_id, _, history = play(project, *steps, extends="gemini")
    assert history.text == "Back."
    notes = [item.text for item in history.items if item.title == "retry"]
    assert notes == [f"retry {n}: HTTP 429: _ApiError: too many requests" for n in (1, 2)]
    assert "MCP server 'probe' cannot be used: no" in history.warnings
    check_invariants(project, run_id)


def test_retries_that_are_told_aside_are_no_sign_of_life(project: Project) -> None:
    tries = [part for _ in range(3) for part in ({"$stderr": TRIES[:1]}, {"$sleep": 0.3})]
    limits = Limits(silence_s=0.7, idle_s=60)
    _, _, history = play(project, *tries, {"$cancel": True}, DONE, limits=limits, extends="gemini")
    assert history.error is not None
    assert history.error.code == "silence"
    assert re.match(r"nothing but [23] failed tries of its model came for", history.error.message)


def test_a_time_limit_among_failed_tries_names_them(project: Project) -> None:
    limits = Limits(timeout_s=3, idle_s=60)
    steps = [{"$stderr": TRIES}, {"$cancel": True}, DONE]
    _, _, history = play(project, *steps, limits=limits, extends="gemini")
    assert history.error is not None
    assert history.error.message == (
        "the turn took longer than 3 s; 2 failed tries of its model came last"
    )
    assert "signed in" in str(history.error.hint)


def test_an_mcp_server_that_takes_no_connection_is_told(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        servers = [
            {"type": "http", "name": name, "url": f"http://127.0.0.1:{port}/mcp", "headers": []}
            for name, port in (("there", port), ("gone", 9))
        ]
        can = {"protocolVersion": 1, "agentCapabilities": {"mcpCapabilities": {"http": True}}}
        does = {"initialize": [{"id": "$id", "result": can}]}
        steps = [{"$sleep": 0.5}, said("Done."), DONE]
        _, _, history = play(project, *steps, mcp=servers, does=does)
    assert history.warnings == ["MCP server 'gone' cannot be reached"]


def test_what_opencode_keeps_of_a_context_it_shortens_is_no_answer(project: Project) -> None:
    file = project.root / "data" / "opencode" / "opencode.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as database:
        database.execute("create table message (id text, session_id text, data text)")
        rows = [("m1", "s", '{"summary": true}'), ("m2", "s", "{}"), ("m3", "s", '{"summary": {}}')]
        database.executemany("insert into message values (?, ?, ?)", rows)
    project.env["XDG_DATA_HOME"] = str(project.root / "data")

    def spoken(message: str, words: str) -> dict[str, Any]:
        content = {"type": "text", "text": words}
        return update("agent_message_chunk", messageId=message, content=content)

    steps = [spoken("m0", "The answer."), spoken("m1", "What was "), spoken("m1", "said."), DONE]
    run_id, _, history = play(project, *steps, extends="opencode")
    assert history.text == "The answer."
    assert [item.text for item in history.items if item.title == "compaction"] == ["What was said."]
    kinds = [line.kind for line in project.lines(run_id) if line.kind.endswith("_chunk")]
    assert kinds == ["agent_message_chunk", "summary_chunk", "summary_chunk"]


@pytest.mark.parametrize(("told", "outcome"), [
    ({"finish": "tool-calls"}, "cancelled"), ({"error": {"name": "MessageAbortedError"}}, "cancelled"),
    ({"finish": "stop"}, "end_turn"),
])  # fmt: skip
def test_opencode_that_ends_a_cancelled_turn_well_is_judged_by_its_messages(
    project: Project, told: dict[str, Any], outcome: str
) -> None:
    file = project.root / "data" / "opencode" / "opencode.db"
    file.parent.mkdir(parents=True)
    message = json.dumps({"role": "assistant", **told})
    with sqlite3.connect(file) as database:
        database.execute("create table session (id text, parent_id text)")
        database.execute("insert into session values ('puppet-session', null)")
        columns = "(id text, session_id text, time_created int, data text)"
        database.execute(f"create table message {columns}")
        database.execute("insert into message values ('m', 'puppet-session', 9e15, ?)", (message,))
    project.env["XDG_DATA_HOME"] = str(project.root / "data")
    steps = [said("At work."), {"$cancel": True}, DONE]
    command = project.puppet({"session/prompt": [steps]})
    run_id = project.start(command=command, limits=Limits(idle_s=60), extends="opencode")
    project.until(lambda: project.history(run_id).text, 12 * SLACK)
    project.command(run_id, "cancel")
    assert project.ended(run_id, 1, within=12 * SLACK).turns[0].outcome == outcome


def test_a_call_that_is_told_of_when_it_is_over_has_no_beginning(project: Project) -> None:
    def told(ident: str, kind: str, status: str) -> dict[str, Any]:
        update = {"sessionUpdate": kind, "toolCallId": ident, "kind": "edit", "status": status}
        return {"method": "session/update", "params": {"sessionId": "s", "update": update}}

    late = told("late", "tool_call_update", "completed")
    both = [told("soon", "tool_call", "pending"), told("soon", "tool_call_update", "completed")]
    play(project, late, *both, DONE)
    rows = frames.tool_traces(project.root / ".paseo_nb").set_index("tool_call_id")
    assert rows[["started_at", "latency_ms"]].isna().loc["late"].all()
    assert rows[["started_at", "latency_ms"]].notna().loc["soon"].all()
    assert rows["finished_at"].notna().all()
    assert len(frames.tool_traces(project.root / ".paseo_nb", since="2026-01-01")) == 2
