"""Skills are put where agents look, and exactly those are taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

import paseo_nb as paseo
from paseo_nb import cli
from paseo_nb.errors import UsageProblem


def test_installed_and_uninstalled_exactly(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = Path.home()
    mine = home / ".claude" / "skills" / "paseo-loop" / "SKILL.md"
    mine.parent.mkdir(parents=True)
    mine.write_text("my own")
    assert cli.run(["skills", "install", "--for", "claude,codex"]) == 0
    capfd.readouterr()
    for place in (".claude", ".agents"):
        text = (home / place / "skills" / "paseo" / "SKILL.md").read_text()
        assert text.startswith("---\nname: paseo\ndescription: ")
    assert mine.read_text() == "my own"
    told = paseo.skills("install", for_=["claude"])
    assert set(told[told["skill"] == "paseo-loop"]["done"]) == {
        "left: another file stands there, or you changed it"
    }
    changed = home / ".claude" / "skills" / "paseo-epic" / "SKILL.md"
    changed.write_text(changed.read_text() + "\nand mine")
    gone = paseo.skills("uninstall", for_=["claude"])
    assert sorted(gone["done"]).count("removed") == 4
    assert changed.exists()
    assert mine.exists()
    assert not (home / ".claude" / "skills" / "paseo").exists()
    assert (home / ".agents" / "skills" / "paseo" / "SKILL.md").exists(), "codex keeps its own"
    assert set(paseo.skills("uninstall", for_=["pi"])["done"]) == {"removed"}
    assert not (home / ".agents" / "skills").exists()
    assert set(paseo.skills()["done"]) == {"not installed", "another's"}


def test_a_folder_that_was_there_stays(repo: Path) -> None:
    place = Path.home() / ".agents" / "skills"
    place.mkdir(parents=True)
    paseo.skills("install", for_="codex,pi")
    assert set(paseo.skills("uninstall", for_="codex")["done"]) == {"removed"}
    assert list(place.iterdir()) == []


def test_every_skill_is_valid(repo: Path) -> None:
    paseo.skills("install", for_=["codex"])
    for path in (Path.home() / ".agents" / "skills").glob("*/SKILL.md"):
        head = path.read_text().split("---\n")[1]
        facts = dict(line.split(": ", 1) for line in head.strip().splitlines())
        assert facts["name"] == path.parent.name
        assert 20 < len(facts["description"]) <= 1024


def test_bad_input(repo: Path) -> None:
    with pytest.raises(UsageProblem, match="there are claude"):
        paseo.skills("install", for_=["cluade"])
    with pytest.raises(UsageProblem, match="use install"):
        paseo.skills("instal")
