"""The agent over stdio against the model server: what it does, and that each line is correct ACP
(the client checks every one against the official SDK's models)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.modelserver import ModelServer, behaviours, scripts
from tests.modelserver.conversation import Conversation, Reply, ToolCall, Usage, nth_usage

if TYPE_CHECKING:
    from .conftest import Launch

PROBE = str(Path(__file__).parents[1] / "mcp_probe.py")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def endpoints(url: str) -> dict[str, tuple[str, dict[str, str]]]:
    """A model's name and environment for each API, and for the services with ways of their own."""
    return {
        "chat": ("fake-model", {"OPENAI_BASE_URL": f"{url}/v1"}),
        "responses": ("openai-responses:gpt-5", {"OPENAI_BASE_URL": f"{url}/v1"}),
        "anthropic": ("claude-sonnet-4-5", {"ANTHROPIC_BASE_URL": url}),
        "google": ("gemini-2.5-pro", {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "k"}),
        "deepseek": ("deepseek-chat", {"DEEPSEEK_BASE_URL": url, "DEEPSEEK_API_KEY": "k"}),
        "ollama": ("ollama:qwen3:8b", {"OLLAMA_HOST": url}),
        "vllm": ("vllm:qwen3", {"VLLM_BASE_URL": f"{url}/v1"}),
        "openrouter": (
            "openrouter:qwen/qwen3-coder",
            {"OPENROUTER_BASE_URL": f"{url}/v1", "OPENROUTER_API_KEY": "k"},
        ),
    }


def uses(name: str, **arguments: Any) -> Reply:
    """The model calls a tool by our own name."""
    return Reply(calls=(ToolCall(f"c-{name}", name, arguments),))


def in_wire_terms(usage: Usage, told: dict[str, int]) -> dict[str, int]:
    """The ledger's numbers under ACP's names, those that were told."""
    written = usage.cache_write_tokens if "cachedWriteTokens" in told else 0
    all_of_it = {
        "inputTokens": usage.input_tokens - usage.cached_tokens - written,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_tokens,
        "cachedReadTokens": usage.cached_tokens,
        "cachedWriteTokens": usage.cache_write_tokens,
        "thoughtTokens": usage.reasoning_tokens,
    }
    return {name: all_of_it[name] for name in told}


# ---------------------------------------------------------------- every API


@pytest.mark.parametrize("kind", endpoints(""))
def test_it_mends_the_sample_over_every_api(launch: Launch, repo: Path, kind: str) -> None:
    script = scripts.sample_fixer(f"{sys.executable} -m unittest")
    with ModelServer(script, usage=nth_usage) as server:
        model, env = endpoints(server.url)[kind]
        api = launch(model=model, env=env)
        api.start(repo)
        answer = api.prompt("The tests fail. Mend the code.")["result"]
        assert answer["stopReason"] == "end_turn"
        assert "the tests now say" in api.text()
        assert "I want to see the failure" in api.text("agent_thought_chunk")
        assert answer["usage"] == in_wire_terms(server.spent(), answer["usage"])
        assert {"inputTokens", "outputTokens", "cachedReadTokens", "thoughtTokens"} < set(
            answer["usage"]
        )
        calls = [c for c in api.calls() if "stopReason" in c]
        assert len(calls) == len(server.ledger()) == 7
        for name in answer["usage"]:
            assert sum(c["usage"][name] for c in calls) == answer["usage"][name]
        assert len({c["messageId"] for c in calls}) == 7
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=repo, capture_output=True)
    assert b"OK" in done.stderr
    kinds = [(u["kind"], u["status"]) for u in api.updates("tool_call")]
    assert [k for k, _ in kinds] == ["execute", "read", "edit", "read", "edit", "execute"]
    statuses = [r["status"] for r in api.tool_results()]
    assert statuses == ["failed", *["completed"] * 5], "the tests fail at first"
    diffs = [c for r in api.tool_results() for c in r["content"] if c["type"] == "diff"]
    assert [Path(d["path"]).name for d in diffs] == ["offsets.py", "durations.py"]
    assert all(d["oldText"] != d["newText"] for d in diffs)
    assert api.end() == 0


def test_a_conversation_goes_on(launch: Launch, repo: Path, server: ModelServer) -> None:
    api = launch()
    api.start(repo)
    api.prompt("one")
    api.prompt("two")
    assert "user messages: 2; last: two" in api.text()
    system = server.conversations[-1].system
    assert f"Working directory: {repo}" in system


