"""The doctor finds what keeps runs from working, and says what to do about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paseo_nb import config, trusting
from paseo_nb.checks import Check, Checks, as_text
from paseo_nb.drivers import demo, registry
from paseo_nb.errors import UsageProblem
from paseo_nb.examination import diagnose, file_system_of, surrounding_service
from paseo_nb.examining_agents import look
from paseo_nb.pinned import AGENTS
from paseo_nb.store import attach


def named(checks: list[Check], name: str) -> Check:
    found = [check for check in checks if check.name == name]
    assert found, f"no check {name!r} in\n{as_text(checks)}"
    return found[-1]


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_a_healthy_machine(project: Path, tools: Path) -> None:
    checks = diagnose(project)
    assert [check.name for check in checks if check.ok is False] == []
    for name in ("Python", "packages", "ipykernel", "git", "lock", "sockets", "store"):
        assert named(checks, name).ok is True, name
    assert named(checks, "home").detail == f"{project / '.paseo_nb'} (not made yet)"
    assert named(checks, "agent demo").ok is True
    assert os.listdir(project) == []  # it left nothing behind
    shown = checks._repr_mimebundle_()
    assert shown["text/plain"] == repr(checks) == as_text(checks)
    assert shown["text/html"].count("<tr>") == len(checks)
    hostile = Checks([Check("<b>", False, "<script>", "<i>")])._repr_mimebundle_()["text/html"]
    assert not any(tag in hostile for tag in ("<b>", "<script>", "<i>"))


def test_agents_tell_their_versions_in_time(project: Path, tools: Path) -> None:
    program(tools, "opencode", "printf '1.18.33 \\033[31mred\\n more\\n'")
    program(tools, "gemini", "sleep 60")
    before = time.monotonic()
    checks = diagnose(project)
    assert time.monotonic() - before < 12
    told = f"1.18.33 [31mred ({tools / 'opencode'}); tested; no key, not signed in"
    assert named(checks, "agent opencode").detail.startswith(told)
    assert named(checks, "agent opencode").fix == "sign in: opencode auth login"
    slow = named(checks, "agent gemini")
    assert slow.ok is None
    assert "in 5 s" in slow.detail
    assert "--version" in slow.fix


def test_a_missing_agent_is_a_note_with_how_to_install_it(project: Path, tools: Path) -> None:
    check = named(diagnose(project), "agent opencode")
    assert (check.ok, check.detail) == (None, "not installed")
    assert check.fix == "paseo-nb install opencode"


def test_an_untested_version_is_a_note_with_the_tested_one(project: Path, tools: Path) -> None:
    program(tools, "gemini", "echo 0.60.9")
    check = named(diagnose(project), "agent gemini")
    assert check.ok is None
    assert "not the tested version" in check.detail
    assert "paseo-nb install gemini" in check.fix
    assert AGENTS["gemini"].version in check.fix


def test_pi_needs_both_of_its_programs(project: Path, tools: Path) -> None:
    program(tools, "pi-acp", "exit 1")
    assert named(diagnose(project), "agent pi").detail == "not installed"
    program(tools, "pi", "echo 0.87.1")
    assert named(diagnose(project), "agent pi").detail.startswith("0.87.1")


def test_a_key_or_the_agents_own_sign_in_lets_it_work(
    project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tools, "gemini", f"echo {AGENTS['gemini'].version}")
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    assert "set GEMINI_API_KEY" in named(diagnose(project), "agent gemini").fix
    file = Path.home() / ".gemini" / "oauth_creds.json"
    file.parent.mkdir()
    file.write_text('{"access_token": "x"}')
    check = named(diagnose(project), "agent gemini")
    assert (check.ok, check.fix) == (True, "")
    assert "signed in: ~/.gemini/oauth_creds.json" in check.detail
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert "signed in: GEMINI_API_KEY" in named(diagnose(project), "agent gemini").detail


def test_an_agent_that_has_no_key_variable_is_told_to_sign_in(
    project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODEX_HOME", raising=False)
    program(tools, "codex", f"echo {AGENTS['codex'].version}")
    check = named(diagnose(project), "agent codex")
    assert (check.ok, check.fix) == (None, "sign in: codex login")
    assert "not signed in" in check.detail
    program(tools, "codex", "echo 0.1.0")
    assert named(diagnose(project), "agent codex").fix.startswith("sign in: codex login; ")


@pytest.mark.parametrize(
    ("text", "signed_in"),
    [
        ('model = "x"\n model_provider = "mine"\n', True),
        ('# model_provider = "mine"\n', False),
        ('model_provider = "openai"\n', False),
        ('[model_providers.mine]\nname = "mine"\n', False),
    ],
)
def test_codex_with_an_endpoint_of_ones_own(
    project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch, text: str, signed_in: bool
) -> None:
    monkeypatch.delenv("CODEX_HOME", raising=False)
    program(tools, "codex", f"echo {AGENTS['codex'].version}")
    (Path.home() / ".codex").mkdir()
    (Path.home() / ".codex" / "config.toml").write_text(text)
    detail = named(diagnose(project), "agent codex").detail
    assert ("signed in: ~/.codex/config.toml" in detail) is signed_in


@pytest.mark.parametrize(
    ("agent", "variable", "file", "text", "sessions"),
    [
        ("codex", "CODEX_HOME", "auth.json", '{"access_token": "x"}', "sessions"),
        ("claude", "CLAUDE_CONFIG_DIR", ".credentials.json", '{"accessToken": "x"}', "projects"),
        ("copilot", "COPILOT_HOME", "config.json", '{"login": "x"}', "session-state"),
        ("gemini", "GEMINI_CLI_HOME", ".gemini/oauth_creds.json", '{"token": 1}', ".gemini/tmp"),
        ("opencode", "XDG_DATA_HOME", "opencode/auth.json", '{"type": "api"}', "opencode"),
    ],
)
def test_an_agent_whose_files_lie_elsewhere(
    project: Path,
    tools: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    agent: str,
    variable: str,
    file: str,
    text: str,
    sessions: str,
) -> None:
    program(tools, agent, f"echo {AGENTS[agent].version}")
    for provider in registry.built_in().values():
        for key in provider.keys:
            monkeypatch.delenv(key, raising=False)
    monkeypatch.delenv(variable, raising=False)
    there = tmp_path / "elsewhere" / file
    there.parent.mkdir(parents=True)
    there.write_text(text)
    (tmp_path / "elsewhere" / sessions).mkdir(parents=True, exist_ok=True)
    assert "not signed in" in named(diagnose(project), f"agent {agent}").detail
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    check = named(diagnose(project), f"agent {agent}")
    assert (check.ok, check.fix) == (True, "")
    assert f"signed in: {there}" in check.detail
    assert f"sessions: {tmp_path / 'elsewhere' / sessions}" in check.detail.split("; ")


def test_a_named_provider_is_asked_what_it_can(project: Path, tools: Path) -> None:
    (check,) = diagnose(project, ["demo"])
    assert check.ok is True
    registry.register_provider("mine", command=demo.command())
    (check,) = diagnose(project, ["mine"])
    assert "modes: default, acceptEdits, plan, auto" in check.detail
    ((_, facts),) = look(project, ["mine"])
    assert (facts.images, facts.returns, facts.effort) == (True, "resume", True)
    assert facts.models
    with pytest.raises(UsageProblem, match="no provider 'mien'"):
        look(project, ["mien"])


def test_an_agent_that_ends_at_once_cannot_be_asked(project: Path, tools: Path) -> None:
    program(tools, "dies", "exit 3")
    registry.register_provider("dies", command=["dies"])
    (check,) = diagnose(project, ["dies"])
    assert check.ok is False
    assert "it ended before it answered" in check.detail


def test_a_provider_of_ones_own_is_not_started(project: Path, user: Path, tools: Path) -> None:
    program(tools, "mine", f"touch '{project}/started'")
    user.mkdir(parents=True)
    (user / "config.toml").write_text(
        '[providers.mine]\ncommand = ["mine"]\nenv = { K = "${NOT_SET_ANYWHERE}" }'
        '\n[providers.fine]\ncommand = ["mine"]'
    )
    checks = diagnose(project)
    assert named(checks, "agent fine").detail == str(tools / "mine")
    assert named(checks, "agent mine").ok is False
    assert "NOT_SET_ANYWHERE" in named(checks, "agent mine").detail
    assert not (project / "started").exists()


def test_an_untrusted_project_file(project: Path, tools: Path) -> None:
    file = project / "paseo_nb.toml"
    file.write_text('[providers.x]\ncommand = ["x"]')
    check = named(diagnose(project), "settings")
    assert check.ok is None
    assert check.fix.endswith(f"paseo-nb trust {file}")
    assert named(diagnose(project), "agent x").ok is None
    trusting.trust(file)
    assert named(diagnose(project), "settings").ok is True


@pytest.mark.parametrize("text", ["idle = ", 'idle = "x"', 'mode = "auto"'])
def test_settings_that_stand_in_the_way(project: Path, tools: Path, text: str) -> None:
    (project / "paseo_nb.toml").write_text(text)
    checks = diagnose(project)
    assert named(checks, "settings").ok is False
    assert str(project / "paseo_nb.toml") in named(checks, "settings").detail


def test_a_misspelt_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASEO_NB_IDEL", "3")
    found = [check for check in diagnose(project) if "PASEO_NB_IDEL" in check.detail]
    assert "PASEO_NB_IDLE" in found[0].fix
    monkeypatch.setenv("PASEO_NB_HOME", "relative")
    assert named(diagnose(project), "home").ok is False


def test_without_git(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    assert named(diagnose(project), "git").ok is False
    program(tools, "git", "echo git version 2.17.1")
    assert "too old" in named(diagnose(project), "git").detail


def test_a_damaged_store(project: Path, tools: Path) -> None:
    home = config.home(project)
    home.mkdir()
    with attach.connection(home) as con, attach.attached(con, attach.database(home), write=True):
        con.execute("SELECT 1")
    assert named(diagnose(project), "store").ok is True
    attach.database(home).write_bytes(b"no database" * 10_000)
    check = named(diagnose(project), "store")
    assert check.ok is False
    assert "built again" in check.fix + check.detail


def test_a_runtime_folder_that_is_too_long(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert named(diagnose(project), "sockets").ok is False
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / f"paseo-{os.getuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    if len(str(folder)) <= 87:
        assert named(diagnose(project), "sockets").fix == f"chmod 700 {folder}"


# Root, too, may write only what modes allow it to, once this has been dropped and it has exec'd.
OBEY_MODES = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


def test_a_folder_that_cannot_be_written(project: Path) -> None:
    look = (
        "import sys; from pathlib import Path; from paseo_nb.examination import diagnose\n"
        "print([one.detail for one in diagnose(Path(sys.argv[1])) if one.ok is False])"
    )
    project.chmod(0o500)
    done = subprocess.run(
        [sys.executable, "-c", OBEY_MODES, look, project], capture_output=True, text=True
    )
    assert f"{project} cannot be written" in done.stdout, done.stderr


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/fast\\040disk tmpfs rw 0 0
drvfs /mnt/c 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/p", "ext4"),
        ("/home/me/project", "nfs4"),
        ("/homestead", "ext4"),
        ("/home/me/fast disk/p", "tmpfs"),
        ("/mnt/c/Users", "9p"),
    ],
)
def test_file_system_of_a_path(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/jupyter.service\n", "jupyter.service"),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/lab.service/sub", "lab.service"),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/run-7.scope\n", None),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        ("9:name=systemd:/\n0::/\n", None),
        ("0::/docker/0123\n", None),
    ],
)
def test_a_service_that_would_end_runs_with_it(cgroup: str, unit: str | None) -> None:
    assert surrounding_service(cgroup) == unit


def test_the_text_lines_up_and_keeps_every_fix(project: Path) -> None:
    text = as_text([Check("a", True, "fine"), Check("longer", False, "broken", "mend it")])
    assert text.splitlines() == [
        "ok    a       fine",
        "FAIL  longer  broken",
        "              -> mend it",
    ]


def test_the_terminal_shows_it(project: Path) -> None:
    command = [sys.executable, "-m", "paseo_nb.cli", "doctor"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert "agent demo" in done.stdout, done.stderr


def test_what_copilot_may_do_unasked_here_is_named(
    project: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("COPILOT_HOME", str(tmp_path / "own"))
    program(tools, "copilot", "echo 1.0.102")
    kept = tmp_path / "own" / "permissions-config.json"
    kept.parent.mkdir()
    for where, told in ((tmp_path / "elsewhere", False), (project, True)):
        kept.write_text(
            json.dumps({"locations": {str(where): {"tool_approvals": [{"kind": "write"}]}}})
        )
        detail = named(diagnose(project), "agent copilot").detail
        assert (str(kept) in detail) == told
