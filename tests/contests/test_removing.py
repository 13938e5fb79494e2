"""Prune and disk know contests: what is over goes, with its refs and clones; the rest stays."""

from __future__ import annotations

import datetime
from pathlib import Path

from kit import git
from minds import Minds

import paseo_nb as paseo
from paseo_nb.git.rooms import room_of, rooms_folder

AHEAD = datetime.timedelta(days=-1)


def told(dry_run: bool = True) -> dict[tuple[str, str], tuple[bool, str]]:
    rows = paseo.prune(dry_run=dry_run, older=AHEAD).to_dict("records")
    return {(row["kind"], row["name"]): (row["goes"], row["why"]) for row in rows}


def test_a_match_goes_when_it_is_over_and_used(repo: Path, minds: Minds) -> None:
    match = paseo.arena("add total()", ["alpha", "beta"], seed=3).wait()
    disk = paseo.disk().set_index("kind")["items"]
    assert (disk["matches"], disk["rooms"]) == (1, 2)
    assert disk["refs"] == 4, "two bases, the work of two, in the repository; no row for a clone"
    goes, why = told()["match", match.id]
    assert (goes, why) == (False, "nobody has voted")
    assert ("workflow", match.id) not in told(), "it goes with its match"
    seat = next(seat for seat, name in match.header.seats.items() if name == "alpha")
    match.vote(seat)
    goes, why = told()["match", match.id]
    assert not goes
    assert "what was selected is not in main" in why
    match.apply()
    runs = match.run_ids
    again = paseo.attach(runs[seat])
    again.send("once more").wait(60)
    found = told(dry_run=False)
    assert found["match", match.id][0]
    assert sorted(found["room", run_id][0] for run_id in runs.values()) == [False, True]
    assert "its agent worked on" in found["room", runs[seat]][1]
    assert room_of(runs[seat]).is_dir()
    assert paseo.matches().empty
    assert paseo.workflow_runs().empty
    assert "matches" not in git(repo, "for-each-ref")
    assert "workflows" not in git(repo, "for-each-ref")
    assert "sum(xs)" in (repo / "sum.py").read_text()
    assert len(list(rooms_folder().iterdir())) == 1
