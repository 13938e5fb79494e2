"""The nouns as plain values: what a run, a turn, an event and a tool call are.

Values only: nothing here opens a file, starts a process or imports another module of ours.
Every other room passes these around; the store's columns and the frames mirror them. Longer than
other files, as it is all of them.

Conventions: times are integer microseconds since the epoch, UTC (`*_us`); `None` means "not
reported", 0 means zero; `input_tokens` includes cached ones (OpenTelemetry GenAI's rule).
Longer than other files, as it is the one table of values.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Literal

import msgspec

State = Literal[
    "starting",
    "running",
    "waiting",
    "idle",
    "error",
    "interrupted",
    "unresponsive",
    "unknown",
    "stopped",
    "archived",
]
STATES: tuple[State, ...] = State.__args__  # pyright: ignore[reportAttributeAccessIssue]
STATE_WORDS: dict[str, str] = {
    "starting": "Starting",
    "running": "Running",
    "waiting": "Waiting for you",
    "idle": "Done",
    "error": "Failed",
    "interrupted": "Interrupted",
    "unresponsive": "Not answering",
    "unknown": "On another host",
    "stopped": "Stopped",
    "archived": "Archived",
}
BUSY_STATES = frozenset({"starting", "running", "waiting", "unresponsive"})
# The state that a turn's outcome leaves a run in; "idle" for the others.
TURN_STATES: dict[str, str] = {"error": "error", "interrupted": "interrupted"}

Outcome = Literal["end_turn", "cancelled", "refused", "limit", "error", "interrupted"]
Direction = Literal["in", "out", "own"]
Mode = Literal["ask", "edit", "auto", "read"]
MODES: tuple[Mode, ...] = ("ask", "edit", "auto", "read")
OWN_LABELS = ("session", "pattern", "step")  # not handed on to a child or a fork
TOOL_KINDS = ("read", "edit", "delete", "move", "search", "execute", "think", "fetch", "other")
When = Literal["queue", "steer", "interrupt"]

JOURNAL_VERSION = 1
PROTOCOL_VERSION = 1


# What the token counts of a turn or a run cover. "turn": all of it. "last model call": the agent
# tells no more than that, so that the counts are NULL where there were several calls. "some turns":
# a run's sum, to which not every turn reported.
Scope = Literal["turn", "last model call", "some turns"]


class Usage(msgspec.Struct, omit_defaults=True):
    """Tokens and money of a turn or a run. `input_tokens` includes cached ones.

    source: who told the token counts (`agent`, `session file`, or `several`); None: nobody did.
    scope: what they cover. `context_*` are gauges: how full the context is now, never summed.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    context_used: int | None = None
    context_size: int | None = None
    cost_usd: float | None = None
    source: str | None = None
    scope: Scope | None = None

    @property
    def counted(self) -> int:
        """Tokens in and out, as a run's limit counts them; 0 where none are told."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def plus(self, other: Usage) -> Usage:
        """The sum of two turns, where `None` on both sides stays `None`; context figures are the
        later ones. Where one side's tokens cover less than its turn, the sum has none."""

        def add(a: Any, b: Any) -> Any:
            return b if a is None else a if b is None else a + b

        out = Usage()
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if name.startswith("context_"):
                setattr(out, name, mine if theirs is None else theirs)
            elif name in TOKENS or name == "cost_usd":
                setattr(out, name, add(mine, theirs))
        told = {source for source in (self.source, other.source) if source is not None}
        out.source = "several" if len(told) > 1 else told.pop() if told else None
        if "last model call" in (self.scope, other.scope):
            return out.without_tokens("last model call")
        out.scope = self.scope if self.scope == other.scope else "some turns"
        return out

    def without_tokens(self, scope: Scope | None) -> Usage:
        """The same with no token counts, as they cover no more than `scope`."""
        return msgspec.structs.replace(self, **dict.fromkeys(TOKENS), scope=scope)


TOKENS = tuple(name for name in Usage.__struct_fields__ if name.endswith("_tokens"))


