"""What was done with Codex in a terminal before: listed, loaded as finished runs, taken over."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analysis import analysed
from kit import Project

import paseo_nb as paseo
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import Failure, ModelServer, Reply, Use, nth_usage
from tests.modelserver.conversation import Answer, Conversation, ToolCall

Json = dict[str, Any]
OLD, NEW = "0199aaaa-0000-7000-8000-000000000001", "019aaaaa-0000-7000-8000-000000000002"
SECRET = "sk-ant-api03-aaaabbbbccccdddd1111"
PATCH = """*** Begin Patch
*** Add File: new.txt
+one
*** Update File: old.txt
@@
 alpha
-beta
+BETA
*** End Patch
"""


def line(kind: str, second: int, /, **payload: Any) -> str:
    at = f"2026-03-01T10:00:{second:02}.000Z"
    return json.dumps({"timestamp": at, "type": kind, "payload": payload})


def event(second: int, kind: str, /, **payload: Any) -> str:
    return line("event_msg", second, type=kind, **payload)


def response(second: int, kind: str, /, **payload: Any) -> str:
    return line("response_item", second, type=kind, **payload)


def tokens(second: int, calls: int) -> str:
    """The thread's totals after so many calls, each of 100 in (60 cached) and 10 out."""
    total = {"input_tokens": 100 * calls, "cached_input_tokens": 60 * calls,
             "output_tokens": 10 * calls, "reasoning_output_tokens": 2 * calls}  # fmt: skip
    info = {"total_token_usage": total, "last_token_usage": total, "model_context_window": 9000}
    return event(second, "token_count", info=info, rate_limits=None)


def meta(ident: str, **more: Any) -> str:
    return line("session_meta", 0, id=ident, cwd="/somewhere", **more)


def write(home: Path, ident: str, *lines: str | bytes) -> Path:
    folder = home / ".codex/sessions/2026/03/01"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2026-03-01T10-00-00-{ident}.jsonl"
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines) + b"\n")
    return path


