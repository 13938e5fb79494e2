"""What differs by agent: their own records of a session, told retries, and who inherits them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acp_samples import INITIALIZED, Tape, result, update

from paseo_nb.drivers import copilot, gemini, pi
from paseo_nb.drivers.differing import NONE, differences_of
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
    written(file, failed)
    record = copilot.DIFFERENCES.record
    assert record is not None
    size = record.size("s1", env)
    assert size == file.stat().st_size
    written(file, failed, answered)
    later = record.since(size, "s1", env)
    assert later is not None
    assert (later.problem, later.model) == (None, "gpt-4.1"), "it answered after all"
    size = record.size("s1", env)
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
    failed = pi.read_record([call("error", 0, errorMessage='401: {"message": "bad key"}')])
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
