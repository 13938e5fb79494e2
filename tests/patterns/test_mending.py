"""What failed is tried again, what was cut off is gone on with, and limits hold: patterns meet
agents that fail, die, and cost money.

Invariants: (1) only what succeeded is taken from a record; (2) a half sentence is nobody's answer;
(3) a call's limits hold over all its turns, and reaching them is a result.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from kit import Project, kill_9
from minds import Minds

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem
from paseo_nb.patterns import plan_files
from paseo_nb.programs.demo import copy_sample

THINKS = """
def json_of(**value):
    return "```json\\n" + json.dumps(value) + "\\n```"

def member(name, prompt):
    if "Make one plan" in prompt:
        return json_of(plan="THE PLAN", differences="")
    if "Do you stand by" in prompt:
        return json_of(agree=True, objections="")
    if "Challenge it" in prompt:
        return f"challenge by {name}"
    if "two experts who look" in prompt:
        return f"analysis of {name}"
    return f"{name} went on"

def ann(prompt, turn, folder):
    return member("ann", prompt)
"""


def flag(tmp_path: Path, name: str) -> str:
    return repr(str(tmp_path / name))


def test_a_step_that_failed_is_tried_again_by_the_same_call(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    """An analysis, a challenge, a merge: each fails once, is said, and is mended."""
    minds.has(THINKS)
    minds.has(f"""
        def bob(prompt, turn, folder):
            for name, words in (("key", "two experts who look"), ("rate", "Challenge it")):
                if words in prompt and not os.path.exists({flag(tmp_path, "")} + "/" + name):
                    raise RuntimeError(f"{{name}} is missing")
            return member("bob", prompt)

        def cat(prompt, turn, folder):
            if "Make one plan" in prompt and not os.path.exists({flag(tmp_path, "load")}):
                raise RuntimeError("overloaded")
            return member("cat", prompt)
    """)
    for name, said in (("key", "key is missing"), ("rate", "rate is missing")):
        with pytest.raises(UsageProblem, match=said):
            paseo.committee("why?", agents=["cat", "bob"])
        (tmp_path / name).touch()
    with pytest.raises(UsageProblem, match="overloaded"):
        paseo.committee("why?", agents=["cat", "bob"])
    (tmp_path / "load").touch()
    made = paseo.committee("why?", agents=["cat", "bob"])
    assert made
    assert [one.analysis for one in made.members] == ["analysis of cat", "analysis of bob"]
    assert [one.challenge for one in made.members] == ["challenge by cat", "challenge by bob"]
    first = [text for text in minds.asked("cat") if "Make one plan" not in text]
    assert len(first) == 3, "its analysis, challenge and word on the plan, once each"


def test_another_planner_makes_the_plan_that_one_could_not(repo: Path, minds: Minds) -> None:
    minds.has("""
        def bad(prompt, turn, folder):
            raise RuntimeError("log in first")

        def good(prompt, turn, folder):
            phase = {"title": "a", "kind": "implement", "task": "t", "acceptance": "", "checks": [""]}
            return json.dumps({"phases": [phase]})
    """)
    with pytest.raises(UsageProblem, match="log in first"):
        paseo.epic("Build it", planner="bad")
    assert paseo.epic("Build it", planner="good").state == "planned"


@pytest.mark.parametrize("whole", [True, False])
def test_a_member_whose_pair_is_killed_goes_on_and_its_fragment_is_nothing(
    repo: Path, minds: Minds, tmp_path: Path, whole: bool
) -> None:
    """The kernel lives: whole, in the analysis; else in the challenge."""
    project = Project(repo)
    words = "two experts who look" if whole else "Challenge it"
    minds.has(THINKS)
    minds.has(f"""
        def bob(prompt, turn, folder):
            if {words!r} in prompt:
                say("PARTIAL ")
                time.sleep(600)
            return member("bob", prompt)
    """)

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for run_id in project.host.list():
                run = paseo.attach(run_id)
                if run.spec.provider == "bob" and "PARTIAL" in run.text:
                    kill_9(*project.processes(run_id).values())
                    return
            time.sleep(0.1)

    killer = threading.Thread(target=kill)
    killer.start()
    made = paseo.committee("why?", agents=["ann", "bob"])
    killer.join()
    assert made.agreed
    bob = made.members[1]
    said = (bob.analysis, bob.challenge)
    assert said == (
        ("bob went on", "challenge by bob") if whole else ("analysis of bob", "bob went on")
    )
    assert "PARTIAL" not in "".join(minds.asked("ann"))


def test_a_budget_holds_over_all_turns_and_reaching_it_is_a_result(
    repo: Path, minds: Minds, capfd: pytest.CaptureFixture[str]
) -> None:
    from paseo_nb import cli

    minds.has(THINKS)
    minds.has("""
        def dear(prompt, turn, folder):
            cost(0.4)
            return member("dear", prompt)

        def also(prompt, turn, folder):
            cost(0.01)
            return member("also", prompt)
    """)
    made = paseo.committee("why?", agents=["dear", "also"], budget=1.0)
    assert made.state == "budget", "its part is half: the challenge is over it"
    assert not made
    assert made.members[0].analysis == "analysis of dear", "what was found is there"
    assert made.cost_usd == pytest.approx(0.82)
    words = ["committee", "why?", "--agents", "dear,also", "--budget", "0.81"]
    assert cli.run(words) == 3
    assert "ended by its limit of budget" in capfd.readouterr().out
    more = paseo.committee("why?", agents=["dear", "also"], budget=20)
    assert more, "a higher one goes on from there"
    assert len([text for text in minds.asked("also") if "two experts" in text]) == 1


def test_the_limit_of_a_further_turn_is_its_own(repo: Path, minds: Minds) -> None:
    minds.has("""
        def dear(prompt, turn, folder):
            cost(0.4)
            if "sleep" in prompt:
                time.sleep(600)
            return "done"
    """)
    run = paseo.run("dear", "Go.", budget=2.0)
    run.send_once("one", "And again.", most={"cost_usd": 0.3}).wait(60, check=False)
    assert (run.history().turn.outcome, run.error.code) == ("limit", "cost")
    run.send_once("two", "sleep", most={"timeout_s": 1.0}).wait(60, check=False)
    assert (run.history().turn.outcome, run.error.code) == ("limit", "timeout")
    assert run.send("And again.").wait(60).text == "done", "the run's own are as they were"


def test_time_side_by_side_counts_once(repo: Path, minds: Minds) -> None:
    minds.has(THINKS)
    minds.has("""
        def slow(prompt, turn, folder):
            time.sleep(1.0)
            return member("slow", prompt)

        def late(prompt, turn, folder):
            time.sleep(1.0)
            return member("late", prompt)
    """)
    made = paseo.committee("why?", agents=["slow", "late"])
    worked = sum(
        (turn.finished_us - turn.started_us) / 1e6
        for one in paseo.runs()["run_id"]
        for turn in paseo.attach(one).history().turns
    )
    assert made.took_s is not None
    assert made.took_s < worked - 2.0, "three pairs of turns of a second each"


# ---------------------------------------------------------------- epics

PLAN = """---
status: planned
worktree: e
---

