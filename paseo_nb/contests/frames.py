"""The `matches` frame: one row per match, read from its files and its runs' journals."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..store.contest_columns import contest_frame
from .match import Match
from .records import match_folders
from .selecting import selected
from .strengths import Duel

if TYPE_CHECKING:
    import pandas as pd


def matches_frame(home: Path) -> pd.DataFrame:
    """All matches of a project, oldest first."""
    rows = [_row(Match(folder)) for folder in match_folders(home)]
    return contest_frame("matches", [row for row in rows if row])


def _row(match: Match) -> dict[str, Any]:
    header = match.folder.header()
    if header is None:
        return {}
    costs = {one.seat: one.usage.cost_usd for one in match.contestants()}
    told = [cost for cost in costs.values() if cost is not None]
    found = None
    if match.folder.marked("judged"):
        ended = match.folder.ended() or []
        found = selected(ended, match.folder.verdicts(), header.asked.tie, costs)
    shown = match.revealed
    seats = header.seats
    return {
        "match_id": match.id,
        "created_at": header.created_us,
        "title": header.asked.title or header.asked.prompt.strip().splitlines()[0],
        "state": match.state,
        "agents": ", ".join(f"{seat}: {name}" for seat, name in seats.items()) if shown else None,
        "vote": match.vote_given,
        "selected": found.seat if found is not None else None,
        "winner": seats[found.seat] if shown and found is not None and found.seat else None,
        "rule": found.rule if found is not None else None,
        "cost_usd": sum(told) if told and match.costs_shown else None,
        "base": header.base,
    }


def duels_of_matches(home: Path) -> list[Duel]:
    """Matches that were decided, names told: who was selected beat the others; of a tie, each pair
    of those tied, or of all of them."""
    found: list[Duel] = []
    for folder in match_folders(home):
        match = Match(folder)
        header = folder.header()
        if header is None or not folder.marked("judged") or not match.revealed:
            continue
        ended = folder.ended() or []
        chosen = selected(ended, folder.verdicts())
        seats = header.seats
        vote = match.vote_given
        if chosen.seat is not None:
            pairs = [(chosen.seat, other, 1.0) for other in seats if other != chosen.seat]
        elif vote == "tie" or chosen.rule == "a tie":
            tied = chosen.tied or list(seats)
            pairs = [(a, b, 0.5) for a, b in combinations(tied, 2)]
        else:
            continue
        found += [
            Duel(seats[a], seats[b], score, match.id)
            for a, b, score in pairs
            if seats[a] != seats[b]
        ]
    return found
