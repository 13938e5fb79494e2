"""The verbs of contests: arena, match, tournament, leaderboard, compare. `verbs` has the others."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from . import config
from .contests.match import Match
from .engine import words
from .errors import UsageProblem
from .verb_table import Where, current_host, run_of, verb

if TYPE_CHECKING:
    import pandas as pd

    from .contests.side_by_side import SideBySide
    from .contests.tournaments import Tournament


def _names(given: str | Sequence[str]) -> list[str]:
    """Agents from a list, or from a text with commas or spaces between them. UsageProblem."""
    names: list[Any] = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    for one in names:
        if not isinstance(one, str):
            raise UsageProblem(f"an agent is named 'provider/model', not {one!r}")
    return names


@verb
async def arena(
    prompt: str,
    agents: str | Sequence[str],
    *,
    tests: str | None = None,
    hidden: str | None = None,
    judge: str | Sequence[str] | None = None,
    rubric: str | None = None,
    same_family: bool = False,
    blind: bool | None = None,
    hide_cost: bool = False,
    tie: str = "none",
    repo: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    test_timeout: float = 600.0,
    seed: int | None = None,
    title: str | None = None,
) -> Match:
    """A match: one prompt, two to five agents, each in a clone of its own; at once.

    The same call goes on with a match that was cut off. In a workflow's body it is awaited to its
    end, its contestants are steps, and `.result()` is the selected one's.

    prompt: what all of them shall do
    agents: two to five, `provider/model` or profiles
    tests: a command that judges: it is run on each one's files, when all have ended
    hidden: a folder of tests that no contestant sees; laid over its files before `tests` is run
    judge: who judges besides: "person", or models, as `claude/opus` (default: a person, where there
        are no tests)
    rubric: what a judging model goes by
    same_family: let a model judge contestants of its own family
    blind: tell names only after the vote (default: where a person judges)
    hide_cost: while names are hidden, hide time, cost and tokens as well: they may tell who it is
    tie: "none": a tie stays one; "cheaper": then the cheaper one is selected
    repo: the repository (default: the one that the current folder lies in)
    mode: what passes without a question, as in `start` (default: edit)
    effort: the reasoning effort of all of them
    timeout: seconds that a contestant's turn may take
    budget: US dollars that each contestant may cost
    test_timeout: seconds that `tests` may take on one contestant's files
    seed: what the seats are drawn by (default: chance; it is kept)
    title: a title for it
    """
    from .contests import matches
    from .contests.records import MatchFolder
    from .contests.values import Asked, Checks

    judges = _names(judge) if judge is not None else ([] if tests else [matches.PERSON])
    if hidden is not None and tests is None:
        raise UsageProblem("hidden= are files for tests=: name the command that runs them")
    if tie not in ("none", "cheaper"):
        raise UsageProblem(f"tie={tie!r}: none or cheaper")
    top = Path(repo).expanduser().resolve() if repo is not None else config.git_top(config.here())
    checks = None if tests is None else Checks(tests, hidden, test_timeout)
    asked = Asked(
        prompt=prompt, agents=_names(agents), repo=str(top), mode=mode, effort=effort, tests=checks,
        judges=judges, rubric=rubric, same_family=same_family,
        blind=blind if blind is not None else matches.PERSON in judges,
        tie=tie, timeout=timeout, budget=budget, seed=seed, title=title, hide_cost=hide_cost,
    )  # fmt: skip
    asked = await anyio.to_thread.run_sync(matches.checked, asked)
    home = current_host().home
    if words._at_work.get() is not None:  # pyright: ignore[reportPrivateUsage]
        match_id, _ = await matches.within(asked)
        return Match(MatchFolder(home / "matches" / match_id))

    def begin() -> Match:
        return Match(MatchFolder(home / "matches" / matches.begin(asked).id))

    return await anyio.to_thread.run_sync(begin)


@verb
async def match(match: str) -> Match:
    """A match of this project, to look at, to vote in, or to go on with.

    match: its id, or any beginning of one that fits a single match
    """
    from .contests.records import find_match

    return Match(find_match(current_host().home, match))


@verb
async def matches() -> pd.DataFrame:
    """The matches of this project: who was in them, who was selected, and why.

    Columns stand in docs/frames.md. Names are NULL while a match is blind.
    """
    from .contests.frames import matches_frame

    return await anyio.to_thread.run_sync(matches_frame, current_host().home)


@verb
async def tournament(
    tasks: Any,
    agents: str | Sequence[str],
    *,
    trials: int = 1,
    repo: str | None = None,
    mode: str | None = None,
    effort: str | None = None,
    concurrency: int | None = None,
    budget: float | None = None,
    test_timeout: float = 600.0,
    refresh: bool = False,
    host: Where = None,
) -> Tournament:
    """Each task given to each agent, so many times; the tournament, at once.

    The same call goes on with one that was cut off, each trial once, and gives one that is done
    back. Tasks have `prompt`, and `tests` (a command; `hidden`: files laid over first) or `expect`
    (a text that the answer has); and `id`, `repo`, `base`, `timeout`.

    tasks: a DataFrame, dictionaries, or a folder with a TOML file for each task (docs/arena.md)
    agents: `provider/model` or profiles
    trials: how often each agent tries each task
    repo: the repository of tasks that name none (default: the one that the current folder lies in)
    mode: what passes without a question, as in `start` (default: edit)
    effort: the reasoning effort of all of them
    concurrency: how many trials run at once
    budget: US dollars that all of it may cost
    test_timeout: seconds that a task's `tests` may take
    refresh: begin anew, with nothing taken from before
    host: a Dask cluster, by its name or what `connect` gave: its trials run there, and are judged
        here; another machine: all of it is done there (docs/hosts.md)
    """
    if host is not None:
        from . import connecting, distant
        from .host.cluster import DaskHost

        on = await anyio.to_thread.run_sync(connecting.host_of, host)
        if not isinstance(on, DaskHost):
            given = {name: value for name, value in locals().items() if name in _TOURNAMENT}
            return await distant.done_there(on, "tournament", given)
    from .contests import rubric, tournaments
    from .contests.tasks import tasks_of
    from .preparing import project_of

    names = _names(agents)
    if not names or len(set(names)) != len(names):
        raise UsageProblem("agents= names each agent of a tournament once")
    if trials < 1:
        raise UsageProblem(f"trials={trials}: at least 1")
    project = current_host()
    here = Path(repo).expanduser().resolve() if repo is not None else config.git_top(config.here())

    def begin() -> Tournament:
        for name in names:
            rubric.family_of(name, project_of(project))  # that it is known
        contest = tournaments.Contest(
            tasks_of(tasks, here), names, trials, mode, effort, test_timeout
        )
        return tournaments.begun(
            project.home, contest, concurrency=concurrency, budget=budget, refresh=refresh,
            host=host,
        )  # fmt: skip

    return await anyio.to_thread.run_sync(begin)


_TOURNAMENT = frozenset(inspect.signature(tournament).parameters) - {"host"}


@verb
async def compare(run: str, other: str) -> SideBySide:
    """Two runs of one task side by side: what they did alike, and where they first parted.

    run: an id, or any beginning of one that fits a single run
    other: the same of the other run
    """
    from .contests.side_by_side import SideBySide

    return await anyio.to_thread.run_sync(SideBySide, run_of(run), run_of(other))


@verb
async def leaderboard(tournament: str | None = None) -> pd.DataFrame:
    """Agents, best first, with intervals; agents that are not told apart share a rank.

    Columns stand in docs/frames.md.

    tournament: its id, or any beginning of one (default: the matches of the project that were
        decided, names told: who was selected beat the others)
    """
    from .contests import boards
    from .contests.frames import duels_of_matches
    from .contests.tournaments import NAME, Tournament
    from .engine.journal import find_folder

    home = current_host().home

    def look() -> pd.DataFrame:
        if tournament is None:
            return boards.of_duels(duels_of_matches(home))
        folder = find_folder(home, tournament)
        if (folder.header() or {}).get("name") != NAME:
            raise UsageProblem(f"{tournament} is no tournament, but another workflow run")
        return Tournament(folder).leaderboard()

    return await anyio.to_thread.run_sync(look)
