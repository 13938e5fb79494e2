"""What single scenarios and a script do, as a user of the demo agent would notice it."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conftest import Launch


def test_image_reports_what_arrived(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "image")
    demo.initialize()
    server: dict[str, Any] = {
        "type": "http",
        "name": "paseo",
        "url": "http://127.0.0.1:1/",
        "headers": [],
    }
    new = demo.call("session/new", cwd=str(repo), mcpServers=[server])
    demo.session = new["result"]["sessionId"]
    data = base64.b64encode(b"x" * 1000).decode()
    resource = {"uri": "file:///a.txt", "text": "hello"}
    demo.prompt(
        [
            {"type": "text", "text": "look"},
            {"type": "image", "mimeType": "image/png", "data": data},
            {"type": "resource", "resource": resource},
            {"type": "resource_link", "uri": "file:///b.txt", "name": "b"},
        ]
    )
    said = demo.text()
    assert "text, 4 characters" in said
    assert "image, image/png, 1000 bytes" in said
    assert "resource, file:///a.txt, 5 characters" in said
    assert "resource_link, file:///b.txt" in said
    assert "MCP servers: paseo" in said


def test_asker_respects_each_answer(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "asker")
    demo.start(repo)
    touch = "run: touch asked.txt"
    demo.permission_answer = "reject_once"
    assert demo.prompt(touch)["result"]["stopReason"] == "end_turn"
    assert not (repo / "asked.txt").exists()
    assert "denied" in demo.text()
    demo.permission_answer = "allow_always"
    demo.prompt(touch)
    assert (repo / "asked.txt").exists()
    demo.prompt(touch)
    assert len(demo.permissions) == 2
    kinds = [option["kind"] for option in demo.permissions[0]["options"]]
    assert kinds == ["allow_once", "allow_always", "reject_once", "reject_always"]


def test_bareperm_names_only_the_call(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "bareperm")
    demo.start(repo)
    demo.prompt("go")
    (asked,) = demo.permissions
    (call,) = demo.updates("tool_call")
    assert asked["toolCall"] == {"toolCallId": call["toolCallId"]}


def test_writer_and_reader_use_the_client_where_it_offers(launch: Launch, repo: Path) -> None:
    for fs in (True, False):
        demo = launch("--model", "writer")
        demo.start(repo, fs=fs)
        demo.prompt("write docs.md please")
        demo.prompt("/reader README.md and docs.md")
        used = {m["method"] for m in demo.messages if str(m.get("method")).startswith("fs/")}
        assert used == ({"fs/read_text_file", "fs/write_text_file"} if fs else set())
        assert "write docs.md please" in (repo / "docs.md").read_text()
        assert "`docs.md`: 5 lines" in demo.text()
        (repo / "docs.md").unlink()


def test_secrets_are_shown_in_every_form(launch: Launch, repo: Path) -> None:
    secret = 'sk-"quo\\te" é'
    demo = launch("--model", "secrets", env={"DEMO_KEY": secret})
    demo.start(repo)
    demo.prompt("print DEMO_KEY and NOT_THERE")
    said = demo.text()
    assert f"whole: DEMO_KEY={secret}" in said
    assert f"split: DEMO_KEY={secret}" in said
    assert json.dumps({"DEMO_KEY": secret}) in said
    assert f"escaped: {secret}" in said
    assert "1 of 2" in said


def test_script_plays_its_turns(launch: Launch, repo: Path, tmp_path: Path) -> None:
    turns = [
        [
            {"say": "one"},
            {"think": "hm"},
            {"plan": ["a", {"content": "b", "priority": "low", "status": "completed"}]},
            {"usage": {"used": 10, "size": 20, "cost": 0.5}},
            {"write": {"path": "new.txt", "text": "old text"}},
            {"edit": {"path": "new.txt", "old": "old", "new": "new"}},
            {"read": "new.txt"},
            {"shell": "echo $((40 + 2))"},
            {"permission": {"title": "May I?", "options": None}},
            {
                "tool": {
                    "title": "T",
                    "kind": "fetch",
                    "text": "x",
                    "diff": {"path": "a", "new": "b"},
                }
            },
            {"user": "queued"},
            {"title": "A title"},
            {"commands": {"x": "does x"}},
            {"mode": "auto"},
            {"config": {"effort": "low"}},
            {"request": {"method": "_demo/x"}},
            {"raw": "not json"},
            {"bytes": 1000},
            {"flood": 3},
            {"stderr": 100},
            {"sleep": 0.01},
            {"usage": {"turn": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}},
        ],
        [{"usage": None}, {"stop": "max_turn_requests"}],
        [{"error": {"code": -32000, "message": "log in", "data": {"a": 1}}}],
        [{"stall": True}],
        [{"exit": 5}],
    ]
    script = tmp_path / "script.json"
    script.write_text(json.dumps(turns))
    demo = launch("--script", str(script))
    demo.start(repo)
    first = demo.prompt("first")["result"]
    assert first == {
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        "_meta": {"paseo_nb": {"turn": 1}},
    }
    assert (repo / "new.txt").read_text() == "new text"
    assert demo.text().startswith("one")
    assert demo.bad_lines == [b"not json\n"]
    outputs = [u.get("rawOutput") for u in demo.updates("tool_call_update")]
    assert {"exitCode": 0, "output": "42\n"} in outputs
    assert demo.prompt("second")["result"] == {
        "stopReason": "max_turn_requests",
        "_meta": {"paseo_nb": {"turn": 2}},
    }
    error = {"code": -32000, "message": "log in", "data": {"a": 1}}
    assert demo.prompt("third")["error"] == error
    stalled = demo.ask("fourth")
    demo.cancel()
    assert demo.result(stalled)["result"]["stopReason"] == "cancelled"
    demo.ask("fifth")
    assert demo.process.wait(10) == 5


def test_late_hostile_and_garbage_do_not_harm_the_next_turn(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "garbage")
    demo.start(repo)
    demo.prompt("go")
    assert "The client refused _demo/unknown_request" in demo.text()
    assert any(b"\xff\xfe" in line for line in demo.bad_lines)
    demo.prompt("/late count=2")
    demo.prompt("/hostile")
    demo.prompt("/echo still there")
    assert "user message 4 of this session" in demo.text()
    assert "<script>" in demo.text()


def test_crash_and_exit_codes(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "crash")
    demo.start(repo)
    demo.ask("go")
    assert demo.process.wait(10) == 3
    demo = launch("--model", "exit")
    assert demo.process.wait(10) == 7
    assert demo.process.stderr is not None
    assert b"scripted" in demo.process.stderr.read()
    demo = launch("--model", "error")
    demo.start(repo)
    assert demo.prompt("go")["error"]["code"] == -32000
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(10) == 0
