"""A conductor that dies at any line of its journal, or within one: what was finished is executed
once, what was issued is attached to, the result is that of the uninterrupted run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import paseo_nb as paseo
from engine.conftest import prompts
from paseo_nb import agent, parallel, phase, pipeline
from paseo_nb.engine.journal import folders
from paseo_nb.engine.place import Base
from paseo_nb.engine.story import Story
from paseo_nb.engine.values import Outcome
from paseo_nb.model import Usage

BASE = Base("a" * 40, "1" * 40)


def answers(wanted) -> Outcome:
    prompt = wanted.call.prompt
    usage = Usage(cost_usd=0.25)
    if wanted.call.mode == "edit":
        return Outcome(text="wrote", usage=usage, commit="b" * 40, tree="2" * 40)
    if prompt.startswith("bad"):
        return Outcome(cause="error", message="it broke", usage=usage)
    return Outcome(text=prompt.upper() * (3000 if "big" in prompt else 1), usage=usage)


@paseo.workflow
async def work() -> list[str]:
    phase("first")
    same = await parallel([agent("same") for _ in range(3)])
    phase("second")
    through = await pipeline(
        ["a", "bad b", "big c"], lambda item: agent(item), lambda value: agent(f"{value}!"[-9:])
    )
    await agent("write", mode="edit")
    stamp = paseo.uuid()
    last = await agent(f"last {stamp}")
    return [*map(str, same), *(str(one)[-30:] for one in through), str(last).split()[0]]


def test_it_goes_on_from_every_line(place, home: Path) -> None:
    first = place(answers, base=BASE, seed=3)
    run = work.at(lambda: first).start()
    expected = run.wait()
    assert len(first.started) == 3 + 3 + 2 + 2
    journal = run.folder.journal
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = home.with_name("kept")
    shutil.copytree(run.folder.path, kept)
    for cut in range(1, len(lines) + 1):
        for torn in (False, True):
            if torn and cut == len(lines):
                continue
            shutil.rmtree(home / "workflow_runs")
            shutil.copytree(kept, run.folder.path)
            half = lines[cut][: len(lines[cut]) // 2] if torn else b""
            journal.write_bytes(b"".join(lines[:cut]) + half)
            check(place, home, lines[:cut], first, expected)


def check(place, home: Path, lines: list[bytes], first, expected: list[str]) -> None:
    told = [json.loads(line) for line in lines]
    issued = {line["run_id"] for line in told if line["kind"] == "step_issued"}
    failed = {line["run_id"] for line in told if line["kind"] == "step_failed"}
    done = told[-1]["kind"] == "workflow_done"
    again = place(answers, base=BASE)
    again.runs = {run_id: out for run_id, out in first.runs.items() if run_id in issued}
    run = work.at(lambda: again).start()
    got = run.wait()
    assert got == expected, told[-1]
    # What had been issued is taken, but for the one that failed: it is tried again. A run that was
    # done is followed by a new one, with a stamp of its own.
    bad = {wanted.run_id for wanted in first.started if wanted.call.prompt.startswith("bad")}
    repeated = len(issued & bad)
    assert len(again.started) == len(first.started) - len(issued) + repeated + done, told[-1]
    assert failed <= bad
    assert (len(folders(home)) == 2) == done
    if not done:
        cost = sum(paseo.steps(run.id)["cost_usd"])
        attempts = len(first.started) + repeated
        assert cost == pytest.approx(0.25 * attempts), "what was paid, each attempt once"
    assert Story(run.folder).state == "done"
    third = place(answers, base=BASE)
    work.at(lambda: third)()
    # The stamp is another one in a new run; what failed is tried again; the rest is a no-op.
    assert sorted(prompts(third))[0] == "bad b"
    assert [one.split()[0] for one in sorted(prompts(third))] == ["bad", "last"]
