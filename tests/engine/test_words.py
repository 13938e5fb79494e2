"""What a body's words do: order, barriers, failures as values, fatal ends, budget, caps."""

from __future__ import annotations

import asyncio
import time

import pytest

import paseo_nb as paseo
from engine.conftest import prompts
from paseo_nb import agent, parallel, pipeline
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import UsageProblem, WorkflowError, WorkflowFatal
from paseo_nb.model import Usage


def test_results_come_in_the_order_of_the_items_whatever_ends_first(place) -> None:
    @paseo.workflow
    async def fan(count: int) -> list[str]:
        return [str(one) for one in await parallel([agent(f"p{n}") for n in range(count)])]

    for seed in range(5):
        made = fan.options(refresh=True).at(lambda seed=seed: place(seed=seed))
        assert made(12) == [f"did p{n}" for n in range(12)]


def test_parallel_waits_for_all_and_pipeline_for_none(place) -> None:
    order: list[str] = []

    async def answers(wanted) -> str:
        if "slow" in wanted.call.prompt:
            await asyncio.sleep(0.3)
        order.append(wanted.call.prompt)
        return wanted.call.prompt

    @paseo.workflow
    async def both() -> list[str]:
        got = await pipeline(
            ["slow", "quick"], lambda x: agent(f"{x} one"), lambda x: agent(f"{x} two")
        )
        await parallel([agent("slow a"), agent("quick b")])
        await agent("last")
        return [str(one) for one in got]

    assert both.at(lambda: place(answers))() == ["slow one two", "quick one two"]
    assert order.index("quick one two") < order.index("slow one"), "no barrier between stages"
    assert order[-3:] == ["quick b", "slow a", "last"], "a barrier after parallel"


def test_a_failed_step_is_false_and_the_others_go_on(place) -> None:
    def answers(wanted):
        if "bad" in wanted.call.prompt:
            return Outcome(cause="error", message="it broke", usage=Usage(cost_usd=0.5))
        return "fine"

    later: list[str] = []

    def second(value: object, item: str, at: int):
        later.append(f"{item} {at}")
        return agent(f"then {value}")

    @paseo.workflow
    async def some():
        got = await parallel([agent("good"), agent("bad", label="the bad one"), lambda: 1 / 0])
        through = await pipeline(["a", "bad", "c"], lambda item: agent(item), second)
        return got, through

    (good, bad, raised), through = some.at(lambda: place(answers))()
    assert good
    assert (bool(bad), bad.cause, bad.label) == (False, "error", "the bad one")
    assert "it broke" in str(bad)
    assert not raised
    assert "division" in raised.message
    assert [bool(one) for one in through] == [True, False, True]
    assert later == ["a 0", "c 2"], "a failed item goes through no further stage"


def test_retries_try_again(place) -> None:
    tried: list[str] = []

    def answers(wanted):
        tried.append(wanted.run_id)
        return "at last" if len(tried) == 3 else Outcome(cause="error", message="not yet")

    @paseo.workflow
    async def again():
        return str(await agent("x", retries=2))

    run = again.at(lambda: place(answers)).start()
    assert run.wait() == "at last"
    assert len(set(tried)) == 3
    assert run.story().steps.popitem()[1].attempt == 3


@pytest.mark.parametrize(("code", "cause"), [("auth", "auth"), ("quota", "balance")])
def test_what_is_fatal_ends_the_run_once_and_keeps_what_was_finished(place, code, cause) -> None:
    async def answers(wanted):
        if wanted.call.prompt == "p3":
            return Outcome(cause=code, message="no more")
        await asyncio.sleep(0.2)
        return "fine"

    after: list[str] = []

    @paseo.workflow
    async def fan(fix: bool = False):
        got = await parallel([agent(f"p{n}") for n in range(4)])
        after.append("came here")
        return len(got)

    made = place(answers)
    run = fan.options(concurrency=4).at(lambda: made).start()
    with pytest.raises(WorkflowFatal, match="no more") as raised:
        run.wait()
    assert raised.value.cause == cause
    assert after == []
    states = sorted(step.state for step in run.story().steps.values())
    assert states == ["done", "done", "done", "failed"], "what was at work was finished, and kept"
    mended = place()
    assert fan.at(lambda: mended)() == 4
    assert prompts(mended) == ["p3"]


