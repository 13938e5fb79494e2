"""Installing: the pinned version or nothing, also without a network, without Node, and two at once.

npm and pip are the real ones; where a test needs another npm, it is a program that behaves as one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paseo_nb import installing
from paseo_nb.drivers import registry
from paseo_nb.errors import InstallProblem, UsageProblem
from paseo_nb.installing import bin_folder, command_path, install
from paseo_nb.pinned import AGENTS, version_in

GEMINI = AGENTS["gemini"].version
# An npm that installs a gemini of the version in $TOLD after $SLOW seconds.
NPM = """#!/bin/sh
echo run >> "$LOG"
while [ "$1" != --prefix ]; do shift; done
sleep "${SLOW:-0}"
package="$2/node_modules/@google/gemini-cli"
mkdir -p "$package" "$2/node_modules/.bin"
printf '{"version": "%s"}' "${TOLD}" > "$package/package.json"
printf '#!/bin/sh\\necho %s\\n' "${TOLD}" > "$package/gemini"
chmod +x "$package/gemini"
ln -s ../@google/gemini-cli/gemini "$2/node_modules/.bin/gemini"
"""


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with that npm and a node that is new enough; the npm's log."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, text in (("npm", NPM), ("node", "#!/bin/sh\necho v24.0.0\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("TOLD", GEMINI)
    monkeypatch.setenv("LOG", str(tmp_path / "npm.log"))
    return tmp_path / "npm.log"


def left(place: Path) -> list[str]:
    return sorted(name for name in os.listdir(place) if name != "lock")


def test_it_is_there_once_and_found_by_the_registry(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    told: list[str] = []
    first = install("gemini", say=told.append)
    again = install("gemini")
    assert (first.done, again.done, first.path == again.path) == (True, False, True)
    assert npm.read_text().count("run") == 1
    assert told[0].startswith(f"gemini {GEMINI}: fetching")
    found = registry.resolve("gemini", tmp_path)
    assert found.command[0] == str(bin_folder() / "gemini")
    assert str(bin_folder()) in found.env["PATH"].split(os.pathsep)
    (tmp_path / "programs" / "gemini").write_text("#!/bin/sh\n")
    (tmp_path / "programs" / "gemini").chmod(0o755)
    preferred = registry.resolve("gemini", tmp_path)
    assert preferred.command[0] == str(tmp_path / "programs" / "gemini"), "PATH goes before it"


def test_two_at_once_install_once(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "1")
    told: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: install("gemini", tmp_path / "p", told.append), range(2)))
    assert sorted(one.done for one in made) == [False, True]
    assert npm.read_text().count("run") == 1
    assert "waiting for another installation" in told


def test_another_version_than_the_pinned_one_is_refused(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """npm takes an older release where `engines` do not fit, without a word."""
    monkeypatch.setenv("TOLD", "0.60.0")
    with pytest.raises(InstallProblem, match=f"should be {GEMINI}, npm gave 0.60.0"):
        install("gemini", tmp_path / "p")
    assert left(tmp_path / "p") == []


def test_a_stopped_installation_leaves_nothing(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOW", "54321")
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    before = time.monotonic()
    with pytest.raises(InstallProblem, match="stopped"):
        install("gemini", tmp_path / "p", stop=stop)
    assert time.monotonic() - before < 30
    assert left(tmp_path / "p") == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 54321" not in running


def test_what_a_killed_installation_left_is_cleared(npm: Path, tmp_path: Path) -> None:
    part = tmp_path / "p" / ".gemini.part"
    part.mkdir(parents=True)
    (part / "half").write_text("x")
    half = command_path("gemini", tmp_path / "p").parents[2]
    half.mkdir()  # a folder without its command is none
    install("gemini", tmp_path / "p")
    assert left(tmp_path / "p") == ["bin", f"gemini-{GEMINI}"]


def test_no_network_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    with pytest.raises(InstallProblem, match="registry could not be reached") as raised:
        install("gemini", tmp_path / "p")
    assert "npm config get registry" in str(raised.value)
    assert left(tmp_path / "p") == []


def test_without_node_and_without_a_network_pip_is_asked_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    for name in ("claude", "pi"):
        with pytest.raises(InstallProblem, match="registry could not be reached"):
            install(name, tmp_path / "p")
    assert left(tmp_path / "p") == []


def test_names_are_checked() -> None:
    with pytest.raises(UsageProblem, match=r"name what to install: claude \(361 MB\)"):
        installing.check_names([])
    with pytest.raises(UsageProblem, match="cannot install 'gimini'"):
        installing.check_names(["gimini"])


def test_the_terminal_says_so() -> None:
    command = [sys.executable, "-m", "paseo_nb.cli", "install", "gimini"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "there are: claude" in done.stderr


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("2.1.329 (Claude Code)", "2.1.329"),
        ("codex-cli 0.169.0", "0.169.0"),
        ("GitHub Copilot CLI 1.0.102.\nRun 'copilot update'", "1.0.102"),
        ("1.0.0-rc.1", "1.0.0-rc.1"),
        ("no number", None),
    ],
)
def test_the_version_in_what_a_cli_prints(said: str, version: str | None) -> None:
    assert version_in(said) == version
