"""Steps are found again by what they ask for: rules 1 to 15 of the step cache, without processes."""

from __future__ import annotations

import json
import threading
import time

import pytest

import paseo_nb as paseo
from engine.conftest import prompts
from paseo_nb import agent, parallel
from paseo_nb.engine.journal import WorkflowFolder, folders
from paseo_nb.engine.place import Base
from paseo_nb.engine.story import Story
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import TreeChanged, UsageProblem, WorkflowBusy, WorkflowFatal
from paseo_nb.model import Usage

A, B = Base("a" * 40, "1" * 40), Base("b" * 40, "2" * 40)


def test_a_finished_workflow_called_again_is_a_new_run_that_costs_nothing(place, home) -> None:
    def answers(wanted) -> Outcome:
        return Outcome(text=wanted.call.prompt, usage=Usage(cost_usd=1.0, output_tokens=5))

    @paseo.workflow
    async def three():
        return [str(one) for one in await parallel([agent(f"p{n}") for n in range(3)])]

    made = place(answers)
    first = three.at(lambda: made).start()
    again = three.at(lambda: made).start()
    assert first.wait() == again.wait() == ["p0", "p1", "p2"]
    third = three.at(lambda: made).start()
    third.wait()
    assert third.id != first.id
    assert len(made.started) == 3
    frame = third.steps()
    assert list(frame["state"]) == ["cached"] * 3
    assert list(frame["cost_usd"]) == [0.0] * 3
    assert set(frame["origin"]) == {first.id}
    everything = paseo.steps(name="three")
    assert everything["cost_usd"].sum() == 3.0, "the sum over all rows is what was paid"
    assert list(paseo.steps(first.id)["output_tokens"]) == [5, 5, 5]


def test_the_order_of_ends_and_a_failure_cost_no_other_step(place) -> None:
    bad = {"p7"}

    def answers(wanted):
        return Outcome(cause="error") if wanted.call.prompt in bad else wanted.call.prompt

    @paseo.workflow
    async def fan():
        got = await parallel([agent(f"p{n}") for n in range(40)])
        assert all(got), "one failed"
        return len(got)

    first = place(answers, seed=1)
    with pytest.raises(AssertionError, match="one failed"):
        fan.at(lambda: first)()
    bad.clear()
    second = place(answers, seed=2)
    run = fan.at(lambda: second).start()
    assert run.wait() == 40
    assert prompts(second) == ["p7"]
    assert run.hits == 39


def test_equal_calls_are_told_apart_by_their_order_and_each_result_is_taken_once(place) -> None:
    count = iter(range(100))

    def answers(wanted) -> str:
        return f"sample {next(count)}"

    @paseo.workflow
    async def samples(many: int):
        return [str(await agent("draw")) for _ in range(many)]

    made = place(answers)
    assert samples.at(lambda: made)(3) == ["sample 0", "sample 1", "sample 2"]
    assert samples.at(lambda: made)(4) == ["sample 0", "sample 1", "sample 2", "sample 3"]
    assert len(made.started) == 4

    @paseo.workflow(name="samples")
    async def trials():
        return [str(await agent("draw", key=n)) for n in range(2)]

    assert trials.at(lambda: made)() == ["sample 4", "sample 5"], "key= asks for another one"


def test_label_phase_and_limits_are_no_part_of_the_key_and_the_rest_is(place) -> None:
    @paseo.workflow
    async def one(**options):
        return str(await agent(options.pop("prompt", "x"), **options))

    made = place()
    one.at(lambda: made)()
    for same in ({"label": "l"}, {"phase": "p"}, {"timeout": 9.0}, {"retries": 2}, {"budget": 1.0}):
        one.at(lambda: made)(**same)
    assert len(made.started) == 1
    others = (
        {"prompt": "y"}, {"agent": "other"}, {"schema": {"type": "object"}}, {"mode": "edit"},
        {"effort": "high"}, {"isolation": "worktree"}, {"key": 1}, {"attach": ["a"]},
        {"allow": ["execute:ls"]},
    )  # fmt: skip
    for number, other in enumerate(others, 2):
        one.at(lambda: made)(**other)
        assert len(made.started) == number, other
    for no_form in ({1, 2}, b"x", object(), float("nan")):
        with pytest.raises(UsageProblem):
            one.at(lambda: made)(key=no_form)


