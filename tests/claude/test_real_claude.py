"""The real Claude Code through our own supervisor, turn by turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Project, check_invariants, kill_9
from msgspec import structs

import paseo_nb as paseo
from paseo_nb.drivers import registry
from paseo_nb.history import History
from paseo_nb.supervisor import cleanup
from tests.modelserver import ModelServer, behaviours
from tests.modelserver.conversation import Conversation, Reply, ToolCall, Usage
from tests.modelserver.sdk_clients import PNG

pytestmark = pytest.mark.real_agent
PROBE = str(Path(__file__).parents[1] / "mcp_probe.py")


def same_usage(run: paseo.Run, told: Usage) -> None:
    """The run's usage is what the model server told of."""
    usage = run.usage
    assert usage.input_tokens == told.input_tokens
    assert usage.output_tokens == told.output_tokens
    assert usage.cache_read_tokens == told.cached_tokens
    assert usage.cache_write_tokens == told.cache_write_tokens
    assert usage.reasoning_tokens == told.reasoning_tokens


def until(what: Callable[[], Any], within: float = 60.0) -> Any:
    """The first true value of `what`."""
    deadline = time.monotonic() + within
    while not (value := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
    return value


def settle(run: paseo.Run) -> paseo.Run:
    """The run once its turn has ended, however it did."""
    with contextlib.suppress(paseo.RunError):
        run.wait(60)
    return run


def running(marker: str) -> list[int]:
    """The processes with that in their command line, shells that hold it as text left out."""
    found: list[int] = []
    for pid in cleanup.parents():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in arguments:
            found.append(pid)
    return found


def test_text_thoughts_tools_and_usage(repo: Path, server: ModelServer) -> None:
    server.enqueue(behaviours.think("let me see", "I will write it."))
    run = paseo.run("claude/sonnet", "say something", mode="auto", timeout=100)
    assert run.state == "idle", run.error
    assert run.text == "I will write it."
    same_usage(run, server.spent())
    server.enqueue(behaviours.write("made.txt", "made\n"), behaviours.command("echo out"), "done")
    run.send("write and run").wait(100)
    assert (repo / "made.txt").read_text() == "made\n"
    assert run.text == "done"
    same_usage(run, server.spent())
    history = run.history()
    assert [c.tool_name for c in history.tool_calls.values()] == ["Write", "Bash"]
    write, bash = history.tool_calls.values()
    assert (write.kind, write.outcome) == ("edit", "completed")
    assert write.locations == [str(repo / "made.txt")]
    assert (write.content[0]["type"], write.content[0]["newText"]) == ("diff", "made\n")
    assert (bash.kind, bash.title, bash.outcome) == ("execute", "echo out", "completed")
    assert [i.kind for i in history.items if i.turn == 1] == ["message", "thought", "message"]
    assert len(history.model_calls) == len(server.ledger())
    assert {c.model for c in history.model_calls.values()} == {"claude-sonnet-5-5"}
    assert history.agent_version == "2.1.329"
    assert any(command["name"] == "compact" for command in history.commands)
    assert run.usage.cost_usd
    assert run.usage.context_size == 1_000_000
    run.stop()
    project = Project(repo)
    check_invariants(project, run.id)
    assert len(project.own(run.id, "agent_started")) == 1
    project.until(lambda: not project.left(run.id), 25, "nothing left of the agent")


def test_usage_and_cost_of_five_turns_with_a_kill_between(repo: Path, server: ModelServer) -> None:
    run = paseo.run("claude/sonnet", "one", mode="auto", timeout=100)
    run.send("two").wait(100)
    server.enqueue(behaviours.command("echo three"), "done")
    run.send("three").wait(100)
    project = Project(repo)
    session = run.session_id
    kill_9(*project.processes(run.id).values())
    project.until(lambda: not project.alive(run.id) and not project.left(run.id), 25)
    run.send("four").wait(100)
    run.send("five").wait(100)
    assert [turn.outcome for turn in run.history().turns] == ["end_turn"] * 5
    assert run.session_id == session
    assert "user messages: 5" in run.text
    same_usage(run, server.spent())
    # sonnet's list price as the CLI has it, in USD per million tokens
    told = server.spent()
    price = [2 * told.fresh_tokens, 0.1 * told.cached_tokens, 2.5 * told.cache_write_tokens]
    assert run.usage.cost_usd == pytest.approx((sum(price) + 10 * told.output_tokens) / 1e6)
    calls = paseo.model_calls(run=run)
    assert len(calls) == len(server.ledger())
    assert int(calls["input_tokens"].sum()) == told.input_tokens
    assert int(calls["output_tokens"].sum()) == told.output_tokens


def test_killed_before_its_first_word_it_begins_anew(repo: Path, server: ModelServer) -> None:
    server.enqueue(Reply("too late", wait_s=60))
    run = paseo.start("claude/sonnet", "hello", mode="auto")
    project = Project(repo)
    until(lambda: project.own(run.id, "session"))
    kill_9(*project.processes(run.id).values())
    project.until(lambda: not project.alive(run.id) and not project.left(run.id), 25)
    server._queues.clear()  # pyright: ignore[reportPrivateUsage]
    run.resume("go on").wait(100)
    assert run.history().turns[-1].outcome == "end_turn", run.error


def test_permissions(repo: Path, server: ModelServer) -> None:
    server.enqueue(
        behaviours.write("a.txt", "a\n"),
        behaviours.write("b.txt", "b\n"),
        behaviours.command("touch c.txt"),
        behaviours.command("touch d.txt"),
        "done",
    )
    run = paseo.start("claude/sonnet", "four things", mode="ask")
    asked = until(run.pending)[0]
    assert (asked.kind, asked.title) == ("edit", f"Write {repo}/a.txt")
    assert [o["kind"] for o in asked.options] == ["allow_once", "allow_always", "reject_once"]
    run.allow()
    second = until(lambda: [p for p in run.pending() if p.id != asked.id])[0]
    run.deny(message="not that one, please")
    third = until(lambda: [p for p in run.pending() if p.id not in (asked.id, second.id)])[0]
    assert third.kind == "execute"
    edited = {"command": "touch edited.txt"}
    Project(repo).command(run.id, "answer", permission=third.id, allow=True, input=edited)
    seen = {asked.id, second.id, third.id}
    fourth = until(lambda: [p for p in run.pending() if p.id not in seen])[0]
    always = next(o for o in fourth.options if o["kind"] == "allow_always")
    assert always["name"] == "Allow this very command for the rest of the run"
    run.allow(option=always["optionId"])
    run.wait(60)
    made = sorted(p.name for p in repo.glob("*.txt"))
    assert made == ["a.txt", "d.txt", "edited.txt", "notes.txt"]
    results = [c.error for c in run.history().tool_calls.values() if c.outcome == "failed"]
    assert results == ["not that one, please"]
    assert not (repo / ".claude").exists(), "what was answered is ours to remember"
    server.enqueue(behaviours.command("touch d.txt"), "done")
    run.send("again").wait(60)
    assert run.permissions().iloc[-1]["rule"] == f"always, as answered to {fourth.id}"
    run.set_mode("read")
    (repo / "d.txt").unlink()
    server.enqueue(behaviours.command("touch d.txt"), "done")
    run.send("again").wait(60)
    assert not (repo / "d.txt").exists()


def test_mode_read_holds_whatever_its_own_settings_allow(repo: Path, server: ModelServer) -> None:
    settings = repo / ".claude/settings.json"
    settings.parent.mkdir()
    allow = {"allow": ["Bash(touch:*)", "Write"], "defaultMode": "acceptEdits"}
    settings.write_text(json.dumps({"permissions": allow}))
    server.enqueue(
        behaviours.command("touch c.txt"),
        behaviours.write("a.txt", "a\n"),
        behaviours.read("notes.txt"),
        "done",
    )
    run = paseo.run("claude/sonnet", "try", mode="read", timeout=100)
    outcomes = [c.outcome for c in run.history().tool_calls.values()]
    assert outcomes == ["failed", "failed", "completed"]
    assert sorted(p.name for p in repo.glob("*.txt")) == ["notes.txt"]
    assert run.history().agent_mode == "default"
    rows = run.permissions().to_dict("records")
    assert [(row["kind"], row["outcome"], row["answered_by"]) for row in rows] == [
        ("execute", "denied", "policy"), ("edit", "denied", "policy"),
    ]  # fmt: skip


@pytest.mark.parametrize("agent_mode", [None, "auto", "acceptEdits"])
def test_a_deny_rule_holds_whatever_its_own_settings_allow(
    repo: Path, server: ModelServer, agent_mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IS_SANDBOX", "1")  # root may not begin in bypassPermissions without it
    own = Path(os.environ["HOME"]) / ".claude/settings.json"
    own.parent.mkdir(exist_ok=True)
    allow = {"allow": ["Bash", "Write"], "defaultMode": "bypassPermissions"}
    own.write_text(json.dumps({"permissions": allow}))
    server.enqueue(
        behaviours.command("git push origin main; touch c.txt"),
        behaviours.write("a.txt", "a\n"),
        behaviours.command("touch fine.txt"),
        "done",
    )
    run = paseo.run(
        "claude/sonnet", "try", mode="ask", agent_mode=agent_mode,
        deny=["execute:git push *", "edit:a.txt"], timeout=100,
    )  # fmt: skip
    outcomes = [c.outcome for c in run.history().tool_calls.values()]
    assert outcomes == ["failed", "failed", "completed"]
    assert sorted(p.name for p in repo.glob("*.txt")) == ["fine.txt", "notes.txt"]
    rows = run.permissions().to_dict("records")
    assert [row["rule"] for row in rows] == [
        "rule deny execute:git push *", "rule deny edit:a.txt",
    ]  # fmt: skip
    heard = [result.text for result in server.conversations[-1].results]
    assert "rule deny execute:git push *" in heard[0]
    assert rows[0]["message"] in heard[0]


def test_cancel_in_mid_stream_counts_what_it_cost(repo: Path, server: ModelServer) -> None:
    server.enqueue(behaviours.slow(400, 0.05))
    run = paseo.start("claude/sonnet", "talk", mode="auto")
    until(lambda: "word00003" in run.text)
    settle(run.cancel())
    turn = run.history().turns[0]
    assert (turn.outcome, run.state) == ("cancelled", "idle")
    begun = server.spent()
    assert turn.usage.input_tokens == begun.input_tokens
    assert turn.usage.cache_read_tokens == begun.cached_tokens
    assert turn.usage.cost_usd
    run.send("again").wait(60)
    assert run.history().turns[1].outcome == "end_turn"
    assert len(Project(repo).own(run.id, "agent_started")) == 1


def test_cancel_ends_the_command_that_runs(repo: Path, server: ModelServer) -> None:
    marker = f"marker-{os.getpid()}"
    server.enqueue(behaviours.sleep_command(300, marker), "never")
    run = paseo.start("claude/sonnet", "sleep", mode="auto")
    until(lambda: running(marker))
    settle(run.cancel())
    assert run.history().turns[0].outcome == "cancelled"
    until(lambda: not running(marker), 10)
    assert [c.outcome for c in run.history().tool_calls.values()] == ["failed"]


def test_cancel_while_it_asks(repo: Path, server: ModelServer) -> None:
    server.enqueue(behaviours.command("touch c.txt"), "never")
    run = paseo.start("claude/sonnet", "touch", mode="ask")
    until(run.pending)
    settle(run.cancel())
    assert run.history().turns[0].outcome == "cancelled"
    assert not (repo / "c.txt").exists()
    server._queues.clear()  # pyright: ignore[reportPrivateUsage]
    run.send("again").wait(60)
    assert run.history().turns[1].outcome == "end_turn"


def test_steering(repo: Path, server: ModelServer) -> None:
    server.enqueue(behaviours.command("python3 -c 'import time; time.sleep(2)'"), "after the tool")
    run = paseo.start("claude/sonnet", "work", mode="auto")
    until(lambda: run.history().tool_calls)
    run.send("look left", when="steer")
    run.wait(60)
    assert "look left" in json.dumps(server.ledger()[-1].body["messages"])
    assert len(run.history().turns) == 1
    # Too late for the stream that goes on: it is taken when that ends, in the same turn.
    server.enqueue(behaviours.slow(40, 0.05), "answer to the second")
    run.send("talk")
    until(lambda: "word00003" in run.text)
    run.send("look right", when="steer")
    run.wait(60)
    history = run.history()
    assert len(history.turns) == 2
    assert history.text.endswith("answer to the second")
    steered = [i.text for i in history.items if i.title == "steer"]
    assert steered == ["look left", "look right"]
    same_usage(run, server.spent())


def test_a_turn_lasts_until_its_sub_agents_are_done(repo: Path, server: ModelServer) -> None:
    def script(conversation: Conversation) -> Reply | str:
        if "look around" in conversation.prompt:
            return Reply("sub done", wait_s=2)
        if conversation.results:
            return "launched it"
        given = {"description": "look", "prompt": "look around", "subagent_type": "Explore"}
        return Reply(calls=(ToolCall("c1", "Agent", given),))

    server.script = script
    run = paseo.run("claude/sonnet", "delegate", mode="auto", timeout=100)
    assert run.state == "idle"
    assert len(server.ledger()) == 4, "the main agent was woken when its sub-agent was done"
    same_usage(run, server.spent())
    agent = next(iter(run.history().tool_calls.values()))
    assert (agent.tool_name, agent.kind) == ("Agent", "think")


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "server_error"), (429, "rate_limit"), (401, "auth"), (404, "model_not_found")],
)
def test_failures_are_errors(
    repo: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "1")
    server.enqueue(behaviours.error(status, times=None))
    run = settle(paseo.start("claude/sonnet", "boom", mode="auto", timeout=100))
    assert run.state == "error"
    assert run.error is not None
    assert run.error.code == code, run.error
    assert run.error.hint
    if status in (500, 429):
        notes = [i.text for i in run.history().items if i.title == "retry"]
        assert len(notes) == 1
        assert str(status) in notes[0]
    server._queues.clear()  # pyright: ignore[reportPrivateUsage]
    run.send("again").wait(60)
    assert run.state == "idle"


