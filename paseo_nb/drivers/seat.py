"""The seam between a dialect and the supervisor: what each may ask of the other.

A dialect speaks one protocol with one agent process; the supervisor owns the process, the journal,
the policy and the clock. A dialect never writes a file, spawns a process or decides a permission
by itself: it asks its seat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ..model import Fork, Mode, Outcome, Problem, RunSpec, Usage


class AgentProblem(Exception):
    """The agent cannot be used as asked; `problem` says so in the user's words."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class TurnResult(msgspec.Struct):
    """How a turn ended, as the agent told it."""

    outcome: Outcome
    stop_reason: str | None = None
    problem: Problem | None = None
    value: Any = None
    """The structured answer, where the agent gives it apart from its text."""


class Answer(msgspec.Struct):
    """The answer to a permission request: an option, or None for "cancelled".

    allow: whether it is a yes. message: what the person says with a no. input: the tool's input as
    the person changed it, for a protocol that takes it; elsewhere `asking` has made it a no with
    the changed form in words.
    """

    option_id: str | None
    allow: bool = False
    message: str | None = None
    input: dict[str, Any] | None = None


class Message(Protocol):
    """What a dialect makes of a line at first sight, before it is masked and written."""

    @property
    def id(self) -> Any:
        """Not None where the line asks for an answer, so that `handle` is called in any case."""
        ...


class RunningChild(Protocol):
    """A child process of the seat."""

    pid: int
    popen: Any
    exited: Any

    def kill_group(self, sig: Any) -> None: ...


class Seat(Protocol):
    """What the supervisor offers to a dialect."""

    spec: RunSpec
    environment: Mapping[str, str]
    """What the agent gets; values are never written down."""

    @property
    def mode(self) -> Mode:
        """The permission mode that holds now: a run's may be changed while it goes on."""
        ...

    @property
    def budget_left(self) -> float | None:
        """US dollars that the run may still cost; None: as many as it takes."""
        ...

    @property
    def fork(self) -> Fork | None:
        """What a new session is to be forked off by the agent itself; None: it begins empty."""
        ...

    def write(self, kind: str, message: Any) -> None:
        """Journal a message as `out`, then send it to the agent."""
        ...

    def own(self, kind: str, **facts: Any) -> None:
        """Journal a fact of ours."""
        ...

    async def permission(self, seq: int, tool_call: dict[str, Any], options: list[Any]) -> Answer:
        """Have a request decided: by the policy, by a person, or by time running out."""
        ...

    def spawn(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> RunningChild:
        """Start a program for the agent (a terminal), standard error joined to output."""
        ...

    def end_child(self, child: RunningChild) -> None:
        """End such a program and what it started."""
        ...

    def processes(self) -> set[int]:
        """What runs for the agent now: itself, what it started, what left it."""
        ...

    def end_processes(self, pids: set[int]) -> None:
        """End those of them that still run, gently, then by force; no other run's."""
        ...

    def heard(self) -> None:
        """Something that runs for the agent gave a sign of life: the agent is not silent."""
        ...

    def may_write(self, path: str) -> str | None:
        """None if the policy lets the agent write there through us, else why not."""
        ...

    def may_run(self, command: str) -> str | None:
        """None if the policy lets the agent run a command through us, else why not."""
        ...

    def forbid(self, seq: int, tool_call: dict[str, Any]) -> str | None:
        """None unless the policy forbids a call that the agent may make unasked: then why, and it
        is journaled as a question that was denied."""
        ...

    def guarded(self, tool_call: dict[str, Any]) -> str | None:
        """Why a person is to be asked for a call that the agent's own settings may let pass."""
        ...

    def metered(self, cost_usd: float | None, tokens: int | None) -> None:
        """What the agent's process has cost so far, or tokens that no call of is told."""
        ...

    def called(
        self,
        usage: Usage,
        model: str | None = None,
        *,
        before: Usage | None = None,
        whole: bool = False,
    ) -> None:
        """A model call just ended, or is told of further than `before`. `whole`: it is several
        calls' sum. `usage.cost_usd`: what the agent tells of this call."""
        ...


def compare_versions(seat: Seat, version: str | None) -> None:
    """Say so where an agent, by what it tells of itself, is another version than the tested one."""
    tested, name = seat.spec.tested, seat.spec.at_heart
    if tested is None or version == tested:
        return
    told = "no version" if version is None else f"version {version}"
    said = f"{name} tells {told}; {tested} is the one that is tested: paseo-nb install {name}"
    seat.own("warning", message=said, tested=tested, version=version)


class Dialect(Protocol):
    """What a dialect offers to the supervisor.

    quiet: the kinds of lines that carry a piece of streamed text and ask for nothing, with the
    path of that text in the message: `handle` is not called for them, and secrets are masked over
    their borders.
    retries: the kinds of lines by which the agent tells that a model call failed and is tried
    again: for the limit of silence they are no sign of life.
    takes_schema: whether it hands the run's schema to the agent itself (`prompt_result.value`).
    takes_input: whether a permission may be given with another input than was asked for;
    takes_reasons: whether it tells the agent why a permission was denied.
    forked: whether `connect` had the agent fork what `seat.fork` names.
    """

    session_id: str | None
    quiet: Mapping[str, tuple[str, ...]]
    retries: frozenset[str]
    takes_schema: bool
    takes_input: bool
    takes_reasons: bool
    forked: bool

    def argv(self, session_id: str | None) -> list[str]:
        """The command line. For a new session it is the spec's `command`, as the agent is launched
        with that before the dialect is there."""
        ...

    def sight(self, line: bytes) -> Any:
        """A `Message`: what the line is at first sight; None where it is no JSON object. Fast: it
        is called for every line."""
        ...

    def sight_of_blob(self, head: bytes, tail: bytes) -> Any:
        """The same for a line too long to be joined, from its two ends."""
        ...

    def text_of(self, message: Any) -> str | None:
        """The text of a quiet line."""
        ...

    def kind_of(self, message: Any, line: bytes) -> str:
        """The journal's kind of a line: see `reading`. Called once for each, in order."""
        ...

    def handle(self, kind: str, message: Any, line: bytes | None, seq: int) -> None:
        """Act on a journaled line; `line` is None where it was too long to join. Must not block."""
        ...

    async def connect(self, session_id: str | None) -> None:
        """Introduce ourselves, then start a session or go on with `session_id`; AgentProblem."""
        ...

    async def prompt(self, blocks: list[dict[str, Any]]) -> TurnResult:
        """One turn."""
        ...

    async def steer(self, blocks: list[dict[str, Any]]) -> bool:
        """Say something into the running turn; False where the agent cannot take it now."""
        ...

    def cancel(self) -> None:
        """Ask the agent to end the turn; answers open requests, ends our terminals."""
        ...

    async def set_option(self, what: str, value: str) -> None:
        """Choose `model`, `agent_mode` or `effort`; AgentProblem where it cannot be."""
        ...

    def close(self) -> None:
        """The agent is gone: fail whatever waits, end our terminals."""
        ...
