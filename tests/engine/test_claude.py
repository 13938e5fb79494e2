"""Scripts in Claude Code's format: every row of the page is played, and the page is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import git
from minds import Minds

import paseo_nb as paseo
from engine.claude import ROWS, Row, page
from engine.scripts import META, Lab, children, put
from paseo_nb.errors import WorkflowError

PAGE = Path(__file__).parents[2] / "docs" / "claude-workflows.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.check.__name__)
def test_a_script_behaves_as_the_page_says(
    row: Row, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent / "config"))
    (home.parent / ".git").mkdir()
    (home.parent / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    row.check(Lab(home))
    assert children() == set()


MINDS = """
def counter(prompt, turn, folder):
    return json.dumps({"n": 5})

def writer(prompt, turn, folder):
    (folder / "told.txt").write_text(prompt)
    return "told"
"""
BODY = """
const { n } = await agent("12345", { agent: "counter", schema: {
  type: "object", properties: { n: { type: "integer" } }, required: ["n"] } })
const said = await parallel([1, 2].map((at) => () =>
  agent(`${args.what} ${n} ${at}`, { agent: "writer", isolation: "worktree" })))
if (args.fails) throw new Error("on purpose")
return { n, said }
"""


def test_a_script_on_agents_goes_on_with_what_they_did(repo: Path, tmp_path: Path) -> None:
    minds = Minds(tmp_path)
    minds.has(MINDS)
    path = put(repo / ".claude" / "workflows", "count.js", META + BODY)
    paseo.trust(str(path))
    with pytest.raises(WorkflowError, match=r"count.js:\d+:\d+: Error: on purpose"):
        paseo.workflow_of("count")({"what": "say", "fails": True})
    run = paseo.workflow_of("count").start({"what": "say"})
    assert run.wait() == {"n": 5, "said": ["told", "told"]}
    assert sorted(minds.asked("writer")) == ["say 5 1", "say 5 2"]
    assert set(run.steps()["state"]) == {"cached"}, "of the same script, whatever its arguments"
    assert git(repo, "status", "--porcelain").split() == ["??", ".claude/"]


def test_the_page_is_up_to_date() -> None:
    said = "run `python -m tests.engine.claude > docs/claude-workflows.md`"
    assert PAGE.read_text() == page(), said
