"""The recorded exchange of the real CLI (0.169.0), played again to our own supervisor: eight turns
of one thread, and its return in a new process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from codex_kit import THREAD, Codex
from kit import Project, check_invariants

Json = dict[str, Any]
RECORDED = Path(__file__).with_name("recorded.jsonl")


def recorded() -> tuple[Json, list[list[Json]]]:
    """The answers to what is no turn, and each turn's steps."""
    answers: Json = {}
    turns: list[list[Json]] = []
    asked: dict[int, str] = {}
    for entry in map(json.loads, RECORDED.read_text().splitlines()):
        out, came = entry.get("out"), entry.get("in")
        if out is not None and "method" in out:
            asked[out.get("id")] = out["method"]
            if out["method"] == "turn/start":
                turns.append([])
            elif out["method"] in ("turn/interrupt", "turn/steer"):
                turns[-1].append({"$wait": out["method"]})
        elif came is not None and "method" in came and "id" in came:
            turns[-1].append({"$ask": {"method": came["method"], "params": came["params"]}})
        elif came is not None and "method" in came:
            if turns:
                turns[-1].append(came)
        elif came is not None and asked[came["id"]] == "turn/start":
            turns[-1].append({"$answer": came["result"]})
        elif came is not None:
            answers.setdefault(asked[came["id"]], came["result"])
    return answers, turns


def test_the_recorded_exchange(project: Project) -> None:
    answers, turns = recorded()
    codex = Codex(project, *turns, answers=answers, prompt="create it", mode="ask")
    permission = project.until(lambda: codex.history().open_permissions(), 20)[0]
    assert permission.kind == "execute"
    assert permission.tool_call_id == "call_144"
    assert permission.title == "printf 'hello from the fake model\\n' > hello.txt"
    assert [option["optionId"] for option in permission.options] == [
        "accept", "acceptForSession", "decline", "cancel",
    ]  # fmt: skip
    project.command(codex.run_id, "answer", permission=permission.id, allow=True)
    first = codex.ended(1).turns[0]
    assert first.outcome == "end_turn"
    assert first.text == "DONE: tool result received, finished."
    assert codex.answers()[0]["result"] == {"decision": "accept"}

    project.send(codex.run_id, "see")
    project.send(codex.run_id, "see")
    assert codex.ended(3).text == "echo: 3 user messages; first='create it [[write]]'"
    for turn, steers in ((4, False), (5, True)):
        project.send(codex.run_id, "slow")
        project.until(lambda: len(codex.history().turns) >= turn, 20)  # noqa: B023
        project.until(lambda: codex.history().turns[-1].text, 20)
        assert len(codex.history().turns) == turn
        if steers:
            project.send(codex.run_id, "steer me", when="steer")
        project.command(codex.run_id, "cancel")
        assert codex.ended(turn).turns[-1].outcome == "cancelled"
    assert codex.got("turn/steer")[0]["params"]["input"][0]["text"] == "steer me"

    project.send(codex.run_id, "sleep")
    permission = project.until(lambda: codex.history().open_permissions(), 20)[0]
    project.command(codex.run_id, "answer", permission=permission.id, allow=True)
    project.until(lambda: len(codex.answers()) == 2, 20)
    project.command(codex.run_id, "cancel")
    codex.ended(6)
    project.send(codex.run_id, "err")
    failed = codex.ended(7).turns[-1]
    assert failed.outcome == "error"
    assert failed.error is not None
    assert failed.error.code == "server_error"
    assert failed.error.message.startswith("We’re currently experiencing high demand")

    project.command(codex.run_id, "stop")
    project.gone(codex.run_id)
    project.send(codex.run_id, "how many?")
    history = codex.ended(8)
    assert history.text == "echo: 8 user messages; first='create it [[write]]'"
    assert codex.got("thread/resume")[0]["params"]["threadId"] == history.session_id == THREAD
    usage = history.usage
    # four turns that told: five model calls before the return, one after it; reports come twice
    assert (usage.input_tokens, usage.cache_read_tokens) == (6 * 8118, 6 * 7007)
    assert (usage.output_tokens, usage.reasoning_tokens) == (6 * 42, 6 * 9)
    assert usage.cache_write_tokens == 0
    assert (usage.context_used, usage.context_size) == (8160, 258400)
    told = [turn.usage.input_tokens for turn in history.turns]
    assert told == [2 * 8118, 8118, 8118, None, None, 8118, None, 8118]
    assert history.model_answered == "gpt-5.1-codex"
    assert history.agent_version == "0.169.0"
    warned = [item.text for item in history.items if "Model metadata" in item.text]
    assert len(warned) == 1, "said before each turn, told once"
    outcomes = [call.outcome for call in history.tool_calls.values()]
    assert outcomes == ["completed", "cancelled"]
    project.command(codex.run_id, "stop")
    check_invariants(project, codex.run_id)
