"""Tournaments: each task given to each agent so many times; a workflow, so that each trial is run
once, however often its conductor is killed.

The same call goes on with a tournament that is not done, and gives one that is done back. A trial
is a step in a clone of its task's files; what came of it is kept with it, and its clone is removed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Generator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import cells, config, preparing
from ..engine import words
from ..engine.conductor import FATAL
from ..engine.handles import WorkflowHandle
from ..engine.journal import WorkflowFolder, folders
from ..engine.keys import VERSION, digest
from ..engine.place import Place
from ..engine.story import Story
from ..engine.values import Base, Result, StepFailed
from ..engine.workflows import Workflow, WorkflowRun
from ..errors import ReplayMiss, UsageProblem
from ..git.commands import Repository
from ..host.local import LocalHost
from ..model import short_id
from ..runview import RunView
from ..store.contest_columns import contest_frame
from ..widgets.render.units import duration, money
from . import boards
from .matches import on_the_library_loop, without_hidden
from .side_by_side import SideBySide
from .tasks import Task
from .testing import tested
from .values import Checks

if TYPE_CHECKING:
    import pandas as pd

NAME = "tournament"


class Contest(msgspec.Struct, frozen=True):
    """What a tournament was asked for; it is found again by this."""

    tasks: list[Task]
    agents: list[str]
    trials: int
    mode: str | None = None
    effort: str | None = None
    test_timeout: float = 600.0

    @property
    def identity(self) -> str:
        """What tells it from others, wherever its files lie."""
        told = msgspec.structs.asdict(self) | {"tasks": [task.identity for task in self.tasks]}
        return digest({"v": VERSION, **told})

    @property
    def rows(self) -> list[tuple[Task, str, int]]:
        """All trials: every task once before any is tried again, so that a part of it is fair."""
        numbers = range(1, self.trials + 1)
        return [(task, agent, n) for n, task, agent in product(numbers, self.tasks, self.agents)]


class Trial(msgspec.Struct):
    """What came of one trial. solved: None where the agent could not be tried at all."""

    task: str
    agent: str
    trial: int
    state: str
    solved: bool | None = None
    score: float | None = None
    took_s: float | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    model_answered: str | None = None
    cause: str | None = None
    run_id: str | None = None


def name_of(task: str, agent: str, trial: int) -> str:
    """What a trial is kept under."""
    return f"trial/{task}/{agent}/{trial}"


async def _tournament(asked: dict[str, Any]) -> int:
    contest = msgspec.convert(asked, Contest)
    judging = asyncio.Semaphore(os.cpu_count() or 1)
    bases = {task.id: await asyncio.to_thread(_base, task) for task in contest.tasks}
    done = await words.together(
        [_trial(contest, *row, bases[row[0].id], judging) for row in contest.rows]
    )
    return len(done)


def _base(task: Task) -> Base:
    repository = Repository(Path(task.repo or ""))
    commit = task.base or ""
    if task.hidden is not None:
        ref = f"refs/paseo/tasks/{digest({'task': task.id})[:16]}"
        commit = without_hidden(repository, commit, Path(task.hidden), ref)
    return Base(commit, repository.line("rev-parse", f"{commit}^{{tree}}"))


async def _trial(
    contest: Contest, task: Task, agent: str, number: int, base: Base, judging: asyncio.Semaphore
) -> Any:
    conductor = words.current("a tournament")

    async def work() -> Any:
        done = await words.contestant(
            task.prompt, agent, repo=task.repo or "", at=base, match=conductor.folder.id,
            seat=f"{task.id} #{number}", key=["trial", task.id, number], mode=contest.mode,
            effort=contest.effort, timeout=task.timeout, keep=False,
        )  # fmt: skip
        trial = Trial(task.id, agent, number, "done", run_id=done.run_id)
        await asyncio.to_thread(_used, LocalHost(conductor.folder.home), trial)
        if isinstance(done, StepFailed):
            trial.state, trial.cause = "failed", f"{done.cause}: {done.message}"[:500]
            if done.cause not in FATAL:  # it was tried, and has nothing to show
                trial.solved, trial.score = False, 0.0
        else:
            async with judging:
                await _scored(trial, task, done, base, contest.test_timeout)
        return msgspec.to_builtins(trial)

    return await conductor.recalled(name_of(task.id, agent, number), work)


async def _scored(trial: Trial, task: Task, done: Result, base: Base, limit: float) -> None:
    scores: list[float] = []
    solved = True
    if task.tests is not None:
        checks = Checks(task.tests, task.hidden, limit)
        commit = done.commit or base.commit
        found = await on_the_library_loop(
            lambda: tested(Path(task.repo or ""), commit, base.commit, checks)
        )
        solved, scores = found.solved, [found.score]
    if task.expect is not None:
        has = task.expect.casefold() in done.text.casefold()
        solved, scores = solved and has, [*scores, float(has)]
    trial.solved, trial.score = solved, min(scores)


def _used(host: LocalHost, trial: Trial) -> None:
    if not trial.run_id or not host.folder(trial.run_id).spec.exists():
        return
    run = RunView(host, trial.run_id)
    history, usage = run.history(), run.usage
    trial.cost_usd, trial.model_answered = usage.cost_usd, history.model_answered
    trial.input_tokens, trial.output_tokens = usage.input_tokens, usage.output_tokens
    spans = [t.finished_us - t.started_us for t in history.turns if t.finished_us is not None]
    trial.took_s = round(sum(spans) / 1e6, 2) if spans else None


def begun(
    home: Path,
    contest: Contest,
    *,
    concurrency: int | None = None,
    budget: float | None = None,
    refresh: bool = False,
    place: Callable[[], Place] | None = None,
    host: Any = None,
) -> Tournament:
    """The tournament of what is asked for: gone on with, or begun; one that is done is given back,
    unless `refresh`."""
    asked = msgspec.to_builtins(contest)
    if not refresh:
        known = finished(home, contest)
        if known is not None:
            return Tournament(known)
    if config.settings(preparing.project_of(LocalHost(home))).replay:
        raise ReplayMiss(
            "PASEO_NB_REPLAY=1 answers from journals only, and no tournament of these tasks and"
            " agents is done here: open its bundle first (paseo.open_bundle), or unset it."
        )
    workflow = Workflow(_tournament, NAME).options(
        concurrency=concurrency, budget=budget, refresh=refresh, max_steps=len(contest.rows) + 1
    )
    workflow = workflow if host is None else workflow.options(host=host)
    run = (workflow if place is None else workflow.at(place)).start(asked)
    return Tournament(run.folder, run)


def finished(home: Path, contest: Contest) -> WorkflowFolder | None:
    """The newest tournament of this that is done, if the newest of it is."""
    wanted = contest.identity
    for folder in reversed(folders(home)):
        header = folder.header()
        if header is not None and header["name"] == NAME:
            found = msgspec.convert(header["args"]["asked"], Contest)
            if found.identity == wanted:
                return folder if Story(folder).state == "done" else None
    return None


class Tournament:
    """A tournament: `wait()`, `trials()`, `leaderboard()`, `comparisons()`, figures."""

    def __init__(self, folder: WorkflowFolder, run: WorkflowHandle | None = None) -> None:
        self.folder, self.id = folder, folder.id
        self._run = run

    @property
    def contest(self) -> Contest:
        """What was asked for."""
        header = self.folder.header()
        if header is None:
            raise UsageProblem(f"tournament {short_id(self.id)} has not begun")
        return msgspec.convert(header["args"]["asked"], Contest)

    @property
    def state(self) -> str:
        """running, done, failed, stopped or interrupted."""
        return Story(self.folder).state

    def wait(self, timeout: float | None = None) -> Tournament:
        """Wait until all trials are over; the same call goes on with one that was cut off. ■ stops
        those at work. TimeoutError; WorkflowFatal where the budget is used up."""
        if self._run is not None:
            self._waited(self._run, timeout)
        elif self.state != "done":
            raise UsageProblem(
                f"tournament {short_id(self.id)} is {self.state}: call paseo.tournament(…) again"
                " with the same tasks and agents; it goes on where it was"
            )
        return self

    def _waited(self, run: WorkflowHandle, timeout: float | None) -> None:
        """Wait without the workflow's display, which has a row for each trial."""
        if not isinstance(run, WorkflowRun):
            run.wait(timeout)
            return
        try:
            run._done.result(timeout)  # pyright: ignore[reportPrivateUsage]
        except KeyboardInterrupt:
            if not cells.is_ending():
                run.stop()
            raise

    def __await__(self) -> Generator[Any, None, Tournament]:
        yield from asyncio.to_thread(self.wait).__await__()
        return self

    def stop(self) -> None:
        """Stop the trials at work; the same call goes on with them."""
        if self._run is not None:
            self._run.stop()

    def known(self) -> list[Trial]:
        """One for each trial, those that are not over among them."""
        story, contest = Story(self.folder), self.contest
        steps = {(s.label, s.agent): s for s in story.steps.values()}
        found: list[Trial] = []
        for task, agent, number in contest.rows:
            kept = story.values.get(name_of(task.id, agent, number))
            if kept:
                found.append(msgspec.convert(kept[-1], Trial))
                continue
            step = steps.get((f"{task.id} #{number}", agent))
            at_work = step is not None and step.state == "running" and story.state == "running"
            run_id = None if step is None else step.run_id
            state = "running" if at_work else "queued"
            found.append(Trial(task.id, agent, number, state, run_id=run_id))
        return found

    def trials(self) -> pd.DataFrame:
        """One row per trial; columns stand in docs/frames.md."""
        rows = [{"tournament_id": self.id, **msgspec.structs.asdict(t)} for t in self.known()]
        return contest_frame("trials", rows)

    def leaderboard(self) -> pd.DataFrame:
        """One row per agent, best first; columns stand in docs/frames.md."""
        return boards.leaderboard(self.trials())

    def comparisons(self) -> pd.DataFrame:
        """One row per pair of agents: whether they are told apart, and how many more tasks that
        takes; columns stand in docs/frames.md."""
        return boards.comparisons(self.trials())

    def plot(self) -> Any:
        """Solve rates with intervals, best first: a plotly figure."""
        return boards.plot_rates(self.leaderboard())

    def plot_front(self) -> Any:
        """Cost against solve rate, the front marked: a plotly figure."""
        return boards.plot_front(self.leaderboard())

    def compare(self, task: str, one: str, other: str, trial: int = 1) -> SideBySide:
        """What two agents did in a trial of a task, side by side, and where they first parted."""
        known = {(t.task, t.agent, t.trial): t.run_id for t in self.known()}
        host, runs = LocalHost(self.folder.home), list[RunView]()
        for agent in (one, other):
            run_id = known.get((task, agent, trial))
            if run_id is None:
                raise UsageProblem(f"there is no run of {agent} for trial {trial} of task {task!r}")
            runs.append(RunView(host, run_id))
        return SideBySide(runs[0], runs[1], (one, other))

    def save(self, path: str | Path) -> Path:
        """The comparison as one HTML file, with everything in it and no script; its path."""
        from . import reports

        title = f"{len(self.contest.agents)} agents on {len(self.contest.tasks)} tasks"
        return reports.save(path, title, reports.tournament_report(self))

    def bundle(self, path: str | Path) -> Path:
        """The tournament and its runs as one file; `paseo.open_bundle` brings it over, where the
        same call then gives it back, without an agent. UsageProblem while it is at work."""
        from .. import bundling

        if self.state != "done":
            raise UsageProblem(f"tournament {short_id(self.id)} is {self.state}: wait for it first")
        runs = [trial.run_id for trial in self.known() if trial.run_id is not None]
        target = Path(path).expanduser()
        return bundling.write(LocalHost(self.folder.home), target, runs, [self.folder])

    @property
    def left_s(self) -> float | None:
        """Seconds that it takes yet, judged by those since it was last begun; None: not known."""
        story = Story(self.folder)
        begun_us = story.engine.get("t")
        if story.state != "running" or begun_us is None:
            return None
        over = [one for one in story.steps.values() if (one.ended_us or 0) > begun_us]
        if not over:
            return None
        done = sum(trial.state in ("done", "failed") for trial in self.known())
        each = (time.time_ns() / 1000 - begun_us) / 1e6 / len(over)
        return each * (len(self.contest.rows) - done)

    def __repr__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        known, left = self.known(), self.left_s
        done = sum(trial.state in ("done", "failed") for trial in known)
        told = [trial.cost_usd for trial in known if trial.cost_usd is not None]
        parts = [f"Tournament {short_id(self.id)}: {self.state}", f"{done} of {len(known)} trials"]
        parts += [money(sum(told))] if told else []
        parts += [f"about {duration(left)} left"] if left is not None else []
        return boards.shown(", ".join(parts), self.trials())