def test_a_body_that_swallows_the_fatal_error_ends_all_the_same(place) -> None:
    @paseo.workflow
    async def stubborn():
        while True:
            try:
                await agent("x", "unknown kind", isolation="balloon")
            except Exception:
                await asyncio.sleep(0.01)

    with pytest.raises(WorkflowFatal, match="balloon"):
        stubborn.at(place)()


def test_caps_are_errors_never_cuts(place) -> None:
    @paseo.workflow(max_steps=5)
    async def many(count: int):
        return len(await parallel([agent(f"p{n}") for n in range(count)]))

    @paseo.workflow
    async def wide():
        return len(await parallel([lambda: agent("x")] * 4097))

    assert many.at(place)(5) == 5
    with pytest.raises(WorkflowFatal, match="more than 5 steps"):
        many.at(place)(6)
    with pytest.raises(WorkflowFatal, match="4097 items"):
        wide.at(place)()


def test_no_more_at_once_than_said(place) -> None:
    at_once, most = 0, 0

    async def answers(wanted) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return "x"

    @paseo.workflow(concurrency=3)
    async def fan():
        await parallel([agent(f"p{n}") for n in range(12)])

    fan.at(lambda: place(answers))()
    assert most == 3


def test_a_budget_is_reserved_before_and_counted_after(place) -> None:
    def answers(wanted) -> Outcome:
        return Outcome(text="x", usage=Usage(cost_usd=0.4))

    seen: list[float] = []

    @paseo.workflow(budget=1.0)
    async def dear(count: int):
        for n in range(count):
            await agent(f"p{n}", budget=0.4)
            seen.append(round(paseo.budget.remaining(), 2))

    made = place(answers)
    with pytest.raises(WorkflowFatal, match=r"used up: \$0.80 of \$1.00") as raised:
        dear.at(lambda: made)(3)
    assert raised.value.cause == "budget"
    assert seen == [0.6, 0.2]
    with pytest.raises(WorkflowFatal, match=r"\$0.80 of \$1.00"):
        dear.options(budget=None).at(lambda: made)(3)
    assert dear.options(budget=2.0).at(lambda: made)(3) is None, "a new total goes on"
    assert prompts(made) == ["p0", "p1", "p2"], "what is taken from before costs nothing"


def test_steps_that_would_write_to_the_same_files_at_once_are_refused(place) -> None:
    @paseo.workflow
    async def two():
        await parallel([agent("a", mode="edit"), agent("b", mode="edit")])

    with pytest.raises(WorkflowFatal, match="isolation='worktree'"):
        two.at(place)()

    @paseo.workflow
    async def lookers():
        return len(await parallel([agent(p, mode="edit", effects="none") for p in "ab"]))

    assert lookers.at(place)() == 2, "what changes no files stands in nobody's way"


def test_synchronous_verbs_are_refused_inside_and_name_aio(place) -> None:
    @paseo.workflow
    async def wrong():
        return paseo.ls()

    @paseo.workflow
    async def outer():
        return wrong()

    with pytest.raises(UsageProblem, match="aio"):
        wrong.at(place)()
    with pytest.raises(UsageProblem, match="run_workflow"):
        outer.at(place)()
    with pytest.raises(UsageProblem, match="body of a workflow"):
        asyncio.run(agent("x"))


def test_a_body_that_blocks_its_loop_stalls_no_other_call(place) -> None:
    @paseo.workflow
    async def blocks():
        time.sleep(1.0)

    run = blocks.at(place).start()
    begun = time.monotonic()
    paseo.ls()
    assert time.monotonic() - begun < 0.9
    run.wait()


