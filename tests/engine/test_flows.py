"""Declared steps: order, references, conditions, lists, folds, and gates that hold."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

import paseo_nb as paseo
from engine.conftest import prompts
from paseo_nb import Flow
from paseo_nb.engine import gates
from paseo_nb.engine.journal import folders
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import UsageProblem


class Placed(Flow):
    """A flow whose steps are what a function makes of them."""

    place: object

    @property
    def workflow(self):
        return super().workflow.at(lambda: self.place)


def flow(place, name: str = "f", answers=None) -> Placed:
    made = Placed(name)
    made.place = place(answers) if answers else place()
    return made


def until(what) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_step_begins_when_those_that_it_refers_to_are_over(place) -> None:
    def answers(wanted) -> Outcome:
        if wanted.call.schema:
            return Outcome(value={"files": ["a.py", "b.py"], "ok": True})
        return Outcome(text=f"<{wanted.call.prompt}>")

    made = flow(place, answers=answers)
    made.step("plan", "x", "Plan {args.topic}, {{as is}}", schema={"type": "object"})
    made.step("do", "x", "Do {item} ({index})", map="plan.files")
    made.step("both", "x", "Join {do}", when="plan.ok")
    made.step("first", "x", "Only {do.0.text}")
    done = made.run(topic="tides")
    assert prompts(made.place)[0] == "Plan tides, {as is}"
    assert [str(one) for one in done["do"]] == ["<Do a.py (0)>", "<Do b.py (1)>"]
    assert str(done["both"]) == "<Join <Do a.py (0)>\n\n<Do b.py (1)>>"
    assert str(done["first"]) == "<Only <Do a.py (0)>>"
    asked = len(made.place.started)
    made.run(topic="tides")
    assert len(made.place.started) == asked, "a flow is a workflow: it takes what was finished"


def test_what_cannot_be_is_refused_when_it_is_declared(place) -> None:
    made = flow(place)
    made.step("plan", "x", "Plan")
    for prompt in ("Do {plon}", "Do {item}"):
        with pytest.raises(UsageProblem, match="not declared before it; there is: plan"):
            made.step("do", "x", prompt)
    with pytest.raises(UsageProblem, match="given once"):
        made.step("plan", "x", "again")
    made.step("over", "x", "Do {item}", map="plan")
    with pytest.raises(UsageProblem, match="which is no list"):
        made.run()


def test_conditions_and_failures_skip_what_hangs_on_them(place) -> None:
    def answers(wanted) -> Outcome:
        if wanted.call.prompt == "break":
            return Outcome(cause="error", message="it broke")
        return Outcome(text=wanted.call.prompt)

    made = flow(place, answers=answers)
    made.step("bad", "x", "break")
    made.step("after", "x", "with {bad}")
    made.step("further", "x", "go on", depends_on=["after"])
    made.step("anyway", "x", "clean up after {bad}", whatever=True)
    made.step("never", "x", "no", when=lambda known: known["args"].get("really"))
    made.step("good", "x", "fine")
    done = made.run()
    assert not done["bad"]
    assert str(done["after"]).startswith("(skipped: bad: [failed: bad: it broke]")
    assert str(done["further"]).startswith("(skipped: after")
    assert str(done["anyway"]) == "clean up after [failed: bad: it broke]"
    assert str(done["never"]) == "(skipped: its condition does not hold)"
    assert sorted(prompts(made.place)) == [
        "break", "clean up after [failed: bad: it broke]", "fine"
    ]  # fmt: skip


def test_a_fold_goes_through_a_list_one_by_one(place) -> None:
    made = flow(place, answers=lambda wanted: Outcome(text=wanted.call.prompt))
    made.fold("sum", "x", "({so_far}+{item})", over="args.numbers", start="0")
    assert str(made.run(numbers=[1, 2, 3])["sum"]) == "(((0+1)+2)+3)"


def test_a_gate_for_a_person_waits_and_is_answered_from_anywhere(
    place, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = flow(place)
    made.step("plan", "x", "plan")
    made.gate("ship", "Ship {plan}?")
    made.step("go", "x", "go", depends_on=["ship"])
    run = made.start()
    until(lambda: gates.waiting(run.story()))
    assert gates.waiting(run.story())["ship"]["question"] == "Ship did plan?"
    assert made.states() == {"plan": "done", "ship": "waiting", "go": "not begun"}
    monkeypatch.setenv("PASEO_RUN", "an-agent")
    with pytest.raises(UsageProblem, match="for a person"):
        paseo.approve(run.id, "ship")
    monkeypatch.delenv("PASEO_RUN")
    with pytest.raises(UsageProblem, match="there waits: ship"):
        paseo.approve(run.id, "shop")
    run.stop()  # nobody waits any more: an answer is kept until it goes on
    paseo.approve(run.id[:12], "ship", reason="looks good")
    done = made.run()
    assert str(done["ship"]) == "approved by person: looks good"
    assert str(done["go"]) == "did go"
    assert prompts(made.place) == ["plan", "go"]
    assert made.states() == {"plan": "done", "ship": "done", "go": "done"}
    assert len(folders(home)) == 1


def test_what_hangs_on_a_gate_that_is_denied_does_not_run(place) -> None:
    made = flow(place)
    made.gate("ship", "Ship it?", automatic=True)
    made.step("go", "x", "go", depends_on=["ship"])
    run = made.start()
    until(lambda: gates.waiting(run.story()))
    answering = threading.Thread(target=paseo.approve, args=(run.id, "ship"), kwargs={"deny": "no"})
    answering.start()
    done = run.wait()
    answering.join()
    assert not done["ship"]
    assert "denied by person: no" in str(done["go"])
    assert made.place.started == []
    assert made.states() == {"ship": "failed", "go": "skipped"}


def test_gates_by_a_command_and_by_a_judge(place) -> None:
    def answers(wanted) -> Outcome:
        return Outcome(value={"approved": "good" in wanted.call.prompt, "reason": "so"})

    made = flow(place, answers=answers)
    made.gate("passes", "tests pass", command="test -d .")
    made.gate("fails", "tests pass", command="echo {passes}; exit 3")
    made.gate("yes", "Is it good?", judge="x")
    made.gate("no", "Is it bad?", judge="x")
    done = made.run()
    assert [bool(done[name]) for name in ("passes", "fails", "yes", "no")] == [
        True, False, True, False
    ]  # fmt: skip
    assert "exit 3" in done["fails"].reason
    assert "{passes}" in done["fails"].reason, "a command is run as it was written"


def test_it_is_drawn_before_it_runs_and_names_are_harmless(place) -> None:
    made = flow(place, name="<script>")
    made.step("a", "x", "one")
    made.step("b", "x", "two {a}")
    shown = made._repr_mimebundle_()
    assert shown["text/plain"].splitlines()[1:] == [
        "  · a (step, not begun)", "  · b (step, not begun)  after a"
    ]  # fmt: skip
    drawing = ElementTree.fromstring(shown["text/html"])
    assert "<script>" not in shown["text/html"]
    assert len(drawing.findall("rect")) == 2
    assert len(drawing.findall("path")) == 1
    made.run()
    assert "✓ a" in str(made)
