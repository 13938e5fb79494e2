"""The workflows that come along: what they ask, what they keep out, what they come to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import git
from minds import Minds

import paseo_nb as paseo
from engine.conftest import prompts
from paseo_nb.engine.catalog.research import NOTHING, Research
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import UsageProblem, WorkflowError

SOURCE = {"where": "https://tides.example/1", "title": "Tables", "kind": "primary"}


def answers(told: dict[str, Any]) -> Callable[[Any], Outcome]:
    """An agent that answers by the beginning of its prompt: a value, or a function of the prompt."""

    def answer(wanted: Any) -> Outcome:
        prompt = wanted.call.prompt
        (value,) = [value for start, value in told.items() if prompt.startswith(start)]
        value = value(prompt) if callable(value) else value
        return value if isinstance(value, Outcome) else Outcome(value=value)

    return answer


def found(*claims: str) -> dict[str, Any]:
    return {
        "findings": [{"claim": one, "evidence": "p. 3", "sources": [SOURCE]} for one in claims],
        "missing": "",
    }


def verdict(kind: str, claim: str, trust: str = "high", confidence: float = 0.9) -> dict[str, Any]:
    weight = {"where": SOURCE["where"], "trust": trust, "why": "seen"}
    told = {"verdict": kind, "claim": claim, "confidence": confidence, "why": f"it is {kind}"}
    return {**told, "sources": [weight]}


def research(**changes: Any) -> dict[str, Any]:
    """Agents of a whole piece of research: one line, one finding, confirmed, no gaps."""
    return {
        "You plan": {"lines": [{"question": "How high?", "why": "the number"}]},
        "You look": found("2 m"),
        "Another agent claims": verdict("confirmed", "2 m"),
        "A piece of research": {"lines": []},
        "Answer a question": {
            "answer": "2 m [1]", "confidence": 0.95, "rests_on": [1], "limits": ["one port"],
        },
    } | changes  # fmt: skip


def test_research_keeps_what_was_checked_and_tells_what_was_not(place) -> None:
    claims = ["holds", "nearly", "wrong", "untold", "unchecked", "bad source"]

    def check(prompt: str) -> Any:
        claim = next(one for one in claims if f'"claim": "{one}"' in prompt)
        return {
            "holds": verdict("confirmed", "another wording", confidence=0.9),
            "nearly": verdict("corrected", "mended", trust="medium", confidence=0.9),
            "wrong": verdict("refuted", "wrong"),
            "untold": verdict("unclear", "untold"),
            "unchecked": Outcome(cause="error", message="no answer came"),
            "bad source": verdict("confirmed", "bad source", trust="none"),
        }[claim]

    told = research(**{"You look": found(*claims), "Another agent claims": check})
    told["Answer a question"] = {**told["Answer a question"], "rests_on": [2], "confidence": 1.0}
    made = place(answers(told))
    got = paseo.catalog.deep_research.at(lambda: made)(
        "How high are tides?", agent="a/b", judge="c/d"
    )
    assert [(one.claim, one.confidence, one.used) for one in got.findings] == [
        ("holds", 0.9, False),
        ("mended", 0.8, True),
    ]
    assert got.findings[0].sources[0].trust == "high"
    assert got.confidence == 0.8, "never above what it rests on"
    assert {one.before: one.after for one in got.adjustments} == {
        "nearly": "mended", "wrong": None, "untold": None, "unchecked": None, "bad source": None,
    }  # fmt: skip
    assert "no answer came" in next(o.why for o in got.adjustments if o.before == "unchecked")
    report = prompts(made)[-1]
    assert "mended" in report
    assert "nearly" not in report
    assert "unchecked" not in report, (
        "the report is written from what was checked, and nothing else"
    )
    agents = {wanted.call.prompt[:8]: wanted.call.agent for wanted in made.started}
    assert agents["You look"] == "a/b"
    assert agents["Another "] == "c/d"
    assert "[1]" not in got.answer or got._repr_markdown_().count("(high)") == 1


def test_research_of_nothing_says_so_and_writes_nothing(place) -> None:
    made = place(answers(research(**{"Another agent claims": verdict("refuted", "2 m")})))
    got = paseo.catalog.deep_research.at(lambda: made)("How high?")
    assert (got.answer, got.confidence, got.findings) == (NOTHING, 0.0, [])
    assert not [one for one in prompts(made) if one.startswith("Answer")]


def test_research_looks_for_gaps_and_cuts_nothing_in_silence(place) -> None:
    lines = [{"question": f"q{n}", "why": "w"} for n in range(4)]

    def search(prompt: str) -> Any:
        bad = "\nq1\n" in prompt
        return (
            Outcome(cause="error", message="net is down") if bad else found("more: " + prompt[:90])
        )

    told = research(**{"You plan": {"lines": lines}, "You look": search})
    told["A piece of research"] = {"lines": [{"question": "q9", "why": "gap"}]}
    made = place(answers(told))
    got = paseo.catalog.deep_research.at(lambda: made)("How?", lines=3, rounds=3, where="both")
    searches = [one for one in prompts(made) if one.startswith("You look")]
    assert len(searches) == 3 + 1 + 1
    assert "Left out: q3" in got.limits
    assert "Not searched: q1 (net is down)" in got.limits
    call = next(one.call for one in made.started if one.call.prompt.startswith("You look"))
    assert call.allow == ["fetch"]
    assert "edit" in call.deny
    assert not call.writes


def test_research_goes_on_and_its_result_is_typed_for_whoever_follows(place, home) -> None:
    told = research(**{"Answer a question": Outcome(cause="error", message="gone")})
    with pytest.raises(WorkflowError, match="no report was written: gone"):
        paseo.catalog.deep_research.at(lambda: place(answers(told)))("How high?")
    made = place(answers(research()))
    run = paseo.catalog.deep_research.at(lambda: made).start("How high?")
    assert run.wait().answer == "2 m [1]"
    assert [one[:6] for one in prompts(made)] == ["Answer"]
    with pytest.raises(UsageProblem, match="web, both"):
        paseo.catalog.deep_research.at(lambda: made)("How high?", where="moon")
    go = home.parent / "go"

    async def slowly(wanted: Any) -> Outcome:
        while not go.exists():
            await asyncio.sleep(0.01)
        return answers(research())(wanted)

    first = paseo.catalog.deep_research.at(lambda: place(slowly)).start("How low?")
    second = paseo.catalog.deep_research.at(lambda: place(slowly)).start("How low?")
    go.touch()
    assert second.follows
    assert isinstance(second.wait(), Research)
    assert second.wait() == first.wait()


def raised(title: str, severity: str = "major", line: int = 3) -> dict[str, Any]:
    return {
        "title": title, "file": "a.py", "line": line, "severity": severity, "what": "w", "fix": "f",
    }  # fmt: skip


def test_a_review_keeps_what_nobody_could_refute(place) -> None:
    def find(prompt: str) -> Any:
        if "only: security" in prompt:
            return Outcome(cause="error", message="it broke")
        shared = [raised("Real"), raised("False alarm")]
        return {"findings": [*shared, raised("Untold")] if "only: tests" in prompt else shared}

    votes = iter([True, False, True] * 50)

    def check(prompt: str) -> Any:
        if "Untold" in prompt:
            return Outcome(cause="error", message="no vote")
        real = "Real" in prompt and next(votes)
        return {"real": real, "severity": "minor" if real else "major", "why": "seen"}

    told = {"Review the": find, "A reviewer": check, "Sum up": {"summary": "Mend a.py:3."}}
    made = place(answers(told))
    got = paseo.catalog.multi_review.at(lambda: made)(
        "the parser", dimensions=["correctness", "security", "tests"], votes=3
    )
    assert [(one.title, one.dimensions, one.severity) for one in got.findings] == [
        ("Real", ["correctness", "tests"], "minor")
    ]
    assert (got.findings[0].votes_for, got.findings[0].votes) == (2, 3)
    assert [one.title for one in got.dismissed] == ["False alarm"] * 2
    assert [one.title for one in got.unverified] == ["Untold"]
    assert got.unseen == ["security: it broke"]
    assert not got.approved, "what was not seen is not approved"
    assert "Mend a.py:3." in got._repr_markdown_()
    assert sum(one.startswith("A reviewer") for one in prompts(made)) == 5 * 3


def test_a_review_that_finds_nothing_approves(place) -> None:
    made = place(answers({"Review the": {"findings": []}}))
    got = paseo.catalog.multi_review.at(lambda: made)("the change", "--- a\n+++ b\n+x = 1")
    assert got.approved
    assert len(prompts(made)) == 5
    assert all("+x = 1" in one for one in prompts(made))


def test_what_a_command_said_stays_when_it_goes_on(place, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    work.mkdir()

    def mend(prompt: str) -> Outcome:
        (work / "good").touch()
        return Outcome(text="mended", path=str(work), commit="c" * 40, tree="d" * 40)

    command = f"echo x >> {tmp_path}/count; date +%N; test -f good"
    told = {"This command fails": mend, "This command failed": Outcome(cause="error", message="no")}
    with pytest.raises(WorkflowError, match="nobody judged the change: no"):
        paseo.catalog.fix_until_green.at(lambda: place(answers(told)))(command)
    honest = {"honest": True, "why": "mended"}
    made = place(answers({**told, "This command failed": honest}))
    green = paseo.catalog.fix_until_green.at(lambda: made)(command)
    assert [(one.said, one.honest) for one in green.rounds] == [("mended", True)]
    assert [one[:19] for one in prompts(made)] == ["This command failed"], "nothing is done again"
    assert (tmp_path / "count").read_text() == "x\nx\n"


def test_they_are_found_by_name_and_a_project_puts_its_own_in_their_place(
    place, home, monkeypatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent / "config"))
    known = paseo.workflows().set_index("name")
    ours = known[known["source"] == "built-in"]
    assert list(ours.index) == ["deep-research", "fix-until-green", "multi-review"]
    assert ours["trusted"].all()
    assert paseo.workflow_of("deep-research") is paseo.catalog.deep_research
    assert paseo.workflow_of("multi_review") is paseo.catalog.multi_review
    own = home.parent / "paseo_prompts"
    own.mkdir()
    (own / "review_find.md").write_text("Review the {{dimension}} our way")
    made = place(answers({"Review the": {"findings": []}}))

    @paseo.workflow
    async def nested():
        return (await paseo.run_workflow("multi-review", "x", dimensions=["tests"])).approved

    assert nested.at(lambda: made)()
    assert prompts(made) == ["Review the tests our way"]
    (home.parent / "paseo_workflows").mkdir()
    mine = home.parent / "paseo_workflows" / "multi-review.js"
    mine.write_text("export const meta = { name: 'm', description: 'ours' }\nreturn 1")
    assert paseo.workflows().set_index("name")["source"]["multi-review"] == "project"


# ---------------------------------------------------------------- on real runs


@pytest.fixture
def minds(tmp_path: Path, repo: Path) -> Minds:
    return Minds(tmp_path)


SEARCHER = """
def searcher(prompt, turn, folder):
    source = {"where": "README.md:1", "title": "Readme", "kind": "primary"}
    if prompt.startswith("You plan"):
        return json.dumps({"lines": [{"question": q, "why": "w"} for q in ("one",)]})
    if prompt.startswith("You look"):
        line = "one" if "# The line\\none" in prompt else "two"
        made = [{"claim": f"{line} {n}", "evidence": "e", "sources": [source]} for n in (1, 2)]
        return json.dumps({"findings": made, "missing": ""})
    if prompt.startswith("A piece"):
        return json.dumps({"lines": []})
    return json.dumps({"answer": "So it is [1].", "confidence": 0.7, "rests_on": [1], "limits": []})

