"""Matches on real runs: apart and equal, blind until the vote, judged, used, and not lost."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from kit import git
from minds import Minds

import paseo_nb as paseo
from paseo_nb import agent, aio
from paseo_nb.errors import UsageProblem
from paseo_nb.git.rooms import carry, make_room, remove_room, room_of
from paseo_nb.widgets.arena.page import Shown, page

TESTS = "python -m pytest -q tests/test_sum.py"


@pytest.fixture
def hidden(repo: Path) -> Path:
    """Hidden tests that lie in the repository itself, committed: the worst place."""
    folder = repo / "hidden"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "test_sum.py").write_text(
        "import pathlib, sys\nsys.path.insert(0, str(pathlib.Path(__file__).parents[1]))\n"
        "from sum import total\n"
        "def test_of_none(): assert total([]) == 0\n"
        "def test_of_secret_numbers(): assert total([40, 2]) == 42\n"
    )
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "hidden tests")
    return folder


def test_a_blind_match_is_voted_revealed_and_applied(repo: Path, minds: Minds) -> None:
    match = paseo.arena("add total() in sum.py", ["alpha", "beta"], seed=3)
    assert match.blind
    with pytest.raises(UsageProblem, match="voting opens"):
        match.vote("A")
    match.wait()
    assert match.state == "voting"
    for shown in (repr(match), *match._repr_mimebundle_().values(), match.frame().to_csv(), match.checks().to_csv(), paseo.matches().to_csv()):  # fmt: skip
        told = shown.replace("alpha here", "")  # what it says of itself cannot be hidden
        assert not re.search(r"\balpha\b|\bbeta\b", told), told
    assert match.frame()["agent"].isna().all()
    assert list(match.frame()["files"]) == [1, 1]
    assert match.winner is None
    seat = next(seat for seat, name in match.header.seats.items() if name == "alpha")
    with pytest.raises(UsageProblem, match="a vote is for A, B, tie or none"):
        match.vote("C")
    for wrong, said in (({"budget": -1}, "more than 0"), ({"timeout": 0}, "more than 0")):
        with pytest.raises(UsageProblem, match=said):
            paseo.arena("x", ["alpha", "beta"], **wrong)
    with pytest.raises(UsageProblem, match="named 'provider/model', not 5"):
        paseo.arena("x", ["alpha", 5])  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageProblem, match="this tells names"):
        paseo.cost(match)
    match.vote(seat.lower(), why="it adds")
    cost = paseo.cost(match)
    assert set(cost.loc[cost["level"] == "run", "run_id"]) == set(match.run_ids.values())
    assert len(paseo.cost(match.id)) == len(cost), "it is a workflow run"
    assert match.state == "done"
    assert match.winner == "alpha"
    with pytest.raises(UsageProblem, match="would not be blind"):
        match.vote("tie")
    assert "alpha" in repr(match)
    checks = match.checks()
    assert checks["same_base"].all()
    preview = match.apply(dry_run=True)
    assert not preview.conflicts
    assert not (repo / "sum.py").exists()
    applied = match.apply()
    assert "sum(xs)" in (repo / "sum.py").read_text()
    assert f"Paseo-Match: {match.id}" in git(repo, "log", "-1", "--format=%B")
    assert applied.commit == git(repo, "rev-parse", "HEAD").strip()
    again = paseo.match(match.id[:12])
    assert (again.winner, again.vote_given) == ("alpha", seat)
    row = paseo.matches().iloc[-1]
    assert (row["winner"], row["vote"], row["state"]) == ("alpha", seat, "done")
    vote = match.verdicts().iloc[-1]
    assert (vote["kind"], vote["rule"], vote["choice"]) == ("person", "blind", seat)
    assert json.loads(vote["evidence"]) == {"why": "it adds"}


def test_seats_are_drawn_by_a_seed_that_is_kept(repo: Path, minds: Minds) -> None:
    orders = set()
    for seed in (0, 2):
        match = paseo.arena("nothing", ["alpha", "beta", "gamma"], seed=seed)
        orders.add(tuple(match.header.seats.values()))
        assert match.header.seed == seed
        match.stop()
    assert len(orders) > 1


def test_an_apply_tells_conflicts_and_touches_nothing(repo: Path, minds: Minds) -> None:
    match = paseo.arena("add total()", ["alpha", "beta", "gamma"], blind=False, seed=0).wait()
    bad = next(seat for seat, name in match.header.seats.items() if name == "gamma")
    good = [seat for seat in match.seats if seat != bad]
    with pytest.raises(UsageProblem, match=f"{bad} did not end well.* for {', '.join(good)}, tie"):
        match.vote(bad)
    assert f'data-off="{bad}"' in page(Shown(match), live=True)
    (repo / "sum.py").write_text("mine = 1\n")
    git(repo, "add", "sum.py")
    git(repo, "commit", "-qm", "mine")
    preview = match.apply(seat=good[0], dry_run=True)
    assert preview.conflicts == ["sum.py"]
    assert (repo / "sum.py").read_text() == "mine = 1\n"


def test_hidden_tests_judge_when_all_have_ended(repo: Path, minds: Minds, hidden: Path) -> None:
    match = paseo.arena(
        "add total()", ["alpha", "beta", "gamma"], tests=TESTS, hidden=str(hidden)
    ).wait()
    assert not match.blind, "nobody is asked who could be biased"
    frame = match.frame().set_index("agent")
    assert list(frame.loc[["alpha", "beta"], "tests"]) == [1, 0.5]
    assert pd.isna(frame.loc["gamma", "tests"])
    assert frame.loc["gamma", "state"] == "failed"
    assert match.winner == "alpha"
    assert match.selection.rule == "most tests passed"
    verdicts = match.verdicts().set_index("seat")
    losing = next(seat for seat, name in match.header.seats.items() if name == "beta")
    evidence = json.loads(verdicts.loc[losing, "evidence"])
    assert (evidence["passed"], evidence["failed"]) == (1, 1)
    assert "test_of_secret_numbers" in evidence["failures"][0][0]
    match.apply()
    assert (hidden / "tests" / "test_sum.py").exists(), "what was kept from them is still there"


def test_a_contestant_learns_nothing_of_a_rival_nor_of_hidden_tests(
    repo: Path, minds: Minds, hidden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # it has this test's name, and so its words
    monkeypatch.setenv("OLDPWD", str(repo))
    monkeypatch.setenv("PWD", str(repo))
    monkeypatch.setenv("PASEO_NB_HOME", str(repo / ".paseo_nb"))
    git(repo, "branch", "beta-was-here")
    first = paseo.arena("add total()", ["beta", "alpha"], tests="true", hidden=str(hidden)).wait()
    match = paseo.arena("look", ["nosy", "alpha"], tests="true", hidden=str(hidden)).wait()
    seat = next(seat for seat, name in match.header.seats.items() if name == "nosy")
    text = next(one.text for one in match.folder.ended() or [] if one.seat == seat)
    assert "The files as they are now" in text, "it did look"
    for word in ("alpha", "beta", "secret_numbers", "hidden", str(repo), first.id):
        assert word not in text, word
    rival = next(one for one in match.folder.ended() or [] if one.seat != seat)
    room = match.rooms()[seat]
    missing = subprocess.run(["git", "-C", str(room), "cat-file", "-e", str(rival.commit)], capture_output=True)  # fmt: skip
    assert missing.returncode != 0, "no object of the rival is there"
    assert subprocess.run(["git", "-C", str(repo), "cat-file", "-e", str(rival.commit)]).returncode == 0  # fmt: skip


def test_the_best_of_several_is_a_step_whose_files_go_on(repo: Path, minds: Minds) -> None:
    minds.has('def reads(prompt, turn, folder):\n    return (folder / "sum.py").read_text()\n')

    @paseo.workflow
    async def best_of():
        match = await aio.arena("add total()", ["beta", "alpha"], tests="grep xs sum.py | grep sum")
        best = match.result()
        read = await agent("read it", "reads", isolation="worktree", needs=best)
        return best.commit, str(read)

    run = best_of.start()
    commit, text = run.wait()
    assert "sum(xs)" in text
    asked = len(minds.asked())
    assert git(repo, "show", f"{commit}:sum.py") == text
    again = best_of.start()
    assert again.wait() == (commit, text)
    assert len(minds.asked()) == asked, "all steps were taken from before"
    assert len(run.steps()) == 3


def test_what_cannot_be_had_is_refused_before_anything_starts(repo: Path, minds: Minds) -> None:
    for agents, more, said in (
        (["alpha"], {}, "1 contestants"),
        (["alpha"] * 6, {}, "6 contestants"),
        (["alpha", "nobody/there"], {}, "nobody"),
        (["alpha", "beta"], {"hidden": "x"}, "hidden= are files for tests="),
        (["alpha", "beta"], {"tests": "true", "hidden": "nowhere"}, "is no folder"),
        (["alpha", "beta"], {"judge": "alpha"}, "of the family alpha"),
        (["alpha", "beta"], {"tie": "dearer"}, "none or cheaper"),
    ):
        with pytest.raises(UsageProblem, match=said):
            paseo.arena("x", agents, **more)
    assert not list(repo.glob(".paseo_nb/runs/*"))


JUDGES = """
def fair(prompt, turn, folder):
    first = prompt.split("THE FIRST SOLUTION")[1].split("END OF THE FIRST")[0]
    better = "first" if "sum(xs)" in first else "second"
    return json.dumps({"better": better, "reason": "it adds them up"})