class Line(msgspec.Struct, gc=False):
    """One line of a journal: our envelope around `raw`, the agent's own message (or our fact)."""

    seq: int
    t: int
    mono: int
    turn: int
    dir: Direction
    kind: str
    raw: msgspec.Raw = msgspec.Raw(b"null")


class Event(msgspec.Struct, gc=False):
    """A journal line as a dialect reads it. `text` is its plain text, where it has any."""

    seq: int
    time_us: int
    turn: int
    dir: Direction
    kind: str
    text: str | None
    tool_call_id: str | None
    raw: msgspec.Raw

    def data(self) -> Any:
        """The raw message, decoded."""
        return msgspec.json.decode(self.raw)


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong in words a user can act on."""

    code: str
    message: str
    hint: str | None = None


class ToolCall(msgspec.Struct):
    """One tool use. `outcome`: None while it goes on, else completed, failed, cancelled (the turn
    ended before it did) or interrupted. told_at_once: before it was over: `started_us` is true.
    parent: the call of the sub-agent that made it."""

    tool_call_id: str
    turn: int
    seq: int
    tool_name: str | None
    kind: str | None
    title: str | None
    input: Any
    output: Any
    content: list[Any]
    locations: list[str]
    started_us: int
    finished_us: int | None = None
    status: str = "pending"
    outcome: str | None = None
    error: str | None = None
    told_at_once: bool = True
    parent: str | None = None


class Permission(msgspec.Struct):
    """One question of an agent and its answer. `id` is `p` + the seq of the request's line;
    `edited` the input that a person put in place of the agent's own."""

    id: str
    turn: int
    tool_call_id: str | None
    title: str | None
    kind: str | None
    input: Any
    options: list[dict[str, Any]]
    asked_us: int
    answered_us: int | None = None
    outcome: str | None = None
    option_id: str | None = None
    by: str | None = None
    rule: str | None = None
    message: str | None = None
    edited: Any = None


class Allow(msgspec.Struct, frozen=True, kw_only=True):
    """A yes to a permission request: once, or with `always` for the rest of the run.

    option: the id of one of its options instead. input: the tool's whole input as it shall be used;
    where the agent cannot take it (all but claude) it is a no, and said. message: is kept.
    """

    always: bool = False
    option: str | None = None
    input: dict[str, Any] | None = None
    message: str | None = None


class Deny(msgspec.Struct, frozen=True):
    """A no to a permission request; `message` is told to the agent where it can be told in
    mid-turn, and kept. cancel: end the turn, too."""

    message: str | None = None
    cancel: bool = False


class Turn(msgspec.Struct):
    """One prompt and all that follows until the agent stops. `outcome` is None while it runs."""

    turn: int
    origin: str
    prompt: str
    started_us: int
    finished_us: int | None = None
    outcome: Outcome | None = None
    stop_reason: str | None = None
    error: Problem | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    text: str = ""
    value: Any = None
    tool_calls: int = 0
    git_before: str | None = None
    git_after: str | None = None
    files_changed: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None
    first_seq: int = 0
    last_seq: int = 0


class FilesAt(msgspec.Struct, frozen=True):
    """A commit of the files of a run's folder: at a turn's start or end, and around an undo (kept:
    before it, undo: after it). head: what was committed of them, where that is told."""

    turn: int
    at: str
    commit: str
    head: str | None = None


class Segment(msgspec.Struct, frozen=True):
    """A part of a model request. kind: system, tool, message or attachment; size in bytes; steady:
    its hash without numbers and dates; mark: the provider is asked to cache up to its end; text:
    what it says, where that was asked to be kept."""

    kind: str
    name: str
    hash: str
    size: int
    steady: str | None = None
    mark: bool = False
    text: str | None = None


class ModelCall(msgspec.Struct):
    """One request to the model, where the agent tells of it. `finished_us` is when its last figures
    came; `id` the model's own message id, or one made from the line's seq. parent: the tool call of
    the sub-agent that made it; segments: what was sent, in order, where that is known. status,
    first_token_us, attempt (from 1, of the same request): where a recorder saw it."""

    id: str
    turn: int
    seq: int
    started_us: int
    finished_us: int | None = None
    model: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    stop_reason: str | None = None
    error: str | None = None
    parent: str | None = None
    segments: list[Segment] | None = None
    status: int | None = None
    first_token_us: int | None = None
    attempt: int | None = None


