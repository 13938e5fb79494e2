"""Answers to an agent's questions, by every way there is, and what the permissions frame tells.

The agent is the scripted one; what each protocol makes of an answer is tested beside its dialect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import paseo_nb as paseo
from paseo_nb import aio, cli, people
from paseo_nb.model import Permission

ASKS = ("demo/asker", "run: touch said.txt")
FORBIDDEN = "The user's settings for this run forbid it (mode read forbids execute): do without it."


def waits(run: Any) -> Permission:
    """The question of a run, once it asks."""
    deadline = time.monotonic() + 30
    while not run.pending():
        assert time.monotonic() < deadline, "it does not ask"
        time.sleep(0.02)
    return run.pending()[0]


def row(run: Any) -> dict[str, Any]:
    """The one row of its permissions."""
    [told] = run.permissions().to_dict("records")
    return {
        name: None if value is pd.NaT or value != value else value for name, value in told.items()
    }


def test_every_way_of_answering_in_the_frame(repo: Path) -> None:
    by_rule = paseo.run(*ASKS, allow=["execute:touch *"])
    by_mode = paseo.run(*ASKS, mode="auto")
    forbidden = paseo.start(*ASKS, mode="read").wait(30, check=False)
    nobody = paseo.start(*ASKS, permission_timeout=0.2).wait(30, check=False)
    allowed, denied, ended, cancelled = (paseo.start(*ASKS) for _ in range(4))
    for run, answer in (
        (allowed, lambda: allowed.allow()),
        (denied, lambda: denied.deny(message="not today")),
        (ended, lambda: ended.deny(message="stop it", cancel=True)),
        (cancelled, lambda: cancelled.cancel()),
    ):
        waits(run)
        time.sleep(0.2)
        answer()
        run.wait(30, check=False)
    called = paseo.run(*ASKS, on_permission=lambda asked: True)
    told = {
        (r["outcome"], r["answered_by"], r["option_id"], r["rule"], r["message"])
        for r in map(row, (by_rule, by_mode, forbidden, allowed, denied, ended, cancelled, called))
    }
    assert told == {
        ("allowed", "policy", "allow_once", "rule allow execute:touch *", None),
        ("allowed", "policy", "allow_once", "mode auto lets everything pass", None),
        ("denied", "policy", "reject_once", "mode read forbids execute", FORBIDDEN),
        ("allowed", "user", "allow_once", None, None),
        ("denied", "user", "reject_once", None, "not today"),
        ("denied", "user", None, None, "stop it"),
        ("cancelled", "cancel", None, None, None),
        ("allowed", "callback", "allow_once", None, None),
    }
    late = row(nobody)
    assert (late["outcome"], late["answered_by"], late["rule"]) == ("denied", "timeout", "timeout")
    assert "within 0.2 s" in late["message"]
    frame = paseo.permissions()
    assert len(frame) == 9
    assert (frame["answered_at"] >= frame["asked_at"]).all()
    assert (frame["wait_ms"] >= 0).all()
    assert row(allowed)["wait_ms"] >= 200
    assert set(frame["kind"]) == {"execute"}
    assert all("touch said.txt" in given for given in frame["input"])
    assert frame["edited"].isna().all()


ANSWERS: list[tuple[Any, str, str | None]] = [
    (True, "allowed", None),
    (False, "denied", None),
    ("not now", "denied", "not now"),
    (paseo.Allow(always=True), "allowed", None),
    (paseo.Deny("no", cancel=True), "denied", "no"),
]


@pytest.mark.parametrize(("answer", "outcome", "message"), ANSWERS)
def test_what_a_function_may_return(
    repo: Path, answer: Any, outcome: str, message: str | None
) -> None:
    asked: list[Permission] = []

    def decide(permission: Permission) -> Any:
        asked.append(permission)
        return answer

    run = paseo.start(*ASKS).wait(30, on_permission=decide, check=False)
    told = row(run)
    assert (told["outcome"], told["answered_by"], told["message"]) == (outcome, "callback", message)
    assert [one.id for one in asked] == [told["permission_id"]], "it is asked once"
    assert asked[0].input == {"command": "touch said.txt", "cwd": str(repo)}
    cancels = isinstance(answer, paseo.Deny)
    assert run.history().turns[0].outcome == ("cancelled" if cancels else "end_turn")


def test_functions_to_await_and_those_that_leave_it_to_others(repo: Path) -> None:
    async def slowly(permission: Permission) -> bool:
        await asyncio.sleep(1.0)  # longer than the question's time, which is held meanwhile
        return permission.kind == "execute"

    def blocks(permission: Permission) -> bool:
        time.sleep(1.0)
        return False

    async def main() -> list[Any]:
        one = await aio.run(*ASKS, permission_timeout=0.5, on_permission=slowly)
        two = await aio.start(*ASKS, permission_timeout=0.5)
        await two.wait(30, on_permission=blocks, check=False)
        return [one, two]

    told = [(row(run)["outcome"], row(run)["answered_by"]) for run in asyncio.run(main())]
    assert told == [("allowed", "callback"), ("denied", "callback")]
    left = paseo.start(*ASKS, permission_timeout=0.5)
    left.wait(30, on_permission=lambda permission: None, check=False)
    assert row(left)["answered_by"] == "timeout"


def test_a_function_that_fails_or_returns_nonsense(repo: Path) -> None:
    def breaks(permission: Permission) -> bool:
        raise LookupError("no such rule")

    run = paseo.start(*ASKS)
    with pytest.raises(LookupError, match="no such rule"):
        run.wait(30, on_permission=breaks)
    with pytest.raises(paseo.UsageProblem, match="Allow"):
        run.wait(30, on_permission=lambda permission: 5)
    with pytest.raises(LookupError, match="no such rule"):
        asyncio.run(aio_wait(run.id, breaks))
    assert run.pending(), "the question still waits"
    run.deny()


async def aio_wait(run_id: str, function: Callable[[Permission], Any]) -> None:
    await (await aio.attach(run_id)).wait(30, on_permission=function)


def test_another_input_where_the_agent_cannot_take_it(repo: Path) -> None:
    """The scripted agent cannot: it is told no, then, by the next prompt, what to do instead."""
    run = paseo.start(*ASKS)
    waits(run)
    edited = {"command": "touch other.txt"}
    run.allow(input=edited)
    waits_for_second = time.monotonic() + 30
    while len(run.history().turns) < 2:
        assert time.monotonic() < waits_for_second
        time.sleep(0.02)
    run.cancel().wait(30, check=False)
    told = row_of_first(run)
    assert (told["outcome"], told["answered_by"]) == ("denied", "user")
    assert "touch other.txt" in told["edited"]
    assert "touch other.txt" in run.history().turns[1].prompt
    assert not (repo / "said.txt").exists()


def row_of_first(run: Any) -> dict[str, Any]:
    return run.permissions().sort_values("asked_at").to_dict("records")[0]


def test_bad_answers_say_what_to_do(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = paseo.start(*ASKS)
    asked = waits(run)
    for said, bad in (
        ("whole input", dict(input=5)),
        ("whole input", dict(input={})),
        ("no JSON", dict(input="{")),
        ("as JSON", dict(input={"a": {1, 2}})),
        ("one of them", dict(always=True, option="allow_once")),
        ("id of an option", dict(option=3)),
        ("it offers", dict(option="nonsense")),
    ):
        with pytest.raises(paseo.UsageProblem, match=said):
            run.allow(**bad)  # type: ignore[arg-type]
    with pytest.raises(paseo.UsageProblem, match="must be text"):
        run.deny(message=5)  # type: ignore[arg-type]
    with pytest.raises(paseo.UsageProblem, match="p99999"):
        run.allow("p99999")
    with pytest.raises(paseo.UsageProblem, match="'wait', 'raise'"):
        run.wait(1, on_permission="yes")  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as left:
        cli.main(["allow", run.id, "--input", "{"])
    assert left.value.code == 2
    assert "no JSON" in capsys.readouterr().err
    assert run.pending() == [asked]
    with pytest.raises(SystemExit) as left:
        cli.main(["deny", run.id, "not like that", "--cancel"])
    assert left.value.code == 0
    run.wait(30, check=False)
    assert run.history().turns[0].outcome == "cancelled"
    assert row(run)["message"] == "not like that"


TYPED: list[tuple[str, Any]] = [
    ("", paseo.Allow()),
    (" Y ", paseo.Allow()),
    ("a", paseo.Allow(always=True)),
    ("n", paseo.Deny()),
    ("c", paseo.Deny(cancel=True)),
    ("use make", paseo.Deny("use make")),
    (' {"command": "ls"}', paseo.Allow(input={"command": "ls"})),
]


def test_what_a_question_at_a_terminal_leaves_out_is_said(repo: Path) -> None:
    run = paseo.start("demo/asker", "run: echo so", mode="ask")
    long = {"command": "echo " + "x" * 9000 + "; rm -rf ~"}
    text = people.question(run, Permission("p1", 1, None, "Run", "execute", long, [], 0))
    assert "; rm -rf ~" in text
    assert "characters that are not shown" in text
    run.stop()


@pytest.mark.parametrize(("reply", "answer"), TYPED)
def test_what_is_typed_at_a_question(reply: str, answer: Any) -> None:
    offered = [{"optionId": "x", "kind": "allow_once"}, {"optionId": "y", "kind": "allow_always"}]
    asked = Permission("p1", 1, None, "t", "execute", {}, offered, 0)
    assert people.understood(reply, asked) == answer
    once = Permission("p1", 1, None, "t", "execute", {}, offered[:1], 0)
    assert people.understood("always", once) == paseo.Allow(), "no more than it offers"
    with pytest.raises(paseo.UsageProblem, match="no JSON"):
        people.understood("{nonsense", asked)