def test_its_time_at_work_is_a_budget_too(place) -> None:
    async def answers(wanted) -> str:
        await asyncio.sleep(0 if wanted.call.prompt == "quick" else 60)
        return "done"

    @paseo.workflow(timeout=2.0)
    async def belated():
        await agent("quick")
        return [str(one) for one in await parallel([agent("a"), agent("b")])]

    made = place(answers)
    with pytest.raises(WorkflowFatal, match="time of belated is used up.*2 s") as raised:
        belated.at(lambda: made)()
    assert raised.value.cause == "budget"
    assert len(made.cancelled) == 2, "those at work were ended"
    assert all(0 < wanted.timeout < 20 for wanted in made.started), "also where nobody watches"
    (row,) = paseo.workflow_runs("belated").to_dict("records")
    assert row["state"] == "failed"
    assert "is used up" in row["message"]
    with pytest.raises(WorkflowFatal, match="is used up"):
        belated.options(timeout=None).at(lambda: made)()
    assert len(made.started) == 3, "what it worked before counts: no step began"
    quick = place()
    assert belated.options(timeout=100).at(lambda: quick)() == ["did a", "did b"]
    with pytest.raises(paseo.UsageProblem, match="timeout=-1.0: 0 or more"):
        belated.options(timeout=-1)


def test_one_workflow_within_another_shares_its_budget_and_names_its_part(place) -> None:
    @paseo.workflow
    async def inner(what: str) -> str:
        assert paseo.args["what"] == what
        return str(await agent(f"inner {what}"))

    @paseo.workflow
    async def outer(what: str) -> str:
        paseo.phase("first")
        got = await paseo.run_workflow(inner, what)
        assert dict(paseo.args) == {"what": what}
        return got + str(await agent("own"))

    run = outer.at(place).start("tea")
    assert run.wait() == "did inner teadid own"
    frame = run.steps()
    assert list(frame["part"].fillna("")) == ["inner", ""]
    assert list(frame["phase"].fillna("")) == ["", "first"]


def test_results_of_any_size_go_on_whole_and_typed(place) -> None:
    import dataclasses

    @dataclasses.dataclass
    class Found:
        names: list[str]

    big = "x" * 3_000_000

    def answers(wanted) -> Outcome:
        if wanted.call.schema is not None:
            return Outcome(value={"names": ["a", "b"]})
        return Outcome(text=big if wanted.call.prompt == "big" else wanted.call.prompt)

    @paseo.workflow
    async def sizes():
        found = await agent("find", schema=Found)
        assert found.value == Found(["a", "b"])
        assert str(found) == '{"names":["a","b"]}'
        return len(str(await agent(f"{await agent('big')}!")))

    for _ in range(2):  # the second time they come from the disk
        assert sizes.at(lambda: place(answers))() == len(big) + 1


def test_stopping_one_leaves_it_to_be_gone_on_with(place) -> None:
    async def answers(wanted) -> str:
        if wanted.call.prompt == "long":
            await asyncio.sleep(60)
        return "x"

    @paseo.workflow
    async def two():
        return [str(await agent("short")), str(await agent("long"))]

    made = place(answers)
    run = two.at(lambda: made).start()
    deadline = time.monotonic() + 20
    while "long" not in prompts(made):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.stop()
    with pytest.raises(WorkflowError, match="was stopped"):
        run.wait()
    assert len(made.cancelled) == 1
    assert run.state == "stopped"
    quick = place()
    assert two.at(lambda: quick)() == ["x", "did long"]
    assert prompts(quick) == ["long"]


def test_others_have_their_turn_while_many_steps_begin(place) -> None:
    turns = 0

    @paseo.workflow(durable=False, concurrency=2000, max_steps=2000)
    async def many() -> int:
        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        done = await parallel([agent(str(n)) for n in range(1500)])
        counting.cancel()
        assert [str(one) for one in done] == [f"did {n}" for n in range(1500)]
        return turns

    assert many.at(place)() >= 10
