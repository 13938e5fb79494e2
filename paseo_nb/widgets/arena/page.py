"""A match as one HTML fragment, contestants side by side: inline styles, `details` for what
unfolds, nothing that needs a script; a live one has what the widget's script works with besides.
What agents wrote is hostile text; while the match is blind, it is shown without names in it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ...applying import Applied
from ...contests.match import PERSON
from ...contests.rubric import without_names
from ...contests.selecting import vote_of
from ...contests.values import Selection
from ...errors import PaseoError
from ...git.values import DiffSummary
from ...model import short_id
from ..render import style
from ..render.as_html import toned
from ..render.text import one_line, prose
from ..render.units import money, plural
from .seats import QUIET, Seat

if TYPE_CHECKING:
    from ...contests.match import Match

NUMBERS = {2: "both", 3: "all three", 4: "all four", 5: "all five"}
BAR = (
    "display:flex;gap:8px;align-items:center;flex-wrap:wrap;padding:9px 12px;min-height:28px;"
    f"border-top:1px solid {style.LINE};background:{style.GROUNDS['quiet']}"
)


class Shown:
    """What a page is drawn from: a match as it stands at one moment. changes: of each seat, as far
    as it is known (a diff takes git some time, so a live page brings its own)."""

    def __init__(self, match: Match, changed: dict[str, DiffSummary | None] | None = None) -> None:
        self.match, self.header = match, match.header
        self.state, self.blind = match.state, match.blind
        self.verdicts = match.folder.verdicts()
        seated = match.contestants()
        known = {one.seat: one.diff() for one in seated} if changed is None else changed
        self.seats = [Seat(self, one, known.get(one.seat)) for one in seated]
        over = self.state in ("done", "voting")
        self.selection: Selection | None = match.selection if over else None
        self.merge = self._merge()
        self.applied = match.folder.last("applied")

    def _merge(self) -> Applied | None:
        """What an apply would do."""
        if self.blind or self.selection is None or self.selection.seat is None:
            return None
        with contextlib.suppress(PaseoError, OSError):
            return self.match.apply(dry_run=True)
        return None

    def told(self, text: str) -> str:
        """What an agent wrote, without names while it is blind."""
        return without_names(text, self.header.asked.agents) if self.blind else text

    @property
    def hidden(self) -> bool:
        """Whether there are hidden tests."""
        return self.header.asked.tests is not None and self.header.asked.tests.hidden is not None

    @property
    def how(self) -> str:
        """Whether names are told."""
        if not self.header.asked.blind:
            return "names known"
        return "blind: names after the vote" if self.blind else "names told after the vote"

    @property
    def said(self) -> str:
        """What stands at the end: what is waited for, or who was selected."""
        if self.selection is None:
            return self._waited_for()
        if self.state == "voting":
            return f"Vote with match.vote(…): {', '.join(self.match.choices[:-1])} or none."
        found = self.selection
        if found.seat is None:
            among = f" between {' and '.join(found.tied)}" if found.tied else ""
            return f"No contestant is selected: {found.rule}{among}."
        name = "" if self.blind else f", {self.header.seats[found.seat]}"
        return f"Selected: {found.seat}{name} ({found.rule}). match.apply() puts it on your branch."

    def _waited_for(self) -> str:
        if self.state == "interrupted":
            return "It was stopped, or its process was killed: match.wait() goes on with it."
        asked = self.header.asked
        if self.state == "judging":
            return "All have ended; the judges are at work."
        kind = "hidden tests" if self.hidden else "tests"
        tests = f" and the {kind} have run" if asked.tests is not None else ""
        what = "Voting opens" if PERSON in asked.judges else "It is decided"
        ended = f"{NUMBERS[len(self.seats)]} have ended"
        return f"{what} when {ended}{tests}."

    def vote_for(self, seat: str) -> str:
        """What a person said of a seat."""
        vote = vote_of(self.verdicts)
        if vote is None or vote.choice != seat:
            return ""
        why = vote.evidence.get("why")
        return f"Voted “{why}”" if why else "Voted"

    def judged_by(self, judge: str, seat: str) -> str:
        """What a judging model said of a seat against each of the others."""
        told: list[str] = []
        for one in self.verdicts:
            if one.kind != "model" or one.judge != judge or seat not in (one.seat, one.other):
                continue
            other = one.other if one.seat == seat else one.seat
            how = "abstained" if one.abstained else "better" if one.choice == seat else "worse"
            told.append(f"{'tie' if one.choice == 'tie' else how} against {other}")
        return ", ".join(told)

    @property
    def footnotes(self) -> list[str]:
        """What stands below the names."""
        told: list[str] = []
        if self.applied is not None:
            told.append(f"✓ Applied to {self.applied['onto']}: {str(self.applied['commit'])[:10]}")
        elif self.merge is not None:
            told.append(_merges(self.merge))
        costs = [v.cost_usd for v in self.verdicts if v.cost_usd is not None]
        told += [f"judges cost {money(sum(costs))}"] if costs else []
        told.append("Seats were shuffled.")
        told.append(self._flagged())
        return told

    def _flagged(self) -> str:
        seated = [one.one for one in self.seats]
        said: list[str] = []
        for one in seated:
            if one.model_ok is False:
                asked, answered = one.models
                said.append(f"⚠ {one.seat} was answered by {answered}, not {asked}.")
            if one.same_base is False:
                said.append(f"⚠ {one.seat} began with other files.")
        if said:
            return " ".join(said)
        known = sum(one.model_ok is True for one in seated)
        if not known:
            return ""
        far = ", as far as they are told," if known < len(seated) else ""
        return f"The models that answered{far} are the ones asked for."


def _merges(merge: Applied) -> str:
    if merge.conflicts:
        return f"✗ Conflicts with {merge.onto}: {', '.join(merge.conflicts[:5])}"
    if merge.in_the_way:
        names = ", ".join(merge.in_the_way[:5])
        return f"✗ Changes of yours are in the way in {merge.onto}: {names}"
    files = len(merge.summary.files)
    if not files:
        return f"{merge.onto} has all of it already"
    return f"✓ Merges into {merge.onto} without conflict, {plural(files, 'file')}"


def bundle(match: Match) -> dict[str, str]:
    """As text and as HTML."""
    shown = Shown(match)
    head = f"Match {short_id(match.id)} ({shown.how}): {one_line(match.prompt)}"
    lines = [head, *(one.text() for one in shown.seats), shown.said]
    return {"text/plain": "\n".join(lines), "text/html": page(shown)}


def page(shown: Shown, *, live: bool = False, busy: str = "", told: str = "") -> str:
    """The fragment. live: for the widget. busy: what was asked for and is not done yet; told: what
    came of the last thing that was asked for, as HTML."""
    css = style.ROOT.replace("padding:12px 14px;", "overflow:hidden;")
    over = shown.state == "done" and not shown.blind
    first = "diff" if shown.state == "voting" else "stream"
    grid = (
        '<div style="display:grid;'
        "grid-template-columns:repeat(auto-fit,minmax(min(100%,240px),1fr));"
        f'overflow:hidden;padding:1px 0 0 1px;margin:0 0 0 -1px">'
        f"{''.join(one.html(live=live) for one in shown.seats)}</div>"
    )
    if over:
        summary = f"{style.SUMMARY};font-size:13px;padding:8px 12px"
        rest = (
            f'{_names(shown, live)}{told}<details><summary style="{summary}">Side by side</summary>'
            f"{grid}</details>"
        )
    else:
        css_of = f"margin:10px 12px;padding:8px 12px;background:{style.GROUNDS['quiet']}"
        asked = prose(one_line(shown.header.asked.prompt, 600))
        prompt = f'<div style="{css_of};border-radius:4px">{asked}</div>'
        rest = f"{prompt}{grid}{_foot(shown, live)}"
    return (
        f'<div data-paseo-match="{shown.header.id}" data-first="{first}" style="{css}">'
        f"{_head(shown, live, busy)}{rest}</div>"
    )


def _head(shown: Shown, live: bool, busy: str) -> str:
    header = shown.header
    title, note, buttons = f"Match {short_id(header.id)}", shown.how, ""
    found = shown.selection
    mark = ""
    if shown.state == "done" and not shown.blind and found is not None:
        name = header.seats[found.seat] if found.seat else None
        title += f": {name} selected" if name else ": nobody selected"
        mark = toned("ok", "✓") + " " if name else ""
        note = found.rule
        if live and name and shown.merge is not None and shown.applied is None:
            stuck = bool(shown.merge.conflicts or shown.merge.in_the_way)
            off = " disabled" if busy == "apply" or stuck or not shown.merge.summary.files else ""
            word = "Applying…" if busy == "apply" else f"Apply to {shown.merge.onto}"
            buttons = f'<button class="bn" data-do="apply"{off}>{prose(word)}</button>'
    elif live:
        buttons = (
            '<button class="bn quiet" data-lock aria-keyshortcuts="L"'
            ' title="Tabs and scrolling of all move together">Move together'
            ' <kbd aria-hidden="true">L</kbd></button>'
        )
        if shown.state in ("running", "judging"):
            off, word = (" disabled", "Stopping…") if busy == "stop" else ("", "■ Stop all")
            buttons += f'<button class="bn stop" data-do="stop"{off}>{word}</button>'
    return (
        f'<div style="display:flex;gap:4px 10px;align-items:center;flex-wrap:wrap;padding:6px 12px;'
        f'min-height:28px">{mark}<b style="font-weight:600">{prose(title)}</b>'
        f'<span style="{style.SMALL};{QUIET}">{prose(note)}</span><span style="flex:1"></span>'
        f'<span style="{style.SMALL};{QUIET}">same base {header.base[:7]}, a clone each</span>'
        f"{buttons}</div>"
    )


def _foot(shown: Shown, live: bool) -> str:
    if live and shown.state == "voting":
        seats = " ".join(one.one.seat for one in shown.seats)
        off = " ".join(sorted({*seats.split()} - {*shown.match.choices}))
        return f'<div data-own="vote" data-seats="{seats}" data-off="{off}" style="{BAR}"></div>'
    return f'<div style="{BAR}"><span>{prose(shown.said)}</span></div>'


def _names(shown: Shown, live: bool) -> str:
    """Who was who, the selected one first, and what judges said."""
    chosen = shown.selection.seat if shown.selection is not None else None
    judges = dict.fromkeys(one.judge for one in shown.verdicts if one.kind == "model")
    heads = ["Seat", "Agent"]
    heads += ["You"] if vote_of(shown.verdicts) is not None else []
    heads += ["Tests"] if shown.header.asked.tests is not None else []
    heads += [*(f"Rubric by {judge}" for judge in judges), "Change", "Time", "Cost"]
    ordered = sorted(shown.seats, key=lambda one: one.one.seat != chosen)
    rows = "".join(one.row(heads, chosen, live=live) for one in ordered)
    cells = "".join(f'<th style="{style.CELL}">{prose(name)}</th>' for name in heads)
    cells += f'<th style="{style.CELL}"></th>' if live else ""
    notes = "".join(f"<span>{prose(note)}</span>" for note in shown.footnotes if note)
    said = "" if chosen is not None else f"<span>{prose(shown.said)}</span>"
    return (
        f'<div style="padding:0 12px;border-top:1px solid {style.LINE};overflow-x:auto">'
        f'<table style="{style.TABLE};margin:0;display:table;width:100%"><thead><tr>{cells}</tr>'
        f'</thead><tbody>{rows}</tbody></table></div><div style="display:flex;flex-wrap:wrap;'
        f'gap:2px 16px;padding:8px 12px;font-size:12px;{QUIET}">{said}{notes}</div>'
    )
