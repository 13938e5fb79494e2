"""The real CLI (pinned) through our own supervisor, against the model server: no key, no network."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project, check_invariants

import paseo_nb as paseo
from paseo_nb.errors import RunCancelled
from paseo_nb.history import History
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import Failure, ModelServer, Reply, Usage, Use, behaviours, nth_usage
from tests.modelserver.conversation import Answer, Conversation

from codex_schema import Schema  # isort: skip

pytestmark = pytest.mark.real_agent

MODELS = {"function tools": "gpt-5.1-codex", "code mode": "gpt-6.1-sol"}
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
PROBE = str(Path(__file__).parents[1] / "mcp_probe.py")
SERVER = 'import subprocess\nwhile 8128: subprocess.run(["sleep", "1"])'
SLEEP = "python3 -c 'import time; time.sleep(4711)'"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PQQkAAAgAsetfWiP4FgYrsKZeS0BAQE"
    "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEDgsqnc8OJg6Ln3AAAAAElFTkSuQmCC"
)


def plot(conversation: Conversation) -> Answer:
    """What the model does, by a word in the prompt."""
    prompt = conversation.prompt
    if not conversation.results:
        uses = {
            "write": Use("write", {"path": "hello.txt", "content": "hello\n"}),
            "patch": Use("shell", {"command": f"apply_patch <<'EOF'\n{PATCH}EOF\n"}),
            "look": Use("shell", {"command": "cat old.txt | wc -l"}),
            "server": Use("shell", {"command": f"setsid python3 -c '{SERVER}' >&- 2>&- <&- &"}),
            "sleep": Use("shell", {"command": f"setsid {SLEEP} & {SLEEP}"}),
            "add": Use("mcp", {"server": "probe", "tool": "add", "arguments": {"a": 2, "b": 3}}),
        }
        for word, use in uses.items():
            if word in prompt:
                return Reply("On it.", reasoning="Let me see.", uses=(use,))
    if "slow" in prompt:
        return Reply("word " * 300, pause_s=0.05, piece=5)
    if "json" in prompt:
        return '{"n": 3}'
    images = len(conversation.images)
    return f"turn {len(conversation.user_texts)}, images {images}, {prompt}"


class World:
    """One project, one Codex home, one model server."""

    def __init__(self, path: Path, server: ModelServer) -> None:
        self.path, self.server = path, server
        self.project = Project(path)

    def sleepers(self, run_id: str) -> int:
        """How many of the run's processes sleep."""
        found = 0
        for pid in self.project.left(run_id):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found += words[:1] == [b"python3"] and b"4711" in words[2]
        return found


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    return MODELS[request.param]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    path = tmp_path / "work"
    path.mkdir()
    (path / "old.txt").write_text("alpha\nbeta\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, *command], cwd=path, check=True)
    monkeypatch.chdir(path)
    home = tmp_path / "codex-home"
    home.mkdir()
    with ModelServer(plot, usage=nth_usage) as server:
        for key, value in recipes.codex(home, server.url, attempts=2).items():
            monkeypatch.setenv(key, value)
        folder = executable("codex").parent
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        made = World(path, server)
        yield made
        made.project.runs = made.project.host.list()
        made.project.close()


def ledger(server: ModelServer) -> dict[str, int]:
    """What the model server has reported, over all calls, under our names."""
    spent = server.spent()
    return {
        "input_tokens": spent.input_tokens,
        "cache_read_tokens": spent.cached_tokens,
        "cache_write_tokens": spent.cache_write_tokens,
        "output_tokens": spent.output_tokens,
        "reasoning_tokens": spent.reasoning_tokens,
    }


def counted(run: Any) -> dict[str, int]:
    """The same of a run."""
    usage = run.usage
    names = ("input", "cache_read", "cache_write", "output", "reasoning")
    return {f"{name}_tokens": getattr(usage, f"{name}_tokens") for name in names}


def test_five_turns_with_a_return_in_between(world: World, model: str) -> None:
    """Writing, a patch, an image, and the ledger: every field of the usage, to the token."""
    picture = world.path / "picture.png"
    picture.write_bytes(base64.b64decode(PNG))
    run = paseo.run(f"codex/{model}", "write it", mode="auto", timeout=60)
    assert (world.path / "hello.txt").read_text() == "hello\n"
    assert run.text.startswith("turn 1")
    run.send("patch it")
    run.wait(60)
    assert (world.path / "old.txt").read_text() == "alpha\nBETA\n"
    patch = next(call for call in run.history().tool_calls.values() if call.kind == "edit")
    assert patch.tool_name == "apply_patch"
    assert ("alpha\nbeta\n", "alpha\nBETA\n") in [
        (block["oldText"], block["newText"]) for block in patch.content
    ]
    session = run.session_id
    run.stop()
    world.project.gone(run.id, 20)
    run.send("how many?", attach=[str(picture)])
    run.wait(60)
    assert run.text.startswith("turn 3, images 1"), "the session goes on in a new process"
    assert run.session_id == session
    run.send("write again")
    run.wait(60)
    run.send("the last")
    run.wait(60)
    assert [turn.outcome for turn in run.history().turns] == ["end_turn"] * 5
    assert counted(run) == ledger(world.server)
    assert len(run.history().model_calls) == len(world.server.requests)
    assert run.usage.source == "agent"
    assert run.usage.scope == "turn"
    assert run.history().model_answered == model
    thoughts = [item.text for item in run.history().items if item.kind == "thought"]
    assert thoughts == ["Let me see."] * 3
    run.stop()
    check_invariants(world.project, run.id)
    world.project.until(lambda: not world.project.left(run.id), 25, "nothing is left")


@pytest.mark.parametrize("model", list(MODELS.values())[:1])
def test_a_budget_in_dollars_ends_a_turn_between_two_calls(world: World, model: str) -> None:
    """Codex tells no cost: its tokens and the price table do. The ledger, too, is at most two
    calls over it; the next turn asks the model for nothing; a workflow counts the same."""
    world.server.usage = Usage(30_000, 10_000, 0, 100, 0)  # 0.02725 at 1.25, 0.125 and 10 a million
    world.server.enqueue(*(behaviours.command(f"echo {n}") for n in range(9)), "done")
    agent = f"codex/{model}"
    run = paseo.start(agent, "on", mode="auto", budget=0.05).wait(60, check=False)
    (turn,) = run.history().turns
    assert (turn.outcome, turn.error and turn.error.code) == ("limit", "cost")
    assert "by its tokens and their prices" in str(turn.error and turn.error.message)
    computed = float(paseo.cost(run.id)["computed_usd"].iloc[0])
    (*_, metered) = world.project.own(run.id, "metered")
    assert metered["usd"] == pytest.approx(computed)
    assert 0.05 <= computed < 0.05 + 2 * 0.03
    calls = len(world.server.ledger())
    assert calls <= 3
    run.send("more").wait(60, check=False)
    assert run.history().turns[1].outcome == "limit"
    assert len(world.server.ledger()) == calls, "the model was asked for nothing more"
    run.stop()
    with pytest.raises(paseo.UsageProblem, match="no price for no-such-model.*token_budget="):
        paseo.run("codex/no-such-model", "on", budget=1.0)

    @paseo.workflow(budget=0.04)
    async def twice() -> None:
        await paseo.agent("first", agent=agent, mode="auto")
        await paseo.agent("second", agent=agent, mode="auto")

    world.server.enqueue(behaviours.command("echo 1"), "one")
    with pytest.raises(paseo.PaseoError, match="0.05"):
        twice()
    assert paseo.workflow_runs()["cost_usd"][0] == pytest.approx(2 * 0.02725)


@pytest.mark.parametrize("mode", ["ask", "auto"])
def test_cancel_ends_the_command_and_what_left_it(world: World, mode: Any, model: str) -> None:
    run = paseo.start(f"codex/{model}", "sleep", mode=mode)
    if mode == "ask":
        run.allow(world.project.until(lambda: run.history().open_permissions(), 30)[0].id)
    world.project.until(lambda: world.sleepers(run.id) >= 2, 30, "both sleepers run")
    run.cancel()
    with pytest.raises(RunCancelled):
        run.wait(30)
    world.project.until(
        lambda: not world.sleepers(run.id), 15, "the command and its child are ended"
    )
    run.send("go on")
    run.wait(60)
    assert run.text.endswith("go on")
    agents = world.project.own(run.id, "agent_started")
    assert len(agents) == 1, "the same process goes on"
    run.stop()


def test_a_server_of_an_earlier_turn_outlives_a_cancel(world: World) -> None:
    """With the children that it starts in the turn that is cancelled."""

    def servers() -> list[int]:
        pids = world.project.left(run.id)
        lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in pids}
        return [pid for pid, file in lines.items() if b"8128" in file.read_bytes()]

    run = paseo.run("codex", "server", mode="auto", timeout=60)
    server = world.project.until(servers, 20)
    run.send("sleep")
    world.project.until(lambda: world.sleepers(run.id) >= 2, 30)
    run.cancel()
    with pytest.raises(RunCancelled):
        run.wait(30)
    world.project.until(lambda: not world.sleepers(run.id), 15)
    assert servers() == server
    run.stop()
    world.project.until(lambda: not servers(), 25, "a stop ends it")


