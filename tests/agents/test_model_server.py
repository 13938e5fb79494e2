"""The model server alone, over real HTTP: shapes, usage, connections, and the fixer's plot."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from paseo_nb.programs.demo import copy_sample
from tests.agents.api_client import (
    CHAT,
    GEMINI,
    GEMINI_TOOLS,
    OPENCODE_TOOLS,
    chat,
    contents,
    post,
    tool,
)
from tests.modelserver import Conversation, Failure, ModelServer, Reply, Usage, Use, scripts


def test_chat_completion_in_one_piece_with_usage_and_cache_numbers():
    with ModelServer(Reply("hello", reasoning="hm")) as server:
        answer = post(server, CHAT, chat("hi"))
    assert answer["choices"][0]["message"]["content"] == "hello"
    assert answer["choices"][0]["message"]["reasoning_content"] == "hm"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {
        "prompt_tokens": 8421,
        "completion_tokens": 42,
        "total_tokens": 8463,
        "prompt_tokens_details": {"cached_tokens": 7007, "cache_write_tokens": 303},
        "completion_tokens_details": {"reasoning_tokens": 9},
        "prompt_cache_hit_tokens": 7007,
        "prompt_cache_miss_tokens": 1414,
    }


@pytest.mark.parametrize("asked", [True, False])
def test_chat_completion_streams_text_then_reason_then_usage_if_asked(asked: bool):
    with ModelServer(Reply("a text of several pieces", reasoning="first think")) as server:
        body = chat("hi", stream=True, stream_options={"include_usage": asked})
        *chunks, done = post(server, CHAT, body)
    assert done == "[DONE]"
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "first think"
    assert [d["content"] for d in deltas if d.get("content")] == ["a text of se", "veral pieces"]
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}
    assert [c["usage"]["total_tokens"] for c in chunks if "usage" in c] == [8463] * asked


def test_a_capability_becomes_the_tool_that_the_cli_offered():
    reply = Reply("ok", uses=(Use("edit", {"path": "a.py", "old": "x", "new": "y" * 200}),))
    with ModelServer(reply) as server:
        chunks = post(server, CHAT, chat("do", tools=OPENCODE_TOOLS, stream=True))
        answer = post(server, f"{GEMINI}:generateContent", contents("do", tools=GEMINI_TOOLS))
    calls = [t for c in chunks[:-1] for t in c["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["function"]["name"] == "edit"
    assert json.loads("".join(c["function"]["arguments"] for c in calls)) == {
        "filePath": "a.py",
        "oldString": "x",
        "newString": "y" * 200,
    }
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    call = answer["candidates"][0]["content"]["parts"][-1]["functionCall"]
    assert call["name"] == "replace"
    assert call["args"]["old_string"] == "x"
    assert call["args"]["instruction"], "required by the schema, so it has to be there"


def test_paths_become_absolute_where_the_cli_told_its_working_folder():
    body = chat("do", tools=OPENCODE_TOOLS)
    body["messages"].insert(0, {"role": "system", "content": "<env>\n  Working directory: /w\n"})
    with ModelServer(scripts.writer("hello.txt")) as server:
        call = post(server, CHAT, body)["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"])["filePath"] == "/w/hello.txt"


def test_a_tool_that_is_not_offered_is_said_in_the_text():
    with ModelServer(scripts.shell("ls")) as server:
        answer = post(server, CHAT, chat("do", tools=[tool("look", "at")]))
    assert "no tool for 'shell' among the offered ones: look" in str(answer)


def test_gemini_streams_thought_text_and_usage_in_the_last_chunk():
    usage = Usage(input_tokens=100, cached_tokens=60, output_tokens=30, reasoning_tokens=10)
    with ModelServer(Reply("a text of several pieces", reasoning="hm", usage=usage)) as server:
        chunks = post(server, f"{GEMINI}:streamGenerateContent?alt=sse", contents("hi"))
    parts = [c["candidates"][0]["content"]["parts"][0] for c in chunks]
    assert parts[0] == {"text": "**Thinking** hm", "thought": True}
    assert "".join(p["text"] for p in parts[1:]) == "a text of several pieces"
    assert [c["candidates"][0].get("finishReason") for c in chunks] == [None, None, None, "STOP"]
    assert chunks[-1]["usageMetadata"] == {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 10,
        "totalTokenCount": 130,
    }


def test_models_and_token_counts_need_no_script():
    with ModelServer(Failure(), models=("a", "b")) as server:
        with urllib.request.urlopen(f"{server.url}/x/v1/models") as answer:
            assert [m["id"] for m in json.load(answer)["data"]] == ["a", "b"]
        with urllib.request.urlopen(f"{server.url}/x/v1beta/models") as answer:
            assert [m["name"] for m in json.load(answer)["models"]] == ["models/a", "models/b"]
        assert post(server, f"{GEMINI}:countTokens", contents("x" * 400))["totalTokens"] >= 100


def test_session_context_and_function_responses_are_no_user_messages():
    body = contents("<session_context>\n- **Workspace Directories:**\n  - /w", "one")
    body["contents"] += [
        {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "1", "name": "f", "response": {}}}]},
    ]
    with ModelServer(scripts.echo()) as server:
        post(server, f"{GEMINI}:generateContent", body)
        assert server.conversations[0].user_texts == ("one",)
        assert [r.name for r in server.conversations[0].results] == ["f"]


def test_a_title_request_gets_a_title_and_not_the_script():
    body = chat("hi")
    body["messages"].insert(0, {"role": "system", "content": "You are a title generator."})
    with ModelServer(Failure(), title="Greeting") as server:
        assert post(server, CHAT, body)["choices"][0]["message"]["content"] == "Greeting"
        assert server.conversations == []
        assert len(server.requests) == 1


def test_a_list_of_answers_is_given_one_by_one_and_the_script_can_be_exchanged():
    with ModelServer(["one", Reply("two")]) as server:
        answers = [post(server, CHAT, chat("hi")) for _ in range(3)]
        server.script = scripts.echo()
        answers.append(post(server, CHAT, chat("a", "b")))
    texts = [a["choices"][0]["message"]["content"] for a in answers]
    assert texts == ["one", "two", "two", "user messages: 2; last: b"]


def test_failures_have_the_status_the_body_and_the_wait_of_the_api():
    with ModelServer(scripts.err500()) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, CHAT, chat("hi"))
        assert caught.value.code == 500
        assert caught.value.headers["retry-after-ms"] == "50"
        assert json.load(caught.value)["error"]["type"] == "server_error"
        server.script = scripts.err500(status=429, message="slow down")
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(server, f"{GEMINI}:generateContent", contents("hi"))
        assert json.load(caught.value)["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert [r.status for r in server.requests] == [500, 429]


def test_an_error_in_a_script_reaches_the_test():
    def broken(conversation: Conversation) -> str:
        raise KeyError("oops")

    server = ModelServer(broken)
    with pytest.raises(KeyError, match="oops"), server, pytest.raises(urllib.error.HTTPError):
        post(server, CHAT, chat("hi"))


def test_one_connection_serves_many_requests_in_either_framing():
    with ModelServer("hello") as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/nowhere")
        assert connection.getresponse().read().startswith(b'{"error"')
        socket = connection.sock
        connection.request("POST", CHAT, b"not json")
        assert connection.getresponse().read().startswith(b'{"error"')
        for stream in (True, False, True):
            data = json.dumps(chat("hi", stream=stream)).encode()
            connection.request("POST", CHAT, iter([data[:9], data[9:]]), encode_chunked=True)
            answer = connection.getresponse()
            assert answer.status == 200
            assert b"hello" in answer.read()
        assert connection.sock is socket
        connection.close()


def test_many_requests_at_once():
    with ModelServer(scripts.echo()) as server, ThreadPoolExecutor(16) as pool:
        jobs = [pool.submit(post, server, CHAT, chat(str(i), stream=True)) for i in range(200)]
        for i, job in enumerate(jobs):
            deltas = [c["choices"][0]["delta"] for c in job.result()[:-1]]
            assert "".join(d.get("content") or "" for d in deltas).endswith(f"last: {i}")
        assert len(server.requests) == 200


@pytest.mark.parametrize("script", [scripts.slow(), scripts.silent()])
def test_a_client_that_hangs_up_is_noticed_at_once(script: Any):
    with ModelServer(script) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("POST", CHAT, json.dumps(chat("hi", stream=True)))
        server.wait_for(lambda r: r.answer is not None)
        time.sleep(0.2)
        connection.close()
        request = server.wait_for(lambda r: r.outcome == "disconnected", timeout=2)
        assert request.events_sent < 20
        server.script = "still there"
        assert "still there" in str(post(server, CHAT, chat("hi")))


def test_close_ends_open_streams_and_every_thread():
    with ModelServer(scripts.slow()) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("POST", CHAT, json.dumps(chat("hi", stream=True)))
        request = server.wait_for(lambda r: r.events_sent > 3)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    assert request.outcome == "closed"
    connection.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(server.url)


def test_the_fixer_mends_the_sample_repository(tmp_path: Path):
    """A minimal agent runs the model's tool calls for real, in opencode's tools and dress."""
    repo = copy_sample(tmp_path / "repo")
    body = chat("please fix the failing tests", tools=OPENCODE_TOOLS)
    names: list[str] = []
    with ModelServer(scripts.sample_fixer(f"{sys.executable} -m unittest")) as server:
        while calls := (said := post(server, CHAT, body)["choices"][0]["message"]).get(
            "tool_calls"
        ):
            name, arguments = calls[0]["function"]["name"], calls[0]["function"]["arguments"]
            names.append(name)
            result = use_tool(repo, name, json.loads(arguments))
            answer = {"role": "tool", "tool_call_id": calls[0]["id"], "content": result}
            body["messages"] += [said, answer]
    assert names == ["bash", "read", "edit", "read", "edit", "bash"]
    assert "FAILED (failures=2)" in str(body)
    assert said["content"].startswith("Fixed; the tests now say: OK.")
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=repo, capture_output=True)
    assert done.returncode == 0


def use_tool(repo: Path, name: str, arguments: dict[str, str]) -> str:
    if name == "bash":
        done = subprocess.run(
            arguments["command"], shell=True, cwd=repo, capture_output=True, text=True
        )
        return done.stdout + done.stderr
    file = repo / arguments["filePath"]
    text = file.read_text()
    if name == "read":
        lines = "\n".join(f"{i}: {line}" for i, line in enumerate(text.splitlines(), 1))
        return f"<path>{file}</path>\n<content>\n{lines}\n\n(End of file)\n</content>"
    file.write_text(text.replace(arguments["oldString"], arguments["newString"]))
    return "Edit applied successfully."


def test_the_command_line_prints_its_url_and_ends_on_sigterm():
    command = [sys.executable, "-m", "tests.modelserver", "--script", "writer", "--set", "path=a"]
    with subprocess.Popen(
        [*command, "--ledger"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            url = (process.stdout or sys.stdin).readline().strip()
            with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
                assert answer.status == 200
            row = json.loads((process.stderr or sys.stdin).readline())
            assert (row["kind"], row["status"]) == ("aside", 200)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