class Item(msgspec.Struct):
    """One row of a transcript. role: user, agent or system; kind: message, thought, plan,
    tool_call, permission, note."""

    seq: int
    turn: int
    role: str
    kind: str
    text: str
    started_us: int
    finished_us: int | None = None
    title: str | None = None
    outcome: str | None = None
    ref: Any = None


class Rate(msgspec.Struct, frozen=True, omit_defaults=True):
    """US dollars per million tokens; `tiers`: (above so many input tokens, rate for all of them),
    in rising order."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()

    def at(self, input_tokens: int, one_request: bool) -> float:
        """The rate that holds. Of the sum of several requests, which tier held is not known: the
        first."""
        above = [rate for start, rate in self.tiers if one_request and input_tokens > start]
        return above[-1] if above else self.base


class Rates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model's rates; `source` names the table and its version. A rate that is None is that of
    plain input."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    source: str = ""
    model: str = ""


class Pricing(msgspec.Struct, omit_defaults=True):
    """What the model calls of a run are priced by, where dollars are counted. rates: of models that
    were known at the launch; unpriced: models that have none, and why; prices: the settings'
    `[prices]`, for other models. tells: whether the agent tells its cost by itself (None: not
    known). firm: whether the run's budget was asked for, so that a call without a price ends the
    turn; else that is only said."""

    rates: dict[str, Rates] = {}
    unpriced: dict[str, str] = {}
    prices: dict[str, dict[str, Any]] = {}
    tells: bool | None = None
    firm: bool = False


class Common(msgspec.Struct, omit_defaults=True):
    """What all runs of a project may use together, in a day or in all."""

    span: Literal["day", "project"]
    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None


class Limits(msgspec.Struct, omit_defaults=True):
    """What the supervisor enforces by itself, so that a dead kernel leaves no unbounded spender.
    Times in seconds; None = no limit."""

    timeout_s: float | None = None
    silence_s: float | None = 900.0
    permission_timeout_s: float = 300.0
    idle_s: float = 300.0
    start_s: float = 120.0
    max_turns: int | None = None
    cost_usd: float | None = None
    tokens: int | None = None
    depth: int = 0  # levels of runs that may be below it
    children: int = 0  # runs that it may have started and not archived
    common: list[Common] = []  # with all other runs of the project


class Shelved(msgspec.Struct, frozen=True):
    """A worktree that went with its archived run: where it stood, on which branch (None: detached)
    and commit; the commits of its index, of its files as git has them (`diff`, `apply`), and of
    their very bytes (None: the same; a journal from before that was told); what of the ignored went
    with it; the ref that keeps all that."""

    path: str
    branch: str | None
    head: str
    staged: str
    files: str
    ignored: list[str] = []
    exact: str | None = None
    ref: str | None = None


class PutAway(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run's `archived` line tells: what was kept of its worktree, or why that stays."""

    shelved: Shelved | None = None
    stays: str | None = None


class BroughtBack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run's `unarchived` line tells: what is otherwise than it was."""

    said: str | None = None


class Step(msgspec.Struct):
    """One of the things that a run was told to do one by one."""

    name: str
    begun: bool = False
    done: bool = False
    note: str = ""


class Rule(msgspec.Struct, omit_defaults=True):
    """A rule of the permission policy. kind: a tool's kind, or `*`. pattern: of the command
    (`execute`) or of every path that the call names, with `*` and `?`; None fits any."""

    verdict: Literal["allow", "deny"]
    kind: str
    pattern: str | None = None

    def __str__(self) -> str:
        return f"{self.verdict} {self.kind}" + ("" if self.pattern is None else f":{self.pattern}")


class Setup(msgspec.Struct, omit_defaults=True):
    """What a repository wants done in a run's worktree: `commands` before the first turn there,
    unless `marker` (a file) says that it was; `teardown` before the worktree goes. env: for both
    and for the agent; nothing in it is a secret."""

    commands: list[str] = []
    teardown: list[str] = []
    env: dict[str, str] = {}
    marker: str = ""