def old_lines() -> list[str]:
    """As versions of 2025 wrote: no turns told, calls only as asked for and given."""
    shell = json.dumps({"command": ["bash", "-lc", "ls -l"], "workdir": "/somewhere/sub"})
    given = json.dumps({"output": f"a.txt {SECRET}\n", "metadata": {"exit_code": 0}})
    plan = {"plan": [{"step": "look", "status": "in_progress"}]}
    picture = json.dumps({"path": "/somewhere/a.png"})
    return [
        meta(OLD, originator="codex_cli_rs", cli_version="0.42.0", instructions=None),
        response(1, "message", role="user", content=[{"type": "input_text", "text": "<user_inst"}]),
        event(1, "user_message", message="<environment_context>\n", kind="environment_context"),
        event(1, "user_message", message="list the files", kind="plain"),
        line("turn_context", 1, cwd="/somewhere", model="gpt-5-codex", effort="high"),
        event(2, "agent_reasoning", text="Let me see."),
        response(2, "function_call", name="shell", arguments=shell, call_id="c1"),
        response(4, "function_call_output", call_id="c1", output=given),
        tokens(4, 1),
        tokens(4, 1),
        event(5, "agent_message", message="One."),
        tokens(5, 2),
        event(6, "user_message", message="patch it", images=["data:image/png;base64,AAAA"]),
        response(7, "custom_tool_call", name="apply_patch", input=PATCH, call_id="c2"),
        response(8, "custom_tool_call_output", call_id="c2", output="Success."),
        response(8, "function_call", name="update_plan", arguments=json.dumps(plan), call_id="c3"),
        response(8, "function_call_output", call_id="c3", output="Plan updated"),
        response(8, "function_call", name="probe__add", arguments='{"a": 2}', call_id="c4"),
        response(8, "function_call_output", call_id="c4", output="unsupported call: probe__add"),
        response(8, "function_call", name="exec_command", arguments='{"cmd": "x"}', call_id="c5"),
        response(9, "function_call_output", call_id="c5",
                 output="Wall time: 1 seconds\nProcess exited with code 3\nOutput:\nno\n"),
        response(9, "web_search_call", status="completed",
                 action={"type": "search", "query": "codex"}),
        response(9, "function_call", name="view_image", arguments=picture, call_id="c6"),
        line("compacted", 9, message="what was before"),
        tokens(9, 3),
        event(10, "user_message", message="and now"),
        response(11, "local_shell_call", call_id="c7", status="completed",
                 action={"type": "exec", "command": ["sleep", "9"], "working_directory": "/w"}),
        event(12, "turn_aborted", reason="interrupted"),
        event(13, "agent_message", message="cut")[:60],
    ]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The HOME of these tests, which lies in `tmp_path`; the current folder is beside it."""
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_an_old_session_becomes_a_finished_run(home: Path, tmp_path: Path) -> None:
    write(home, OLD, *old_lines())
    row = paseo.sessions("codex").iloc[0]
    assert (row["session_id"], row["title"], row["turns"]) == (OLD, "list the files", 3)
    assert (row["cwd"], row["model"]) == ("/somewhere", "gpt-5-codex")
    assert str(row["started"]) == "2026-03-01 10:00:00+00:00"
    assert paseo.sessions("codex", since="2026-04-01").empty
    made = paseo.import_sessions("codex")
    assert paseo.import_sessions("codex").empty, "each is loaded once"
    run = paseo.import_session("codex", "0199aaaa")
    assert (run.id, run.state, run.session_id) == (made["run_id"][0], "idle", OLD)
    turns = run.turns()
    assert turns["prompt"].tolist() == ["list the files", "patch it\n[image]", "and now"]
    assert turns["outcome"].tolist() == ["end_turn", "end_turn", "cancelled"]
    assert turns["input_tokens"].tolist()[:2] == [200, 100], "what a repeated total grew by"
    assert turns["cache_read_tokens"].tolist()[:2] == [120, 60]
    assert turns["reasoning_tokens"].tolist()[:2] == [4, 2]
    assert turns["usage_source"].tolist()[:2] == ["session file"] * 2
    calls = run.tool_calls().set_index("tool_call_id")
    assert {ident: (row["tool_name"], row["kind"], row["outcome"]) for ident, row in
            calls.iterrows() if str(ident).startswith("c")} == {
        "c1": ("shell", "read", "completed"),
        "c2": ("apply_patch", "edit", "completed"),
        "c4": ("probe__add", "other", "failed"),
        "c5": ("shell", "execute", "failed"),
        "c6": ("view_image", "read", "cancelled"),
        "c7": ("shell", "execute", "cancelled"),
    }  # fmt: skip
    assert "web_search" in calls["tool_name"].tolist()
    history = run.history()
    told = {call.tool_call_id: call for call in history.tool_calls.values()}
    first, patch = told["c1"], told["c2"]
    assert first.input == {"command": "ls -l", "cwd": "/somewhere/sub"}
    assert (first.finished_us or 0) - first.started_us == 2_000_000
    assert [(block["oldText"], block["newText"]) for block in patch.content] == [
        (None, "one\n"), ("alpha\nbeta\n", "alpha\nBETA\n"),
    ]  # fmt: skip
    assert told["c5"].output == {"exit_code": 3, "output": "no\n"}
    said = [item.text for item in history.items if item.role == "agent" and item.kind == "message"]
    assert said == ["One."]
    assert [item.title for item in history.items if item.title == "compaction"] == ["compaction"]
    assert any(item.kind == "plan" for item in history.items)
    journal = (tmp_path / f".paseo_nb/runs/{run.id}/journal.jsonl").read_text()
    assert "aaaabbbbccccdddd1111" not in journal


def test_a_turn_that_never_ended_and_one_that_failed(home: Path) -> None:
    def item(second: int, kind: str, turn: str, /, **more: Any) -> str:
        told = {"type": kind, "id": f"i{second}", **more}
        return event(second, "item_completed", turn_id=turn, item=told)

    def said(second: int, turn: str, text: str) -> str:
        return item(second, "UserMessage", turn, content=[{"type": "text", "text": text}])

    error = {"message": "too long", "codex_error_info": "context_window_exceeded"}
    refused = {"message": "no", "codex_error_info": {
        "http_connection_failed": {"http_status_code": 429}}}  # fmt: skip
    write(
        home, NEW,
        meta(NEW, history_mode="paginated", source="cli"),
        event(1, "task_started", turn_id="t1"),
        line("turn_context", 1, turn_id="t1", model="gpt-6.1-sol"),
        said(2, "t1", "first"), said(3, "t1", "into it"),
        item(4, "AgentMessage", "t1", content=[{"type": "Text", "text": "done"}]),
        event(5, "task_started", turn_id="t2"), said(6, "t2", "second"),
        event(7, "task_complete", turn_id="t2", error=error),
        event(8, "task_started", turn_id="t3"), said(9, "t3", "third"),
        event(10, "task_complete", turn_id="t3", error=refused),
        event(11, "task_started", turn_id="t4"), said(12, "t4", "fourth"),
    )  # fmt: skip
    assert paseo.sessions("codex")["turns"].tolist() == [4]
    run = paseo.import_session("codex", NEW)
    turns = run.turns()
    assert turns["prompt"].tolist() == ["first", "second", "third", "fourth"]
    assert turns["outcome"].tolist() == ["interrupted", "limit", "error", "interrupted"]
    problems = [turn.error and turn.error.code for turn in run.history().turns]
    assert problems == [None, "context_overflow", "rate_limit", None]
    assert [item.text for item in run.history().items if item.title == "steer"] == ["into it"]
    assert run.history().model_answered == "gpt-6.1-sol"


def test_a_sub_agent_is_part_of_its_parents_turn(home: Path) -> None:
    ids = [f"019aaaaa-0000-7000-8000-0000000000{n:02}" for n in range(4)]
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": ids[1], "depth": 2}}}
    old_spelling = response(3, "function_call", name="spawn_agent", arguments="{}", call_id="c1")
    write(home, ids[0], meta(ids[0], source="cli"), event(1, "task_started", turn_id="t1"),
          event(1, "user_message", message="delegate"), tokens(2, 1), old_spelling,
          event(6, "task_complete", turn_id="t1"), event(7, "task_started", turn_id="t2"),
          event(7, "user_message", message="more"), tokens(8, 2))  # fmt: skip
    write(home, ids[1], meta(ids[1], source={"subagent": "review"}, parent_thread_id=ids[0]),
          event(3, "task_started", turn_id="s1"), event(3, "user_message", message="look around"),
          tokens(4, 1), tokens(4, 3))  # fmt: skip
    write(home, ids[2], meta(ids[2], source=spawned),
          event(3, "task_started", turn_id="s2"), tokens(5, 2))  # fmt: skip
    write(home, ids[3], meta(ids[3], source={"custom": "editor"}),
          event(1, "user_message", message="of another client"))  # fmt: skip
    assert sorted(paseo.sessions("codex")["session_id"]) == [ids[0], ids[3]]
    run = paseo.import_session("codex", ids[0])
    turns = run.turns()
    assert turns["prompt"].tolist() == ["delegate", "more"]
    assert turns["input_tokens"].tolist() == [100 + 300 + 200, 100]
    assert not any("look around" in item.text for item in run.history().items)


HOSTILE: dict[str, list[str | bytes]] = {
    "empty": [],
    "no rollout": ["garbage", "[]", "7", "null", '"text"', "{}"],
    "binary": [bytes(range(256)) * 20],
    "the first version, which told no folder": [
        json.dumps({"id": NEW, "timestamp": "2025-06-01T10:00:00Z", "instructions": ""}),
        json.dumps({"type": "message", "role": "user", "content": []}),
    ],
    "a sub-agent": [
        meta(NEW, source={"subagent": "review"}),
        event(1, "user_message", message="a"),
    ],
    "no prompt": [meta(NEW), event(1, "agent_message", message="a")],
    "another's id": [meta(OLD), event(1, "user_message", message="a")],
    "an id of many": [meta("2"), event(1, "user_message", message="a")],
    "ids that are none": [line("session_meta", 0, id=["x"], cwd={}), "{"],
}


@pytest.mark.parametrize("what", list(HOSTILE))
def test_files_that_are_no_session_are_passed_over(home: Path, what: str) -> None:
    write(home, NEW, *HOSTILE[what])
    write(home, OLD, *old_lines())
    os.mkfifo(home / ".codex/sessions/rollout-fifo.jsonl")
    (home / ".codex/sessions/rollout-folder.jsonl").mkdir()
    assert paseo.sessions("codex")["session_id"].tolist() == [OLD]


def test_a_damaged_session_is_read_as_far_as_it_goes(home: Path) -> None:
    deep = '{"type": "response_item", "payload": ' + '{"a": ' * 5000 + "1" + "}" * 5001
    bad: list[Any] = [None, 7, -1e300, "x", [], {}, [[]], {"a": {}}, "\ud800", 2**80, True]
    kinds = ["item_completed", "token_count", "task_complete", "turn_aborted", "error",
             "exec_command_end", "patch_apply_end", "mcp_tool_call_end", "agent_message"]  # fmt: skip
    fields = ["item", "info", "error", "reason", "changes", "result", "message", "call_id",
              "arguments", "output", "input", "name", "action", "turn_id", "text"]  # fmt: skip
    mess: list[str | bytes] = []
    for value in bad:
        some = dict.fromkeys(fields, value)
        mess += [event(2, kind, **some) for kind in kinds]
        for kind in ("function_call", "function_call_output", "local_shell_call"):
            mess += [response(2, kind, **some), response(2, kind, **{**some, "call_id": "c"})]
        usage = {"total_token_usage": {"input_tokens": value}, "last_token_usage": value}
        mess += [event(2, "token_count", info=usage), line("turn_context", 2, model=value)]
        item = {"type": "CommandExecution", "id": value, "command": value, "status": value}
        mess.append(event(2, "item_completed", item=item, started_at_ms=value))
        mess.append(json.dumps({"type": "event_msg", "payload": value, "timestamp": value}))
        mess.append(json.dumps({"type": value, "payload": {}}))
    times = ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00", "-1", ""]
    mess += [json.dumps({"timestamp": t, "type": "event_msg", "payload": {}}) for t in times]
    write(
        home, NEW,
        meta(NEW), event(1, "user_message", message="go"), deep, b"\xff\xfe\x00", *mess,
        event(3, "agent_message", message="still here"),
        event(4, "user_message", message="cut")[:-9],
    )  # fmt: skip
    row = paseo.sessions("codex").iloc[0]
    assert (row["title"], row["turns"]) == ("go", 1)
    assert str(row["finished"]) == "2026-03-01 10:00:03+00:00"
    run = paseo.import_session("codex", NEW)
    assert run.text.endswith("still here")
    assert len(run.turns()) == 1
    run.tool_calls()


# ---------------------------------------------------------------- the real CLI


def plot(conversation: Conversation) -> Answer:
    """What the model does, by a word in the prompt."""
    prompt = conversation.prompt
    if "fail" in prompt:
        return Failure(500)
    uses = {
        "write": Use("write", {"path": "hello.txt", "content": "hello\n"}),
        "patch": Use("shell", {"command": f"apply_patch <<'EOF'\n{PATCH}EOF\n"}),
        "break": Use("shell", {"command": "echo no; exit 3"}),
    }
    for word, use in uses.items():
        if word in prompt and not conversation.results:
            return Reply("On it.", reasoning="Let me see.", uses=(use,))
    return f"turn {len(conversation.user_texts)}, {prompt}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """The model that Codex speaks with, from a repository that is the current folder."""
    path = tmp_path / "work"
    path.mkdir()
    (path / "old.txt").write_text("alpha\nbeta\n")
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    monkeypatch.chdir(path)
    codex_home = tmp_path / "codex-home"
    codex_home.mkdir()
    with ModelServer(plot, usage=nth_usage) as made:
        for key, value in recipes.codex(codex_home, made.url, attempts=1).items():
            monkeypatch.setenv(key, value)
        folder = executable("codex").parent
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield made
        project = Project(path)
        project.runs = project.host.list()
        project.close()


@pytest.mark.real_agent
@pytest.mark.parametrize("model", ["gpt-5.1-codex", "gpt-6.1-sol"])
def test_a_session_of_a_terminal_is_taken_over(server: ModelServer, model: str) -> None:
    """Function tools and code mode: what is loaded is what the model server's ledger says."""
    free = ["--dangerously-bypass-approvals-and-sandbox", "--model", model]
    prompts = ["write it", "patch it", "break it", "fail it", "the last"]
    for number, prompt in enumerate(prompts):
        resumed = ["resume", "--last"] if number else []
        command = ["codex", "exec", *resumed, *free, prompt]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, timeout=90, check=False, capture_output=True
        )
        assert (done.returncode != 0) == ("fail" in prompt)
    told = server.spent()
    row = paseo.sessions("codex").iloc[0]
    assert (row["cwd"], row["turns"], row["model"]) == (str(Path.cwd()), 5, model)
    assert (row["title"], row["run_id"]) == ("write it", None)
    run = paseo.import_session("codex", row["session_id"][:18])
    usage = run.usage
    assert (usage.input_tokens, usage.output_tokens) == (told.input_tokens, told.output_tokens)
    cached = (usage.cache_read_tokens, usage.cache_write_tokens)
    assert cached == (told.cached_tokens, told.cache_write_tokens)
    assert usage.reasoning_tokens == told.reasoning_tokens
    assert usage.source == "session file"
    history = run.history()
    assert [turn.outcome for turn in history.turns] == [*["end_turn"] * 3, "error", "end_turn"]
    assert history.turns[3].error is not None
    assert history.turns[3].error.code == "server_error"
    calls = [(call.tool_name, call.kind, call.outcome) for call in history.tool_calls.values()]
    assert calls == [
        ("shell", "execute", "completed"),
        ("apply_patch", "edit", "completed"),
        ("shell", "execute", "failed"),
    ]
    _, patch, broken = history.tool_calls.values()
    assert ("alpha\nbeta\n", "alpha\nBETA\n") in [
        (block["oldText"], block["newText"]) for block in patch.content
    ]
    assert broken.output == {"exit_code": 3, "output": "no\n"}
    assert [i.text for i in history.items if i.kind == "thought"] == ["Let me see."] * 3
    said = [i.text for i in history.items if i.role == "agent" and i.kind == "message"]
    assert said[:2] == ["On it.", "turn 1, write it"]
    assert said[-1] == "turn 5, the last"
    left, said = analysed()
    assert said == dict.fromkeys(said, ""), "every figure of the notebook has something to show"
    assert left["part"]["computed_usd"].iloc[0] > 0
    assert left["rates"].loc["shell", "rate"] == 0.5
    run.send("and on").wait(90)
    assert run.session_id == row["session_id"]
    assert run.history().turns[-1].outcome == "end_turn", run.error
    assert run.text == "turn 6, and on"
    told = server.spent()
    usage = run.usage
    assert (usage.input_tokens, usage.output_tokens) == (told.input_tokens, told.output_tokens)
    assert paseo.sessions("codex")["run_id"].tolist() == [run.id]


