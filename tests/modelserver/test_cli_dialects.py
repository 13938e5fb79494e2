"""What the CLIs send beyond what the APIs' own clients do, in the shapes that they were seen to use."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.modelserver import Conversation, ModelServer, behaviours

SHELL = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}


def post(server: ModelServer, path: str, body: dict[str, Any]) -> Any:
    """The answer as JSON."""
    request = urllib.request.Request(server.url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def claude(
    server: ModelServer, *messages: dict[str, Any], tools: tuple[str, ...] = ("Bash",)
) -> Any:
    offered = [{"name": name, "input_schema": SHELL} for name in tools]
    body = {"model": "m", "max_tokens": 9, "messages": list(messages), "tools": offered}
    return post(server, "/v1/messages", body)["content"]


def codex(server: ModelServer, *items: dict[str, Any], tools: list[Any] | None = None) -> Any:
    body = {"model": "m", "input": list(items), "tools": tools or []}
    return post(server, "/v1/responses", body)["output"]


def last(server: ModelServer) -> Conversation:
    return server.conversations[-1]


def test_claude_says_much_in_the_users_name_and_steers_as_system() -> None:
    said = [
        {"type": "text", "text": "<system-reminder>\nbe kind\n</system-reminder>"},
        {"type": "text", "text": "do it"},
    ]
    steered = (
        "The user sent a new message while you were working:\nnot so\n\nThis is how Claude Code …"
    )
    with ModelServer() as server:
        claude(
            server,
            {"role": "user", "content": said},
            {"role": "system", "content": "# Environment\n - Primary working directory: /w"},
            {"role": "system", "content": [{"type": "text", "text": steered}]},
        )
        assert last(server).user_texts == ("do it", "not so")
        assert "Environment" in last(server).system


def test_a_result_and_the_users_next_words_in_one_message() -> None:
    call = {"type": "tool_use", "id": "1", "name": "Bash", "input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "interrupted"}
    with ModelServer() as server:
        claude(
            server,
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result, {"type": "text", "text": "second"}]},
        )
        assert [m.role for m in last(server).messages] == ["user", "assistant", "tool", "user"]
        assert last(server).messages[2].tool_results[0].name == "Bash"
        assert last(server).results == (), "the user has spoken since"


def test_a_deferred_mcp_tool_is_loaded_first_and_stays_due() -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.mcp("probe", "add", {"a": 1}), "Added.")
        user = {"role": "user", "content": "add"}
        [search] = claude(server, user, tools=("Bash", "ToolSearch"))
        assert search["input"] == {"query": "select:mcp__probe__add"}
        loaded = {"type": "tool_result", "tool_use_id": search["id"], "content": "loaded"}
        so_far = [
            user,
            {"role": "assistant", "content": [search]},
            {"role": "user", "content": [loaded, {"type": "text", "text": "Tool loaded."}]},
        ]
        [call] = claude(server, *so_far, tools=("ToolSearch", "mcp__probe__add"))
        assert (call["name"], call["input"]) == ("mcp__probe__add", {"a": 1})
        assert last(server).results == ()
        assert last(server).user_texts == ("add",)


def test_codex_in_code_mode_offers_its_tools_as_an_item_and_gets_javascript() -> None:
    tools = [{"type": "custom", "name": "exec", "description": "runs JavaScript"}]
    namespace = {"type": "namespace", "name": "functions", "tools": tools}
    user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]}
    facts = {"type": "input_text", "text": "<environment_context>\n<cwd>/w</cwd>"}
    with ModelServer() as server:
        server.enqueue(behaviours.command("ls"))
        [item] = codex(
            server,
            {"type": "additional_tools", "tools": [namespace]},
            {"type": "message", "role": "user", "content": [facts]},
            user,
        )
        assert (item["type"], item["name"]) == ("custom_tool_call", "exec")
        assert item["namespace"] == "functions"
        assert 'tools.exec_command({"cmd": "ls"})' in item["input"]
        assert last(server).user_texts == ("go",)
        output = {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "a.py"}
        codex(server, user, item, output, tools=tools)
        assert [(r.name, r.text) for r in last(server).results] == [("exec", "a.py")]


def test_who_has_no_tool_for_files_uses_the_shell() -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.write("it's.txt", "hi\n"))
        [call] = claude(server, {"role": "user", "content": "write"})
        assert call["name"] == "Bash"
        assert call["input"]["command"].startswith("printf %s 'hi\n' > 'it'\"'\"'s.txt' &&")


@pytest.mark.parametrize("tool", ["StructuredOutput", "final_result", None])
def test_a_structured_answer_comes_by_the_tool_for_it_else_as_text(tool: str | None) -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.value({"word": "heron"}))
        user = {"role": "user", "content": "which?"}
        [block] = claude(server, user, tools=("Bash", tool) if tool else ("Bash",))
    if tool:
        assert (block["name"], block["input"]) == (tool, {"word": "heron"})
    else:
        assert json.loads(block["text"]) == {"word": "heron"}


def test_side_requests_take_nothing_from_the_queue_and_are_told_apart() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    format_ = {"format": {"type": "json_schema", "schema": schema}}
    title = {"model": "m", "messages": [{"role": "user", "content": "Write a title for: hi"}]}
    with ModelServer(title="Greeting") as server:
        server.enqueue("for the main request")
        answer = post(server, "/v1/messages", title | {"output_config": format_})
        assert json.loads(answer["content"][0]["text"]) == {"title": "Greeting"}
        summary = {"system": "Summarize the conversation", "messages": title["messages"][:0]}
        post(server, "/v1/messages", {"model": "m", **summary})
        [said] = claude(server, {"role": "user", "content": "hi"})
        assert said["text"] == "for the main request"
        assert [r.kind for r in server.requests] == ["title", "summary", "main"]
        assert server.spent("title").input_tokens == 311
        assert server.spent().input_tokens == 8421