def test_files_count_by_the_tree_that_the_run_began_with(place) -> None:
    @paseo.workflow
    async def look(mark: int):
        return str(await agent("look")), str(await agent("think", reads=False))

    first, other = place(base=A), place(base=B)
    look.at(lambda: first)(1)
    look.at(lambda: other)(2)
    assert prompts(other) == ["look"], "what does not read files is taken, they are none of it"
    same = place(base=Base("c" * 40, A.tree))
    look.at(lambda: same)(3)
    assert prompts(same) == [], "another commit of the same files"


def test_a_step_that_writes_is_the_base_of_those_after_it(place) -> None:
    def answers(wanted):
        if wanted.call.mode == "edit":
            return Outcome(text="w", commit="d" * 40, tree="3" * 40)
        return f"looked at {wanted.base}"

    fails = {"after"}

    @paseo.workflow
    async def chain():
        await agent("before")
        await agent("write", mode="edit")
        got = await agent("after")
        assert str(got) not in fails
        return str(got)

    first = place(answers, base=A)
    fails.add("looked at " + "d" * 40)
    with pytest.raises(AssertionError):
        chain.at(lambda: first)()
    fails.clear()
    changed = place(answers, base=B)  # somebody changed the files meanwhile
    assert chain.at(lambda: changed)() == "looked at " + "d" * 40
    assert prompts(changed) == [], "the recorded commits count, never the present files"


def test_files_that_were_changed_meanwhile_are_told_before_a_step_works_on_them(place) -> None:
    more = False

    @paseo.workflow
    async def two():
        await agent("first")
        assert more
        return str(await agent("second"))

    first = place(base=A)
    with pytest.raises(AssertionError):
        two.at(lambda: first)()
    more = True
    with pytest.raises(TreeChanged, match="changed_tree='restore'"):
        two.at(lambda: place(base=B))()
    accepts = place(base=B)
    assert two.options(changed_tree="accept").at(lambda: accepts)() == "did second"
    assert prompts(accepts) == ["second"]


def test_refresh_runs_anew_and_goes_on_where_that_was_cut_off(place) -> None:
    stop = True

    @paseo.workflow
    async def two():
        one = str(await agent("one", label="a"))
        assert not stop
        return one, str(await agent("two", label="b"))

    made = place()
    stop = False
    two.at(lambda: made)()
    two.options(refresh=["b"]).at(lambda: made)()
    assert prompts(made) == ["one", "two", "two"]
    stop = True
    with pytest.raises(AssertionError):
        two.options(refresh=True).at(lambda: made)()
    stop = False
    run = two.at(lambda: made).start()
    run.wait()
    assert prompts(made)[3:] == ["one", "two"], "a refresh that goes on is still one"
    two.at(lambda: made)()
    assert len(made.started) == 5


def test_whose_results_are_taken(place) -> None:
    @paseo.workflow
    async def mine():
        return str(await agent("x"))

    @paseo.workflow
    async def other():
        return str(await agent("x"))

    made = place()
    mine.at(lambda: made)()
    mine.options(cache="run").at(lambda: made)()
    other.at(lambda: made)()
    assert len(made.started) == 3
    other.options(cache="project", refresh=False).at(lambda: made)()
    assert len(made.started) == 3


