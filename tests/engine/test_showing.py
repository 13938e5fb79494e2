"""A workflow run to look at: its phases and steps, harmless whatever an agent said."""

from __future__ import annotations

import paseo_nb as paseo
from paseo_nb import agent, phase
from paseo_nb.engine.values import Outcome
from paseo_nb.model import Usage


def test_it_shows_phases_steps_and_cost_and_escapes_what_agents_say(place) -> None:
    def answers(wanted) -> Outcome:
        if wanted.call.label == "bad":
            return Outcome(cause="error", message="<img onerror=x>", usage=Usage(cost_usd=0.25))
        return Outcome(text="x", usage=Usage(cost_usd=0.5))

    @paseo.workflow(budget=3.0)
    async def shown():
        phase("look")
        await agent("a", label="good")
        phase("<b>")
        await agent("b", label="bad")

    run = shown.at(lambda: place(answers)).start()
    run.wait()
    told = run._repr_mimebundle_()
    first, *lines = told["text/plain"].splitlines()
    assert first.endswith("done, 2 steps, $0.75 of $3.00")
    assert [line.split()[0] for line in lines] == ["look", "✓", "<b>", "✗"]
    assert "<img" not in told["text/html"]
    assert "&lt;img onerror=x&gt;" in told["text/html"]
    assert "<b>&lt;b&gt;</b>" in told["text/html"]
    assert "$0.75</b> of $3.00" in told["text/html"]
    assert "Resumed" not in told["text/html"]
    again = shown.at(lambda: place(answers)).start()
    again.wait()
    assert "2 steps, 1 from before, $0.25 of $3.00" in repr(again)
    assert "↺  good" in repr(again)


def test_steps_are_a_table_beside_runs(place) -> None:
    @paseo.workflow
    async def two() -> None:
        await paseo.parallel([paseo.agent(name, label=name) for name in "ab"])

    assert paseo.sql("select count(*) as n from steps")["n"].tolist() == [0]
    two.at(place)()
    told = paseo.sql(
        "select s.label, w.workflow, s.started_at <= w.ended_at as within, r.run_id"
        " from steps s join workflow_runs w using (workflow_run_id)"
        " left join runs r using (run_id) order by label"
    )
    assert told["label"].tolist() == ["a", "b"]
    assert told["workflow"].tolist() == ["two", "two"]
    assert told["within"].all()
    with_a_name_of_ones_own = "with steps as (select 1 as x) select x from steps"
    assert paseo.sql(with_a_name_of_ones_own)["x"].tolist() == [1]
