"""Handoff, advisor, committee and epic, end to end on scripted agents.

The faults that others have are tests here: a member that is not waited for, members that edit,
a review that has no end, an agent that edits the plan, a kill that forgets what was done.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from minds import AGENT, Minds

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem
from paseo_nb.patterns import plan_files
from paseo_nb.patterns.families import family
from paseo_nb.patterns.prompts_of import filled, names

# ---------------------------------------------------------------- handoff


def test_a_briefing_needs_no_context(repo: Path, minds: Minds) -> None:
    fix = paseo.run("demo/fixer", "The tests fail. Fix the code.", worktree="fix")
    minds.has('def other(prompt, turn, folder):\n    return str((folder / "tidelog").is_dir())\n')
    taken = paseo.handoff(fix.id, to="other", acceptance="all 13 tests pass", wait=True)
    [told] = minds.asked("other")
    for part in (
        "The tests fail. Fix the code.", "tidelog/offsets.py", "13 tests pass", "on branch fix",
        "all 13 tests pass", "2 files",
    ):  # fmt: skip
        assert part in told, part
    assert taken.path == fix.path, "it works where the first one left off"
    assert taken.text == "True"
    assert taken.labels["handed_over_from"] == fix.id
    assert taken.spec.title is not None
    assert taken.spec.title.startswith("[Handoff] The tests fail")


def test_a_note_is_asked_for_and_a_busy_run_is_not_taken_over(repo: Path, minds: Minds) -> None:
    minds.has("""
        def first(prompt, turn, folder):
            return "the plan" if turn == 1 else "we chose B because A leaks"

        def second(prompt, turn, folder):
            return "ok"
    """)
    plan = paseo.run("first", "Plan it.", mode="read")
    paseo.handoff(plan.id, to="second", note=True, wait=True, worktree="do-it")
    [told] = minds.asked("second")
    assert "we chose B because A leaks" in told
    assert "## Its last words\nthe plan" in told
    busy = paseo.start("demo/slow", "take your time", mode="auto")
    with pytest.raises(UsageProblem, match="still at work"):
        paseo.handoff(busy.id, to="second")
    busy.stop()


# ---------------------------------------------------------------- advisor


def test_advice_is_read_only_and_knows_the_run(repo: Path, minds: Minds) -> None:
    minds.has('def wise(prompt, turn, folder):\n    return "Do it otherwise."\n')
    run = paseo.run("demo/echo", "say something")
    advice = paseo.advisor("Is that right?", run=run.id, agent="wise")
    assert advice.text == "Do it otherwise."
    assert advice.spec.mode == "read"
    [told] = minds.asked("wise")
    assert "Is that right?" in told
    assert "say something" in str(advice.spec.prompt), "the run in short goes along"
    with pytest.raises(UsageProblem, match="another family"):
        paseo.advisor("And now?", run=run.id)


def test_families() -> None:
    assert family("claude", "opus") == family("opencode", "openrouter/anthropic/claude-opus-4.6")
    assert family("codex", None) == family("copilot", "gpt-5.4") == "openai"
    assert family("gemini", None) == "google"
    assert family("mine", None) == "mine"


# ---------------------------------------------------------------- committee

MEMBERS = """
def json_of(**value):
    return "```json\\n" + json.dumps(value) + "\\n```"

def member(name, prompt):
    if "two experts who look" in prompt:
        return f"analysis of {name}: " + "x" * 30000 + f" end of {name}"
    if "Challenge it" in prompt:
        return f"challenge by {name}"
    if "Make one plan" in prompt:
        return json_of(plan="make HELLO", differences="")
    if "Do you stand by" in prompt:
        return json_of(agree=True, objections="")
    if "Review the change" in prompt:
        good = "+good" in prompt
        return json_of(approved=good, findings="" if good else f"{name}: it is not good yet")
    return "?"

def ann(prompt, turn, folder):
    return member("ann", prompt)

def bob(prompt, turn, folder):
    time.sleep(1.5)
    return member("bob", prompt)

def builder(prompt, turn, folder):
    (folder / "HELLO").write_text("good\\n" if "not good yet" in prompt else "bad\\n")
    return "built"