def checker(prompt, turn, folder):
    claim = re.search(r'"claim": "(.*?)"', prompt)[1]
    kind = "refuted" if claim == "one 2" else "confirmed"
    weight = {"where": "README.md:1", "trust": "high", "why": "read"}
    return json.dumps({"verdict": kind, "claim": claim, "sources": [weight], "confidence": 0.8,
                       "why": "looked"})
"""


def test_research_on_agents(repo: Path, minds: Minds) -> None:
    minds.has(SEARCHER)
    call = paseo.catalog.deep_research.start(
        "What is it?", agent="searcher", judge="checker", where="files", rounds=1
    )
    got = call.wait()
    assert got.answer == "So it is [1]."
    assert sorted(one.claim for one in got.findings) == ["one 1"]
    assert [one.before for one in got.adjustments] == ["one 2"]
    assert len(minds.asked("searcher")) == 1 + 1 + 1
    assert len(minds.asked("checker")) == 2
    assert set(call.steps()["state"]) == {"done"}


REVIEWER = """
def reviewer(prompt, turn, folder):
    if prompt.startswith("Sum up"):
        return json.dumps({"summary": "Mend it."})
    title = prompt.partition("only: ")[2].partition(".")[0]
    return json.dumps({"findings": [{"title": title, "file": "a.py", "line": 1, "severity": "major",
                                     "what": "w", "fix": "f"}]})

