"""Workflows in files: the nearest wins, a project's counts only once it is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

import paseo_nb as paseo
from paseo_nb import cli
from paseo_nb.errors import NotTrusted, UsageProblem
from paseo_nb.workflow_commands import do

ONE = '''"""Says {what}.

More of it.
"""
import dataclasses
import paseo_nb as paseo

@dataclasses.dataclass
class Thing:
    name: str

@paseo.workflow
async def {name}(whom: str) -> str:
    return str(await paseo.agent(f"{what} {{Thing(whom).name}}"))
'''


@pytest.fixture
def project(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = tmp_path / "project"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "sub").mkdir()
    monkeypatch.chdir(root / "sub")
    return root


def put(folder: Path, name: str, what: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(ONE.format(name=name, what=what))
    return path


def test_the_nearest_wins_and_nothing_runs_untrusted(project: Path, tmp_path: Path, place) -> None:
    far = put(project / ".claude" / "workflows", "greet", "hello")
    put(tmp_path / "config" / "paseo_nb" / "workflows", "greet", "mine")
    put(tmp_path / "config" / "paseo_nb" / "workflows", "leave", "bye")
    known = paseo.workflows().set_index("name")
    files = known[known["source"] != "built-in"]
    assert files["source"].to_dict() == {"greet": "project", "leave": "user"}
    assert files["trusted"].to_dict() == {"greet": False, "leave": True}
    assert known["description"]["greet"] == "Says hello."
    with pytest.raises(NotTrusted, match="trust"):
        paseo.workflow_of("greet")
    paseo.trust(str(far))
    assert paseo.workflow_of("greet").at(place)("you") == "did hello you"
    far.write_text(far.read_text() + "\nimport os\n")
    with pytest.raises(NotTrusted):
        paseo.workflow_of("greet")
    near = put(project / "sub" / "paseo_workflows", "greet", "hi")
    paseo.trust(str(near))
    assert paseo.workflow_of("greet").at(place)("you") == "did hi you"
    assert paseo.workflow_of("leave").at(place)("you") == "did bye you"


def test_one_is_called_by_its_name_within_another(project: Path, place) -> None:
    paseo.trust(str(put(project / "paseo_workflows", "inner", "inner")))

    @paseo.workflow
    async def outer():
        return await paseo.run_workflow("inner", "tea")

    assert outer.at(place)() == "did inner tea"
    with pytest.raises(UsageProblem, match="there is: .*, inner, "):
        paseo.workflow_of("other")


def test_a_file_that_does_not_run_says_why(project: Path) -> None:
    broken = project / "paseo_workflows" / "broken.py"
    broken.parent.mkdir()
    for text, why in (
        ("1 / 0", "ZeroDivisionError"),
        ("def (", "SyntaxError"),
        ("import paseo_nb", "should define one workflow, named 'broken'; it defines none"),
    ):
        broken.write_text(text)
        paseo.trust(str(broken))
        with pytest.raises(UsageProblem, match=why):
            paseo.workflow_of("broken")


def test_by_command_a_script_takes_its_arguments_as_one_value(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = project / ".claude" / "workflows" / "told.js"
    script.parent.mkdir(parents=True)
    script.write_text("export const meta = { name: 'told', description: 'd' }\nreturn args.x + 1")
    paseo.trust(str(script))
    assert do(["run", "told", "x=1"], "paseo-nb workflow") == 2
    assert do(["run", "told", '{"args": {"x": 2}}'], "paseo-nb workflow") == 3
    for wrong, said in (
        ("--concurrency=0", "concurrency=0: 1 or"),
        ("--budget=-1", "budget=-1.0: 0"),
    ):
        with pytest.raises(UsageProblem, match=said):
            do(["run", "told", "x=1", wrong], "paseo-nb workflow")
    broken = put(project / "paseo_workflows", "broken", "x")
    broken.write_text(broken.read_text().replace("return", "raise PermissionError(5)  #"))
    paseo.trust(str(broken))
    assert cli.run(["workflow", "run", "broken", "whom=you"]) == 1
    said = capsys.readouterr().err
    assert "raise PermissionError(5)" in said
    assert "paseo-nb workflow resume broken" in said
    assert "engine/workflows.py" not in said, "what is not the user's code"
    with pytest.raises(UsageProblem, match="deep-research: missing .*question.*it takes"):
        do(["run", "deep-research"], "paseo-nb workflow")
    listed = do(["ls"], "paseo-nb workflow").set_index("name")["source"]
    assert listed[["told", "deep-research"]].tolist() == ["project", "built-in"]
