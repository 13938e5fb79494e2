"""A workflow run as a tree: steps, their runs, what was taken from before, what failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb import agent, parallel
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import UsageProblem
from paseo_nb.programs.demo import copy_sample


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    path = Path(copy_sample("tidelog"))
    monkeypatch.chdir(path)
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


def test_its_steps_and_their_runs(repo: Path, tmp_path: Path) -> None:
    @paseo.workflow
    async def look(more: bool):
        await parallel([agent(f"look at {one}", "demo/echo", label=one) for one in ("a", "b")])
        return str(await agent("and then", "demo/echo", label="c")) if more else None

    look(False)
    second = look.start(True)
    second.wait()
    paseo.run("demo/echo", "apart from it")
    frame = paseo.trace(second).frame
    steps = frame[frame["kind"] == "step"].set_index("name")
    assert list(frame["kind"][:1]) == ["workflow"]
    assert frame["name"][0] == "look"
    assert dict(steps["outcome"]) == {"a": "cached", "b": "cached"}  # their runs lie elsewhere
    runs = frame[frame["kind"] == "run"]
    assert list(runs["name"]) == ["c"]
    assert list(runs["parent_id"]) == [second.id]
    assert list(frame["depth"].unique()) == [0, 1, 2]
    first = paseo.workflow_runs()["workflow_run_id"].iloc[-1]
    trace = paseo.trace(first)  # by its id
    assert [one.kind for one in trace.spans].count("run") == 2
    spent = trace.time_spent().set_index("what")["seconds"]
    assert spent["model"] > 0
    assert spent["sub-agents"] == 0
    assert "workflow run" in trace._repr_mimebundle_()["text/html"]
    assert paseo.export_traces(str(tmp_path / "t.parquet")) == len(trace.frame) + len(frame) + 2
    known = pd.read_parquet(tmp_path / "t.parquet")
    assert not known["span_id"].duplicated().any()


def test_what_failed_and_what_is_known_of_nobody(repo: Path) -> None:
    def answers(wanted):
        return (
            Outcome(cause="error", message="it <broke>") if "bad" in wanted.call.prompt else "fine"
        )

    @paseo.workflow
    async def some():
        await parallel([agent("good", label="good"), agent("bad", label="bad")])
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        some.at(lambda: SimulatedPlace(answers))()
    trace = paseo.trace(paseo.workflow_runs()["workflow_run_id"][0])
    known = {one.name: one for one in trace.spans}
    assert (known["bad"].error_class, known["bad"].error) == ("error", "it <broke>")
    assert known["good"].outcome == "completed"
    assert known["some"].failed
    assert "no more" in str(known["some"].error)
    assert [one.name for one in trace.filter(errors=True).spans] == ["some", "bad"]
    assert json.loads(trace.to_json())
    with pytest.raises(UsageProblem, match="no run 'ZZZ'"):
        paseo.trace("ZZZ")


def test_what_a_kill_or_a_damaged_disk_left_costs_nothing_else(repo: Path) -> None:
    run = paseo.run("demo/echo", "hi")
    home = repo / ".paseo_nb"
    for name, text in (
        ("01K3VS41Q5ABCDEFGHJKMNPQRS", None),
        ("01K3VS41Q6ABCDEFGHJKMNPQRS", "rubb"),
    ):
        (home / "runs" / name).mkdir()
        if text is not None:
            (home / "runs" / name / "spec.json").write_text(text)
    flow = home / "workflow_runs" / "01K3VS41Q7ABCDEFGHJKMNPQRS"
    flow.mkdir(parents=True)
    with pytest.raises(UsageProblem, match="nothing is known yet"):
        paseo.trace("01K3VS41Q7")
    (flow / "journal.jsonl").write_text(
        '{"seq":1,"t":1,"epoch":1,"kind":"workflow_started","name":"old"}\n{"x":1}\nrubb\n'
    )
    assert paseo.trace("01K3VS41Q7").root.outcome == "interrupted"
    assert set(paseo.cost()["run_id"]) == {run.id}
    assert len(paseo.cache_misses()) == 0
    assert paseo.export_traces(str(repo / "t.parquet")) == 3
    silent = home / "runs" / "01K3VS41Q8ABCDEFGHJKMNPQRS"  # killed before its first line
    silent.mkdir()
    spec = (home / "runs" / run.id / "spec.json").read_text().replace(run.id, silent.name)
    (silent / "spec.json").write_text(spec)
    bundle = paseo.bundle(str(repo / "all.paseo.zip"))
    assert paseo.open_bundle(bundle).runs == [run.id]