def refuter(prompt, turn, folder):
    return json.dumps({"real": '"title": "security"' in prompt, "severity": "major", "why": "w"})
"""


def test_a_review_on_agents(repo: Path, minds: Minds) -> None:
    minds.has(REVIEWER)
    got = paseo.catalog.multi_review(
        "the project", dimensions=["security", "tests"], agent="reviewer", judge="refuter"
    )
    assert [one.title for one in got.findings] == ["security"]
    assert [one.title for one in got.dismissed] == ["tests"]
    assert (got.approved, got.summary) == (False, "Mend it.")


MENDER = """
def mender(prompt, turn, folder):
    number = len((folder / "tries").read_text()) if (folder / "tries").exists() else 0
    (folder / "tries").write_text("x" * (number + 1))
    if "not in the way it should" in prompt:
        (folder / "app.py").write_text("good")
    elif number:
        (folder / "check.sh").write_text("exit 0")
    return f"attempt {number + 1}"

def honest(prompt, turn, folder):
    return json.dumps({"honest": "check.sh" not in prompt or "+good" in prompt, "why": "the check is gone"})
"""


def test_green_is_reached_by_mending_and_not_by_bending(repo: Path, minds: Minds) -> None:
    minds.has(MENDER)
    (repo / "app.py").write_text("bad")
    (repo / "check.sh").write_text("echo $(cat app.py) is wrong; grep -q good app.py")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "a check")
    green = paseo.catalog.fix_until_green("sh check.sh", agent="mender", judge="honest")
    assert green
    assert [(one.said, one.passed, one.honest) for one in green.rounds] == [
        ("attempt 1", False, None),
        ("attempt 2", True, False),
        ("attempt 3", True, True),
    ]
    first, second, third = minds.asked("mender")
    assert "bad is wrong" in first
    assert "bad is wrong" in second
    assert "the check is gone" in third
    assert "+good" in green.patch
    assert (repo / "app.py").read_text() == "bad", "the folder itself is untouched"
    assert not [*(repo / ".paseo_nb" / "worktrees").rglob(".git")]
    same = paseo.catalog.fix_until_green("sh check.sh", agent="mender", judge="honest", rounds=4)
    assert same.rounds == green.rounds, "the command ran again where the attempts were"
    assert len(minds.asked("mender")) == 3
    assert green.commit is not None
    git(repo, "merge", "-q", "--no-edit", green.commit)
    assert (repo / "app.py").read_text() == "good"
    again = paseo.catalog.fix_until_green.start("true")
    assert again.wait().rounds == []
    assert len(again.steps()) == 0
