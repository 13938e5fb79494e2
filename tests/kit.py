"""What the tests of runs share: a project in a temporary folder, demo runs, processes, invariants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from paseo_nb.history import History
from paseo_nb.host.local import LocalHost
from paseo_nb.journal import RunFolder, lock_held, read_journal
from paseo_nb.model import Limits, Line, RunSpec, new_run_id, now_us
from paseo_nb.supervisor import cleanup

SHELL_AGENT = [sys.executable, str(Path(__file__).with_name("shell_agent.py"))]
VERB = [sys.executable, "-m", "paseo_nb.cli"]
SLACK = 5.0  # a deadline in a test is five times what it should take


def git(repo: Path, *args: str) -> str:
    """What git tells there, by a user whose name it knows."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run(["git", *who, *args], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verb(*words: str) -> subprocess.Popen[str]:
    """A verb in a process of its own, which leads a group."""
    return subprocess.Popen(
        [*VERB, *words], text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def killed(process: subprocess.Popen[str], once: Callable[[], object]) -> None:
    """kill -9 of its group once something is so, or it is done."""
    deadline = time.monotonic() + 12 * SLACK
    while not once() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Project:
    """One project folder, its host, and the runs that a test started in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.host = LocalHost(root / ".paseo_nb")
        self.env = {**os.environ, "PASEO_DEMO_HOME": str(root / "demo-sessions")}
        self.env.pop("PASEO_RUN", None)
        self.runs: list[str] = []

    # ------------------------------------------------------------ starting

    def spec(self, model: str = "echo", prompt: str = "hello", **more: Any) -> RunSpec:
        """A spec for the demo agent."""
        limits = more.pop("limits", None) or Limits(idle_s=20, permission_timeout_s=20)
        script = more.pop("script", None)
        command = [sys.executable, "-m", "paseo_nb.programs.demo", "--model", model]
        if script is not None:
            path = self.root / f"script-{new_run_id()}.json"
            path.write_text(json.dumps(script))
            command = [sys.executable, "-m", "paseo_nb.programs.demo", "--script", str(path)]
        return RunSpec(
            run_id=new_run_id(),
            created_us=now_us(),
            provider=more.pop("provider", "demo"),
            model=model,
            command=more.pop("command", command),
            cwd=str(self.root),
            prompt=[{"type": "text", "text": prompt}] if prompt else [],
            mode=more.pop("mode", "auto"),
            write_roots=[str(self.root)],
            limits=limits,
            **more,
        )

    def start(self, model: str = "echo", prompt: str = "hello", **more: Any) -> str:
        """Start a demo run; its id."""
        spec = self.spec(model, prompt, **more)
        self.runs.append(spec.run_id)
        asyncio.run(self.host.ensure(spec.run_id, spec, self.env))
        return spec.run_id

    def puppet(self, does: dict[str, Any]) -> list[str]:
        """The command of an agent that does what `does` says (see puppet.py); it can be loaded."""
        path = self.root / f"puppet-{new_run_id()}.json"
        opened = {"id": "$id", "result": {"sessionId": "puppet-session"}}
        can = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        usual = {"initialize": [{"id": "$id", "result": can}], "session/new": [opened]}
        path.write_text(json.dumps({**usual, **does}))
        return [sys.executable, str(Path(__file__).with_name("puppet.py")), str(path)]

    def got(self, command: list[str]) -> list[dict[str, Any]]:
        """The messages that a puppet has got so far."""
        got = Path(f"{command[-1]}.got")
        return [json.loads(line) for line in got.read_text().splitlines()] if got.exists() else []

    def command(self, run_id: str, verb: str, **args: Any) -> dict[str, Any]:
        """One command, starting processes where `send` and `resume` need them."""
        env = self.env if verb in ("send", "resume") else None
        return asyncio.run(self.host.command(run_id, verb, args, environment=env))

    def send(self, run_id: str, text: str, **args: Any) -> dict[str, Any]:
        """A further prompt."""
        return self.command(run_id, "send", prompt=[{"type": "text", "text": text}], **args)

    # ------------------------------------------------------------ looking

    def folder(self, run_id: str) -> RunFolder:
        """The run's files."""
        return self.host.folder(run_id)

    def lines(self, run_id: str) -> list[Line]:
        """The journal."""
        return list(read_journal(self.folder(run_id).journal))

    def history(self, run_id: str) -> History:
        """The story so far."""
        return History("acp", "demo", self.host.home / "blobs").feed(self.lines(run_id))

    def own(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """The facts of our own lines of a kind."""
        return [
            json.loads(bytes(x.raw)) for x in self.lines(run_id) if (x.dir, x.kind) == ("own", kind)
        ]

    def alive(self, run_id: str) -> bool:
        """Whether the run lock is held."""
        return lock_held(self.folder(run_id).lock)

    def processes(self, run_id: str) -> dict[str, int]:
        """The pids of warden, supervisor and agent, from the journal's last start."""
        started, agent = self.own(run_id, "run_started")[-1], self.own(run_id, "agent_started")
        found = {"supervisor": started["pid"], "warden": started["warden_pid"]}
        if agent:
            found["agent"] = agent[-1]["pid"]
        return found

    # ------------------------------------------------------------ waiting

    def until(self, what: Callable[[], Any], within: float = 10.0, why: str = "") -> Any:
        """The first true value of `what`; fails after `within` seconds (slack is yours to add)."""
        deadline = time.monotonic() + within
        while True:
            value = what()
            if value:
                return value
            assert time.monotonic() < deadline, f"not within {within:g} s: {why or what}"
            time.sleep(0.01)

    def ended(self, run_id: str, turns: int = 1, within: float = 20.0) -> History:
        """The story once so many turns have ended."""

        def done() -> History | None:
            history = self.history(run_id)
            ended = [turn for turn in history.turns if turn.outcome is not None]
            return history if len(ended) >= turns else None

        return self.until(done, within, f"turn {turns} of {run_id} ended")

    def in_mid_turn(self, run_id: str, seqs: int = 12) -> None:
        """Wait until the agent is well into its first turn."""
        self.until(
            lambda: (
                any(x.kind == "agent_message_chunk" for x in self.lines(run_id))
                and len(self.lines(run_id)) >= seqs
            ),
            20,
            "the agent streams",
        )

    def gone(self, run_id: str, within: float = 10.0) -> None:
        """Wait until the pair has left."""
        self.until(lambda: not self.alive(run_id), within, f"the lock of {run_id} is free")

    def left(self, run_id: str) -> list[int]:
        """Living processes that carry the run's id."""
        return cleanup.marked(run_id)

    def close(self) -> None:
        """End what the test left running, by the ids of its own runs."""
        for run_id in self.runs:
            with contextlib.suppress(Exception):
                if self.alive(run_id):
                    for name in ("supervisor", "warden"):
                        with contextlib.suppress(ProcessLookupError, KeyError, IndexError):
                            os.kill(self.processes(run_id)[name], signal.SIGCONT)
                    self.command(run_id, "stop")
            with contextlib.suppress(Exception):
                self.until(lambda: not self.alive(run_id), 15)  # noqa: B023
            for pid in cleanup.marked(run_id):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def exists(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    return pid in cleanup.parents()


def kill_9(*pids: int) -> None:
    """SIGKILL by id."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def check_invariants(project: Project, run_id: str) -> None:
    """What holds of every journal, whatever happened.

    1. seq counts up from 1 without a gap or a repetition; no line is damaged.
    2. turns are numbered 1, 2, 3 …; each has one start and at most one end; none overlaps another.
    3. every command was acknowledged at most once under its id, and has at most one result.
    4. one agent session: a session id, once known, never changes.
    5. one agent at a time: before a second one starts, the first has exited, or a new pair has
       started (which ends what an earlier one left).
    """
    lines = project.lines(run_id)
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    open_turn, last, agents = 0, 0, 0
    commands: dict[str, int] = {}
    results: dict[str, int] = {}
    sessions: set[str] = set()
    for line in lines:
        facts = json.loads(bytes(line.raw)) if line.dir == "own" else {}
        kind = line.kind if line.dir == "own" else ""
        if kind == "turn_start":
            assert open_turn == 0, f"turn {line.turn} began inside turn {open_turn}"
            assert line.turn == last + 1
            open_turn = last = line.turn
        elif kind == "turn_end":
            assert open_turn == line.turn, f"turn {line.turn} ended twice or never began"
            open_turn = 0
        elif kind == "command":
            commands[facts["id"]] = commands.get(facts["id"], 0) + 1
        elif kind == "command_result":
            results[facts["id"]] = results.get(facts["id"], 0) + 1
        elif kind == "session":
            sessions.add(facts["session_id"])
        elif kind in ("agent_exit", "run_started"):
            agents = 0
        elif kind == "agent_started":
            agents += 1
            assert agents == 1, "a second agent beside the first"
    assert all(count == 1 for count in commands.values()), commands
    assert all(count == 1 for count in results.values()), results
    assert len(sessions) <= 1, sessions


@contextlib.contextmanager
def project_in(root: Path) -> Iterator[Project]:
    """A project, closed at the end."""
    project = Project(root)
    try:
        yield project
    finally:
        project.close()
