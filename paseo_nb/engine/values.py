"""What goes in and out of a step: its call, what its run came to, its result, its failure.

Values that many steps leave behind are none of the garbage collector's (`gc=False`): nothing in
them can refer back to them, and a look through all of them would halt the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UsageProblem
from ..model import Usage
from ..typed import typed

Cause = str  # error, cancelled, limit, refused, interrupted, schema, auth, balance, …


class Base(msgspec.Struct, frozen=True):
    """The files that a workflow starts from: a commit, and its tree, which is what keys name."""

    commit: str
    tree: str


class Call(msgspec.Struct, gc=False):
    """One `agent()` call, as it was written; of contests also: repo and at, whose files it begins
    with, and match, which it belongs to."""

    prompt: str
    agent: str | None = None
    schema: Any = None
    label: str | None = None
    phase: str | None = None
    isolation: str | None = None
    mode: str | None = None
    agent_mode: str | None = None
    effort: str | None = None
    attach: Any = None
    mcp: Mapping[str, Any] | None = None
    allow: Sequence[str] | None = None
    deny: Sequence[str] | None = None
    budget: float | None = None
    token_budget: int | None = None
    timeout: float | None = None
    retries: int = 0
    key: Any = None
    needs: Sequence[Any] = ()
    reads: bool = True
    effects: str = "tree"
    refresh: bool = False
    repo: str | None = None
    at: Base | None = None
    match: str | None = None
    labels: Mapping[str, str] = {}

    @property
    def writes(self) -> bool:
        """Whether it may change the files that other steps see."""
        return self.isolation is None and self.mode != "read" and self.effects != "none"


class Options(msgspec.Struct, frozen=True):
    """How a workflow runs. budget: US dollars in all, token_budget: tokens in all, timeout: seconds
    at work in all; what is given when it goes on is the new total."""

    refresh: bool | tuple[str, ...] = False
    cache: str = "workflow"
    budget: float | None = None
    token_budget: int | None = None
    timeout: float | None = None
    concurrency: int | None = None
    max_steps: int = 1000
    orphans: str = "cancel"
    changed_tree: str = "error"
    worktrees: str = "archive"
    durable: bool = True
    bg: bool = False


def changed(options: Options, changes: Mapping[str, Any]) -> Options:
    """The same with other values. UsageProblem where one does not exist, or cannot be."""
    refresh = changes.get("refresh")
    if isinstance(refresh, str):
        changes = {**changes, "refresh": (refresh,)}
    unknown = changes.keys() - set(Options.__struct_fields__)
    if unknown:
        known = ", ".join(Options.__struct_fields__)
        raise UsageProblem(f"a workflow has no option {sorted(unknown)[0]!r}; it has {known}")
    try:
        made = msgspec.convert({**msgspec.structs.asdict(options), **changes}, Options)
    except msgspec.ValidationError as error:
        raise UsageProblem(f"options of a workflow: {error}") from None
    for name, least in _LEAST.items():
        value = getattr(made, name)
        if value is not None and not value >= least:
            raise UsageProblem(f"{name}={value!r}: {least} or more")
    for name, choices in _CHOICES.items():
        if getattr(made, name) not in choices:
            *first, last = choices
            said = f"{name}={getattr(made, name)!r}: {', '.join(first)} or {last}"
            raise UsageProblem(said)
    return made


_LEAST = {"budget": 0, "token_budget": 0, "timeout": 0, "concurrency": 1, "max_steps": 1}
_CHOICES = {
    "changed_tree": ("error", "accept", "restore"), "worktrees": ("archive", "keep"),
    "cache": ("run", "workflow", "project"),
}  # fmt: skip


class Origin(msgspec.Struct, frozen=True):
    """How another process gets a workflow: from a module's text, and the function in it that it is
    made of; without a text, from the file of its name."""

    text: str | None = None
    function: str | None = None


class Wanted(msgspec.Struct, gc=False):
    """One run that a step needs: which, for whom, from which files."""

    run_id: str
    step: str
    workflow_run: str
    workflow: str
    call: Call
    base: str | None = None
    branch: str | None = None
    budget: float | None = None
    token_budget: int | None = None
    timeout: float | None = None


class Outcome(msgspec.Struct, gc=False):
    """What a run came to. cause: None where it ended well."""

    text: str = ""
    value: Any = None
    cause: Cause | None = None
    message: str = ""
    usage: Usage = msgspec.field(default_factory=Usage)
    commit: str | None = None
    tree: str | None = None
    base: str | None = None
    branch: str | None = None
    path: str | None = None


class Payload(msgspec.Struct, gc=False):
    """What a step gave, whole, as it is kept."""

    text: str = ""
    value: Any = None


class Result:
    """What a step gave. As text it is the agent's text, or the value's JSON, whole.

    value: what `schema=` asked for, as that type. commit: of the files when it ended, where it
    may have changed some; branch, path: where it worked, if that was a worktree of its own.
    cached: it was not run now, and cost nothing.
    """

    __slots__ = (
        "base", "branch", "cached", "commit", "label", "path", "plain", "repository", "run_id",
        "step", "text", "tree", "value",
    )  # fmt: skip

    def __init__(
        self,
        payload: Payload,
        *,
        step: str,
        run_id: str,
        label: str | None = None,
        wanted: Any = None,
        commit: str | None = None,
        tree: str | None = None,
        base: str | None = None,
        branch: str | None = None,
        path: str | None = None,
        repository: str | None = None,
        cached: bool = False,
    ) -> None:
        self.text = payload.text
        self.plain = payload.value
        self.value = payload.value if wanted is None else typed(payload.value, wanted)
        self.step, self.run_id, self.label = step, run_id, label
        self.commit, self.tree, self.base = commit, tree, base
        self.branch, self.path, self.repository = branch, path, repository
        self.cached = cached

    def diff(self) -> str:
        """The patch of what it changed; empty where it changed nothing."""
        if self.commit is None or self.base is None or self.repository is None:
            return ""
        from ..git.diffs import diff

        return diff(Path(self.repository), self.base, self.commit).patch

    def __str__(self) -> str:
        if self.plain is None:
            return self.text
        return msgspec.json.encode(self.plain).decode()

    def __repr__(self) -> str:
        return f"<Result {self.label or self.step}{', cached' if self.cached else ''}: {self}>"


class StepFailed:
    """A step that did not end well: false, and says why. The workflow goes on."""

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        step: str | None = None,
        run_id: str | None = None,
        label: str | None = None,
    ) -> None:
        self.cause, self.message = cause, message
        self.step, self.run_id, self.label = step, run_id, label

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        # Nothing that is another one each time: it may go into the prompt of a next step.
        return (
            f"[failed: {self.label}: {self.message}]" if self.label else f"[failed: {self.message}]"
        )

    def __repr__(self) -> str:
        return f"<StepFailed {self.label or self.step} {self.cause}: {self.message}>"