"""


def test_a_committee_agrees_and_reviews_until_it_approves(repo: Path, minds: Minds) -> None:
    minds.has(MEMBERS)
    made = paseo.committee(
        "say hello", agents=["ann", "bob"], implement="builder", worktree="c", mode="auto"
    )
    assert made.agreed
    assert made.plan == "make HELLO"
    assert made.approved
    assert [review.approved for review in made.reviews] == [[False, False], [True, True]]
    assert (made.run.path / "HELLO").read_text() == "good\n"
    ann, bob = (minds.asked(name) for name in ("ann", "bob"))
    assert ann[0] == bob[0], "the same problem, each alone"
    assert "analysis of bob" in ann[1]
    assert "end of bob" in ann[1], "whole, and waited for"
    assert "end of ann" in bob[1]
    assert all(member.run.spec.mode == "read" for member in made.members)
    assert "make HELLO" in minds.asked("builder")[0]
    assert "ann: it is not good yet" in minds.asked("builder")[1]
    assert "bob: it is not good yet" in minds.asked("builder")[1]
    assert str(made).startswith("The committee agrees")


def test_without_agreement_it_says_so_and_ends(repo: Path, minds: Minds) -> None:
    minds.has(MEMBERS)
    minds.has("""
        def carl(prompt, turn, folder):
            if "Do you stand by" in prompt:
                return json_of(agree=False, objections="too simple")
            return member("carl", prompt)
    """)
    made = paseo.committee("say hello", agents=["ann", "carl"], rounds=2)
    assert not made.agreed
    assert made.members[1].objections == "too simple"
    merges = [text for text in minds.asked("ann") if "Make one plan" in text]
    assert len(merges) == 2
    assert "too simple" in merges[1]


def test_a_member_that_fails_is_said_and_the_other_is_kept(repo: Path, minds: Minds) -> None:
    minds.has(MEMBERS)
    minds.has('def dead(prompt, turn, folder):\n    raise RuntimeError("log in first")\n')
    with pytest.raises(UsageProblem, match="log in first"):
        paseo.committee("say hello", agents=["ann", "dead"])
    with pytest.raises(UsageProblem, match="two members"):
        paseo.committee("say hello", agents=["ann"])
    assert len(minds.asked("ann")) == 1
    with pytest.raises(UsageProblem, match="log in first"):
        paseo.committee("say hello", agents=["ann", "dead"])
    assert len(minds.asked("ann")) == 1, "what it found is not asked for again"


# ---------------------------------------------------------------- epic

EPIC = """
def json_of(**value):
    return "```json\\n" + json.dumps(value) + "\\n```"

def planner(prompt, turn, folder):
    return json_of(phases=[
        {"title": "Write a", "kind": "implement", "task": "There is no a.", "acceptance": "a is there",
         "checks": ["test -e a"]},
        {"title": "Look at it", "kind": "gate", "task": "", "acceptance": "a person likes a", "checks": []},
        {"title": "Write b", "kind": "implement", "task": "There is no b.", "acceptance": "", "checks": ["test -e b"]},
    ])

def worker(prompt, turn, folder):
    if "say whether this holds" in prompt:
        return json_of(passed=True, reason="")
    name = re.search(r"# The phase\\nWrite (\\w)", prompt)[1]
    if name == "b" and "was not enough" not in prompt:
        return "forgot it"
    (folder / name).write_text(name)
    return f"wrote {name}"