class Fork(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a run was forked off: the end of a run's turn.

    session_id: the agent's own session then, where the agent can fork it there; at: the agent's own
    mark of that end (None: the session's end, as long as nothing was said since). context: the
    conversation in short, told with the first prompt where the agent does not fork.
    """

    run_id: str
    turn: int
    context: str
    session_id: str | None = None
    at: str | None = None


ForkKind = Literal["session", "context"]  # the agent's own fork, or told in short


class RunSpec(msgspec.Struct, omit_defaults=True):
    """Everything needed to start or resume a run: written once, before anything starts.

    `extends` is the built-in provider that `provider` is at heart (None in older runs: its own
    name says it); `tested` is the version that it tells where it is the tested one. `command` is
    resolved; `env_names` are the variables handed to the agent beyond the inherited environment,
    names only: values never touch the disk. asks: whether the agent asks for permission in this
    run, asking_modes: in which agent modes only (None: not known, all). warnings: what was doubtful
    before the launch. git_base: what `diff` and `apply` count from; git_start: its files when it
    began, where that is something else (a fork's). conduct: how it is handed our MCP
    server; receivers: whom its turns' ends are told (`inbox.Receiver`); steps: what it was told to
    do one by one; pricing: None where dollars are made up; record: its requests go through a
    recorder, which keeps of them sizes and hashes (calls) or also what they say (content); bundled:
    it was brought here in a bundle, to be looked at only.
    """

    run_id: str
    created_us: int
    provider: str
    command: list[str]
    cwd: str
    dialect: str = "acp"
    extends: str | None = None
    tested: str | None = None
    model: str | None = None
    model_by: Literal["argv", "session"] = "argv"
    prompt: list[dict[str, Any]] = []
    mode: Mode = "ask"
    rules: list[Rule] = []
    agent_mode: str | None = None
    asks: bool | None = None
    asking_modes: list[str] | None = None
    warnings: list[str] = []
    effort: str | None = None
    label: str | None = None
    title: str | None = None
    labels: dict[str, str] = {}
    env_names: list[str] = []
    auth_method: str | None = None
    mcp: list[dict[str, Any]] = []
    schema: dict[str, Any] | None = None
    limits: Limits = msgspec.field(default_factory=Limits)
    pricing: Pricing | None = None
    write_roots: list[str] = []
    parent_run_id: str | None = None
    workflow_run_id: str | None = None
    match_id: str | None = None
    session_name: str | None = None
    load_session_id: str | None = None
    notebook: str | None = None
    cell_id: str | None = None
    cell_hash: str | None = None
    repo: str | None = None
    worktree: str | None = None
    branch: str | None = None
    git_base: str | None = None
    setup: Setup | None = None
    git_start: str | None = None
    fork: Fork | None = None
    conduct: Literal["stdio", "http"] | None = None
    receivers: list[dict[str, Any]] = []
    steps: list[str] = []
    record: Literal["calls", "content"] | None = None
    bundled: bool = False
    host: str = "local"

    @property
    def at_heart(self) -> str:
        """The name of the provider whose differences hold."""
        return self.extends or self.provider


def now_us() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # ten bits at a time
_OF_CHANCE = (_ALPHABET * 8).encode()  # a byte of chance to one of the 32
_last_ms = 0
_id_lock = threading.Lock()


def new_run_id() -> str:
    """A sortable id (ULID): 10 characters of time, 16 of chance. Within one process each call gets
    a later millisecond, so the first 10 characters already tell its runs apart."""
    global _last_ms
    with _id_lock:
        _last_ms = max(time.time_ns() // 1_000_000, _last_ms + 1)
        ms = _last_ms
    time_part = "".join([_PAIRS[(ms >> shift) & 1023] for shift in (40, 30, 20, 10, 0)])
    return time_part + os.urandom(16).translate(_OF_CHANCE).decode()


def run_born_s(run_id: str) -> float:
    """When an id was made, in seconds since 1970."""
    ms = 0
    for sign in run_id[:10]:
        ms = ms * 32 + _ALPHABET.index(sign)
    return ms / 1e3


def short_id(run_id: str) -> str:
    """What people read and type: the time part."""
    return run_id[:10]