def test_the_repositorys_own_instructions_are_read(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    (repo / "AGENTS.md").write_text("Always sing.")
    inner = repo / "inner"
    inner.mkdir()
    (inner / "CLAUDE.md").write_text("Never sing in here.")
    api = launch()
    api.start(inner)
    api.prompt("hello")
    system = server.conversations[0].system
    assert system.index("Always sing.") < system.index("Never sing in here.")


def test_a_session_is_ready_before_the_model_library(launch: Launch, repo: Path) -> None:
    launch().start(repo)  # caches warm
    before = time.monotonic()
    launch().start(repo)
    assert time.monotonic() - before < 5.0  # measured: 0.11 to 0.4 s; the goal is 1 s


# ---------------------------------------------------------------- tools


def test_plan_glob_grep_and_reading_in_parts(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    (repo / "long.txt").write_text("".join(f"line {i}\n" for i in range(1, 3001)))
    (repo / ".gitignore").write_text("ignored.py\n")
    (repo / "ignored.py").write_text("needle")
    server.enqueue(
        uses("plan", entries=[{"content": "look", "status": "in_progress"}, {"content": "mend"}]),
        uses("glob", pattern="**/*.py"),
        uses("grep", pattern=r"def \w+_line\b", include="*.py"),
        uses("grep", pattern="no such thing anywhere"),
        uses("read", path="long.txt"),
        uses("read", path="long.txt", offset="2999", limit=1),
        "done",
    )
    api = launch()
    api.start(repo)
    api.prompt("look around")
    (plan,) = api.updates("plan")
    assert [e["status"] for e in plan["entries"]] == ["in_progress", "pending"]
    results = [r.text for r in server.conversations[-1].results]
    assert "tidelog/offsets.py" in results[1].splitlines()
    assert "ignored.py" not in results[1]
    assert "tidelog/" in results[2]
    assert "def read_line" in results[2]
    assert results[3] == "No matches found."
    assert "[lines 1 to 2000 of 3000; read on with offset=2001]" in results[4]
    assert results[5].splitlines() == [
        "line 2999",
        "[lines 2999 to 2999 of 3000; read on with offset=3000]",
    ]
    assert api.permissions == [], "looking asks for nothing"


def test_tools_without_a_repository(launch: Launch, tmp_path: Path, server: ModelServer) -> None:
    folder = tmp_path / "plain"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b.txt").write_text("needle\n")
    server.enqueue(uses("glob", pattern="*/b.{md,txt}"), uses("grep", pattern="need"), "done")
    api = launch()
    api.start(folder)
    api.prompt("look")
    assert [r.text for r in server.conversations[-1].results] == ["a/b.txt", "a/b.txt:1:needle"]


WRONG = {
    "unknown tool": (("fly", {}), "There is no tool 'fly'"),
    "missing argument": (("read", {}), "do not fit"),
    "wrong type": (("plan", {"entries": "no"}), "do not fit"),
    "no such file": (("read", {"path": "nowhere.py"}), "cannot be read"),
    "folder": (("read", {"path": "."}), "is a folder"),
    "NUL": (("read", {"path": "a\0b"}), "no path"),
    "pipe": (("read", {"path": "pipe"}), "no regular file"),
    "binary": (("read", {"path": "binary"}), "binary"),
    "beyond the end": (("read", {"path": "twice.txt", "offset": 99}), "2 lines only"),
    "not there": (("edit", {"path": "twice.txt", "old_string": "c", "new_string": "d"}), "does not occur"),
    "twice": (("edit", {"path": "twice.txt", "old_string": "a", "new_string": "d"}), "occurs 2 times"),
    "no change": (("edit", {"path": "twice.txt", "old_string": "a", "new_string": "a"}), "the same"),
    "empty": (("edit", {"path": "twice.txt", "old_string": "", "new_string": "a"}), "empty"),
    "over a folder": (("write", {"path": "tests", "content": "x"}), "no regular file"),
    "bad pattern": (("grep", {"pattern": "("}), "parenthes"),
    "time-out": (("shell", {"command": "sleep 60", "timeout_s": 0.2}), "killed after 0.2 s"),
    "exit code": (("shell", {"command": "echo out; exit 7"}), "out\n[exit code 7]"),
    "signal": (("shell", {"command": "kill -9 $$"}), "killed by signal 9"),
}  # fmt: skip


def test_failures_of_tools_go_back_to_the_model(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    (repo / "twice.txt").write_text("a\na\n")
    (repo / "binary").write_bytes(b"\0\1\2")
    subprocess.run(["mkfifo", str(repo / "pipe")], check=True)
    server.enqueue(*(uses(name, **given) for (name, given), _ in WRONG.values()), "done")
    api = launch()
    api.start(repo)
    api.prompt("go wrong")
    results = [r.text for r in server.conversations[-1].results]
    for (what, (_, words)), result in zip(WRONG.items(), results, strict=True):
        assert words in result, (what, result)
    ended = {u["status"] for u in api.tool_results()}
    assert ended == {"failed"}, "a command with an exit code, too"
    assert (repo / "twice.txt").read_text() == "a\na\n"


def test_edits_keep_line_ends_and_the_rest(launch: Launch, repo: Path, server: ModelServer) -> None:
    (repo / "dos.txt").write_bytes("één\r\ntwo\r\ntwo\r\nlast".encode())
    server.enqueue(
        uses("edit", path="dos.txt", old_string="één\ntwo", new_string="1\n2"),
        uses("edit", path="dos.txt", old_string="two", new_string="3", replace_all=True),
        uses("write", path="new/folder/file.txt", content="made\n"),
        "done",
    )
    api = launch()
    api.start(repo)
    api.call("session/set_mode", sessionId=api.session, modeId="edit")
    api.prompt("edit")
    assert (repo / "dos.txt").read_bytes() == b"1\r\n2\r\n3\r\nlast"
    assert (repo / "new/folder/file.txt").read_text() == "made\n"
    assert api.permissions == [], "mode edit lets edits pass"


def test_output_of_a_command_is_shown_live_and_bounded(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    line = "echo begin; sleep 0.8; seq 1 200000; echo end"
    server.enqueue(uses("shell", command=line), "done")
    api = launch()
    api.start(repo)
    api.prompt("run")
    result = server.conversations[-1].results[0].text
    assert result.startswith("begin\n1\n2\n")
    assert result.endswith("200000\nend")
    assert "characters left out" in result
    assert len(result) < 35_000
    shown = [u for u in api.updates("tool_call_update") if u["status"] == "in_progress"]
    assert any(
        u.get("content", [{}])[0].get("content", {}).get("text") == "begin\n"
        for u in shown
        if u.get("content")
    )
    assert sum(len(json.dumps(u)) for u in shown) < 300_000


# ---------------------------------------------------------------- images and attachments


@pytest.mark.parametrize("kind", ["chat", "responses", "anthropic", "google"])
def test_images_reach_the_model(launch: Launch, repo: Path, kind: str) -> None:
    (repo / "shot.png").write_bytes(base64.b64decode(PNG))
    with ModelServer() as server:
        model, env = endpoints(server.url)[kind]
        api = launch(model=model, env=env)
        api.start(repo)
        api.prompt(
            [
                {"type": "text", "text": "what is this?"},
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                {"type": "resource", "resource": {"uri": "file:///n.md", "text": "the note"}},
                {"type": "resource_link", "uri": "file:///x/b%20c.py", "name": "c.py"},
            ]
        )
        first = server.conversations[0]
        assert [(i.media_type, i.data) for i in first.images] == [
            ("image/png", base64.b64decode(PNG))
        ]
        assert "the note" in first.prompt
        assert "[c.py](/x/b c.py)" in first.prompt
        server.enqueue(uses("read", path="shot.png"), "seen")
        api.prompt("look at the file")
        assert len(server.conversations[-1].images) == 2, "an image that a tool read, too"


# ---------------------------------------------------------------- MCP


def test_mcp_tools_by_stdio_and_http(launch: Launch, repo: Path, server: ModelServer) -> None:
    with subprocess.Popen(
        [sys.executable, PROBE, "--http"], stdout=subprocess.PIPE, text=True
    ) as probe:
        try:
            assert probe.stdout is not None
            url = probe.stdout.readline().strip()
            stdio = {"name": "near", "command": sys.executable, "args": [PROBE], "env": []}
            http = {"type": "http", "name": "far one", "url": url, "headers": []}
            server.enqueue(
                uses("near__add", a=1, b=2),
                uses("far_one__add", a=20, b=3),
                uses("near__add", a="no number"),
                "done",
            )
            api = launch()
            api.start(repo, mcp=[stdio, http])
            assert api.prompt("count")["result"]["stopReason"] == "end_turn"
            results = [r.text for r in server.conversations[-1].results]
            assert results[:2] == ["the probe counts 3", "the probe counts 23"]
            assert "int" in results[2]
            assert [p["toolCall"]["title"] for p in api.permissions] == [
                "near · add", "far one · add", "near · add",
            ]  # fmt: skip
            statuses = [r["status"] for r in api.tool_results()]
            assert statuses == ["completed", "completed", "failed"]
            assert api.end() == 0
        finally:
            probe.terminate()


def test_an_mcp_server_that_cannot_be_used_is_told_and_the_turn_goes_on(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    for bad, words in (
        ({"name": "gone", "command": "/no/such/program", "args": [], "env": []}, "gone"),
        ({"name": "dies", "command": "/bin/false", "args": [], "env": []}, "dies"),
        ({"type": "http", "name": "deaf", "url": "http://127.0.0.1:9/mcp", "headers": []}, "deaf"),
    ):
        api = launch()
        api.start(repo, mcp=[bad])
        assert api.prompt("hello")["result"]["stopReason"] == "end_turn"
        told = [m["params"] for m in api.messages if m.get("method") == "_paseo_nb/warning"]
        assert [words in one["message"] for one in told] == [True]
    assert len(server.requests) == 3
    sse = {"type": "sse", "name": "old", "url": "http://127.0.0.1:9/", "headers": []}
    api = launch()
    api.initialize()
    error = api.call("session/new", cwd=str(repo), mcpServers=[sse])["error"]
    assert "sse is not taken" in error["message"]


def test_usage_that_was_not_told_is_not_made_up(launch: Launch, repo: Path) -> None:
    with ModelServer(usage=Usage(100, 0, 0, 7, 0)) as server:
        api = launch(env={"OPENAI_BASE_URL": f"{server.url}/v1"})
        api.start(repo)
        usage = api.prompt("hello")["result"]["usage"]
        assert usage == {"inputTokens": 100, "outputTokens": 7, "totalTokens": 107}
    with ModelServer(usage=Usage(0, 0, 0, 0, 0)) as server:
        api = launch(env={"OPENAI_BASE_URL": f"{server.url}/v1"})
        api.start(repo)
        assert "usage" not in api.prompt("hello")["result"]


def test_a_write_by_the_common_script(launch: Launch, repo: Path, server: ModelServer) -> None:
    server.enqueue(behaviours.write("hello.txt", "hi\n"), behaviours.read("hello.txt"), "done")
    api = launch()
    api.start(repo)
    api.prompt("write")
    assert server.conversations[-1].results[-1].text == "hi\n"


def test_room_is_made_where_the_endpoint_says_that_it_is_too_much(
    launch: Launch, repo: Path, server: ModelServer
) -> None:
    """A model whose window nobody knows: it is found out by its refusals."""
    big = r"head -c 20000 /dev/zero | tr '\0' x"
    limit = 60_000  # characters that this model takes

    def script(seen: Conversation) -> Any:
        sent = sum(len(m.text) + sum(len(r.text) for r in m.tool_results) for m in seen.messages)
        if sent > limit:
            return behaviours.overflow()
        return uses("shell", command=big) if len(seen.results) < 2 else "ok"

    api = launch()
    api.start(repo)
    api.call("session/set_mode", sessionId=api.session, modeId="auto")
    server.script = script
    for number in range(5):
        answer = api.prompt(f"task {number}")
        assert answer["result"]["stopReason"] == "end_turn", answer
    told = [m["params"] for m in api.messages if m.get("method") == "_paseo_nb/compaction"]
    assert told
    assert "output of" in told[0]["message"]
    last = server.conversations[-1].messages
    assert [m.text for m in last if m.role == "user"] == [f"task {n}" for n in range(5)]
    left_out = [r for m in last for r in m.tool_results if "left out" in r.text]
    assert left_out, "the model learns of it"

    again = launch()
    again.initialize()
    again.call("session/resume", sessionId=api.session, cwd=str(repo), mcpServers=[])
    again.session = api.session
    server.script = scripts.echo()
    assert again.prompt("and now")["result"]["stopReason"] == "end_turn"
    resumed = server.conversations[-1].messages
    assert resumed[: len(last)] == last, "what was left out stays left out"


def test_room_is_made_before_a_known_window_is_full(launch: Launch, repo: Path) -> None:
    """Sonnet 4.5 takes 200,000 or 1,000,000 tokens, by the library's list; the server counts."""
    with ModelServer(
        usage=Usage(input_tokens=990_000, cached_tokens=0, output_tokens=10)
    ) as server:
        model, env = endpoints(server.url)["anthropic"]
        api = launch(model=model, env=env)
        api.start(repo)
        api.call("session/set_mode", sessionId=api.session, modeId="auto")
        steps = [uses("shell", command=f"printf '%d-{'y' * 3_000}' {n}") for n in range(8)]
        server.enqueue(*steps, "done")
        assert api.prompt("work")["result"]["stopReason"] == "end_turn"
        told = [m["params"]["message"] for m in api.messages
                if m.get("method") == "_paseo_nb/compaction"]  # fmt: skip
        assert told
        assert "of 1,000,000 tokens were used" in told[0] or "of 200,000 tokens" in told[0]
        last = server.conversations[-1]
        assert len(last.results) < 8
        assert "steps of this turn were left out" in last.prompt
        assert "7-yyy" in last.results[-1].text, "the latest stays"
