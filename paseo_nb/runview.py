"""A run as it is seen: everything that only reads its journal, and how its last turn ended."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .digest import digest
from .errors import (
    GitProblem,
    PermissionNeeded,
    RunCancelled,
    RunError,
    RunFailed,
    RunInterrupted,
    RunTimeout,
    UsageProblem,
)
from .git.diffs import diff as git_diff
from .git.values import DiffSummary
from .history import History
from .host.local import LocalHost
from .journal import first_line, lock_held, read_journal
from .model import Permission, Problem, RunSpec, Shelved, Step, Usage, short_id
from .timelines import Timeline
from .typed import typed

LONG = 1 << 20

if TYPE_CHECKING:
    import pandas as pd

Watch = Callable[["RunView"], None]


class RunView:
    """A run, for reading. Cheap to make; every property is as fresh as the journal."""

    def __init__(self, host: LocalHost, run_id: str) -> None:
        self.host = host
        self._spec: RunSpec | None = None
        self._offset = 0
        self._reading = threading.Lock()
        self._history: History | None = None
        self.id = run_id
        self.wanted: Any = None

    # ------------------------------------------------------------ what it is

    @property
    def spec(self) -> RunSpec:
        """What the run was started with."""
        if self._spec is None:
            self._spec = self.host.spec(self.id)
        return self._spec

    def history(self) -> History:
        """The story so far, brought up to date."""
        with self.reading() as history:
            return history

    @contextlib.contextmanager
    def reading(self) -> Generator[History]:
        """The story so far, which nobody brings further while the block lasts."""
        with self._reading:
            if self._history is None:
                blobs = self.host.folder(self.id).blobs
                self._history = History(self.spec.dialect, self.spec.at_heart, blobs)
            while True:
                lines, after = self.host.events(self.id, self._offset)
                self._history.feed(lines)
                read, self._offset = after - self._offset, after
                if read < LONG:  # else there is more, written while that was read
                    break
            yield self._history

    @property
    def state(self) -> str:
        """One of DESIGN's states, true now."""
        history = self.history()
        if history.archived:
            return "archived"
        return self.host.state(self.id, history.state)

    @property
    def text(self) -> str:
        """The agent's text after the last turn's last tool call; while it runs, so far."""
        return self.history().text

    @property
    def value(self) -> Any:
        """The last schema-validated object, else None; of the type that `schema=` named, in the
        process that started the run."""
        told = [turn.value for turn in self.history().turns if turn.value is not None]
        return typed(told[-1], self.wanted) if told else None

    @property
    def usage(self) -> Usage:
        """Tokens and money, summed over all turns; None where not reported."""
        return self.history().usage

    @property
    def cost_usd(self) -> float | None:
        """US dollars over all turns, None where not reported."""
        return self.usage.cost_usd

    @property
    def charged(self) -> Usage:
        """The same, with the cost as a budget counts it: where the agent tells less, what its
        tokens cost (None where no budget in US dollars was held)."""
        return self.history().charged

    @property
    def error(self) -> Problem | None:
        """What went wrong in the last turn."""
        return self.history().error

    @property
    def session_id(self) -> str | None:
        """The agent's own conversation id."""
        return self.history().session_id

    @property
    def branch(self) -> str | None:
        """The git branch it works on."""
        return self.spec.branch

    @property
    def path(self) -> Path:
        """The folder it works in."""
        return Path(self.spec.cwd)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.spec.labels

    @property
    def parent(self) -> str | None:
        """The id of the run that started it."""
        return self.spec.parent_run_id

    @property
    def children(self) -> list[str]:
        """The ids of the runs that it started."""
        found: list[str] = []
        for run_id in self.host.list():
            if run_id > self.id:
                with contextlib.suppress(UsageProblem):
                    if self.host.spec(run_id).parent_run_id == self.id:
                        found.append(run_id)
        return found

    @property
    def forked_from(self) -> tuple[str, int] | None:
        """The run, and its turn, that it was forked off."""
        fork = self.spec.fork
        return None if fork is None else (fork.run_id, fork.turn)

    @property
    def agent(self) -> str:
        """`provider/model`, as asked."""
        return f"{self.spec.provider}/{self.spec.model}" if self.spec.model else self.spec.provider

    @property
    def steps(self) -> list[Step]:
        """What it was told to do one by one (`steps=`), and how far it has come."""
        known = self.history().steps
        return [known.get(name) or Step(name) for name in self.spec.steps]

    def commands(self) -> list[dict[str, Any]]:
        """The slash commands that the agent offers."""
        return list(self.history().commands)

    def pending(self) -> list[Permission]:
        """Permissions that wait for an answer."""
        return self.history().open_permissions()

    # ------------------------------------------------------------ frames

    def events(self, **filters: Any) -> pd.DataFrame:
        """The `events` frame of this run: see `paseo.events`."""
        from .store import frames

        return frames.events(self.host.home, run=self.id, **filters)

    def turns(self, **filters: Any) -> pd.DataFrame:
        """The `turns` frame of this run: see `paseo.turns`."""
        from .store import frames

        return frames.turns(self.host.home, run=self.id, **filters)

    def tool_calls(self, **filters: Any) -> pd.DataFrame:
        """The `tool_traces` frame of this run: see `paseo.tool_traces`."""
        from .store import frames

        return frames.tool_traces(self.host.home, run=self.id, **filters)

    def permissions(self, **filters: Any) -> pd.DataFrame:
        """The `permissions` frame of this run: see `paseo.permissions`."""
        from .store import frames

        return frames.permissions(self.host.home, run=self.id, **filters)

    def transcript(self) -> pd.DataFrame:
        """One row per message, thought, plan, tool call and permission: seq, turn, role, kind,
        text, title, outcome, started_at, finished_at (UTC)."""
        from .store import frames

        return frames.transcript(self.history())

    def timeline(self) -> Timeline:
        """Its course in time, to look at, and as `.frame`: turns with their prompts, durations,
        tokens and changed files, waits for permissions, resumes, and its forks as a tree."""
        return Timeline(self)

    # ------------------------------------------------------------ showing

    def diff_summary(self, turn: int | None = None) -> DiffSummary:
        """What changed in its folder since it started, or during one turn. GitProblem outside
        git, and where a turn's files were not kept; UsageProblem for a turn that it has not had."""
        if self.spec.git_base is None:
            raise GitProblem(
                f"run {short_id(self.id)} works outside a git repository, so there is no diff"
            )
        if turn is None:
            base = self.base or self.spec.git_base
            if self.there:
                return git_diff(self.path, base)
            return git_diff(self.repository, base, self.kept or base)
        before, after = self.files_of(turn)
        return git_diff(self.path if self.there else self.repository, before, after)

    def files_of(self, turn: int) -> tuple[str, str | None]:
        """The commits of the files at a turn's start and end; None: as they are now."""
        turns = self.history().turns
        if not 1 <= turn <= len(turns):
            had = f"it has had {len(turns)}" if turns else "it has had none"
            raise UsageProblem(f"run {short_id(self.id)} has no turn {turn}; {had}")
        begun, rest = turns[turn - 1], turns[turn:]
        if begun.git_before is None:
            raise GitProblem(f"the files of turn {turn} of run {short_id(self.id)} were not kept")
        # Where a turn was cut off nothing was kept at its end: the next one's start tells it.
        told = [begun.git_after, *(after.git_before for after in rest)]
        return begun.git_before, next((commit for commit in told if commit is not None), None)

    @property
    def base(self) -> str | None:
        """The commit of the files as its agent found them: after the worktree was set up."""
        turns = self.history().turns if self.spec.setup is not None else []
        begun = (turn.git_before for turn in turns if turn.git_before is not None)
        return next(begun, self.spec.git_base)

    @property
    def shelved(self) -> Shelved | None:
        """What its worktree held, where it went with the archived run. What stands in its place
        since is not its own."""
        history = self.history()
        return history.put_away.shelved if history.archived else None

    @property
    def there(self) -> bool:
        """Whether the folder that it works in is there, as its own."""
        return self.shelved is None and self.path.is_dir()

    @property
    def kept(self) -> str | None:
        """Where that is not there: the commit of its files as they were last."""
        shelved = self.shelved
        return self.history().git_head if shelved is None else shelved.files

    @property
    def repository(self) -> Path:
        """A folder of the repository that it works in, which outlives its worktree."""
        return Path(self.spec.repo or self.spec.cwd)

    def known(self) -> dict[str, Any]:
        """Everything known about it: identity, place, state, session, usage, processes."""
        history, spec, folder = self.history(), self.spec, self.host.folder(self.id)
        first = first_line(folder.journal)
        started = [x for x in read_journal(folder.journal) if x.kind == "run_started"]
        last = (started or [first])[-1]
        return {
            "run_id": self.id,
            "agent": self.agent,
            "state": self.state,
            "title": spec.title or history.title,
            "prompt": history.turns[0].prompt if history.turns else None,
            "model_asked": history.asked.get("model", spec.model),
            "model_answered": history.model_answered,
            "warnings": history.warnings,
            "agent_name": history.agent_name,
            "agent_version": history.agent_version,
            "session_id": history.session_id,
            "mode": history.asked.get("mode", None if history.imported else spec.mode),
            "agent_mode": history.agent_mode,
            "effort": history.asked.get("effort", spec.effort),
            "cwd": spec.cwd,
            "branch": spec.branch,
            "git_base": spec.git_base,
            "parent": spec.parent_run_id,
            "forked_from": self.forked_from,
            "fork_kind": history.fork_kind,
            "labels": spec.labels,
            "turns": len(history.turns),
            "events": history.seq,
            "usage": msgspec.to_builtins(history.usage),
            "error": msgspec.to_builtins(history.error) if history.error else None,
            "pending_permissions": [msgspec.to_builtins(p) for p in history.open_permissions()],
            "command": spec.command,
            "limits": msgspec.to_builtins(spec.limits),
            "steps": [msgspec.to_builtins(step) for step in self.steps],
            "processes": msgspec.json.decode(last.raw) if last and lock_held(folder.lock) else None,
            "folder": str(folder.path),
        }

    def digest(self) -> str:
        """The run in short for another agent, as Markdown of at most some 20,000 characters: its
        prompt, outcome, last text, changed files and tool errors. `attach=[run]` gives it along."""
        try:
            changed = self.diff_summary()
        except (GitProblem, OSError):
            changed = None
        return digest(self.history(), self.spec, self.state, changed)

    def __repr__(self) -> str:
        history = self.history()
        return f"<Run {short_id(self.id)} {self.agent} {history.state}, {history.seq} events>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .widgets.live import bundle_of

        return bundle_of(self)