# Epic

The whole.

"""
DOES = """
def worker(prompt, turn, folder):
    (folder / "out.txt").write_text("done")
    return "did it"
"""


def plan_of(tmp_path: Path, *phases: str) -> Path:
    path = tmp_path / "plan.md"
    path.write_text(PLAN + "\n\n".join(phases) + "\n")
    return path


def test_a_gate_is_looked_at_each_time_in_the_epics_worktree(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    minds.has(DOES)
    check = f"check: test -e out.txt && test -e {tmp_path}/ok"
    path = plan_of(tmp_path, "## [ ] implement: a\n\ndo it", f"## [ ] gate: look\n\n{check}")
    first = paseo.epic(str(path), agent="worker", mode="auto", approve=True)
    assert first.state == "gate"
    assert "failed" in first.phases[1].reason
    (tmp_path / "ok").touch()
    other = paseo.epic(str(path), agent="worker", mode="edit", approve=True)
    assert other.state == "delivered", "other options, the same epic"
    assert other.record == first.record


def test_what_a_person_changes_while_an_epic_works_counts(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    path = plan_of(tmp_path, "## [ ] implement: a\n\ndo it", "## [ ] implement: b\n\ndo it")
    minds.has(f"""
        def worker(prompt, turn, folder):
            path = {str(path)!r}
            text = open(path).read()
            if "added" not in text:
                text = text.replace("The whole.", "The whole, said better.")
                open(path, "w").write(text + "\\n## [ ] implement: added\\n\\ndo more\\n")
            return "did it"
    """)
    done = paseo.epic(str(path), agent="worker", mode="auto")
    assert [(one.title, one.mark) for one in done.phases] == [
        ("a", "x"),
        ("b", "x"),
        ("added", "x"),
    ]
    assert all(one.run is not None for one in done.phases)
    assert "The whole, said better." in minds.asked("worker")[1]
    text = path.read_text()
    assert text.count("# Epic") == 1
    assert "said better" in text


def test_a_plans_text_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "plan.md"
    task = (
        "## [x] gate: no\ncheck: rm -rf /\n---\n# Epic\n\\# one\n\\check: two\n```\n## in it\n```"
    )
    plan = plan_files.Plan(task, [plan_files.Phase("T", "implement", task, "it holds")])
    for _ in range(3):
        plan_files.written(path, plan)
        plan = plan_files.read(path)
        assert plan.task == task
        assert [one.task for one in plan.phases] == [task]
    path.write_text(PLAN + "## [ ] implement: a\n\n```sh\n## a heading in a script\n```\n")
    assert "## a heading in a script" in plan_files.read(path).phases[0].task


def test_a_check_of_several_lines_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "plan.md"
    scripts = ["for x in a b\ndo\n  test -n $x\n\ndone", "true", "cat <<E\n## [x] gate: no\nE"]
    plan = plan_files.Plan("t", [plan_files.Phase("T", "implement", "it", "", scripts)])
    for _ in range(3):
        plan_files.written(path, plan)
        plan = plan_files.read(path)
        assert [one.checks for one in plan.phases] == [scripts]
    path.write_text(PLAN + "## [ ] implement: a\n\nit\n\ncheck: if true\n  then true\n\tfi\n\nmore")
    assert plan_files.read(path).phases[0].checks == ["if true\nthen true\nfi"]
    assert plan_files.read(path).phases[0].task == "it\n\nmore"


def test_a_phase_that_verifies_looks_before_anybody_works(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    minds.has("""
        def worker(prompt, turn, folder):
            (folder / "out.txt").write_text("done")
            return "did it"

        def judge(prompt, turn, folder):
            named = "tidelog" if "it is sound" in prompt else "out.txt"
            there = (folder / named).exists()
            return json.dumps({"passed": there, "reason": f"there is {named}: {there}"})
    """)
    path = plan_of(
        tmp_path,
        "## [ ] verify: it is sound\n\nthere is tidelog\n\ncheck: test -d tidelog",
        "## [ ] verify: it is whole\n\nlook\n\nacceptance: there is an out.txt",
    )
    done = paseo.epic(str(path), agent="worker", verifier="judge", mode="auto")
    assert done.state == "delivered"
    [told] = minds.asked("worker")
    assert "it is whole" in told
    assert "does not hold yet:\nthere is out.txt: False" in told
    assert len(minds.asked("judge")) == 3
    assert done.phases[0].run is None


# ---------------------------------------------------------------- what else was wrong


def test_a_handoff_of_a_run_of_another_repository(repo: Path, minds: Minds, tmp_path: Path) -> None:
    minds.has(DOES)
    other = str(copy_sample(tmp_path / "other"))
    first = paseo.run("worker", "Do it.", repo=other, worktree="w", mode="auto")
    taken = paseo.handoff(first.id, to="worker", wait=True)
    assert taken.path == first.path


def test_bad_arguments_are_named(repo: Path, minds: Minds) -> None:
    minds.has(DOES)
    for checks in ("", [" "], ["true", ""]):
        with pytest.raises(UsageProblem, match="empty"):
            paseo.loop("x", agent="worker", checks=checks)
    with pytest.raises(UsageProblem, match="pause"):
        paseo.loop("x", agent="worker", checks=["true"], pause=-1)
    with pytest.raises(UsageProblem, match=r"repo"):
        paseo.loop("x", agent="worker", checks=["true"], repo=repo)  # type: ignore[arg-type]
    own = repo / "paseo_prompts" / "loop_wroker.md"
    own.parent.mkdir()
    own.write_text("{{task}}")
    with pytest.raises(UsageProblem, match="loop_wroker"):
        paseo.loop("y", agent="worker", checks=["true"])


def test_a_line_of_a_record_that_cannot_be_read_is_a_step_that_was_not_done(
    repo: Path, minds: Minds
) -> None:
    minds.has(DOES)
    paseo.loop("x", agent="worker", checks=["true"], mode="auto")
    [record] = (repo / ".paseo_nb" / "patterns").glob("*.jsonl")
    record.write_bytes(record.read_bytes().rsplit(b"\n", 2)[0] + b"\n{}\n")
    assert paseo.loop("x", agent="worker", checks=["true"], mode="auto")
    assert len(minds.asked("worker")) == 1
