"""A match as it is held: who sits where, how far they are, the vote, who was selected, and its use.

Everything is read from the match's files and its runs' journals, so any process may hold one. A
process of its own conducts it; where that was killed, `wait()` goes on with it, or the same call.
Blind means that no name is told until a vote has been given: not by a frame, not by what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec

from .. import cells
from ..applying import Applied
from ..engine.handles import WorkflowHandle, outcome
from ..engine.journal import WorkflowFolder
from ..engine.story import Story
from ..engine.values import Payload, Result
from ..errors import UsageProblem, WorkflowError
from ..git.applying import apply, work_out
from ..git.rooms import room_of
from ..host.local import LocalHost
from ..model import short_id
from ..runview import RunView
from ..store.contest_columns import contest_frame
from .contestant import Contestant
from .matches import NAME, PERSON, begin
from .records import MatchFolder
from .selecting import selected, vote_of
from .side_by_side import SideBySide
from .values import Ended, Header, Selection, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

LOOK_S = 0.05
BEGIN_S = 60.0


class Match:
    """One prompt given to several agents: `wait()`, `vote("A")`, `.winner`, `apply()`."""

    def __init__(self, folder: MatchFolder) -> None:
        self.folder, self.id = folder, folder.id
        self._header: Header | None = None
        self._runs: dict[str, RunView] = {}

    # ------------------------------------------------------------ what it is

    @property
    def header(self) -> Header:
        """What was asked for, and who sits where. Waits until it has begun."""
        deadline = time.monotonic() + BEGIN_S
        while self._header is None:
            self._header = self.folder.header()
            if self._header is not None:
                break
            self._said(self._workflow_of(self.id))
            if time.monotonic() > deadline:
                raise UsageProblem(f"match {short_id(self.id)} has not begun")
            time.sleep(LOOK_S)
        return self._header

    @property
    def prompt(self) -> str:
        """What the contestants were asked."""
        return self.header.asked.prompt

    @property
    def seats(self) -> list[str]:
        """A, B, …"""
        return list(self.header.seats)

    @property
    def blind(self) -> bool:
        """Whether names are hidden now."""
        return not self.revealed

    @property
    def revealed(self) -> bool:
        """Whether names are told: it was voted, `reveal()` was called, or it never was blind."""
        told = not self.header.asked.blind or self.folder.marked("revealed")
        return told or self.vote_given is not None  # the mark comes after the vote

    @property
    def costs_shown(self) -> bool:
        """Whether time, cost and tokens are told now: they may tell who it is."""
        return self.revealed or not self.header.asked.hide_cost

    @property
    def state(self) -> str:
        """running, judging (contestants have ended), voting (a person's vote is waited for), done,
        or interrupted (stopped, or its process was killed: `wait()` goes on with it)."""
        if self.folder.marked("judged"):
            asked = PERSON in self.header.asked.judges
            return "voting" if asked and self.vote_given is None else "done"
        if not self._workflow.held:
            return "done" if self.folder.marked("judged") else "interrupted"
        return "running" if self.folder.ended() is None else "judging"

    def contestants(self) -> list[Contestant]:
        """Those of all seats, in order."""
        ended = {one.seat: one for one in self.folder.ended() or []}
        runs = self._seated()
        return [Contestant(self, s, runs.get(s), ended.get(s)) for s in self.header.seats]

    def _seated(self) -> dict[str, RunView]:
        """The contestants' runs, as far as they have begun."""
        if len(self._runs) < len(self.header.seats):
            home = self.folder.home
            host = LocalHost(home)
            story = Story(self._workflow)
            for step in story.steps.values():
                if step.label not in self.header.seats or step.run_id is None:
                    continue
                if host.folder(step.run_id).spec.exists():
                    run = RunView(host, step.run_id)
                    if run.spec.match_id == self.id:
                        self._runs[step.label] = run
        return self._runs

    @property
    def run_ids(self) -> dict[str, str]:
        """Seat → the id of the contestant's run."""
        return {seat: run.id for seat, run in self._seated().items()}

    @property
    def choices(self) -> list[str]:
        """What may be voted for: the seats that ended well, "tie" and "none"."""
        bad = [one.seat for one in self.folder.ended() or [] if one.cause is not None]
        return [*(seat for seat in self.header.seats if seat not in bad), "tie", "none"]

    # ------------------------------------------------------------ waiting, voting

    def _workflow_of(self, run_id: str) -> WorkflowFolder:
        return WorkflowFolder(self.folder.home / "workflow_runs" / run_id)

    @property
    def _workflow(self) -> WorkflowFolder:
        """The workflow that it is, or is a part of."""
        return self._workflow_of(self.header.workflow_run)

    def _said(self, folder: WorkflowFolder) -> None:
        """Raise what its process said, if it gave up."""
        story = Story(folder) if folder.path.is_dir() else None
        if story is not None and story.state in ("failed", "stopped") and story.ended is not None:
            outcome(story.ended, folder.id, NAME)

    def wait(self, timeout: float | None = None) -> Match:
        """Wait until all have ended and the automatic judges have spoken; goes on with a match that
        was cut off. ■ stops the contestants. TimeoutError."""
        deadline = None if timeout is None else time.monotonic() + timeout
        begun = False
        try:
            while not self.folder.marked("judged"):
                if not self._workflow.held and not self.folder.marked("judged"):
                    self._go_on(begun)
                    begun = True
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"match {short_id(self.id)} goes on")
                time.sleep(LOOK_S)
                self._show_anew()
        except KeyboardInterrupt:
            if not cells.is_ending():
                self.stop()
            raise
        self._show_anew()
        return self

    def _go_on(self, begun: bool) -> None:
        """Have a process conduct it, as none does. begun: one was begun meanwhile."""
        if self.header.workflow_run != self.id:
            raise UsageProblem(
                f"match {short_id(self.id)} is a part of a workflow: call that again"
            )
        if begun:
            self._said(self._workflow)
            raise WorkflowError(f"match {short_id(self.id)}: its process was killed again")
        begin(self.header.asked)

    def _judged(self) -> None:
        if not self.folder.marked("judged"):
            self.wait()

    def _show_anew(self) -> None:
        """From the cell that is at work: some front ends take what is new from there only."""
        if cells.in_kernel():
            from ..widgets.arena.live import refresh

            refresh(self.id)

    def __await__(self) -> Generator[Any, None, Match]:
        import asyncio

        yield from asyncio.to_thread(self.wait).__await__()
        return self

    def stop(self) -> None:
        """Stop contestants and judges that are at work; `wait()` goes on with them."""
        if self.header.workflow_run != self.id:
            raise UsageProblem(f"match {short_id(self.id)} is a part of a workflow: stop that")
        WorkflowHandle(LocalHost(self.folder.home), self._workflow).stop()

    @property
    def vote_given(self) -> str | None:
        """A person's vote: a seat, "tie" or "none"; None before one is given."""
        vote = vote_of(self.folder.verdicts())
        return None if vote is None else vote.choice

    def vote(self, choice: str, why: str = "") -> Match:
        """Vote for a seat, "tie" or "none" (none is any good); then names are told.

        UsageProblem while a contestant is at work, for one that did not end well, whose work is
        not to be used, and after names were told: a vote that knows them is none.
        """
        wanted = str(choice).strip()
        wanted = wanted.upper() if wanted.upper() in self.seats else wanted.lower()
        if self.folder.ended() is None or not self.folder.marked("judged"):
            raise UsageProblem("voting opens when all have ended and the other judges have spoken")
        if wanted not in self.choices:
            known = f"a vote is for {', '.join(self.choices[:-1])} or none"
            failed = f"contestant {wanted} did not end well, its work is not to be used: {known}"
            raise UsageProblem(failed if wanted in self.seats else f"{known}, not {choice!r}")
        if self.header.asked.blind and self.revealed:
            raise UsageProblem("names have been told: a vote from now on would not be blind")
        number = sum(one.kind == "person" for one in self.folder.verdicts()) + 1
        mine = Verdict(
            name=f"person:{number}", judge=PERSON, kind="person",
            rule="blind" if self.header.asked.blind else "names known", choice=wanted,
            evidence={"why": why} if why else {},
        )  # fmt: skip
        if self.folder.add(mine) is not mine:
            raise UsageProblem("somebody else has just voted")
        return self.reveal()

    def reveal(self) -> Match:
        """Tell the names; no blind vote can be given from then on."""
        if self.folder.ended() is None:
            raise UsageProblem("names are told when all have ended")
        self.folder.mark("revealed")
        self._show_anew()
        return self

    # ------------------------------------------------------------ what came of it

    @property
    def selection(self) -> Selection:
        """The seat that is selected, and by which rule. One prompt tells who did it, not who is
        better."""
        self._judged()
        ended = self.folder.ended() or []
        costs = {one.seat: one.usage.cost_usd for one in self.contestants()}
        return selected(ended, self.folder.verdicts(), self.header.asked.tie, costs)

    @property
    def winner(self) -> str | None:
        """The agent that was selected; None for a tie, for none, and before anyone has judged."""
        found = self.selection
        if found.seat is None:
            return None
        if self.blind:
            raise UsageProblem(
                f"contestant {found.seat} is ahead; its name is told after the vote: vote(…), or"
                " reveal()"
            )
        return self.header.seats[found.seat]

    def _chosen(self, seat: str | None) -> Ended:
        self._judged()
        wanted = seat.upper() if seat is not None else self.selection.seat
        if wanted is None:
            raise UsageProblem(f"no contestant was selected: {self.selection.rule}. Name a seat.")
        for one in self.folder.ended() or []:
            if one.seat == wanted:
                if one.cause is not None:
                    raise UsageProblem(f"contestant {wanted} did not end well: {one.message}")
                return one
        raise UsageProblem(f"there is no contestant {wanted!r}; there are {', '.join(self.seats)}")

    def result(self, seat: str | None = None) -> Result:
        """What the selected one made, as a workflow's step gives it: its text, `.commit`,
        `.diff()`; a further step takes its files by `needs=`. UsageProblem where none was."""
        one = self._chosen(seat)
        header = self.header
        return Result(
            Payload(one.text), step=one.step or "", run_id=one.run_id or "",
            label=f"match {short_id(self.id)}", commit=one.commit, tree=one.tree, base=header.base,
            repository=header.repo, cached=True,
        )  # fmt: skip

    def apply(
        self,
        onto: str | None = None,
        *,
        seat: str | None = None,
        dry_run: bool = False,
        commit: bool = True,
        message: str | None = None,
    ) -> Applied:
        """Put what the selected one changed onto a branch as one commit: see `run.apply`.

        dry_run: only say what would change, and where it conflicts.
        """
        from pathlib import Path

        one, header = self._chosen(seat), self.header
        if one.commit is None:
            raise UsageProblem(f"contestant {one.seat} has no files: nothing to apply")
        merge = work_out(Path(header.repo), header.base, one.commit, onto)
        if dry_run:
            return Applied(merge, None, True)
        title = header.asked.title or self.prompt.strip().splitlines()[0][:72]
        told = f"Paseo-Match: {self.id}\nPaseo-Run: {one.run_id}\n"
        made = apply(Path(header.repo), merge, message or f"{title}\n\n{told}", commit=commit)
        if made is not None:
            self.folder.note("applied", onto=merge.onto, commit=made, seat=one.seat)
        return Applied(merge, made, False)

    # ------------------------------------------------------------ frames

    def checks(self) -> pd.DataFrame:
        """Whether all had the same: the files that they began with, and the model that was asked
        for; columns stand in docs/frames.md."""
        rows: list[dict[str, Any]] = []
        for one in self.contestants():
            asked, answered = one.models if self.revealed else (None, None)
            rows.append({
                "match_id": self.id, "seat": one.seat, "same_base": one.same_base,
                "model_ok": one.model_ok, "model_asked": asked, "model_answered": answered,
            })  # fmt: skip
        return contest_frame("checks", rows)

    def verdicts(self) -> pd.DataFrame:
        """One row per verdict, with its rule and evidence; columns stand in docs/frames.md."""
        rows: list[dict[str, Any]] = []
        for one in self.folder.verdicts():
            row = msgspec.structs.asdict(one)
            evidence = msgspec.json.encode(one.evidence).decode()
            rows.append(row | {"match_id": self.id, "time": one.time_us, "evidence": evidence})
        return contest_frame("verdicts", rows)

    def frame(self) -> pd.DataFrame:
        """One row per contestant; columns stand in docs/frames.md."""
        scores = {one.seat: one.score for one in self.folder.verdicts() if one.kind == "tests"}
        done = self.state in ("done", "voting")
        chosen = self.selection.seat if done else None
        rows = [
            {
                "match_id": self.id,
                "selected": one.seat == chosen if done else None,
                "tests": scores.get(one.seat),
                **one.row(self.costs_shown),
            }
            for one in self.contestants()
        ]
        return contest_frame("match", rows)

    def compare(self, one: str, other: str) -> SideBySide:
        """What two contestants did, side by side, and where they first parted.

        one, other: seats
        """
        runs = self._seated()
        for seat in (one, other):
            if seat not in runs:
                raise UsageProblem(f"contestant {seat!r} has no run; there are {', '.join(runs)}")
        known = [f"{s}: {n}" if self.revealed else s for s, n in self.header.seats.items()]
        names = dict(zip(self.seats, known, strict=True))
        return SideBySide(runs[one], runs[other], (names[one], names[other]))

    def save(self, path: str | Path) -> Path:
        """The match as one HTML file, with everything in it and no script; its path."""
        from . import reports

        title = self.header.asked.title or f"Match {short_id(self.id)}"
        return reports.save(path, title, reports.match_report(self))

    def rooms(self) -> dict[str, Path]:
        """Seat → the clone that the contestant worked in, where it is still there."""
        found = {seat: room_of(run_id) for seat, run_id in self.run_ids.items()}
        return {seat: room for seat, room in found.items() if room.is_dir()}

    def __repr__(self) -> str:
        seats = ", ".join(f"{s}: {n}" if self.revealed else s for s, n in self.header.seats.items())
        return f"<Match {short_id(self.id)} {self.state}, {seats}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ..widgets.arena import bundle

        return bundle(self)

    def _ipython_display_(self) -> None:
        from ..widgets.arena.live import show

        show(self)