def test_permissions(world: World, model: str) -> None:
    """Asked for a command and an edit; denied with words, which reach the model."""
    run = paseo.start(f"codex/{model}", "write it", mode="ask")
    asked = world.project.until(lambda: run.history().open_permissions(), 30)[0]
    assert asked.kind == "execute"
    assert "hello.txt" in asked.input["command"]
    run.deny(asked.id, "leave that alone")
    run.wait(60)
    assert not (world.path / "hello.txt").exists()
    assert "leave that alone" in run.text
    run.send("patch it")
    asked = world.project.until(lambda: run.history().open_permissions(), 30)[0]
    assert asked.kind == "edit"
    run.allow(asked.id)
    run.wait(60)
    assert (world.path / "new.txt").read_text() == "one\n"
    run.stop()


def test_mode_read_looks_and_changes_nothing(world: World, model: str) -> None:
    run = paseo.run(f"codex/{model}", "look at it", mode="read", timeout=60)
    call = next(iter(run.history().tool_calls.values()))
    assert (call.kind, call.outcome) == ("read", "completed")
    run.send("write it")
    run.wait(60)
    assert not (world.path / "hello.txt").exists()
    run.stop()


def test_choices_between_turns(world: World, tmp_path: Path) -> None:
    """Model, effort and plan mode, as the model is asked; kept over a stop; and left again."""
    run = paseo.run("codex/gpt-6.1-sol", "one", mode="ask", timeout=60)

    def asked() -> tuple[str, str | None, bool]:
        body = world.server.ledger()[-1].body
        plans = (
            "# Plan Mode" in str(body["input"])[str(body["input"]).rfind("<collaboration_mode>") :]
        )
        return body["model"], body["reasoning"]["effort"], plans

    assert asked()[0] == "gpt-6.1-sol"
    assert not asked()[2]
    run.set_model("gpt-6-sol").set_effort("high").set_agent_mode("plan")
    run.send("two").wait(60)
    assert asked() == ("gpt-6-sol", "high", True)
    assert (run.history().agent_mode, run.history().model_answered) == ("plan", "gpt-6-sol")
    run.stop()
    run.send("three").wait(60)
    assert asked() == ("gpt-6-sol", "high", True)
    assert run.history().agent_mode == "plan"
    run.set_effort("low")
    run.send("four").wait(60)
    assert asked() == ("gpt-6-sol", "low", True)
    run.set_agent_mode("workspace-write")
    run.send("five").wait(60)
    assert asked() == ("gpt-6-sol", "low", False)
    assert run.history().agent_mode == "workspace-write"
    Schema(executable("codex"), tmp_path / "schema").check(world.project.lines(run.id))