def test_structured_output(repo: Path, server: ModelServer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    server.enqueue(behaviours.value({"n": "seven"}), behaviours.value({"n": 7}))
    run_id = start_with(repo, schema=schema)
    history = Project(repo).until(lambda: done(repo, run_id), 60)
    assert history.turns[0].value == {"n": 7}
    assert not history.tool_calls, "how the value is handed over is no tool call"
    assert len(server.ledger()) == 2, "an answer that broke the schema was sent back"


def test_mcp_servers(repo: Path, server: ModelServer) -> None:
    stdio = {"name": "probe", "command": sys.executable, "args": [PROBE], "env": []}
    broken = {"name": "broken", "type": "http", "url": "http://127.0.0.1:9/mcp", "headers": []}
    server.enqueue(behaviours.mcp("probe", "add", {"a": 20, "b": 22}), "done")
    run_id = start_with(repo, mcp=[stdio, broken])
    history = Project(repo).until(lambda: done(repo, run_id), 60)
    call = next(c for c in history.tool_calls.values() if c.tool_name == "mcp__probe__add")
    assert "the probe counts 42" in str(call.output)
    assert call.title == "add (probe)"
    warnings = [f["message"] for f in Project(repo).own(run_id, "warning")]
    assert len(warnings) == 1
    assert "broken" in warnings[0]


def test_images_and_files(repo: Path, server: ModelServer, tmp_path: Path) -> None:
    image = tmp_path / "dot.png"
    image.write_bytes(PNG)
    run = paseo.run(
        "claude/sonnet", "see", mode="auto", timeout=100, attach=[str(image), "notes.txt"]
    )
    assert run.state == "idle"
    said = server.conversations[-1]
    assert [i.media_type for i in said.images] == ["image/png"]
    assert "one\ntwo" in said.user_texts[-1]


def test_a_budget_ends_a_turn_between_its_model_calls(repo: Path, server: ModelServer) -> None:
    """It tells its cost at a turn's end only, so it is told the budget itself; what is left of it,
    where a new process goes on."""
    server.usage = Usage()
    server.enqueue(behaviours.command("echo 1"), "one")
    server.enqueue(*(behaviours.command(f"echo {n}") for n in range(9)), "done")
    run = paseo.run("claude/sonnet", "one", mode="auto", timeout=100, budget=0.03)
    call = (run.cost_usd or 0) / 2
    assert call > 0.004
    run.stop()
    with pytest.raises(paseo.RunFailed, match="limit"):
        run.send("two").wait(60)
    assert [turn.outcome for turn in run.history().turns] == ["end_turn", "limit"]
    assert run.error is not None
    assert run.error.code == "cost"
    assert 0.03 < (run.cost_usd or 0) < 0.03 + 1.5 * call, "one call too many at most"
    sent = len(server.ledger())
    run.send("three").wait(60, check=False)
    assert run.history().turns[2].outcome == "limit"
    assert len(server.ledger()) == sent, "the model was asked for nothing more"


def test_choices_between_turns_and_slash_commands(repo: Path, server: ModelServer) -> None:
    run = paseo.run("claude/sonnet", "one", mode="auto", effort="high", timeout=100)
    assert server.requests[-1].body["output_config"]["effort"] == "high"
    run.set_model("haiku").set_effort("low").set_agent_mode("acceptEdits")
    run.send("two").wait(60)
    last = server.ledger()[-1].body
    assert last["model"].startswith("claude-haiku")
    assert run.history().agent_mode == "acceptEdits"
    assert run.history().model_answered.startswith("claude-haiku")
    with pytest.raises(paseo.PaseoError, match="bypassPermissions"):
        run.set_agent_mode("bypassPermissions")
    with pytest.raises(paseo.PaseoError, match="xhigh"):
        run.set_effort("hihg")
    run.send("/compact").wait(60)
    assert any(i.title == "compaction" for i in run.history().items)


def start_with(repo: Path, **more: Any) -> str:
    """A run of a spec with what `run` does not offer yet."""
    project = Project(repo)
    resolved = registry.resolve("claude/sonnet", repo)
    spec = structs.replace(
        project.spec("sonnet", "hello", command=resolved.launched(), **more),
        provider="claude",
        dialect="claude",
    )
    asyncio.run(project.host.ensure(spec.run_id, spec, {**os.environ, **resolved.env}))
    return spec.run_id


def done(repo: Path, run_id: str) -> History | None:
    """The run's story, once its first turn has ended."""
    project = Project(repo)
    history = History("claude", "claude", project.host.home / "blobs").feed(project.lines(run_id))
    return history if history.turns and history.turns[0].outcome else None
