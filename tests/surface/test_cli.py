"""The terminal: what it prints, what it exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paseo_nb.options import parser_for
from paseo_nb.verbs import VERBS


def cli(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    more.setdefault("env", dict(os.environ))  # readline puts COLUMNS into the one below that
    return subprocess.run(
        [sys.executable, "-m", "paseo_nb.cli", *words],
        capture_output=True, text=True, timeout=120, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def test_run_streams_and_says_what_it_did(repo: Path) -> None:
    done = cli("run", "demo/fixer", "The tests fail. Fix the code.", "--worktree", "fix")
    assert done.returncode == 0, done.stderr
    assert "> The tests fail" in done.stdout
    assert "* edit Edit tidelog/offsets.py: completed" in done.stdout
    assert "13 tests pass" in done.stdout
    listed = cli("ls")
    assert "demo/fixer" in listed.stdout
    run_id = listed.stdout.splitlines()[1].split()[0]
    assert "+    millis = int(fraction.ljust" in cli("diff", run_id).stdout
    assert "13 tests pass" in cli("logs", run_id, "--tail", "2").stdout
    facts = json.loads(cli("inspect", run_id, "--json").stdout)
    assert facts["state"] == "idle"
    assert facts["branch"] == "fix"
    rows = json.loads(cli("sql", "select kind from tool_traces", "--json").stdout)
    assert {row["kind"] for row in rows} == {"read", "execute", "edit"}
    assert cli("stop", run_id).returncode == 0


CODES = [
    (["run", "demo/crash", "x"], 3, "exit code 3"),
    (["run", "demo/fixr", "x"], 2, "fixer"),
    (["run", "demo/echo", ""], 2, "prompt is empty"),
    (["run", "demo/asker", "x", "--on-permission", "raise"], 5, "asks for permission"),
    (["frobnicate"], 2, "no verb"),
    (["attach", "01ZZZ"], 2, "no run"),
    (["run"], 2, "PROMPT"),
    (["run", "demo/echo"], 2, "no agent named for the prompt 'demo/echo'"),
    (["run", "demo/echo", "x", "--budget", "lots"], 2, "budget"),
]


@pytest.mark.parametrize(("words", "code", "said"), CODES)
def test_exit_codes_tell_apart(repo: Path, words: list[str], code: int, said: str) -> None:
    done = cli(*words)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_configured_agent_may_be_left_out(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "PASEO_NB_AGENT" in cli("run", "just a prompt").stderr
    monkeypatch.setenv("PASEO_NB_AGENT", "demo/echo")
    assert "just a prompt" in cli("run", "--label", "x", "just a prompt").stdout
    named = cli("run", "demo/echo", "--label", "x", "a prompt", "--mode", "ask")
    assert (named.returncode, "a prompt" in named.stdout) == (0, True)


def test_errors_as_json(repo: Path) -> None:
    done = cli("run", "demo/refuse", "x", "--json")
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, error["code"]) == (3, "RunFailed")
    assert error["run_id"]


def test_timeouts_and_interrupts(repo: Path) -> None:
    run_id = json.loads(cli("start", "demo/slow", "seconds=60", "--json").stdout)["run_id"]
    assert cli("wait", run_id, "--timeout", "0.5s").returncode == 4
    pid = json.loads(cli("inspect", run_id, "--json").stdout)["processes"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert cli("wait", run_id).returncode == 6
    assert json.loads(cli("attach", run_id, "--json").stdout)["state"] == "interrupted"
    done = cli("resume", run_id, "Say it in a second. seconds=1", "--wait")
    assert done.returncode == 0, done.stderr


# A parallel test runner ignores SIGINT, and children inherit that.
HEARS_CTRL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from paseo_nb.cli import main; main(sys.argv[1:])"
)


def streams(process: subprocess.Popen[str]) -> None:
    """Wait until a command prints what the agent streams."""
    assert process.stdout is not None
    seen = b""
    while b" of " not in seen:
        data = os.read(process.stdout.fileno(), 4096)
        assert data, seen
        seen += data


def test_ctrl_c_cancels_a_run_but_only_leaves_attach(repo: Path) -> None:
    run_id = json.loads(cli("start", "demo/slow", "seconds=60", "--json").stdout)["run_id"]
    watching = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C, "attach", run_id],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    streams(watching)
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert "goes on" in said
    assert json.loads(cli("attach", run_id, "--json").stdout)["state"] == "running"
    assert cli("cancel", run_id).returncode == 0
    launching = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C, "run", "demo/slow", "seconds=60"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    streams(launching)
    launching.send_signal(signal.SIGINT)
    launching.communicate(timeout=60)
    assert launching.returncode == 130


def test_trust_and_doctor(repo: Path) -> None:
    (repo / "paseo_nb.toml").write_text(
        f'[providers.mine]\nextends = "acp"\ncommand = ["{sys.executable}", "-m",'
        ' "paseo_nb.programs.demo", "--model", "echo"]\n'
    )
    refused = cli("run", "mine", "hello")
    assert refused.returncode == 2
    assert "paseo-nb trust" in refused.stderr
    assert cli("trust", "paseo_nb.toml").returncode == 0
    assert cli("run", "mine", "hello").returncode == 0
    examined = cli("doctor")
    assert examined.returncode == 0, examined.stderr
    assert "git" in examined.stdout


def test_a_command_has_ended_runs_indexed_and_does_not_wait_for_it(repo: Path) -> None:
    run_id = json.loads(cli("run", "demo/echo", "hello", "--json").stdout)["run_id"]
    home, marker = repo / ".paseo_nb", repo / ".paseo_nb" / "live" / run_id
    cli("stop", run_id)
    assert marker.exists(), "just stopped: somebody may be bringing it back"
    assert not (home / "paseo.duckdb").exists()
    then = time.time() - 60
    os.utime(marker, (then, then))
    assert cli("ls").returncode == 0
    deadline = time.monotonic() + 60
    while marker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not marker.exists()
    assert '"echo"' in cli("runs", "--columns", "model_asked", "--json").stdout


def test_logs_tell_how_a_turn_ended_once(repo: Path) -> None:
    run_id = json.loads(cli("start", "demo/slow", "seconds=60", "--json").stdout)["run_id"]
    assert cli("cancel", run_id).returncode == 0
    cli("wait", run_id)
    assert "! Cancelled by the user." in cli("logs", run_id).stdout
    assert "stopped" in cli("stop", run_id).stdout
    assert "idle" in cli("resume", run_id).stdout
    limited = cli("run", "demo/slow", "seconds=60", "--timeout", "0.2")
    assert limited.stdout.count("the turn took longer") == 1


def test_messages_name_commands_of_the_terminal_and_trust_is_asked_for_once(repo: Path) -> None:
    assert "`paseo-nb ls`" in cli("attach", "01ZZZ").stderr
    (repo / "paseo_nb.toml").write_text('mode = "auto"\n')
    said = cli("doctor").stdout
    assert said.count("lets agents run commands unasked") == 1
    assert "FAIL  settings" in said
    assert "%paseo" not in said


def test_tables_fit_the_window(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "Say this, which is a rather long title of a run: " + "word " * 30
    run_id = json.loads(cli("run", "demo/echo", long, "--json").stdout)["run_id"]
    window = {"env": {**os.environ, "COLUMNS": "90"}}
    for words in (["runs"], ["turns"], ["events"], ["ls"], ["sql", "select * from runs"]):
        lines = cli(*words, **window).stdout.splitlines()
        assert run_id[:10] in "".join(lines), words
        assert all(len(line) <= 90 or line.startswith("(") for line in lines), words
    assert "…" in cli("runs", **window).stdout
    assert "--json" in cli("sql", "select * from runs", **window).stdout
    piped = cli("runs", "--columns", "run_id,state", "--columns", "turns").stdout.splitlines()
    assert piped[0].split() == ["run_id", "state", "turns"]
    assert piped[1].split()[0] == run_id, "whole where no window limits it"
    assert "did you mean state" in cli("runs", "--columns", "stat").stderr
    assert cli("tool-traces", "--json").stdout == cli("tool_traces", "--json").stdout != ""
    assert json.loads(cli("runs", "--json").stdout)[0]["git_base"], "JSON leaves nothing out"


@pytest.mark.parametrize("name", VERBS)
def test_every_option_says_what_it_means(name: str) -> None:
    parser = parser_for(VERBS[name], f"paseo-nb {name}")
    for action in parser._actions:
        assert action.help, (name, action.dest)
    assert "Raises" not in parser.format_help()
