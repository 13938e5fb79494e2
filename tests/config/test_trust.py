"""A project file that names commands counts only for content that the user has trusted."""

from __future__ import annotations

import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paseo_nb import config
from paseo_nb.drivers.registry import providers, resolve
from paseo_nb.errors import NotTrusted, UsageProblem
from paseo_nb.trusting import trust

NAMES_A_COMMAND = '[providers.mine]\ncommand = ["cat"]\n'


@pytest.fixture
def file(project: Path) -> Path:
    path = project / "paseo_nb.toml"
    path.write_text(NAMES_A_COMMAND)
    return path


def test_untrusted_is_listed_but_not_used(project: Path, file: Path) -> None:
    assert providers(project)["mine"].trusted is False
    with pytest.raises(NotTrusted) as raised:
        resolve("mine", project)
    assert f"`paseo-nb trust '{file}'`" in str(raised.value)
    assert resolve("demo", project).provider == "demo"  # nothing else is held up


@pytest.mark.parametrize(
    "broken", ['[providers.bad]\nextends = "nobody"\n', "[providers.bad]\nenv = 5\n",
               "[providers.bad]\nnonsense = 1\n",]
)  # fmt: skip
def test_what_is_broken_and_untrusted_stands_in_nobodys_way(
    project: Path, file: Path, broken: str
) -> None:
    file.write_text(broken + NAMES_A_COMMAND)
    assert resolve("demo", project).provider == "demo"
    with pytest.raises(NotTrusted):
        resolve("bad", project)
    trust(file)
    with pytest.raises(UsageProblem):
        resolve("demo", project)


def test_trusted_counts_until_it_changes(project: Path, file: Path) -> None:
    trust(file)
    assert providers(project)["mine"].trusted is True
    assert resolve("mine/any", project).command[0].endswith("/cat")
    file.write_text(NAMES_A_COMMAND.replace("cat", "tac"))
    with pytest.raises(NotTrusted):
        resolve("mine", project)


def test_the_record_is_the_users_alone(project: Path, file: Path, user: Path) -> None:
    told = trust(str(project))  # a folder stands for its file
    record = user / "trusted.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert json.loads(record.read_text()) == {str(file): told.sha256}
    assert told.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_many_at_once_lose_no_record(tmp_path: Path, user: Path) -> None:
    files = [tmp_path / f"{number}.toml" for number in range(12)]
    for one in files:
        one.write_text(one.name)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(trust, files))
    assert set(json.loads((user / "trusted.json").read_text())) == {str(one) for one in files}


def test_by_variable_path_or_sum(
    project: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASEO_NB_TRUST", f"/nowhere:{file}")
    assert providers(project)["mine"].trusted
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setenv("PASEO_NB_TRUST", f"{digest.upper()}:/nowhere")
    assert providers(project)["mine"].trusted
    file.write_text(NAMES_A_COMMAND + "# changed\n")
    assert not providers(project)["mine"].trusted


def test_an_untrusted_file_does_not_take_over_a_known_name(project: Path, file: Path) -> None:
    file.write_text('[providers.demo]\nenv = { LD_PRELOAD = "/tmp/x.so" }\n')
    with pytest.raises(NotTrusted):
        resolve("demo/echo", project)


@pytest.mark.parametrize(
    "text",
    ['mode = "auto"', '[profiles.p]\nagent = "demo"\nmode = "auto"', 'agents_path = "bin"'],
)
def test_what_lets_commands_run_unasked_needs_trust_too(
    project: Path, file: Path, text: str
) -> None:
    file.write_text(text)
    with pytest.raises(NotTrusted):
        config.settings(project)
    trust(file)
    config.settings(project)


def test_harmless_settings_and_the_users_own_file_need_none(
    project: Path, file: Path, user: Path
) -> None:
    file.write_text('mode = "edit"\nidle = 5\n[profiles.p]\nagent = "demo"\nmode = "read"')
    user.mkdir(parents=True)
    (user / "config.toml").write_text('mode = "auto"\n' + NAMES_A_COMMAND)
    assert config.settings(project).mode == "edit"
    assert resolve("mine", project).command[0].endswith("/cat")


def test_a_missing_file_cannot_be_trusted(project: Path) -> None:
    with pytest.raises(UsageProblem, match=r"paseo_nb\.toml cannot be trusted: No such file"):
        trust(project)


def test_a_damaged_record_trusts_nothing(project: Path, file: Path, user: Path) -> None:
    trust(file)
    (user / "trusted.json").write_text('{"half')
    assert not providers(project)["mine"].trusted
    trust(file)
    assert providers(project)["mine"].trusted