def permission_needed(run: RunView, permission: Permission) -> PermissionNeeded:
    """The error for a question that nobody is there to answer."""
    what = permission.title or permission.kind or "something"
    return PermissionNeeded(
        f"run {short_id(run.id)} asks for permission: {what}. Answer with"
        f" run.allow({permission.id!r}) or run.deny({permission.id!r}, 'reason') (`paseo-nb allow"
        f" {short_id(run.id)}`, `deny`), or start with mode='auto'.",
        run,
    )


def raise_for(run: RunView) -> None:
    """Raise if the run's last turn did not end well; never silent."""
    history = run.history()
    turn, name = history.turn, f"run {short_id(run.id)} ({run.agent})"
    if turn is None or turn.outcome in ("end_turn", None):
        if turn is None and history.state == "interrupted":
            raise RunInterrupted(f"{name} never began; `resume` starts it", run)
        return
    problem = turn.error
    said = f": {problem.message}" if problem else ""
    hint = f" {problem.hint}" if problem and problem.hint else ""
    errors: dict[str, tuple[type[RunError], str]] = {
        "interrupted": (RunInterrupted, "was interrupted in mid-turn"),
        "cancelled": (RunCancelled, "was cancelled"),
        "refused": (RunFailed, "was refused by the model"),
        "limit": (RunFailed, "reached a limit"),
    }
    kind, what = errors.get(turn.outcome or "", (RunFailed, "failed"))
    if kind is RunInterrupted and not hint:
        hint = " Everything up to there is kept; resume() goes on in the agent's own session."
    error = kind(f"{name} {what}{said}.{hint}".replace("..", "."), run)
    if problem is not None and problem.code == "timeout":
        error.exit_code = RunTimeout.exit_code
    raise error
