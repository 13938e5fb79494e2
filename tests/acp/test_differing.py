"""What differs by agent: their own records of a session, told retries, and who inherits them."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from acp_samples import INITIALIZED, Tape, result, update

from paseo_nb.drivers import copilot, gemini, opencode, pi
from paseo_nb.drivers.differing import NONE, Used, differences_of
from paseo_nb.model import RunSpec, Usage


def spoken(text: str) -> dict[str, Any]:
    return update("agent_message_chunk", content={"type": "text", "text": text})


def written(file: Path, *entries: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as out:
        out.writelines(json.dumps(entry) + "\n" for entry in entries)
    return file


def test_a_provider_of_ones_own_inherits_what_differs() -> None:
    spec = RunSpec("r", 0, "mine", ["x"], "/", extends="copilot")
    assert differences_of(spec.at_heart).cumulative
    assert differences_of(RunSpec("r", 0, "copilot", ["x"], "/").at_heart).cumulative, "older runs"
    assert differences_of("anything") is NONE


def test_copilots_record_tells_why_a_turn_failed_and_which_model_answered(tmp_path: Path) -> None:
    env = {"COPILOT_HOME": str(tmp_path)}
    file = tmp_path / "session-state" / "s1" / "events.jsonl"
    failed = {"type": "session.error", "data": {"message": "no", "statusCode": 429}}
    answered = {"type": "assistant.message", "data": {"model": "gpt-4.1"}}
    told = {"model": "gpt-4.1", "apiCallId": "c1", "inputTokens": 9, "outputTokens": 2,
            "cacheReadTokens": 7, "duration": 40}  # fmt: skip
    at = "2026-11-21T19:39:27.197Z"
    used = {"type": "session.usage_record", "timestamp": at, "data": {"usage": told}}
    given = {"toolCallId": "t1", "toolName": "bash", "arguments": {"command": "ls"}}
    began = {"type": "tool.execution_start", "data": given}
    written(file, failed)
    record = copilot.DIFFERENCES.record
    assert record is not None
    size = record.mark("s1", env)
    assert size == file.stat().st_size
    written(file, failed, used, answered, began)
    later = record.since(size, "s1", env)
    assert later is not None
    assert (later.problem, later.model) == (None, "gpt-4.1"), "it answered after all"
    [call] = later.calls
    assert (call.message_id, call.model, call.finished_us) == ("c1", "gpt-4.1", 1795289967197000)
    assert call.started_us == 1795289967157000
    assert later.usage == call.usage == Usage(
        input_tokens=9, output_tokens=2, cache_read_tokens=7, source="session file", scope="turn"
    )  # fmt: skip
    assert later.tools == [Used("t1", "bash", {"command": "ls"})]
    size = record.mark("s1", env)
    written(file, answered, failed)
    last = record.since(size, "s1", env)
    assert last is not None
    assert last.problem is not None
    assert last.problem.code == "rate_limit"
    assert record.since(0, "unknown", env) is None


def test_pis_record_is_summed_over_the_calls_that_were_answered(tmp_path: Path) -> None:
    def call(stop: str, tokens: int, **more: Any) -> dict[str, Any]:
        usage = {"input": tokens, "output": 5, "cacheRead": 10, "cacheWrite": 1, "totalTokens": 9}
        usage["cost"] = {"total": 0.5}  # type: ignore[assignment]
        return {"message": {"role": "assistant", "stopReason": stop, "usage": usage, **more}}

    account = pi.read_record([call("toolUse", 100), {"message": "odd"}, call("stop", 200)])
    assert account.problem is None
    assert account.usage == Usage(
        input_tokens=322, output_tokens=10, cache_read_tokens=20, cache_write_tokens=2,
        total_tokens=18, cost_usd=1.0, source="session file", scope="turn",
    )  # fmt: skip
    assert [one.usage.input_tokens for one in account.calls] == [111, 211]
    wish = {"type": "toolCall", "id": "t1", "name": "bash", "arguments": {"command": "ls"}}
    more = {"content": [{"type": "text", "text": "so"}, wish], "timestamp": 1795289954163}
    one = {**call("toolUse", 1, model="m", provider="p", responseId="r", **more), "id": "8"}
    working = pi.read_record([one | {"timestamp": "2026-11-21T19:39:14.193Z"}])
    assert working.tools == [Used("t1", "bash", {"command": "ls"})]
    [told] = working.calls
    assert (told.message_id, told.model, told.stop_reason) == ("r", "p/m", "toolUse")
    assert (told.started_us, told.finished_us) == (1795289954163000, 1795289954193000)
    failed = pi.read_record([call("error", 0, errorMessage='401: {"message": "bad key"}')])
    assert [one.error for one in failed.calls] == ['401: {"message": "bad key"}']
    assert failed.usage is None, "not reported is not zero"
    assert failed.problem is not None
    assert (failed.problem.code, failed.problem.message) == ("auth", "401: bad key")


def test_a_retry_told_as_text_is_no_text() -> None:
    tape = Tape().put("in", "initialize:result", INITIALIZED).begin()
    tape.take(spoken("Retrying (attempt 2/3, waiting 4s)..."), spoken("Retrying is good."))
    turn = tape.end(answer=result(2, stopReason="end_turn")).history("pi")
    assert turn.text == "Retrying is good."
    assert [item.text.split(":")[0] for item in turn.items if item.title == "retry"] == [
        "retry 2 of 3"
    ]


def test_a_run_sums_what_its_turns_tell() -> None:
    whole = Usage(input_tokens=5, cost_usd=0.1, source="agent", scope="turn")
    assert whole.plus(whole).scope == "turn"
    some = whole.plus(Usage())
    assert (some.input_tokens, some.scope) == (5, "some turns")
    less = whole.plus(Usage(cost_usd=0.2, source="agent", scope="last model call"))
    assert (less.input_tokens, less.scope) == (None, "last model call")
    assert less.cost_usd is not None
    other = whole.plus(Usage(input_tokens=1, source="session file", scope="turn"))
    assert (other.input_tokens, other.source) == (6, "several")


@pytest.mark.parametrize(
    ("title", "said", "command"),
    [
        ("pytest -q", "", "pytest -q"),
        ("pytest -q", "[in /repo] (Runs the tests)", "pytest -q"),
        ("pytest -q", "[in /repo (old)] (Run pytest -q)", "pytest -q"),
        ("pytest -q", "[in /repo] ( pytest  -q )", ""),
        ("pytest\n-q", "[in /repo] (pytest -q) [background]", ""),
        ("\u0915\u0941", "[in /repo] (\u0915\u0941)", ""),
        ("...", "[in /repo] (...)", ""),
        ("", "", ""),
    ],
)
def test_geminis_title_is_the_command_unless_it_is_what_the_model_says_of_it(
    title: str, said: str, command: str
) -> None:
    content = [{"type": "content", "content": {"type": "text", "text": said}}] if said else []
    call = {"kind": "execute", "title": title, "content": content}
    assert gemini.command_of(call) == command


def test_geminis_empty_files_go_and_one_of_this_minute_is_named_earlier(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    chats = tmp_path / ".gemini" / "tmp" / "repo" / "chats"
    ident = "ac0f32b5-e312-4e78-9340-9a05e4ed6d42"
    head = {"sessionId": ident}
    context = {"type": "user", "content": [{"text": "<session_context>\nThis is"}]}
    now = f"{datetime.now(UTC):%Y-%m-%dT%H-%M}"
    whole = written(
        chats / f"session-{now}-ac0f32b5.jsonl", head, {"$set": {"messages": [context]}},
        {"type": "user", "content": [{"text": "hi"}]}, {"type": "gemini", "content": "ho"},
    )  # fmt: skip
    empty = written(
        chats / "session-2020-01-01T00-00-ac0f32b5.jsonl", head, {"$set": {"messages": [context]}}
    )
    others = written(chats / "session-2020-01-01T00-01-ac0f32b5.jsonl", {"sessionId": "ac0f32b5-x"})
    gemini.mend_session(ident, env)
    assert not whole.exists() or f"{datetime.now(UTC):%Y-%m-%dT%H-%M}" != now
    assert not empty.exists()
    assert others.exists(), "another session's"
    left = sorted(file for file in chats.iterdir() if file != others)
    assert len(left) == 1
    assert '"ho"' in left[0].read_text()
    empty = written(empty, head)
    left[0].unlink()
    gemini.mend_session(ident, env)
    assert empty.exists(), "the only file of a session is never removed"


def test_what_copilot_says_of_itself_is_a_note_and_no_text() -> None:
    tape = Tape().put("in", "initialize:result", INITIALIZED).begin()
    compacting = "Info: The conversation exceeded the limit. Compacting history and retrying..."
    tape.take(spoken(compacting), spoken("Warning: The policy has changed."))
    tape.take(spoken("Info: Operation cancelled by user"))  # with no full stop, after a denial
    tape.take(spoken("Info"), spoken(": so it is."))
    history = tape.end(answer=result(2, stopReason="end_turn")).history("copilot")
    assert history.text == "Info: so it is."
    notes = [(item.title, item.text) for item in history.items if item.kind == "note"]
    assert notes == [
        ("retry", f"retry: {compacting}"), ("notice", "Warning: The policy has changed."),
        ("notice", "Info: Operation cancelled by user"),
    ]  # fmt: skip


def test_what_a_command_prints_is_told_piece_by_piece() -> None:
    """As pi-acp tells it: for a terminal that the client shows and the agent feeds."""

    def piece(text: str, **more: Any) -> dict[str, Any]:
        meta = {"terminal_output": {"terminal_id": "c1", "data": text}}
        return update("tool_call_update", toolCallId="c1", _meta=meta, **more)

    terminal = [{"type": "terminal", "terminalId": "c1"}]
    tape = Tape().put("in", "initialize:result", INITIALIZED).begin()
    tape.take(update("tool_call", toolCallId="c1", kind="execute", content=terminal))
    tape.take(piece("one\n"), piece("two\n", status="in_progress"))
    [item] = [i for i in tape.history("pi").items if i.kind == "tool_call"]
    assert item.text == "one\ntwo\n", "while it runs"
    tape.take(piece("three", status="completed"))
    tape.end(answer=result(2, stopReason="end_turn"))
    tape.begin("again").take(update("tool_call", toolCallId="c1"), piece("new")).end()
    first, second = [i for i in tape.history("pi").items if i.kind == "tool_call"]
    assert (first.text, first.outcome) == ("one\ntwo\nthree", "completed")
    assert second.text == "new", "ids may be used again"
    tape.begin("much").take(*(piece("x" * 10_000) for _ in range(50))).end()
    assert len(tape.history("pi").items[-1].text) < 100_000


def test_geminis_chats_are_summed_over_the_turns_model_calls(tmp_path: Path) -> None:
    env = {"GEMINI_CLI_HOME": str(tmp_path)}
    chats = tmp_path / ".gemini" / "tmp" / "repo" / "chats"
    ident = "ac0f32b5-e312-4e78-9340-9a05e4ed6d42"

    def call(name: str, when: str, tokens: int) -> dict[str, Any]:
        told = {"input": tokens, "output": 5, "cached": 7, "thoughts": 2, "tool": 1, "total": 99}
        return {"id": name, "timestamp": when, "type": "gemini", "tokens": told}

    record = gemini.DIFFERENCES.record
    assert record is not None
    early, late = "2026-11-21T13:45:52.293Z", "2026-11-21T13:45:53.001Z"
    mark = int(datetime.fromisoformat("2026-11-21T13:45:52.900Z").timestamp() * 1000)
    file = written(
        chats / "session-2026-11-21T13-45-ac0f32b5.jsonl", {"sessionId": ident},
        call("a", early, 1000), {"id": "b", "type": "gemini", "timestamp": late},
        call("b", late, 10), call("b", late, 20), {"$set": {"messages": [call("b", late, 20)]}},
        {"id": "a", "type": "gemini", "timestamp": early, "toolCalls": [
            {"id": "old", "name": "read_file", "timestamp": early},
            {"id": "new", "name": "write_file", "args": {"file_path": "x"}, "timestamp": late}]},
    )  # fmt: skip
    written(chats / ident / "helper.jsonl", call("c", late, 300))
    account = record.since(mark, ident, env)
    assert account is not None
    assert account.usage == Usage(
        input_tokens=322, output_tokens=14, cache_read_tokens=14, reasoning_tokens=4,
        total_tokens=198, source="session file", scope="turn",
    )  # fmt: skip
    assert [(one.message_id, one.usage.input_tokens) for one in account.calls] == [
        ("b", 21), ("c", 301),
    ]  # fmt: skip
    assert account.tools == [Used("new", "write_file", {"file_path": "x"})], "of this turn"
    nothing = record.since(mark + 10_000, ident, env)
    assert nothing is not None
    assert nothing.usage is None, "a call that was broken off is not zero"
    file.write_bytes(b'{"torn')
    assert record.since(mark, "no-such-session", env) is not None


def test_opencodes_database_is_summed_over_the_turns_model_calls(tmp_path: Path) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path)}
    record = opencode.DIFFERENCES.record
    assert record is not None
    assert record.since(0, "s1", env) is None, "no database"
    path = tmp_path / "opencode" / "opencode.db"
    path.parent.mkdir()

    def call(fresh: int, write: int = 0) -> str:
        tokens = {"input": fresh, "output": 5, "reasoning": 2, "cache": {"read": 7, "write": write}}
        told = {"tokens": {**tokens, "total": 9}, "cost": 0.5, "time": {"created": fresh}}
        return json.dumps({"role": "assistant", "providerID": "p", "modelID": "m", **told})

    zeros = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    why = {"name": "APIError", "data": {"message": "too many requests"}}
    broken_off = json.dumps({"role": "assistant", "tokens": zeros, "cost": 0, "error": why})
    with sqlite3.connect(path) as database:
        database.execute("create table session (id text, parent_id text)")
        database.execute(
            "create table message (id text, session_id text, time_created int, data text)"
        )
        pairs = [("s1", None), ("below", "s1"), ("deeper", "below"), ("other", None)]
        database.executemany("insert into session values (?, ?)", pairs)
        database.executemany(
            "insert into message values (?, ?, ?, ?)",
            [
                ("a", "s1", 100, call(90_000)), ("b", "s1", 200, '{"role": "user"}'),
                ("c", "s1", 201, call(10)), ("d", "s1", 202, broken_off), ("e", "s1", 203, "odd"),
                ("f", "deeper", 204, call(20)), ("g", "other", 205, call(80_000)),
            ],
        )  # fmt: skip
    account = record.since(200, "s1", env)
    assert account is not None
    assert account.usage == Usage(
        input_tokens=44, output_tokens=14, cache_read_tokens=14, reasoning_tokens=4,
        total_tokens=18, cost_usd=1.0, source="session file", scope="turn",
    )  # fmt: skip
    assert [(one.message_id, one.model, one.error) for one in account.calls] == [
        ("c", "p/m", None), ("d", None, "too many requests"), ("f", "p/m", None),
    ]  # fmt: skip
    assert account.calls[1].usage == Usage(), "a call that failed is not zero"
    nothing = record.since(300, "s1", env)
    assert nothing is not None
    assert nothing.usage is None
    path.write_bytes(b"no database at all" * 100)
    assert record.since(0, "s1", env) is None