def test_two_calls_at_once_are_one_engine_and_a_follower(place, home) -> None:
    go = threading.Event()

    async def answers(wanted) -> str:
        import asyncio

        while not go.is_set():
            await asyncio.sleep(0.01)
        return wanted.call.prompt

    @paseo.workflow
    async def shared(n: int):
        return [str(await agent("a")), {"n": n}]

    made, never = place(answers), place()
    first = shared.at(lambda: made).start(1)
    second = shared.at(lambda: never).start(1)
    assert second.id == first.id
    assert second.follows

    @paseo.workflow(name="shared")
    async def edited(n: int):
        return [n]

    with pytest.raises(WorkflowBusy, match="other source"):
        edited.at(place)(1)
    go.set()
    assert first.wait() == second.wait() == ["a", {"n": 1}]
    assert never.started == []
    assert len(folders(home)) == 1


def cut(folder: WorkflowFolder, after: str) -> None:
    """As if the process had been killed just after a line of this kind."""
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == after)
    folder.journal.write_bytes(b"".join(lines[: at + 1]) + lines[at + 1][: len(lines[at + 1]) // 2])


def test_a_step_that_still_ran_when_its_engine_died_is_attached_to(place, home) -> None:
    @paseo.workflow
    async def one():
        return str(await agent("x"))

    made = place()
    run = one.at(lambda: made).start()
    run.wait()
    cut(run.folder, "step_issued")
    assert Story(run.folder).state == "interrupted"
    again = one.at(lambda: made).start()
    assert again.wait() == "did x"
    assert again.id == run.id
    assert len(made.started) == 1, "its run had ended well: it was taken"
    cut(run.folder, "step_issued")
    elsewhere = place()
    one.at(lambda: elsewhere)()
    assert [w.run_id for w in elsewhere.started] == [made.started[0].run_id], "never begun: started"
    seqs = [line["seq"] for line in run.folder.lines()]
    assert seqs == sorted(set(seqs))


def test_a_result_whose_file_is_gone_is_not_done(place) -> None:
    @paseo.workflow
    async def big():
        return len(str(await agent("x" * 20_000)))

    made = place()
    run = big.at(lambda: made).start()
    run.wait()
    big.at(lambda: made)()
    assert len(made.started) == 1
    for path in run.folder.results.iterdir():
        path.write_bytes(b"torn")
    big.at(lambda: made)()
    assert len(made.started) == 2


def test_a_call_that_is_written_otherwise_takes_the_place_of_the_one_still_going(place) -> None:
    async def forever(wanted) -> str:
        import asyncio

        await asyncio.sleep(60 if wanted.call.prompt != "other" else 0)
        return "x"

    prompt = "old"

    @paseo.workflow
    async def one():
        return [str(await agent(prompt, label="the one"))]

    made = place(forever)
    run = one.at(lambda: made).start()
    deadline = time.monotonic() + 20
    while not made.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.stop()
    cut(run.folder, "step_issued")
    made.runs[made.started[0].run_id] = None  # it goes on by itself
    made.cancelled.clear()
    prompt = "other"
    again = one.at(lambda: made).start()
    assert again.wait() == ["x"]
    assert made.cancelled == [made.started[0].run_id]
    assert sorted(s.state for s in again.story().steps.values()) == ["done", "superseded"]


def test_what_writes_and_is_not_asked_for_again_is_ended_before_another_writes(place) -> None:
    what = "old"

    async def answers(wanted) -> str:
        import asyncio

        await asyncio.sleep(60 if wanted.call.prompt == "old" else 0)
        return "x"

    @paseo.workflow
    async def one():
        return str(await agent(what, mode="edit"))

    made = place(answers)
    run = one.at(lambda: made).start()
    deadline = time.monotonic() + 20
    while not made.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.stop()
    cut(run.folder, "step_issued")
    made.cancelled.clear()
    what = "new"
    assert one.at(lambda: made)() == "x"
    assert made.cancelled == [made.started[0].run_id]


@pytest.mark.parametrize("well", [True, False])
def test_what_nobody_asked_for_again_is_taken_if_it_ended_well(place, well: bool) -> None:
    what = "old"

    @paseo.workflow
    async def one():
        return str(await agent(what))

    made = place()
    run = one.at(lambda: made).start()
    run.wait()
    cut(run.folder, "step_issued")
    if not well:
        made.runs[made.started[0].run_id] = Outcome(cause="cancelled", message="by a person")
    what = "new"
    again = one.at(lambda: made).start()
    assert again.wait() == "did new"
    states = sorted(step.state for step in again.story().steps.values())
    assert states == ["done", "done" if well else "unclaimed"]
    what = "old"
    one.at(lambda: made)()
    assert prompts(made) == (["old", "new"] if well else ["old", "new", "old"])


def test_what_acts_outside_and_was_cut_off_is_not_repeated(place) -> None:
    @paseo.workflow
    async def pays():
        return str(await agent("pay", effects="outward"))

    made = place()
    run = pays.at(lambda: made).start()
    run.wait()
    cut(run.folder, "step_issued")

    async def dead(run_id: str):
        return "interrupted", Usage()

    made.seen = dead
    made.started.clear()
    with pytest.raises(WorkflowFatal, match="not repeated"):
        pays.at(lambda: made)()
    assert made.started == []
    step = next(iter(Story(run.folder).steps.values())).step
    run.mark_done(step, "paid")
    assert pays.at(lambda: made)() == "paid"
    assert made.started == []


def test_values_that_differ_each_time_stay_as_they_were(place) -> None:
    stop = True

    @paseo.workflow
    async def stamped():
        got = str(await agent(f"at {paseo.now().isoformat()} {paseo.uuid()} {paseo.random()}"))
        assert not stop
        return got

    made = place()
    with pytest.raises(AssertionError):
        stamped.at(lambda: made)()
    stop = False
    stamped.at(lambda: made)()
    assert len(made.started) == 1


def test_why_a_step_was_run_names_the_field_that_differs(place) -> None:
    @paseo.workflow
    async def one(prompt: str, effort: str | None = None):
        return str(await agent(prompt, label="it", effort=effort))

    made = place(base=A)
    run = one.at(lambda: made).start("first line\nsecond")
    run.wait()
    assert "for the first time" in run.why_rerun("it")
    run = one.at(lambda: made).start("first line\nchanged")
    run.wait()
    why = run.why_rerun("it")
    assert "-second" in why
    assert "+changed" in why
    run = one.at(lambda: place(base=B)).start("first line\nchanged", effort="high")
    run.wait()
    why = run.why_rerun("it")
    assert "the files that it begins with" in why
    assert 'effort: effort: null before, "high" now' in why
    assert "prompt" not in why
    run = one.at(lambda: made).start("first line\nsecond")
    run.wait()
    assert "was not run" in run.why_rerun("it")
    with pytest.raises(UsageProblem, match="it has it"):
        run.why_rerun("nobody")


def test_lines_of_an_engine_that_was_replaced_do_not_count(place) -> None:
    @paseo.workflow
    async def one():
        return str(await agent("x"))

    run = one.at(place).start()
    run.wait()
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    engine = json.loads(lines[1]) | {"epoch": 2, "seq": 50}
    run.folder.journal.write_bytes(
        b"".join(lines[:2]) + json.dumps(engine).encode() + b"\n" + b"".join(lines[2:])
    )
    assert Story(run.folder).steps == {}


def test_a_step_that_is_missed_beside_its_finished_self_is_told(place) -> None:
    times = iter("abcd")

    @paseo.workflow
    async def two(topic: str) -> None:
        await agent("the same", label="steady")
        await agent(f"Look at {topic}\nnow, {next(times)}", label="look", phase="p")

    def logs(topic: str) -> list[str]:
        run = two.at(place).start(topic)
        run.wait()
        return [line["text"] for line in run.story().logs]

    assert logs("tides") == []
    (told,) = logs("tides")
    assert told.startswith("look is not taken from before, as it differs in\n  prompt")
    assert "-now, a\n" in told
    assert told.endswith("+now, b")
    assert logs("moons") == [], "with other arguments, another prompt is no wonder"