"""


def test_an_epic_from_spec_to_delivery(repo: Path, minds: Minds) -> None:
    minds.has(EPIC)
    first = paseo.epic("We want a and b", agent="worker", planner="planner")
    assert first.state == "planned"
    path = Path(first.path)
    text = path.read_text()
    assert "## [ ] implement: Write a" in text
    assert "check: test -e a" in text
    assert minds.asked("worker") == [], "it is read first"
    path.write_text(text.replace("There is no a.", "There is no a, and it is missed."))
    second = paseo.epic(str(path), agent="worker", mode="auto")
    assert second.state == "gate"
    assert not second
    assert "There is no a, and it is missed." in minds.asked("worker")[0]
    assert "[x] implement: Write a" in path.read_text()
    again = paseo.epic(str(path), agent="worker", mode="auto")
    assert again.state == "gate"
    assert len(minds.asked("worker")) == 2, "the phase and its verifier, once"
    last = paseo.epic(str(path), agent="worker", mode="auto", approve=True)
    assert last.state == "delivered"
    assert [phase.mark for phase in last.phases] == ["x", "x", "x"]
    folder = repo / ".paseo_nb" / "worktrees"
    [place] = [one for one in folder.rglob("a") if one.is_file()]
    assert (place.parent / "b").read_text() == "b"
    assert "status: delivered" in path.read_text()
    assert paseo.epic(str(path), agent="worker", mode="auto").state == "delivered"


def test_a_phase_that_fails_stops_it_and_can_be_tried_again(repo: Path, minds: Minds) -> None:
    minds.has(EPIC)
    made = paseo.epic(
        "We want a and b",
        agent="worker",
        planner="planner",
        autopilot=True,
        mode="auto",
        approve=True,
        attempts=1,
    )
    assert made.state == "failed"
    assert [phase.mark for phase in made.phases] == ["x", "x", "!"]
    assert "test -e b" in made.phases[2].reason
    assert "[!] implement: Write b" in Path(made.path).read_text()
    again = paseo.epic(made.path, agent="worker", mode="auto", attempts=2)
    assert again.state == "delivered"


def test_an_epics_kernel_dies_and_nothing_is_done_twice(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    minds.has(
        EPIC.replace(
            "name = re.search",
            f"time.sleep(0.1)\n    while not os.path.exists({str(gate)!r}): time.sleep(0.05)\n    name = re.search",
        )
    )
    plan = paseo.epic("We want a and b", agent="worker", planner="planner")
    code = f"""
        import sys
        import paseo_nb as paseo
        for name in ("worker",):
            paseo.register_provider(name, command=[sys.executable, {str(AGENT)!r}, {str(minds.file)!r}, name])
        print(paseo.epic({plan.path!r}, agent="worker", mode="auto", approve=True).state)
    """

    def kernel() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], cwd=repo, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
        )  # fmt: skip

    first = kernel()
    deadline = time.monotonic() + 60
    while not minds.asked("worker"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert "[~] implement: Write a" in Path(plan.path).read_text()
    gate.touch()
    out, err = kernel().communicate(timeout=120)
    assert out.strip() == "delivered", err
    phases = [text for text in minds.asked("worker") if "You carry out one phase" in text]
    assert [re.search(r"# The phase\nWrite (\w)", text)[1] for text in phases] == ["a", "b", "b"]  # type: ignore[index]


def test_a_plan_file_is_read_as_it_was_written_and_hostile_text_is_text(tmp_path: Path) -> None:
    path = tmp_path / "plan.md"
    task = "## [x] gate: not a heading\ncheck: rm -rf /\n---\n# Epic\nnormal"
    phase = plan_files.Phase(
        "T", "implement", task, "it holds", ["true", "echo a: b"], "demo/echo", "~"
    )
    plan = plan_files.Plan(
        task, [phase, plan_files.Phase("G", "gate", "", "", [])], {"status": "planned"}
    )
    plan_files.written(path, plan)
    told = plan_files.read(path)
    assert [one.title for one in told.phases] == ["T", "G"]
    assert told.phases[0].checks == ["true", "echo a: b"]
    assert told.phases[0].mark == "~"
    assert told.phases[0].agent == "demo/echo"
    assert "check: rm -rf /" in told.phases[0].task
    plan_files.written(path, told)
    again = plan_files.read(path)
    assert [p.checks for p in again.phases] == [p.checks for p in told.phases]
    path.write_text("hello")
    with pytest.raises(UsageProblem, match="front matter"):
        plan_files.read(path)
    path.write_text("---\nstatus: x\n---\n## [ ] dance: now\n")
    with pytest.raises(UsageProblem, match="line 4"):
        plan_files.read(path)


# ---------------------------------------------------------------- prompts


def test_a_project_has_its_own_prompts(repo: Path, minds: Minds) -> None:
    minds.has('def wise(prompt, turn, folder):\n    return "yes"\n')
    own = repo / "paseo_prompts" / "advisor.md"
    own.parent.mkdir()
    own.write_text("Answer in Latin, {never mind}: {{question}}")
    paseo.advisor("Why?", agent="wise")
    assert minds.asked("wise") == ["Answer in Latin, {never mind}: Why?"]
    own.write_text("{{question}} {{nonsense}}")
    with pytest.raises(UsageProblem, match="nonsense"):
        paseo.advisor("Why?", agent="wise")
    own.write_text("Answer in Latin")
    with pytest.raises(UsageProblem, match="does not name"):
        paseo.advisor("Why?", agent="wise")
    assert "advisor" in names()
    assert "Why?" in filled("advisor", repo.parent, question="Why?")
