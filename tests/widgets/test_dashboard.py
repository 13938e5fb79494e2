"""The board: every run in its group, told again only where something changed; a page of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.board_scene import end, scene, until

import paseo_nb as paseo
from paseo_nb.model import now_us
from paseo_nb.programs.demo import copy_sample
from paseo_nb.store import advance
from paseo_nb.widgets.dashboard.board import Board, board_of_project
from paseo_nb.widgets.dashboard.page import bundle_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, paseo.Run]]:
    """A project with a run in every state, current; shared, as no test here changes a run for good
    without being the last to look at it."""
    root = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(copy_sample(root / "tidelog")))
        patch.setenv("PASEO_DEMO_HOME", str(root / "sessions"))
        patch.setenv("PASEO_NB_IDLE", "3")  # processes with nothing to do leave
        runs = scene()
        yield runs
        end(runs)


@pytest.fixture
def here(world: dict[str, paseo.Run], monkeypatch: pytest.MonkeyPatch) -> dict[str, paseo.Run]:
    monkeypatch.chdir(world["done"].path)
    return world


def look() -> Board:
    board = board_of_project()
    board.look()
    return board


def line(board: Board, run: paseo.Run) -> dict[str, Any]:
    return board.lines[run.id]


def test_every_run_is_in_its_group_with_what_it_does_or_what_came_of_it(here: Any) -> None:
    board = look()
    told = {
        name: (line(board, run)["group"], line(board, run)["note"]) for name, run in here.items()
    }
    assert {name: group for name, (group, _) in told.items()} == {
        "review": "review", "done": "done", "failed": "failed", "stopped": "stopped",
        "interrupted": "interrupted", "running": "running", "slow": "running",
        "asks": "waiting", "asks too": "waiting",
    }  # fmt: skip
    assert told["review"][1].startswith("tidelog/durations.py: the digits after")
    assert told["interrupted"][1] == "cut off in turn 1"
    assert told["running"][1] == "Run sleep 300"
    assert told["slow"][1] == "writing an answer"
    assert told["asks"][1].startswith('Run this command? python -m pip install "hypo')
    assert told["done"][1].startswith("Scripted demo:")
    assert "log in first" in told["failed"][1]
    assert list(board.lines) == sorted(board.lines, reverse=True), "newest first"
    assert board.head["counts"] == {
        "waiting": 2, "running": 2, "review": 1, "interrupted": 1, "failed": 1, "done": 1, "stopped": 1,
    }  # fmt: skip
    assert board.head["runs"] == 9
    assert board.head["background"] == 1
    assert line(board, here["done"])["preview"].startswith("Scripted demo:")
    assert line(board, here["review"])["preview"] == ""
    assert board.head["cost_usd"] == pytest.approx(sum(run.cost_usd or 0 for run in here.values()))
    assert {ask["run"] for ask in board.asks} == {here["asks"].id, here["asks too"].id}
    assert [one["title"] for one in board.lines.values() if one["group"] == "review"] == [
        "Fix the tide maths"
    ]


def test_runs_in_the_store_read_the_same_as_from_their_journals(here: Any) -> None:
    names = ("review", "done", "failed", "stopped", "interrupted")
    before = look()
    live = before.host.home / "live"

    def indexed() -> bool:
        advance(before.host.home)
        return not any((live / here[name].id).exists() for name in names)

    until(indexed)
    board = look()
    for name in names:
        run = here[name]
        one, other = dict(line(before, run)), dict(line(board, run))
        for key in ("at_us", "took_s", "cost_usd"):
            assert one.pop(key) == pytest.approx(other.pop(key), abs=0.01)
        one["can"], other["can"] = one["can"][:1], other["can"][:1]
        if name == "failed":  # giving a prompt again is the run's own view's
            one["can"] = other["can"] = []
        assert one == other, name


def test_a_look_without_news_reads_no_journal(here: Any) -> None:
    board = look()
    run = here["asks"]
    seen = board._runs[run.id].history()
    begun = time.perf_counter()
    for _ in range(20):
        board.look()
    assert time.perf_counter() - begun < 5
    assert board._runs[run.id].history() is seen
    assert line(board, run)["group"] == "waiting"


def test_what_is_in_the_projects_own_folder_is_not_for_review(here: Any) -> None:
    run, board = here["review"], look()
    assert line(board, run)["group"] == "review"
    assert line(board, run)["diff"][0] == 2
    own = Path(run.spec.repo)
    kept = {file.path: (own / file.path).read_bytes() for file in run.diff_summary().files}
    try:
        for path in kept:
            shutil.copy(run.path / path, own / path)
        assert line(look(), run)["group"] == "done", "applied"
    finally:
        for path, data in kept.items():
            (own / path).write_bytes(data)
    assert line(look(), run)["group"] == "review"
    run.archive()
    try:
        assert run.id not in look().lines, "dismissed"
    finally:
        run.unarchive()
    assert line(look(), run)["group"] == "review"


def test_its_page_tells_what_waits_first_and_escapes_all(here: Any) -> None:
    board = look()
    board.asks[0]["about"] = "<b>$x$</b>"
    page = bundle_of(board, now_us())
    assert (
        page["text/plain"]
        .splitlines()[0]
        .startswith(
            "tidelog: 9 runs, 2 waiting for you, 2 running, 1 to review, 1 interrupted, 1 failed, 1 done, 1 stopped, $"
        )
    )
    rows = page["text/plain"].splitlines()[3:]
    review = "✓" if here["review"].state == "idle" else "■"  # put away and back in another test
    assert [row.split()[1] for row in rows[1:6]] == ["◆", "◆", "◔", "◔", review]
    assert "&lt;b&gt;" in page["text/html"]
    assert "<b>$x$" not in page["text/html"]
    assert "\\$x\\$" in page["text/markdown"]
    assert str(paseo.dashboard()).startswith("tidelog: 9 runs")


def test_a_run_that_starts_elsewhere_comes_and_an_answer_goes(here: Any) -> None:
    board = look()
    more = paseo.run("demo/echo", "one more")
    board.look()
    assert next(iter(board.lines)) == more.id
    assert board.head["runs"] == 10
    here["asks too"].allow()
    until(lambda: here["asks too"].state == "idle")
    board.look()
    assert [ask["run"] for ask in board.asks] == [here["asks"].id]
    more.stop()
