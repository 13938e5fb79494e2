"""Permissions, modes, cancelling, errors, sessions that outlive their process, hostile input."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paseo_nb.supervisor import cleanup
from tests.modelserver import Failure, ModelServer, behaviours, scripts
from tests.modelserver.conversation import Reply

from .test_turns import endpoints, uses

if TYPE_CHECKING:
    from .conftest import Api, Launch

SLACK = 5.0


def mode(api: Api, name: str) -> None:
    assert "result" in api.call("session/set_mode", sessionId=api.session, modeId=name)


def pid_in(path: Path) -> int:
    """The process id that a command writes into a file, as soon as it is there."""
    deadline = time.monotonic() + 30
    while not path.exists() or not path.read_text().strip():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)
    return int(path.read_text())


# ---------------------------------------------------------------- permissions and modes


def test_what_each_mode_asks_for(
    launch: Launch, repo: Path, tmp_path: Path, server: ModelServer
) -> None:
    (tmp_path / "outside.txt").write_text("not in the folder")
    (repo / "link").symlink_to(tmp_path / "outside.txt")
    acts = {
        "inside": uses("write", path="a.txt", content="x"),
        "command": uses("shell", command="echo hi"),
        "look": uses("read", path="README.md"),
        "outside": uses("read", path="../outside.txt"),
        "link": uses("read", path="link"),
        "git": uses("write", path=".git/hooks/pre-commit", content="x"),
    }
    asked_for = {
        "ask": {"inside", "command", "outside", "link", "git"},
        "edit": {"command", "outside", "link", "git"},
        "plan": {"outside", "link"},
        "auto": set[str](),
    }
    for name, wanted in asked_for.items():
        api = launch()
        api.start(repo)
        mode(api, name)
        found: set[str] = set()
        for act, reply in acts.items():
            before = len(api.permissions)
            server.enqueue(reply, "done")
            api.prompt(act)
            if len(api.permissions) > before:
                found.add(act)
        assert found == wanted, name
        results = [r["status"] for r in api.tool_results()]
        refused = [act for act, status in zip(acts, results, strict=True) if status == "failed"]
        assert refused == (["inside", "command", "git"] if name == "plan" else []), name


def test_a_request_shows_what_will_be_done(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.enqueue(uses("write", path="a.txt", content="x"), uses("shell", command="ls"), "done")
    api = launch()
    api.start(repo)
    api.prompt("do")
    write, run = (p["toolCall"] for p in api.permissions)
    assert write["content"] == [
        {"type": "diff", "path": str(repo / "a.txt"), "oldText": None, "newText": "x"}
    ]
    assert write["locations"] == [{"path": str(repo / "a.txt")}]
    assert (run["kind"], run["rawInput"]) == ("execute", {"command": "ls"})
    kinds = [o["kind"] for o in api.permissions[0]["options"]]
    assert kinds == ["allow_once", "allow_always", "reject_once", "reject_always"]


def test_a_standing_answer_covers_what_it_says(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    api = launch()
    api.start(repo)
    api.permission_answer = "allow_always"
    server.enqueue(
        uses("shell", command="echo one"), uses("shell", command="echo one"),
        uses("shell", command="echo two"), uses("write", path="a", content=""),
        uses("write", path="b", content=""), uses("write", path="../c", content=""), "done",
    )  # fmt: skip
    api.prompt("do")
    assert [p["toolCall"]["title"] for p in api.permissions] == [
        "echo one", "echo two", "Write a", "Write ../c",
    ]  # fmt: skip
    api.end()
    again = launch()
    again.initialize()
    again.call("session/resume", sessionId=api.session, cwd=str(repo), mcpServers=[])
    again.session = api.session
    server.enqueue(uses("shell", command="echo one"), "done")
    again.prompt("again")
    assert again.permissions == []


@pytest.mark.parametrize("answer", ["reject_once", "reject_always", "nonsense"])
def test_what_is_denied_is_not_done_and_the_model_learns_of_it(
    launch: Launch, repo: Path, server: ModelServer, answer: str
) -> None:
    server.enqueue(uses("shell", command="touch denied"), "I see.")
    api = launch()
    api.start(repo)
    api.permission_answer = None
    asked = api.ask("do")
    api.until(lambda c: c.permissions)
    reply = {"outcome": {"outcome": "selected", "optionId": answer}}
    request = next(m for m in api.messages if m.get("method") == "session/request_permission")
    api.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": reply}).encode() + b"\n")
    assert api.result(asked)["result"]["stopReason"] == "end_turn"
    assert not (repo / "denied").exists()
    assert "did not permit" in server.conversations[-1].results[0].text


def test_a_cancelled_permission_ends_the_turn(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    server.enqueue(uses("shell", command="touch denied"), "never said")
    api = launch()
    api.start(repo)
    api.permission_answer = None
    asked = api.ask("do")
    api.until(lambda c: c.permissions)
    request = next(m for m in api.messages if m.get("method") == "session/request_permission")
    reply = {"outcome": {"outcome": "cancelled"}}
    api.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": reply}).encode() + b"\n")
    assert api.result(asked)["result"]["stopReason"] == "cancelled"
    assert len(server.requests) == 1
    server.enqueue("on we go")
    assert api.prompt("and now?")["result"]["stopReason"] == "end_turn"


def test_model_and_effort_are_chosen_in_the_session(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    api = launch()
    api.start(repo)

    def choose(option: str, value: str) -> dict[str, Any]:
        params = {"sessionId": api.session, "configId": option, "value": value}
        return api.result(api.post("session/set_config_option", params))

    assert "result" in choose("model", "openai:another-model")
    told = choose("effort", "high")["result"]["configOptions"]
    assert {o["id"]: o["currentValue"] for o in told} == {
        "model": "openai:another-model",
        "effort": "high",
    }
    api.prompt("hello")
    assert server.requests[-1].body["model"] == "another-model"
    assert server.requests[-1].body["reasoning_effort"] == "high"
    choose("effort", "default")
    api.prompt("hello")
    assert "reasoning_effort" not in server.requests[-1].body
    assert "DEEPSEEK_API_KEY" in choose("model", "deepseek:m")["error"]["message"]
    assert "Unknown effort" in choose("effort", "enormous")["error"]["message"]
    assert "Unknown config option" in choose("colour", "red")["error"]["message"]


def test_effort_where_the_model_takes_none(launch: Launch, repo: Path) -> None:
    api = launch(model="gpt-4o", env={"OPENAI_API_KEY": "never sent"})
    api.start(repo)
    params = {"sessionId": api.session, "configId": "effort", "value": "high"}
    error = api.result(api.post("session/set_config_option", params))["error"]
    assert "takes no effort" in error["message"]


# ---------------------------------------------------------------- cancelling


@pytest.mark.parametrize("kind", ["chat", "anthropic", "google"])
def test_cancel_in_a_stream(launch: Launch, repo: Path, kind: str) -> None:
    with ModelServer(scripts.slow(chunks=2000, pause_s=0.05)) as server:
        model, env = endpoints(server.url)[kind]
        api = launch(model=model, env=env)
        api.start(repo)
        asked = api.ask("talk")
        api.until(lambda c: "word00002" in c.text())
        cancelled = api.cancel()
        assert api.result(asked)["result"]["stopReason"] == "cancelled"
        assert api.heard_at - cancelled < 0.2 * SLACK
        server.wait_for(lambda r: r.outcome == "disconnected", 10)
        assert api.calls()[-1]["stopReason"] == "cancelled"
        server.script = scripts.echo()
        api.prompt("what did you say?")
        said = [m.text for m in server.conversations[-1].messages if m.role == "assistant"]
        assert said, "what was said is not forgotten"
        assert said[0].startswith("word00000")


def test_cancel_while_the_model_is_silent(launch: Launch, repo: Path) -> None:
    with ModelServer(scripts.silent(60)) as server:
        api = launch(env={"OPENAI_BASE_URL": f"{server.url}/v1"})
        api.start(repo)
        asked = api.ask("think")
        server.wait_for(lambda r: True, 30)
        cancelled = api.cancel()
        assert api.result(asked)["result"] == {"stopReason": "cancelled"}
        assert api.heard_at - cancelled < 0.2 * SLACK


def test_steering_reaches_the_running_turn(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.enqueue(
        uses("shell", command="echo $$ > pid; sleep 1"), Reply("no, " * 40, pause_s=0.02)
    )
    api = launch()
    api.start(repo)
    mode(api, "auto")

    def steer(text: str) -> Any:
        prompt = [{"type": "text", "text": text}]
        params = {"sessionId": api.session, "prompt": prompt}
        return api.result(api.post("_paseo_nb/steer", params))["result"]["taken"]

    assert steer("too early") is False
    asked = api.ask("run")
    pid_in(repo / "pid")
    assert steer("after the tool") is True
    api.until(lambda c: "no, " in c.text())
    server.enqueue("heard")
    assert steer("after the answer") is True
    assert api.result(asked)["result"]["stopReason"] == "end_turn"
    texts = [c.user_texts for c in server.conversations]
    assert [len(t) for t in texts] == [1, 2, 3]
    assert texts[-1] == ("run", "after the tool", "after the answer")
    assert api.text().endswith("heard")
    assert steer("too late") is False


def test_cancel_ends_the_whole_command(launch: Launch, repo: Path, server: ModelServer) -> None:
    line = "sleep 300 & (setsid sleep 301 &) ; echo $$ > pid; sleep 302"
    server.enqueue(uses("shell", command=line), "never said")
    api = launch()
    api.start(repo)
    mode(api, "auto")
    asked = api.ask("run")
    pid = pid_in(repo / "pid")
    cancelled = api.cancel()
    answer = api.result(asked)["result"]
    assert answer["stopReason"] == "cancelled"
    assert answer["usage"]["outputTokens"] == 42, "of the call that was made"
    assert api.heard_at - cancelled < 0.3 * SLACK
    assert api.tool_results()[-1]["status"] == "failed"
    time.sleep(0.2)
    assert pid not in cleanup.parents()
    api.prompt("and?")
    assert "cancelled" in server.conversations[-1].messages[2].tool_results[0].text


def test_the_end_of_stdin_ends_a_command(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.enqueue(uses("shell", command="echo $$ > pid; sleep 300"), "never said")
    api = launch()
    api.start(repo)
    mode(api, "auto")
    api.ask("run")
    pid = pid_in(repo / "pid")
    assert api.end() == 0
    time.sleep(0.2)
    assert pid not in cleanup.parents()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic", "google"])
@pytest.mark.parametrize(
    ("failure", "cause", "requests"),
    [
        (Failure(401, times=None), "auth", 1),
        (Failure(404, times=None), "model_not_found", 1),
        (Failure(429, retry_after_s=0.05, times=None), "rate_limit", 3),
        (Failure(500, retry_after_s=0.05, times=None), "server_error", 3),
        (Failure(400, overflow=True, times=None), "context_overflow", 1),
        (Failure(400, times=None), "rejected", 1),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_failed_call_is_an_error_with_its_cause(
    launch: Launch, repo: Path, kind: str, failure: Failure, cause: str, requests: int
) -> None:
    with ModelServer() as server:
        server.enqueue(failure)
        model, env = endpoints(server.url)[kind]
        api = launch(model=model, env=env)
        api.start(repo)
        error = api.prompt("hello")["error"]
        assert error["data"]["cause"] == cause, error
        assert server.url in error["message"]
        if not failure.overflow:
            assert str(failure.status) in error["message"]
            assert "told to fail" in error["message"]
        assert len(server.ledger()) == requests
        told = [m["params"] for m in api.messages if m.get("method") == "_paseo_nb/retry"]
        assert [t["attempt"] for t in told] == list(range(1, requests))
        assert api.calls()[-1]["stopReason"] == "error"


def test_a_retry_that_succeeds_is_told_and_no_error(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    server.enqueue(Failure(429, retry_after_s=0.01), Failure(503, retry_after_s=0.01), "at last")
    api = launch()
    api.start(repo)
    assert api.prompt("hello")["result"]["stopReason"] == "end_turn"
    assert api.text() == "at last"
    told = [m["params"] for m in api.messages if m.get("method") == "_paseo_nb/retry"]
    assert [t["error"]["data"]["status"] for t in told] == [429, 503]
    ended = [c for c in api.calls() if "stopReason" in c]
    assert [c["stopReason"] for c in ended] == ["stop"]


def test_a_stream_that_breaks_off_is_an_error_and_not_repeated(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    server.enqueue(Reply("many words " * 50, cut_after=5))
    api = launch()
    api.start(repo)
    error = api.prompt("hello")["error"]
    assert error["data"]["cause"] in ("disconnected", "bad_answer"), error
    assert len(server.ledger()) == 1


def test_an_endpoint_that_is_silent_too_long(launch: Launch, repo: Path) -> None:
    with ModelServer(scripts.silent(60)) as server:
        api = launch("--timeout", "0.5", env={"OPENAI_BASE_URL": f"{server.url}/v1"})
        api.start(repo)
        error = api.prompt("hello")["error"]
        assert error["data"]["cause"] == "timeout"


def test_a_server_that_is_not_there_is_named(launch: Launch, repo: Path) -> None:
    api = launch(model="vllm:m", env={"VLLM_BASE_URL": "http://127.0.0.1:9/v1"})
    api.start(repo)
    error = api.prompt("hello")["error"]
    assert error["data"]["cause"] == "unreachable"
    assert "http://127.0.0.1:9/v1" in error["message"]
    assert "VLLM_BASE_URL" in error["data"]["hint"]


def test_a_missing_key_is_named(launch: Launch, repo: Path) -> None:
    api = launch(model="deepseek-chat", env={})
    api.initialize()
    error = api.call("session/new", cwd=str(repo), mcpServers=[])["error"]
    assert "DEEPSEEK_API_KEY" in error["message"]
    assert error["data"]["cause"] == "no_endpoint"


def test_an_empty_answer_is_an_error(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.enqueue(Reply(""))
    api = launch()
    api.start(repo)
    assert "empty answer" in api.prompt("hello")["error"]["message"]


def test_a_loop_has_an_end(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.script = uses("read", path="README.md")
    api = launch("--max-requests", "4")
    api.start(repo)
    answer = api.prompt("go round")["result"]
    assert answer["stopReason"] == "max_turn_requests"
    assert len(server.ledger()) == 4
    assert answer["usage"]["outputTokens"] == 4 * 42


# ---------------------------------------------------------------- sessions


def test_kill_9_loses_the_running_call_only(
    launch: Launch, repo: Path, home: Path, server: ModelServer
) -> None:
    server.enqueue(
        behaviours.think("hm", "first words"),
        uses("write", path="kept.txt", content="x"),
        uses("shell", command="echo $$ > pid; sleep 300"),
    )
    api = launch()
    api.start(repo)
    mode(api, "auto")
    api.prompt("one")
    api.ask("two")
    pid = pid_in(repo / "pid")
    api.kill()
    os.killpg(pid, signal.SIGKILL)
    (path,) = (home / "sessions").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("ab") as file:
        file.write(b'{"k":"said","mess')  # as a torn write leaves it

    again = launch()
    again.initialize()
    listed = again.call("session/list", cwd=str(repo))["result"]["sessions"]
    assert [(s["sessionId"], s["title"]) for s in listed] == [(api.session, "one")]
    assert again.call("session/list", cwd="/elsewhere")["result"]["sessions"] == []
    loaded = again.call("session/load", sessionId=api.session, cwd=str(repo), mcpServers=[])
    assert loaded["result"]["modes"]["currentModeId"] == "auto"
    assert again.text("user_message_chunk") == "onetwo"
    assert again.text() == "first words"
    assert again.text("agent_thought_chunk") == "hm"
    assert [u["status"] for u in again.updates("tool_call_update")][-1] == "failed"
    again.session = api.session
    server.script = scripts.echo()
    assert again.prompt("three")["result"]["stopReason"] == "end_turn"
    messages = server.conversations[-1].messages
    assert [m.text for m in messages if m.role == "user"] == ["one", "two", "three"]
    results = [r for m in messages for r in m.tool_results]
    assert "Successfully wrote" in results[0].text
    assert "interrupted" in results[1].text

    third = launch()
    third.initialize()
    params = {"sessionId": api.session, "cwd": str(repo), "mcpServers": []}
    assert "result" in third.call("session/resume", **params)
    assert third.updates("user_message_chunk") == [], "resume replays nothing"
    third.session = api.session
    third.prompt("four")
    assert "user messages: 4; last: four" in third.text()


def test_a_session_goes_on_with_another_vendors_model(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    env: dict[str, str] = {}
    for _, more in endpoints(server.url).values():
        env |= more
    api = launch(model="openai:one", env=env)
    api.start(repo)
    server.enqueue(behaviours.think("hm", "I look."), uses("read", path="README.md"), "done")
    api.prompt("read")
    for model in ("claude-sonnet-4-5", "gemini-2.5-pro", "openai-responses:gpt-5", "deepseek-chat"):
        params = {"sessionId": api.session, "configId": "model", "value": model}
        api.result(api.post("session/set_config_option", params))
        server.enqueue(uses("read", path="README.md"), "done")
        answer = api.prompt(f"now {model}")
        assert answer["result"]["stopReason"] == "end_turn", answer
        assert server.conversations[-1].model == model.rpartition(":")[2]


# ---------------------------------------------------------------- hostile input


def test_what_a_client_sends_wrongly_is_refused_and_no_more(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    api = launch()
    api.start(repo)
    for method, params, words in (
        ("session/new", {"cwd": "relative", "mcpServers": []}, "no absolute path"),
        ("session/new", {"cwd": "/no/such/folder", "mcpServers": []}, "no absolute path"),
        ("session/new", {"cwd": "/tmp\0", "mcpServers": []}, "no absolute path"),
        ("session/new", {}, "Invalid params"),
        ("session/new", {"cwd": str(repo), "mcpServers": [7]}, "Invalid params"),
        ("session/load", {"sessionId": "../../etc/passwd", "cwd": "/"}, "No such session"),
        ("session/resume", {"sessionId": 7, "cwd": "/"}, "No such session"),
        ("session/prompt", {"sessionId": "other", "prompt": []}, "not open"),
        ("session/prompt", {"sessionId": api.session}, "Invalid params"),
        ("session/prompt", {"sessionId": api.session, "prompt": 7}, "Invalid params"),
        ("session/prompt", {"sessionId": api.session, "prompt": [{"type": "audio", "data": "", "mimeType": "audio/wav"}]}, "audio"),
        ("session/prompt", {"sessionId": api.session, "prompt": [{"type": "image", "data": "?", "mimeType": "image/png"}]}, "base64"),
        ("session/set_mode", {"sessionId": api.session, "modeId": "wild"}, "Unknown mode"),
        ("no/such", {}, "Method not found"),
    ):  # fmt: skip
        error = api.call(method, **params)["error"]
        assert words in error["message"], (method, params, error)
    api.write(b"this is no JSON\n[1,2]\n\xff\xfe\n")
    api.cancel()
    assert api.prompt("still there?")["result"]["stopReason"] == "end_turn"
    assert [m.text for m in server.conversations[-1].messages] == ["still there?"]


def test_one_turn_at_a_time(launch: Launch, repo: Path) -> None:
    with ModelServer(scripts.silent(60)) as server:
        api = launch(env={"OPENAI_BASE_URL": f"{server.url}/v1"})
        api.start(repo)
        first = api.ask("one")
        assert "turn of this session is running" in api.prompt("two")["error"]["message"]
        api.cancel()
        assert api.result(first)["result"]["stopReason"] == "cancelled"


def test_odd_text_survives_every_way(launch: Launch, repo: Path, server: ModelServer) -> None:
    odd = "a\u2028b \x1b[31m <script> 🙂 \\u0000 ${HOME} $cwd"
    server.enqueue(uses("write", path="odd.txt", content=odd), uses("read", path="odd.txt"), odd)
    api = launch()
    api.start(repo)
    (repo / "AGENTS.md").write_text("costs $cwd and ${x}")
    api.prompt(odd)
    assert (repo / "odd.txt").read_text() == odd
    assert server.conversations[-1].results[-1].text == odd
    assert api.text() == odd
    assert server.conversations[0].prompt == odd


def test_nothing_but_the_endpoint_is_spoken_to(
    launch: Launch, repo: Path, tmp_path: Path, server: ModelServer
) -> None:
    """Every connection that the process tries is told by an audit hook of its own Python."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def told(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        with open(os.environ['TOLD'], 'a') as f: f.write(repr((event, args[1] if event == 'socket.connect' else args[:2])) + '\\n')\n"
        "sys.addaudithook(told)\n"
    )
    told = tmp_path / "told"
    path = f"{hook}{os.pathsep}{Path(__file__).parents[2]}"
    port = server.url.rpartition(":")[2]
    for kind in ("chat", "responses", "anthropic", "google"):
        model, env = endpoints(server.url)[kind]
        api = launch(model=model, env=env | {"TOLD": str(told), "PYTHONPATH": path})
        api.start(repo)
        api.prompt("hello")
        api.end()
    lines = told.read_text().splitlines()
    assert lines
    assert [line for line in lines if port not in line] == []