def test_an_error_of_the_model_is_an_error(world: World) -> None:
    world.server.script = Failure(500, "told to fail", 0.05, times=None)
    run = paseo.start("codex", "go", mode="auto")
    world.project.until(lambda: run.state == "error", 60)
    assert run.error is not None
    assert run.error.code == "server_error"
    retries = [item.text for item in run.history().items if item.title == "retry"]
    assert len(retries) == 1
    assert retries[0].startswith("retry 1 of 1")
    world.server.script = Failure(401, "no such key", 0.05, times=None)
    run.send("again")
    world.project.until(lambda: len([t for t in run.history().turns if t.outcome]) == 2, 60)
    assert run.error is not None
    assert run.error.code == "auth"
    run.stop()


def test_not_logged_in(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("CODEX_HOME", str(empty))
    run = paseo.start("codex", "go", mode="auto")
    world.project.until(lambda: run.state == "error", 60)
    assert run.error is not None
    assert run.error.code == "auth"
    assert "codex login" in str(run.error.hint)


def test_every_message_fits_the_schema(world: World, tmp_path: Path) -> None:
    """A run with all that we can say; then each line of its journal, in both directions, against
    the schema that this very CLI generates."""
    schema = Schema(executable("codex"), tmp_path / "schema")
    project = world.project
    project.env.update({name: os.environ[name] for name in ("CODEX_HOME", "FAKE_API_KEY", "HOME")})
    probe = {"name": "probe", "command": sys.executable, "args": [PROBE],
             "env": [{"name": "A", "value": "b"}]}  # fmt: skip
    run_id = project.start(
        model="gpt-6.1-sol",
        prompt="add",
        dialect="codex",
        command=[str(executable("codex")), "app-server"],
        effort="low",
        mode="ask",
        mcp=[probe],
        schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    )

    def story() -> History:
        return History("codex", "codex").feed(project.lines(run_id))

    def asked(kind: str) -> str:
        waiting = project.until(lambda: story().open_permissions(), 40, f"it asks for {kind}")[0]
        assert waiting.kind == kind
        return waiting.id

    def ended(turns: int) -> History:
        project.until(
            lambda: len([t for t in story().turns if t.outcome]) >= turns, 60, f"turn {turns} ended"
        )
        return story()

    def answer(kind: str, allow: bool = True, **more: Any) -> None:
        project.command(run_id, "answer", permission=asked(kind), allow=allow, **more)

    answer("other", option_id="acceptForSession")
    history = ended(1)
    call = next(iter(history.tool_calls.values()))
    assert (call.tool_name, call.outcome) == ("probe.add", "completed")
    assert "counts 5" in str(call.output)
    project.send(run_id, "patch")
    answer("edit", option_id="acceptForSession")
    ended(2)
    project.send(run_id, "write")
    answer("execute", False, message="not there")
    ended(3)
    assert "not there" in world.server.requests[-1].conversation.user_texts
    project.send(run_id, "write")
    answer("execute", option_id="acceptForSession")
    ended(4)
    project.send(run_id, "write")
    said = list(ended(5).permissions.values())[-1]
    assert (said.by, said.rule) == (
        "policy",
        f"always, as answered to {[*story().permissions][-2]}",
    )
    project.command(run_id, "set_model", value="gpt-6-sol")
    project.command(run_id, "set_effort", value="high")
    project.command(run_id, "set_agent_mode", value="danger-full-access/on-request")
    project.send(run_id, "slow")
    project.until(lambda: story().text.startswith("word"), 40)
    project.send(run_id, "and json", when="steer")
    project.command(run_id, "cancel")
    assert ended(6).turns[-1].outcome == "cancelled"
    project.send(run_id, "sleep")
    project.until(lambda: world.sleepers(run_id) >= 2, 40)
    project.until(lambda: [c for c in story().tool_calls.values() if c.outcome is None], 20)
    project.command(run_id, "cancel")
    ended(7)
    project.until(lambda: not world.sleepers(run_id), 15)
    image = {"type": "image", "mimeType": "image/png", "data": PNG}
    project.command(run_id, "send", prompt=[{"type": "text", "text": "json"}, image])
    assert ended(8).turns[-1].value == {"n": 3}
    world.server.enqueue(*[Failure(500, "twice", 0.05)] * 2)
    project.send(run_id, "json")
    ended(9)
    project.command(run_id, "stop")
    project.gone(run_id, 20)
    project.send(run_id, "json")
    assert ended(10).turns[-1].value == {"n": 3}
    assert story().model_answered == "gpt-6-sol"
    seen = schema.check(project.lines(run_id))
    assert seen >= {
        "initialize:result", "initialized", "account/read:result", "model/list:result",
        "skills/list:result", "thread/start:result", "thread/resume:result", "turn/start:result",
        "turn/steer:result", "turn/interrupt:result", "thread/backgroundTerminals/list:result",
        "thread/backgroundTerminals/terminate:result", "mcpServer/elicitation/request:result",
        "item/commandExecution/requestApproval:result", "item/fileChange/requestApproval:result",
        "thread/tokenUsage/updated", "turn/completed", "error",
    }  # fmt: skip
