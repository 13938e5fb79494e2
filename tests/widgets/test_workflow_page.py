"""A workflow run's page: its parts as people see them, harmless, and bounded however long it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kit import SLACK

import paseo_nb as paseo
from paseo_nb import agent, log, parallel, phase
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.story import StepRecord
from paseo_nb.engine.values import Outcome
from paseo_nb.model import Usage, now_us
from paseo_nb.widgets.workflow.lanes import lanes
from paseo_nb.widgets.workflow.page import page


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASEO_NB_HOME", str(tmp_path / ".paseo_nb"))


def answers(wanted) -> Outcome:
    if wanted.call.prompt == "bad":
        return Outcome(cause="error", message="<script>x</script>")
    return Outcome(text="<img src=x onerror=y>", usage=Usage(cost_usd=0.25, output_tokens=9))


def test_it_tells_what_was_saved_and_what_failed_and_nothing_in_it_runs() -> None:
    @paseo.workflow(budget=2.0)
    async def some(more: bool):
        phase("look")
        log("<b>here</b>")
        await parallel([agent(f"p{n}", label=f"<i>{n}") for n in range(3)])
        phase("then")
        return await agent("bad") if more else None

    place = SimulatedPlace(answers)
    some.at(lambda: place)(False)
    run = some.at(lambda: place).start(True)
    run.wait()
    html = page(run.story(), now_us())
    assert "<b>3 steps from the cache</b>" in html
    assert "saved $0.25" in html
    assert "the cache saved $0.75" in html
    assert "<b>$0.00</b> of $2.00" in html
    assert html.index("look") < html.index("&lt;i&gt;0") < html.index("then")
    for bad in ("<script", "<img", "<i>0", "<b>here"):
        assert bad not in html
    assert "data-do" not in html, "a saved page has no button"


def test_steps_that_went_on_at_once_lie_in_lanes() -> None:
    def step(name: str, begin: int, end: int | None, state: str = "done") -> StepRecord:
        return StepRecord(name, 0, "w", begin, state, issued_us=begin, ended_us=end)

    told = lanes(
        [
            step("before", 0, 30),
            step("a", 10, 20),
            step("cached", 10, 10, "cached"),
            step("b", 20, None, "running"),
            step("c", 31, 40),
        ],
        begin_us=5,
        now_us=50,
    )
    assert [(bar.step.key, bar.lane, bar.start_us, bar.end_us, bar.torn) for bar in told] == [
        ("before", 0, 5, 30, True),
        ("a", 1, 10, 20, False),
        ("b", 1, 20, 50, False),
        ("c", 0, 31, 40, False),
    ]


def test_a_long_one_is_bounded_and_keeps_what_failed_in_sight() -> None:
    @paseo.workflow
    async def long():
        await parallel([agent(f"p{n}") for n in range(900)])
        await agent("bad", label="the last")

    run = long.at(lambda: SimulatedPlace(answers)).start()
    run.wait()
    html = page(run.story(), now_us())
    assert len(html) < 600_000
    assert "the last" in html
    assert "more that ended" in html


def test_a_flow_is_drawn_with_its_run() -> None:
    flow = paseo.Flow("release")
    flow.step("plan", None, "Plan")
    flow.step("notes", None, "Notes on {plan}")
    flow.gate("ship", "Ship <it>?", depends_on=["notes"])
    run = flow.workflow.at(lambda: SimulatedPlace(answers)).start()
    deadline = time.monotonic() + 20 * SLACK
    while "waits for you" not in (html := page(run.story(), now_us())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Ship &lt;it&gt;?" in html
    assert "plan done, notes done, ship waiting" in html
    paseo.approve(run.id, "ship")
    run.wait()
    html = page(run.story(), now_us())
    assert 'aria-label="Flow release: plan done, notes done, ship done"' in html
    assert "waits for you" not in html
