"""One cell of the crash matrix: bring a run to a kill point, strike a victim, see what holds.

The steps of every cell are the same: `reach` the point, `strike`, the run is `true` to what happened
within its deadline, two recoveries of which the second writes nothing, the run is `gone_on` with, and
when it is stopped nothing of it is left. What differs is data: scripts, victims, expected states.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
from kit import SLACK, Project, check_invariants, exists, kill_9

from paseo_nb.host.states import true_state
from paseo_nb.journal import lock_held
from paseo_nb.model import BUSY_STATES, RunSpec
from paseo_nb.supervisor import cleanup

FRONT = Path(__file__).with_name("front.py")
POINTS = (
    "before_spec", "after_spec", "after_spawn", "mid_stream", "journal_index", "during_index",
    "queued_send", "permission_wait", "during_stop", "enospc", "sigstop",
)  # fmt: skip
VICTIMS = ("kernel", "supervisor", "warden", "both", "agent", "nested_parent", "forked_child")
FRONTS = frozenset({"kernel", "nested_parent", "forked_child"})  # what a run outlives

STATE_S = 1.0  # how soon the true state shows
GONE_S = 5.0  # how soon nothing is left running

SECOND = [{"say": "The second turn."}]
STRAYS = ["group", "session", "double", "cleared"]
PROMPT = "the task of this test"
NEXT = "next please"


def script(point: str, victim: str) -> list[list[dict[str, Any]]]:
    """What the agent does at a kill point; the second turn shows that the run can go on."""
    ways = STRAYS[:3] if victim == "both" else STRAYS  # a cleared one may escape a double kill
    begin: list[dict[str, Any]] = [{"say": "I begin. "}, {"children": ways}]
    talk = [{"say": f"{n} ", "pause": 0.04} for n in range(50)]
    quiet = [*begin, *talk[:10], {"sleep": 4}]
    first = {
        "permission_wait": [*begin, {"permission": {"title": "May I?"}}, {"say": "Asked."}],
        "during_stop": [*begin, {"say": "deaf "}, {"stubborn": True}, {"sleep": 60}],
        "journal_index": [*begin, {"say": "Done."}],
        "during_index": [*begin, {"flood": 2000}],
        "sigstop": quiet if victim == "agent" else [*begin, *talk],
    }.get(point, [*begin, *talk])
    return [first, SECOND, SECOND]


class Scene:
    """A project, the run under test, and the front end that started it."""

    def __init__(self, project: Project, point: str, victim: str) -> None:
        self.project, self.point, self.victim = project, point, victim
        mode = "ask" if point == "permission_wait" else "auto"
        self.spec: RunSpec = project.spec("echo", PROMPT, script=script(point, victim), mode=mode)
        self.run_id = self.spec.run_id
        project.runs.append(self.run_id)
        self.folder = project.folder(self.run_id)
        self.told_path = project.root / "told.jsonl"
        self.outer: str | None = None
        self.front: subprocess.Popen[bytes] | None = None
        self.struck: list[int] = []
        self.pids: dict[str, int] = {}

    @property
    def launched(self) -> bool:
        """Whether there are processes of the run at the point."""
        return self.point not in ("before_spec", "after_spec")

    # ------------------------------------------------------------ the point

    def reach(self) -> Scene:
        """Start the front end and wait until it says `here`."""
        root = self.project.root
        (root / "spec.json").write_bytes(msgspec.json.encode(self.spec))
        plan = {
            "home": str(self.project.host.home),
            "spec": str(root / "spec.json"),
            "told": str(self.told_path),
            "point": "mid_stream" if self.point in ("sigstop", "enospc") else self.point,
            "fork": self.victim == "forked_child",
        }
        (root / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, str(FRONT), str(root / "plan.json")]
        if self.victim == "nested_parent":
            line = f"exec {shlex.join(command)}"
            self.outer = self.project.start(script=[[{"shell": line}]])
        else:
            with (root / "front.log").open("wb") as log:
                self.front = subprocess.Popen(
                    command,
                    env=self.project.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        self.project.until(lambda: self.told("here"), 60, f"the front end reaches {self.point}")
        if self.launched:
            self.pids = self._processes()
        return self

    def told(self, what: str) -> list[Any]:
        """What the front end was told, of one kind."""
        try:
            lines = self.told_path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [fact[what] for fact in map(json.loads, lines) if what in fact]

    def _processes(self) -> dict[str, int]:
        """Warden and supervisor by their parents, as the journal may not name them yet; the agent
        where it is to be struck."""

        def pair() -> dict[str, int]:
            above = cleanup.parents()
            ours = [pid for pid in above if self._is_pair(pid)]
            lower = [pid for pid in ours if above[pid] in ours]
            return {"supervisor": lower[0], "warden": above[lower[0]]} if lower else {}

        found = self.project.until(pair, 10, "warden and supervisor are there")
        if self.victim == "agent" or self.point != "after_spawn":
            agents = self.project.until(
                lambda: self.project.own(self.run_id, "agent_started"), 10, "the agent is there"
            )
            found["agent"] = agents[-1]["pid"]
        return found

    def _is_pair(self, pid: int) -> bool:
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return bytes(self.folder.path) in argv and any(b"supervisor/__main__" in x for x in argv)

    def strays(self) -> list[int]:
        """The children that the agent left running."""
        found: list[int] = []
        if self.folder.journal.exists():
            for call in self.project.history(self.run_id).tool_calls.values():
                if isinstance(call.output, dict):
                    found += call.output.get("pids", {}).values()
        return found

    # ------------------------------------------------------------ the blow

    def strike(self) -> None:
        """kill -9 of the victim; SIGSTOP at that point."""
        if self.point == "sigstop":
            self.struck = self._victims()
            for pid in self.struck:
                os.kill(pid, signal.SIGSTOP)
            return
        if self.victim == "both":
            os.kill(self.pids["warden"], signal.SIGSTOP)  # so that it cannot clean up before
        kill_9(*self._victims())
        if self.front is not None and self.victim in FRONTS:
            self.front.wait(10)
        if self.outer is not None:
            self.project.gone(self.outer, GONE_S * SLACK)
            assert not exists(self.told("pid")[0]), "the front end died with its agent"
        if self.victim == "forked_child":
            assert exists(self.told("child")[0])

    def _victims(self) -> list[int]:
        if self.victim in ("kernel", "forked_child"):
            return [self.told("pid")[0]]
        if self.victim == "nested_parent":
            assert self.outer is not None
            return [self.project.processes(self.outer)["supervisor"]]
        if self.victim == "both":
            return [self.pids["supervisor"], self.pids["warden"]]
        return [self.pids[self.victim]]

    def wake(self) -> None:
        """SIGCONT for what was stopped."""
        for pid in self.struck:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.struck = []

    # ------------------------------------------------------------ what holds

    def state(self) -> str:
        """The true state, without any recovery; "" where there is no run yet."""
        try:
            return true_state(self.folder)
        except FileNotFoundError:
            return ""

    def comes_to(self, *states: str, within: float = STATE_S) -> None:
        """The true state is one of these, in time."""
        self.project.until(
            lambda: self.state() in states,
            within * SLACK,
            f"{' or '.join(states)}, not {self.state()}",
        )

    def nothing_left(self) -> None:
        """Neither the pair nor anything that the agent started runs, in time."""
        pids = [*self.pids.values(), *self.strays()]
        self.project.until(
            lambda: (
                not lock_held(self.folder.lock)
                and not cleanup.marked(self.run_id)
                and not any(map(exists, pids))
            ),
            GONE_S * SLACK,
            f"nothing is left of {[pid for pid in pids if exists(pid)]}"
            f" {cleanup.marked(self.run_id)}",
        )

    def recover(self) -> None:
        """What any next front end does: ask for the state of each run that needs a look."""
        host = self.project.host
        for name in sorted(os.listdir(host.home / "live")):
            if host.folder(name).spec.exists():
                host.state(name)

    def recover_twice(self) -> None:
        """The second recovery is a no-op, to the byte. Only where nothing runs."""
        self.recover()
        before = self.bytes()
        self.recover()
        assert self.bytes() == before, "a second recovery writes nothing"

    def bytes(self) -> dict[str, bytes | None]:
        """Every file of the project's runs."""
        home = self.project.host.home
        files = [path for path in home.rglob("*") if path.is_file()]
        return {
            str(path): path.read_bytes() for path in files if path.suffix in (".jsonl", ".json")
        }

    def nothing_lost(self) -> None:
        """Every event that the front end had seen, and every command that it was told is kept, is
        in the journal; the command was applied once."""
        lines = {line.seq: line for line in self.project.lines(self.run_id)}
        for batch in self.told("seen"):
            for seq, crc in batch:
                assert zlib.crc32(bytes(lines[seq].raw)) == crc, f"event {seq} is another now"
        for ident in self.told("ack"):
            commands = [c for c in self.project.own(self.run_id, "command") if c["id"] == ident]
            assert len(commands) == 1
            if commands[0]["verb"] == "send":
                starts = self.project.own(self.run_id, "turn_start")
                assert [s["command_id"] for s in starts].count(ident) == 1, "applied once"

    # ------------------------------------------------------------ going on

    def go_on(self) -> None:
        """The run can be used after what happened, by a front end that knows nothing of it."""
        project, run_id = self.project, self.run_id
        turns = 0
        if not self.launched:
            asyncio.run(project.host.ensure(run_id, self.spec, project.env))
        else:
            busy = project.alive(run_id) and self.state() in BUSY_STATES
            turns = len(project.history(run_id).turns) - busy
            if busy and self.point == "permission_wait":
                asked = project.history(run_id).open_permissions()
                project.command(run_id, "answer", permission=asked[0].id, allow=True)
            elif not busy and self.point in ("after_spawn", "queued_send"):
                project.command(run_id, "resume")  # what is owed is done, nothing is asked twice
            elif not busy:
                project.command(run_id, "resume", prompt=[{"type": "text", "text": NEXT}])
        least = 2 if self.point == "queued_send" else max(turns + 1, 1)

        def done() -> bool:
            turns = project.history(run_id).turns
            return len(turns) >= least and turns[-1].outcome is not None

        project.until(done, 60, f"{least} turns")
        assert project.history(run_id).turns[-1].outcome == "end_turn"
        sent = [bytes(x.raw) for x in project.lines(run_id) if x.kind == "session/prompt"]
        assert any(PROMPT.encode() in raw for raw in sent), "the agent got its task"

    def end(self) -> None:
        """Stop the run: it says so, and nothing is left; what was journaled holds."""
        if self.project.alive(self.run_id):
            self.project.command(self.run_id, "stop")
            self.project.gone(self.run_id, 10 * SLACK)
            assert self.project.host.state(self.run_id) == "stopped"
        self.nothing_left()
        self.recover_twice()
        if self.outer is not None:
            if self.project.alive(self.outer):  # it was only suspended
                self.wake()
                self.project.command(self.outer, "stop")
                self.project.gone(self.outer, 10 * SLACK)
            assert not cleanup.marked(self.outer)
            check_invariants(self.project, self.outer)
        check_invariants(self.project, self.run_id)
        self.nothing_lost()

    def close(self) -> None:
        """End what the cell itself started, by the ids it knows."""
        self.wake()
        kill_9(*self.told("pid"), *self.told("child"), *self.strays())
        if self.front is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.front.wait(10)
