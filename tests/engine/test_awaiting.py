"""A workflow that is awaited: in either namespace, in a loop that goes on meanwhile."""

from __future__ import annotations

import ast
import asyncio
import threading
from typing import Any

import pytest

import paseo_nb as paseo
from paseo_nb import agent, aio
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.errors import WorkflowFatal

TURN_S = 30.0


@paseo.workflow
async def asked(name: str) -> str:
    return str(await agent(name))


@aio.workflow
async def asked_of_aio(name: str) -> str:
    return str(await aio.agent(name))


def held(let_go: threading.Event) -> Any:
    """A place whose steps end once they are let go."""

    async def answer(wanted: Any) -> str:
        while not let_go.is_set():
            await asyncio.sleep(0.01)
        return f"did {wanted.call.prompt}"

    return lambda: SimulatedPlace(answer)


@pytest.mark.parametrize("workflow", [asked, asked_of_aio])
def test_a_call_that_is_awaited_leaves_the_loop_free(home, workflow) -> None:
    let_go = threading.Event()

    async def cell() -> str:
        async def others() -> None:
            let_go.set()  # never, if the loop that the cell runs on stood still

        asyncio.get_running_loop().call_later(0.05, lambda: asyncio.ensure_future(others()))
        return await workflow.at(held(let_go))("a")

    assert asyncio.run(asyncio.wait_for(cell(), TURN_S)) == "did a"


def test_a_call_that_is_not_awaited_waits_also_within_a_loop(place) -> None:
    async def cell() -> str:
        told = asked.at(place)("a")
        return told.upper()

    assert asyncio.run(cell()) == "DID A"


def test_awaited_at_the_top_of_a_cell(place) -> None:
    names: dict[str, Any] = {"asked": asked.at(place)}
    cell = compile("told = await asked('a')", "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(eval(cell, names))  # as IPython does
    assert names["told"] == "did a"


def test_runs_are_awaited_side_by_side_and_raise_as_they_do(place) -> None:
    @aio.workflow(max_steps=1)
    async def too_much() -> None:
        await aio.parallel([aio.agent("a"), aio.agent("b")])

    async def cell() -> list[Any]:
        there = too_much.at(place)
        made = [asked.at(place).start(name) for name in "abc"]
        with pytest.raises(WorkflowFatal, match="more than 1 step"):
            await there()
        return await asyncio.gather(*made)

    assert asyncio.run(cell()) == ["did a", "did b", "did c"]


def test_who_stops_awaiting_stops_it_and_the_same_call_goes_on(home) -> None:
    let_go = threading.Event()
    there = asked.at(held(let_go))

    async def cell() -> None:
        task = asyncio.ensure_future(_awaited(there.start("a")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cell())
    assert paseo.workflow_run("asked").state == "stopped"
    let_go.set()
    assert there("a") == "did a"


async def _awaited(run: Any) -> Any:
    return await run
