"""What all runs of a project may use together, in a day or in all.

Invariants: (1) each supervisor sees what the others' runs have used, as soon as they are told of it;
(2) at the limit a turn is cancelled, and no further one begins, in any run; (3) what is not told is
not counted, and a run without budgets counts for those that have one.
"""

from __future__ import annotations

import time
from typing import Any

from kit import SLACK, Project

from paseo_nb import budgets
from paseo_nb.config import Settings
from paseo_nb.model import Common, Limits
from paseo_nb.supervisor.spending import Spending

from .test_limits import CANCELLED, DONE, call, cost, ends


def run(project: Project, steps: list[Any], *common: Common) -> tuple[str, list[str]]:
    """A run whose agent does that in its first turn, once it is over; its agent's command."""
    command = project.puppet({"session/prompt": [steps, [DONE]]})
    run_id = project.start(command=command, limits=Limits(idle_s=60, common=list(common)))
    project.ended(run_id, within=5 * SLACK)
    return run_id, command


def asked(project: Project, command: list[str]) -> list[Any]:
    return [message.get("method") for message in project.got(command)]


def test_dollars_of_a_day(project: Project) -> None:
    day = Common("day", usd=1.0)
    first, _ = run(project, [cost(0.6), DONE])
    assert project.history(first).turns[0].outcome == "end_turn"
    second, command = run(project, [cost(0.3), cost(0.5), {"$cancel": True}, CANCELLED], day)
    assert ends(project, second) == [
        (
            "limit",
            "day_budget",
            "the runs of this project have today cost $1.1, the day's limit is $1",
        )
    ]
    assert "session/cancel" in asked(project, command)
    (said,) = project.own(second, "limit")
    assert said["limit"] == "day_budget"
    third, command = run(project, [DONE], day)
    assert ends(project, third)[0][:2] == ("limit", "day_budget")
    assert "session/prompt" not in asked(project, command)
    other, _ = run(project, [DONE], Common("project", usd=5.0))
    assert ends(project, other)[0][0] == "end_turn"


def test_tokens_of_a_project(project: Project) -> None:
    whole = Common("project", tokens=1000)
    run(project, [call("a", 700), DONE])
    second, _ = run(project, [call("b", 400), {"$cancel": True}, CANCELLED], whole)
    (end,) = ends(project, second)
    assert end[:2] == ("limit", "project_budget")
    assert "used 1,100 tokens, the project's limit is 1,000" in end[2]


def test_the_time_of_a_day(project: Project) -> None:
    day = Common("day", seconds=0.5)
    first, _ = run(project, [{"$cancel": True}, CANCELLED], day)
    assert ends(project, first)[0][:2] == ("limit", "day_budget")
    second, _ = run(project, [DONE], day)
    assert ends(project, second)[0][:2] == ("limit", "day_budget"), "the first one's time counts"


def test_what_stands_in_the_files_is_summed_and_torn_lines_are_passed_over(
    project: Project,
) -> None:
    home = project.host.home
    both = [Common("day", usd=3.0), Common("project", usd=10.0)]
    mine, theirs = Spending(home, "a", both), Spending(home, "b", [])
    theirs.add(usd=1.0)
    theirs.add(usd=-1.0, tokens=0)
    mine.add(usd=1.5)
    assert mine.over() is None
    with (home / "spent" / f"{time.strftime('%Y-%m-%d', time.gmtime())}.jsonl").open("a") as file:
        file.write('{"run": "c", "us\n')
    (home / "spent" / "2001-01-01.jsonl").write_text('{"run": "old", "usd": 8.0}\n')
    found = mine.over()
    assert found is not None
    assert found.code == "project_budget"
    theirs.add(usd=0.5)
    found = mine.over()
    assert found is not None
    assert (found.code, "docs/settings.md" in str(found.hint)) == ("day_budget", True)


def test_settings_become_budgets() -> None:
    told = budgets.common(Settings(day_budget=5.0, project_hours=2.0))
    assert told == [Common("day", usd=5.0), Common("project", seconds=7200.0)]
    assert budgets.common(Settings()) == []