@pytest.mark.real_agent
def test_the_older_way_of_writing_says_the_same(server: ModelServer) -> None:
    """The CLI still writes it for whom asks: plain messages, and calls as asked for and given."""
    command = ["codex", "app-server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:

        def ask(method: str, until: str | None = None, **params: Any) -> Json:
            assert agent.stdin is not None
            assert agent.stdout is not None
            message = {"id": method, "method": method, "params": params}
            agent.stdin.write(json.dumps(message).encode())
            agent.stdin.write(b"\n")
            agent.stdin.flush()
            answer: Json = {}
            for raw in agent.stdout:
                message = json.loads(raw)
                answer = message.get("result", answer) if message.get("id") == method else answer
                if (answer and until is None) or (until and message.get("method") == until):
                    return answer
            raise AssertionError(f"the agent ended before it answered {method}")

        client = {"name": "tests", "version": "1"}
        ask("initialize", clientInfo=client, capabilities={"experimentalApi": True})
        free = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
        thread = ask("thread/start", historyMode="legacy", **free)["thread"]["id"]
        for prompt in ("write it", "patch it", "break it"):
            given = [{"type": "text", "text": prompt, "text_elements": []}]
            ask("turn/start", "turn/completed", threadId=thread, input=given)
        agent.communicate(timeout=30)
    (file,) = Path(os.environ["CODEX_HOME"]).rglob(f"*{thread}.jsonl")
    assert '"user_message"' in file.read_text()
    run = paseo.import_session("codex", thread)
    told, usage = server.spent(), run.usage
    assert (usage.input_tokens, usage.output_tokens) == (told.input_tokens, told.output_tokens)
    history = run.history()
    shell, patch, broken = history.tool_calls.values()
    assert (shell.tool_name, shell.outcome) == ("shell", "completed")
    assert shell.input["cwd"] == str(Path.cwd())
    assert ("alpha\nbeta\n", "alpha\nBETA\n") in [
        (block["oldText"], block["newText"]) for block in patch.content
    ]
    assert (broken.outcome, broken.output) == ("failed", {"exit_code": 3, "output": "no\n"})
    assert run.text.endswith("turn 3, break it")


@pytest.mark.real_agent
def test_a_session_with_a_sub_agent_is_one_run_with_all_its_tokens(server: ModelServer) -> None:
    def script(conversation: Conversation) -> Answer:
        given, prompt = conversation.results, conversation.prompt
        if "look around" in prompt:
            return "looked"
        if "<subagent_notification>" in prompt:
            return "all done"
        if not given:
            ask = {"message": "look around"}
            return Reply(calls=(ToolCall("c1", "spawn_agent", ask, namespace="multi_agent_v1"),))
        wait = {"targets": [json.loads(given[0].text)["agent_id"]], "timeout_ms": 20_000}
        return Reply(calls=(ToolCall("c2", "wait_agent", wait, namespace="multi_agent_v1"),))

    server.script = script
    command = ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "delegate it"]
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=90, check=True, capture_output=True)
    told = server.spent()
    assert len(list((Path(os.environ["CODEX_HOME"]) / "sessions").rglob("*.jsonl"))) == 2
    made = paseo.import_sessions("codex")
    assert (made["title"].tolist(), made["turns"].tolist()) == (["delegate it"], [1])
    run = paseo.attach(made["run_id"][0])
    assert (run.text, run.history().turns[0].outcome) == ("all done", "end_turn")
    assert run.tool_calls()["tool_name"].tolist() == ["spawn_agent", "wait"]
    usage = run.usage
    assert (usage.input_tokens, usage.output_tokens) == (told.input_tokens, told.output_tokens)
    files = (Path(os.environ["CODEX_HOME"]) / "sessions").rglob("*.jsonl")
    gauges = [
        re.findall(r'"last_token_usage":.*?"total_tokens":(\d+)', f.read_text()) for f in files
    ]
    parent = max(gauges, key=len)
    assert usage.context_used == int(parent[-1]), "the parent's own context"
