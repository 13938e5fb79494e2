"""What was done in a terminal before: listed, loaded as finished runs, taken over."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from analysis import analysed

import paseo_nb as paseo
from paseo_nb.drivers import claude
from tests.modelserver import ModelServer, behaviours
from tests.modelserver.conversation import Conversation, Reply, ToolCall


def line(kind: str, second: int, content: object, **more: object) -> str:
    message = {"role": kind, "content": content, **more.pop("message", {})}  # type: ignore[dict-item]
    head = {"type": kind, "timestamp": f"2026-03-01T10:00:{second:02}.000Z", "cwd": "/somewhere"}
    return json.dumps({**head, "message": message, **more})


def write(home: Path, session_id: str, *lines: str) -> None:
    folder = home / ".claude/projects/-somewhere"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{session_id}.jsonl").write_text("\n".join(lines) + "\n")


USAGE = {"input_tokens": 1, "cache_read_input_tokens": 10, "output_tokens": 5}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A HOME with one session of three turns, and files that are none."""
    home = tmp_path / "home"
    secret = "sk-ant-api03-aaaabbbbccccdddd1111"
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    given = {"type": "tool_result", "tool_use_id": "t1", "content": f"a.txt {secret}"}
    model = {"id": "m1", "model": "claude-opus-5-5", "usage": USAGE}
    write(
        home,
        "aaaa0000-0000-4000-8000-000000000001",
        json.dumps({"type": "file-history-snapshot", "snapshot": {}}),
        line("user", 1, "list the files"),
        line("assistant", 2, [{"type": "text", "text": "I look."}], message=model),
        line("assistant", 3, [call], message=model),
        line("user", 4, [given], toolUseResult={"stdout": "a.txt"}),
        line("assistant", 5, [{"type": "text", "text": "One."}], message={**model, "id": "m2"}),
        line("user", 6, "<local-command-stdout>ok</local-command-stdout>"),
        line("user", 7, "a reminder", isMeta=True),
        line("user", 8, "<command-name>/review</command-name><command-args>it</command-args>"),
        line("assistant", 9, [{"type": "text", "text": "Fine."}], message={**model, "id": "m3"}),
        line("user", 10, [{"type": "text", "text": "and now"}]),
        line("user", 11, [{"type": "text", "text": "[Request interrupted by user]"}]),
        '{"type": "user", "timest',
    )
    write(home, "bbbb0000-0000-4000-8000-000000000002", json.dumps({"type": "summary"}), "garbage")
    return home


def test_sessions_are_listed(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = paseo.sessions("claude")
    assert len(found) == 1
    row = found.iloc[0]
    assert (row["title"], row["turns"], row["cwd"]) == ("list the files", 3, "/somewhere")
    assert row["model"] == "claude-opus-5-5"
    assert str(row["started"]) == "2026-03-01 10:00:01+00:00"
    assert paseo.sessions("claude", since="2026-04-01").empty
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "gemini").write_text("#!/bin/sh\necho no; exit 1\n")
    (tmp_path / "gemini").chmod(0o755)
    every = paseo.sessions().set_index("provider")
    assert every["session_id"].dropna().tolist() == [row["session_id"]]
    assert every["problem"].notna().to_dict() == {"claude": False, "gemini": True}
    with pytest.raises(paseo.UsageProblem, match="no provider 'cloud'"):
        paseo.sessions("cloud")
    with pytest.raises(paseo.UsageProblem, match="cccc"):
        paseo.import_session("claude", "cccc")


def test_sessions_become_finished_runs(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = paseo.import_sessions("claude")
    assert len(made) == 1
    assert paseo.import_sessions("claude").empty, "each is loaded once"
    run = paseo.import_session("claude", "aaaa")
    assert run.id == made["run_id"][0]
    assert run.state == "idle"
    turns = run.turns()
    assert turns["prompt"].tolist() == ["list the files", "/review it", "and now"]
    assert turns["outcome"].tolist() == ["end_turn", "end_turn", "cancelled"]
    assert turns["input_tokens"].tolist()[:2] == [22, 11], "each message id once"
    assert turns["output_tokens"].tolist()[:2] == [10, 5]
    assert turns["usage_source"].tolist()[:2] == ["session file"] * 2
    calls = run.tool_calls()
    assert calls["tool_name"].tolist() == ["Bash"]
    assert calls["outcome"].tolist() == ["completed"]
    history = run.history()
    assert [i.text for i in history.items if i.role == "agent" and i.kind == "message"] == [
        "I look.", "One.", "Fine.",
    ]  # fmt: skip
    journal = (tmp_path / f".paseo_nb/runs/{run.id}/journal.jsonl").read_text()
    assert "aaaabbbbccccdddd1111" not in journal
    assert paseo.sessions("claude")["run_id"].tolist() == [run.id]


@pytest.mark.real_agent
def test_a_session_of_a_terminal_is_taken_over(repo: Path, server: ModelServer) -> None:
    def script(conversation: Conversation) -> Reply | str:
        if "look around" in conversation.prompt:
            return "sub done"
        if "delegate" not in conversation.prompt or conversation.results:
            return f"user messages: {len(conversation.user_texts)}"
        given = {"description": "look", "prompt": "look around", "subagent_type": "Explore"}
        return Reply(calls=(ToolCall("c1", "Agent", given),))

    for prompt, more in (("hello", []), ("delegate it", ["--continue"])):
        server.script = script
        command = ["claude", "-p", prompt, "--model", "sonnet", *more]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=90, env=os.environ)
    server.enqueue(behaviours.write("never.txt", "x"))
    server._queues.clear()  # pyright: ignore[reportPrivateUsage]
    told = server.spent()
    row = paseo.sessions("claude").iloc[0]
    assert (row["cwd"], row["turns"]) == (str(repo), 2)
    run = paseo.import_session("claude", row["session_id"][:8])
    left, said = analysed()
    assert said == dict.fromkeys(said, ""), "every figure of the notebook has something to show"
    assert left["part"]["computed_usd"].iloc[0] > 0
    assert run.spec.dialect == claude.PROVIDER.dialect
    usage = run.usage
    assert (usage.input_tokens, usage.output_tokens) == (told.input_tokens, told.output_tokens)
    run.send("and on").wait(90)
    assert run.session_id == row["session_id"]
    assert run.history().turns[-1].outcome == "end_turn", run.error
    assert run.text == "user messages: 3"
