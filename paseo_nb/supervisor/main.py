"""The supervisor: one run's agent, its turns, its commands and its limits, until it is idle.

Everything is imported when the process starts, and only from an allow-list (a test says so): an
upgrade of paseo_nb under a living supervisor must not mix old code with new. Longer than other
files, as it is the seat that every dialect sits in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .. import __version__
from ..drivers.reading import reading_for
from ..drivers.seat import AgentProblem, Answer, RunningChild
from ..journal import Journal, RunFolder
from ..model import BUSY_STATES, MODES, PROTOCOL_VERSION, Fork, Mode, Problem, RunSpec, Usage
from ..wire import socket_path
from . import cleanup
from .asking import Asking
from .breaches import Breaches
from .children import Child, Children
from .commands import Commands
from .control import Control
from .costing import Spoken
from .family import Family
from .forks import Forks
from .link import AgentLink
from .masking import Masker, secrets_in
from .not_started import EarlyExit
from .outside import Outside
from .recorder import Recorder
from .recording import Recording
from .recovery import read_past
from .servers import Servers
from .setting_up import SettingUp
from .snapshots import Snapshots
from .turns import Prompt, Turns, retrieved

EMPTY_IDLE_S = 15.0


def supervise(
    run_dir: str,
    environment: Mapping[str, str],
    warden_gone: int,
    agent: subprocess.Popen[bytes] | None,
) -> int:
    """Run the supervisor of one run folder to its end; the exit code. `agent`: launched already."""
    cleanup.become_subreaper()
    return asyncio.run(Supervisor(run_dir, environment).run(warden_gone, agent))


class Supervisor:
    """Ties the parts together; the dialect's seat."""

    def __init__(self, run_dir: str, environment: Mapping[str, str]) -> None:
        self.folder = RunFolder(run_dir)
        self.spec: RunSpec = self.folder.read_spec()
        self.environment: Mapping[str, str] = {**environment, cleanup.MARKER: self.spec.run_id}
        self.link: AgentLink | None = None
        self.stopping: str | None = None
        self.wanted = asyncio.Event()
        self.baseline: set[int] = set()
        self._launching = asyncio.Lock()
        self._session_noted: str | None = None
        self.state = ""
        self.servers = Servers(self)

    # ------------------------------------------------------------ life

    async def run(self, warden_gone: int, agent: subprocess.Popen[bytes] | None) -> int:
        """Recover, serve, work, leave."""
        loop = asyncio.get_running_loop()
        context = self.spec.fork.context if self.spec.fork is not None else None
        self.recording = Recording(self)
        past = read_past(self.folder, reading_for(self.spec.dialect, self.spec.at_heart), context)
        journal = Journal(self.folder)
        masker = Masker([*secrets_in(self.environment), *self.servers.fill_in()])
        self.recorder = Recorder(journal, masker)
        self.children = Children(loop, agent)
        self.forks = Forks(self.folder, self.spec, self.recorder)
        self._session_noted = past.session_id
        for what, value in past.chosen.items():
            self.keep_choice(what, value)
        self.asking = Asking(self.spec, self.recorder, self._held, self._asking_changed)
        if past.mode in MODES:
            self.asking.mode = past.mode
        self.asking.lasting = past.lasting
        self.snapshots = Snapshots(self, past.snapshot)
        self.family = Family(self, past.kin, past.last_turn)
        self.setting_up, self.outside = SettingUp(self), Outside(self)
        self.turns = Turns(self, past)
        self.commands = Commands(self, past.command_ids)
        self.control = Control(socket_path(self.folder.path), self._hello(), self.commands.carry)
        self.control.on_check = self._check_folder
        self.recorder.on_wake = self.control.wake
        self.recorder.on_disk_full = self._disk_full
        self.state = past.state
        loop.set_exception_handler(self._bug)
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, self.stop, "terminated")
        loop.add_reader(warden_gone, self._warden_gone, warden_gone)
        if past.turn_open:
            self.family.ended(past.turn, {"outcome": "interrupted", "by": "recovery"})
            self.set_state("interrupted")
        with contextlib.suppress(OSError):
            await self.control.open()
        self._note_start(resumed=past.started_before)
        self.family.give_back()
        self.family.tell()
        await self.turns.recover(past)
        reason = await self._work()
        await self._leave(reason)
        return 0

    def _hello(self) -> dict[str, Any]:
        return {"protocol": PROTOCOL_VERSION, "run_id": self.spec.run_id, "pid": os.getpid()}

    def _note_start(self, resumed: bool) -> None:
        for said in () if resumed else self.spec.warnings:
            self.recorder.own("warning", message=said)
        self.recorder.own(
            "run_started",
            run_id=self.spec.run_id,
            host=socket.gethostname(),
            boot_id=cleanup.boot_id(),
            pid=os.getpid(),
            warden_pid=os.getppid(),
            socket=str(self.control.path),
            protocol=PROTOCOL_VERSION,
            versions={"paseo_nb": __version__, "python": sys.version.split()[0]},
            resumed=resumed,
        )
        if not self.state:
            self.set_state("starting")

    async def _work(self) -> str:
        """Turn after turn; why it ended."""
        while self.stopping is None:
            prompt = self.turns.next()
            if prompt is not None:
                await self.turns.run(prompt)
                if self.link is not None and self.link.exited.is_set():
                    await self.end_agent()
                if self.link is None and not self.turns.queue and self.stopping is None:
                    return "agent gone"
                continue
            limit = self.spec.limits.idle_s if self.link is not None else EMPTY_IDLE_S
            self.wanted.clear()
            waits = [self.wanted.wait()]
            if self.link is not None:
                waits.append(self.link.exited.wait())
            tasks = [asyncio.ensure_future(wait) for wait in waits]
            done, pending = await asyncio.wait(
                tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
            if self.link is not None and self.link.exited.is_set():
                await self.end_agent()
                if not self.turns.queue:
                    return "agent gone"
            elif not done and not self._has_work():
                return "idle"
        return self.stopping

    def _has_work(self) -> bool:
        """Whether something is owed to a front end, or the agent left something running since its
        session was ready."""
        if self.turns.queue or self.commands.going or self.family.waits():
            return True
        return self.link is not None and bool(self.processes() - self.baseline)

    async def _leave(self, reason: str) -> None:
        self.stopping = self.stopping or reason  # from here on a command starts another pair
        quick = reason in ("warden gone", "disk full", "internal")
        await self.end_agent(eof_s=0.0 if quick else 5.0, term_s=0.1 if quick else 2.0)
        if reason == "stopped":
            self.set_state("stopped")
        elif self.state in BUSY_STATES:
            self.set_state("interrupted")
        self.recorder.own("run_ended", reason=reason, state=self.state)
        self.recorder.durable()
        self.control.close()
        self.recorder.journal.close()

    def stop(self, reason: str) -> None:
        """End the pair, in order; the first reason counts."""
        if self.stopping is None:
            self.stopping = reason
            self.turns.abort(reason)
            self.snapshots.ending.set()
            self.wanted.set()

    def _warden_gone(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self.stop("warden gone")

    def _bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A mistake of ours in a callback: say so and end, rather than hang."""
        loop.default_exception_handler(context)
        if self.stopping is not None:
            return
        self.turns.problem = Problem(
            "internal",
            f"paseo_nb's supervisor made a mistake: {context.get('exception') or context}",
            f"Everything up to here is kept. Please report {self.folder.log}; resume() goes on.",
        )
        self.stop("internal")

    def _check_folder(self) -> None:
        """A run whose folder was deleted under it has nobody to work for."""
        if not self.folder.journal.exists():
            self.stop("folder gone")
        else:
            self.family.collect()

    def _disk_full(self) -> None:
        with contextlib.suppress(OSError):  # the log is on the same disk
            print("the disk is full: ending the turn", file=sys.stderr)
        self.turns.problem = Problem(
            "disk_full",
            "the disk is full: the journal could not be written, so the turn was ended",
            f"Free space under {self.folder.home}, then resume the run.",
        )
        asyncio.get_running_loop().call_soon(self.stop, "disk full")

    # ------------------------------------------------------------ the agent

    async def ensure_agent(self, session_id: str | None) -> AgentLink:
        """The connected agent, launched if need be. OSError, AgentProblem, EarlyExit."""
        async with self._launching:
            try:
                return await self._agent(session_id)
            except (AgentProblem, EarlyExit):
                if session_id is not None or not self.forks.give_up():
                    raise
                await self.end_agent(eof_s=1.0, term_s=1.0)
                return await self._agent(session_id)

    async def _agent(self, session_id: str | None) -> AgentLink:
        if self.link is not None and not self.link.exited.is_set():
            return self.link
        if self.link is not None:
            await self.end_agent()
        if self.servers.missing is not None:
            said = f"an MCP server of this run needs {self.servers.missing}, which is not set"
            raise AgentProblem(Problem("environment", said, "Set it, stop the run, resume it."))
        if self.recording.problem is not None:
            raise AgentProblem(Problem("record", self.recording.problem, "Start it without."))
        self.servers.serve()
        self.recording.serve()
        self.link = link = AgentLink(
            self, self.folder, self.recorder, self.children, self.environment, session_id
        )
        if self.spec.dialect in ("acp", "codex"):
            link.breaches = Breaches(self.asking)
        seen = {"recorded": True} if self.spec.record is not None else {}
        self.recorder.own("agent_started", argv=link.argv, pid=link.pid, **seen)
        connecting = asyncio.ensure_future(link.dialect.connect(session_id))
        connecting.add_done_callback(retrieved)
        leaving = asyncio.ensure_future(link.exited.wait())
        try:
            await asyncio.wait({connecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not connecting.done():
                connecting.cancel()
        if leaving.done() and not connecting.done():
            await asyncio.wait({connecting})
            raise EarlyExit(link.returncode or 0, link.stderr_tail)
        connecting.result()
        self.turns.session_id = link.dialect.session_id
        if link.dialect.session_id != self._session_noted:
            self._session_noted = link.dialect.session_id
            how = "new" if session_id is None else "returned"
            self.recorder.own("session", session_id=self._session_noted, how=how)
        if session_id is None:
            self.turns.notes += self.forks.note(link.dialect.forked)
        self.baseline = self.processes()
        return link

    def keep_choice(self, what: str, value: str) -> None:
        """A model, agent mode or effort that was chosen later holds for every further launch."""
        if what == "model":
            self.spec = msgspec.structs.replace(self.spec, model=value, model_by="session")
        elif what in ("agent_mode", "effort"):
            self.spec = msgspec.structs.replace(self.spec, **{what: value})

    async def end_agent(self, eof_s: float = 5.0, term_s: float = 2.0) -> None:
        """End the agent and everything it left."""
        link, self.link = self.link, None
        if link is not None:
            await link.end(eof_s, term_s)
            self.recorder.own("agent_exit", code=link.returncode)
        term_s = 0.0 if eof_s == 0.0 else 0.3
        await asyncio.to_thread(cleanup.end, self._left_over, term_s, 4.0, False)
        self.children.reap()

    def _left_over(self) -> list[int]:
        run_id, pair = self.spec.run_id, {os.getpid(), os.getppid()}
        return list({*cleanup.descendants(os.getpid(), run_id), *cleanup.marked(run_id, pair)})

    # ------------------------------------------------------------ the dialect's seat

    @property
    def mode(self) -> Mode:
        """See `seat.Seat.mode`."""
        return self.asking.mode

    @property
    def budget_left(self) -> float | None:
        """See `seat.Seat.budget_left`."""
        return self.turns.budget_left

    @property
    def fork(self) -> Fork | None:
        """See `seat.Seat.fork`."""
        return self.forks.point

    def write(self, kind: str, message: Any) -> None:
        """See `seat.Seat.write`."""
        if self.link is not None:
            self.link.send(kind, message)

    def own(self, kind: str, **facts: Any) -> None:
        """See `seat.Seat.own`."""
        self.recorder.own(kind, **facts)

    async def permission(self, seq: int, tool_call: dict[str, Any], options: list[Any]) -> Answer:
        """See `seat.Seat.permission`."""
        if self.turns.cancelling:
            return self.asking.refuse(seq)
        return await self.asking.ask(seq, tool_call, options)

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> RunningChild:
        """See `seat.Seat.spawn`."""
        merged = {**self.environment, **env, cleanup.MARKER: self.spec.run_id}
        return self.children.spawn(argv, env=merged, cwd=cwd, stderr=subprocess.STDOUT)

    def end_child(self, child: RunningChild) -> None:
        """See `seat.Seat.end_child`: its group, and what left the group."""
        if isinstance(child, Child):
            below = {*cleanup.descendants(child.pid, self.spec.run_id), *self._session_of(child)}
            if below or not child.exited.done():
                child.kill_group(signal.SIGTERM)
                self.end_processes(below)
                asyncio.get_running_loop().call_later(1.0, self._end_child_hard, child)

    def _session_of(self, child: Child) -> list[int]:
        """What still runs in a child's session, though the child may have ended before it."""
        return [pid for pid in self.processes() if cleanup.session_of(pid) == child.pid]

    def _end_child_hard(self, child: Child) -> None:
        child.kill_group(signal.SIGKILL)
        cleanup.kill(self._session_of(child), signal.SIGKILL)

    def processes(self) -> set[int]:
        """See `seat.Seat.processes`: everything below us."""
        return set(cleanup.descendants(os.getpid(), self.spec.run_id))

    def end_processes(self, pids: set[int]) -> None:
        """See `seat.Seat.end_processes`."""
        if left := list(pids & self.processes()):
            cleanup.kill(left, signal.SIGTERM)
            asyncio.get_running_loop().call_later(1.0, self._end_hard, pids)

    def _end_hard(self, pids: set[int]) -> None:
        cleanup.kill(list(pids & self.processes()), signal.SIGKILL)

    def heard(self) -> None:
        """See `seat.Seat.heard`."""
        if self.link is not None:
            self.link.last_heard = time.monotonic()

    def may_write(self, path: str) -> str | None:
        """See `seat.Seat.may_write`."""
        return self.asking.may_write(path)

    def may_run(self, command: str) -> str | None:
        """See `seat.Seat.may_run`."""
        return self.asking.may_run(command)

    def forbid(self, seq: int, tool_call: dict[str, Any]) -> str | None:
        """See `seat.Seat.forbid`."""
        return self.asking.forbid(seq, tool_call)

    def guarded(self, tool_call: dict[str, Any]) -> str | None:
        """See `seat.Seat.guarded`."""
        return self.asking.guarded(tool_call)

    def metered(self, cost_usd: float | None, tokens: int | None) -> None:
        """See `seat.Seat.metered`."""
        self.turns.meter(cost_usd, tokens)

    def called(
        self,
        usage: Usage,
        model: str | None = None,
        *,
        before: Usage | None = None,
        whole: bool = False,
    ) -> None:
        """See `seat.Seat.called`."""
        self.turns.meter(None, None, Spoken(usage, model, before, whole))

    # ------------------------------------------------------------ state

    def set_state(self, state: str) -> None:
        """Journal a change of state."""
        if state != self.state:
            self.state = state
            self.recorder.own("state", state=state)

    def _asking_changed(self) -> None:
        if self.turns.running and self.stopping is None:
            self.set_state("waiting" if self.asking.pending else "running")
        self.family.asks(set(self.asking.pending))

    def _held(self) -> bool:
        return self.control.held

    def want(self, prompt: Prompt) -> None:
        """Queue a prompt."""
        self.turns.queue.append(prompt)
        self.wanted.set()