def lazy(prompt, turn, folder):
    return json.dumps({"better": "first", "reason": "I like the first one"})
"""


def test_a_judging_model_sees_no_names_and_abstains_when_the_seats_sway_it(
    repo: Path, minds: Minds
) -> None:
    minds.has(JUDGES)
    match = paseo.arena("add total()", ["alpha", "beta"], judge=["fair", "lazy"]).wait()
    assert match.winner == "alpha"
    assert match.selection.rule == "preferred by judging models most often"
    verdicts = match.verdicts().set_index("judge")
    seat = next(seat for seat, name in match.header.seats.items() if name == "alpha")
    assert verdicts.loc["fair", "choice"] == seat
    assert bool(verdicts.loc["lazy", "abstained"])
    assert pd.isna(verdicts.loc["lazy", "choice"])
    asked = minds.asked("fair")
    assert len(asked) == 2, "both orders of seats"
    for prompt in asked:
        assert "[name] here: I added total" in prompt
        assert not re.search(r"\balpha\b|\bbeta\b", prompt)


def test_a_room_leads_to_nothing_but_itself(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD").strip()
    git(repo, "tag", "other-work")
    room = make_room("01RUN", repo, head)
    assert room == room_of("01RUN")
    assert "01RUN" not in str(room)
    assert git(room, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/work"]
    assert git(room, "status", "--porcelain") == ""
    for file in (room / ".git").rglob("*"):
        if file.is_file() and file.suffix not in (".pack", ".idx", ".rev"):
            assert str(repo).encode() not in file.read_bytes(), file
    (room / "new.txt").write_text("new")
    git(room, "add", ".")
    git(room, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "made")
    made = git(room, "rev-parse", "HEAD").strip()
    carry(room, repo, made, without=head)
    assert git(repo, "show", f"{made}:new.txt") == "new"
    assert make_room("01RUN", repo, head) == room, "one that was begun before is made anew"
    assert not (room / "new.txt").exists()
    remove_room("01RUN")
    assert not room.exists()
