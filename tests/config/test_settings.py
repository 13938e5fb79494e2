"""Settings: who wins, what a wrong one says, and the page that documents them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paseo_nb import config
from paseo_nb.errors import UsageProblem

REPOSITORY = Path(__file__).parents[2]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_hold_where_nothing_is_written(project: Path) -> None:
    held = config.settings(project)
    assert held == config.Settings()
    assert (held.permission_timeout, held.silence, held.idle, held.start_timeout) == (
        300.0,
        900.0,
        300.0,
        120.0,
    )
    assert (held.agent, held.mode, held.timeout, held.budget) == (None, None, None, None)
    assert (held.reuse, held.replay) == (False, False)


def test_environment_over_project_over_user(
    project: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(user / "config.toml", 'agent = "demo/reader"\nidle = 10\nbudget = 2.5\ntimeout = 7')
    write(project / "paseo_nb.toml", 'agent = "demo/writer"\nidle = 20\nmode = "read"')
    monkeypatch.setenv("PASEO_NB_IDLE", "30.5")
    monkeypatch.setenv("PASEO_NB_REUSE", "1")
    monkeypatch.setenv("PASEO_NB_BUDGET", "")  # empty: as if it were not set
    held = config.settings(project)
    assert (held.agent, held.idle, held.budget, held.mode) == ("demo/writer", 30.5, 2.5, "read")
    assert (held.timeout, held.reuse) == (7.0, True)


def test_none_takes_a_limit_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "paseo_nb.toml", 'silence = "none"\ntimeout = 60')
    monkeypatch.setenv("PASEO_NB_TIMEOUT", "none")
    held = config.settings(project)
    assert (held.silence, held.timeout) == (None, None)


def test_profiles_of_user_and_project_are_joined(project: Path, user: Path) -> None:
    write(user / "config.toml", '[profiles.a]\nagent = "demo/reader"\n[profiles.b]\nagent = "x/y"')
    write(project / "paseo_nb.toml", '[profiles.b]\nagent = "demo"\nmode = "ask"\neffort = "high"')
    profiles = config.settings(project).profiles
    assert profiles["a"] == config.Profile("demo/reader")
    assert profiles["b"] == config.Profile("demo", "ask", "high")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("permision_timeout = 3", "unknown setting 'permision_timeout'. Did you mean permission_t"),
        ('mode = "edti"', "must be one of ask, edit, auto, read or \"none\". Did you mean 'edit'?"),
        ('idle = "long"', "idle = 'long' must be a number of at least 0"),
        ("idle = true", "idle = True must be a number"),
        ("silence = -1", 'must be a number above 0 or "none"'),
        ("budget = inf", "budget = inf must be a number above 0"),
        ("reuse = 1", "reuse = 1 must be true or false"),
        ("agent = 3", "agent = 3 must be text"),
        ('profiles = "x"', "profiles must be tables, [profiles.NAME]"),
        ("[profiles.p]\nmode = 'ask'", "[profiles.p] needs agent"),
        ("[profiles.p]\nagnet = 'demo'", "unknown key of [profiles.p] 'agnet'. Did you mean agent"),
        ("agent = ", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_says_where_and_what(project: Path, text: str, says: str) -> None:
    file = write(project / "paseo_nb.toml", text)
    with pytest.raises(UsageProblem) as raised:
        config.settings(project)
    assert says in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_wrong_variable_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASEO_NB_START_TIMEOUT", "soon")
    with pytest.raises(UsageProblem, match="PASEO_NB_START_TIMEOUT = 'soon' must be a number"):
        config.settings(project)


def test_a_misspelt_variable_is_found_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASEO_NB_SILENSE", "3")
    assert "PASEO_NB_SILENCE" in config.unknown_variables()["PASEO_NB_SILENSE"]


def test_latin1_file_is_no_traceback(project: Path) -> None:
    (project / "paseo_nb.toml").write_bytes(b'agent = "caf\xe9"')
    with pytest.raises(UsageProblem, match="not valid TOML"):
        config.settings(project)


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "paseo_nb.config"], cwd=REPOSITORY, capture_output=True, check=True
    )
    page = (REPOSITORY / "docs" / "settings.md").read_bytes()
    assert done.stdout == page, "run: python -m paseo_nb.config > docs/settings.md"
