"""A repository that is set up for Paseo works: its `paseo.json` is gone by, once it is trusted.

Invariants: (1) nothing of an untrusted file is executed, and nothing is made because of it; (2) the
agent's prompt comes after the set-up, its output is in the journal; (3) a failure keeps the worktree
and says why; (4) copied files overwrite nothing and lead nowhere.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kit import SHELL_AGENT, SLACK, Project, git

import paseo_nb as paseo
from paseo_nb.errors import NotTrusted, UsageProblem


@pytest.fixture(autouse=True)
def shell(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent `sh`, and a user who trusts nothing yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    paseo.register_provider("sh", command=SHELL_AGENT)


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


def wants(repo: Path, *, trusted: bool = True, **told: object) -> Path:
    """A committed paseo.json."""
    file = repo / "paseo.json"
    file.write_text(json.dumps(told))
    git(repo, "add", "paseo.json")
    git(repo, "commit", "-q", "-m", "for paseo")
    if trusted:
        paseo.trust(str(file))
    return file


SERVICES = {
    "test": {"command": "true"},
    "web": {"type": "service", "command": "serve --port $PASEO_PORT", "port": 3123},
    "my api": {"type": "service", "command": "serve"},
}


def test_it_is_set_up_before_the_prompt_and_torn_down_with_the_worktree(
    repo: Path, tmp_path: Path
) -> None:
    wants(
        repo,
        worktree={
            "setup": 'echo secrets > made\ncat "$PASEO_SOURCE_CHECKOUT_PATH/.env" > .env; echo ready',
            "teardown": [
                f"pwd > '{tmp_path}/torn'",
                f"echo $PASEO_BRANCH_NAME >> '{tmp_path}/torn'",
            ],
            "terminals": [{"name": "logs", "command": "tail -f log"}, {"name": "shell"}],
        },
        scripts=SERVICES,
    )
    (repo / ".env").write_text("KEY=1\n")
    run = start("cat made .env; env | grep -e ^PASEO_ -e ^HOST= | sort", worktree="a/b")
    assert "HOST=127.0.0.1" in run.text.splitlines()
    seen = dict(line.split("=", 1) for line in run.text.splitlines() if line.startswith("PASEO_"))
    assert run.text.startswith("secrets\nKEY=1\n")
    assert seen["PASEO_SOURCE_CHECKOUT_PATH"] == str(repo)
    assert seen["PASEO_WORKTREE_PATH"] == str(run.path)
    assert seen["PASEO_BRANCH_NAME"] == "a/b"
    assert seen["PASEO_SERVICE_WEB_PORT"] == "3123"
    api = seen["PASEO_SERVICE_MY_API_PORT"]
    assert seen["PASEO_SERVICE_MY_API_URL"] == f"http://127.0.0.1:{api}"
    assert len({api, seen["PASEO_WORKTREE_PORT"], "3123"}) == 3
    note = next(item for item in run.history().items if item.title == "setup")
    assert note.text.endswith("echo ready\nready\n")
    assert note.outcome == "completed"
    assert set(run.diff(turn=1).files["path"]) == set(), "the set-up is not the agent's doing"
    assert set(run.diff().files["path"]) == set(run.apply(dry_run=True).files["path"]) == set()
    [told] = [item.text for item in run.history().items if "not started here" in item.text]
    assert "terminal logs (`tail -f log`), terminal shell, service web (`serve" in told
    assert f"PASEO_SERVICE_MY_API_PORT={api}" in told
    assert any("terminal shell" in c.detail for c in paseo.doctor() if c.name == "settings")
    again = start("env | grep ^PASEO_SERVICE_MY_API_PORT", worktree="a/b")
    assert not [item for item in again.history().items if "not started" in item.text], "said once"
    assert again.text.strip() == f"PASEO_SERVICE_MY_API_PORT={api}", "ports stay"
    assert not [item for item in again.history().items if item.title == "setup"], "once"
    other = start("env | grep ^PASEO_SERVICE_MY_API_PORT", worktree="other")
    assert other.text.strip() != f"PASEO_SERVICE_MY_API_PORT={api}", "each worktree has its own"
    again.archive()
    assert not (tmp_path / "torn").exists(), "the other run works in it"
    run.archive()
    assert (tmp_path / "torn").read_text() == f"{run.path}\na/b\n"
    assert not run.path.exists()
    run.unarchive()
    run.send("cat made")
    assert run.wait().text == "secrets\n"
    assert sum(item.title == "setup" for item in run.history().items) == 2, "it was made again"


def test_nothing_of_an_untrusted_file_counts(repo: Path, tmp_path: Path) -> None:
    sign = tmp_path / "ran"
    file = wants(repo, trusted=False, worktree={"setup": f"touch '{sign}'"})
    with pytest.raises(NotTrusted, match=r"trust .*paseo\.json"):
        start("true", worktree="w")
    assert not (repo / ".paseo_nb" / "worktrees" / "w").exists()
    assert git(repo, "branch", "--list", "w") == ""
    assert start("true").text == "done", "without a worktree it is of no account"
    listed = [check for check in paseo.doctor() if check.name == "settings"]
    assert any("paseo.json" in check.detail for check in listed)
    paseo.trust(str(file))
    start("true", worktree="w")
    assert sign.exists()
    assert not any("paseo.json" in c.detail for c in paseo.doctor() if c.name == "settings")


def test_one_that_was_never_committed_counts_and_is_not_copied(repo: Path) -> None:
    file = repo / "paseo.json"
    file.write_text(json.dumps({"worktree": {"setup": "echo yes > made.log"}}))
    with pytest.raises(NotTrusted, match=r"trust .*paseo\.json"):
        start("true", worktree="w")
    paseo.trust(str(file))
    run = start("cat made.log; ls paseo.json || true", worktree="w")
    assert run.text.splitlines()[0] == "yes"
    assert not (run.path / "paseo.json").exists()
    git(repo, "branch", "old")
    git(repo, "add", "paseo.json")
    git(repo, "commit", "-qm", "committed")
    assert start("ls", worktree="old").text.split().count("made.log") == 0, "a branch without it"


def test_another_branchs_file_is_not_the_trusted_one(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants(repo, worktree={"setup": "true"})
    git(repo, "checkout", "-q", "-b", "theirs")
    sign = tmp_path / "ran"
    wants(repo, trusted=False, worktree={"setup": f"touch '{sign}'"})
    git(repo, "checkout", "-q", "-")
    with pytest.raises(NotTrusted, match="PASEO_NB_TRUST=") as raised:
        start("true", worktree="w", base="theirs")
    assert not sign.exists()
    monkeypatch.setenv("PASEO_NB_TRUST", str(raised.value).split("PASEO_NB_TRUST=")[1][:64])
    start("true", worktree="w", base="theirs")
    assert sign.exists()


def test_one_that_an_agent_changed_does_not_count_for_the_next_run(
    repo: Path, tmp_path: Path
) -> None:
    wants(repo, worktree={"setup": "true"})
    sign = tmp_path / "ran"
    evil = json.dumps({"worktree": {"setup": f"touch {sign}", "teardown": f"touch {sign}"}})
    first = start(f"echo '{evil}' > paseo.json", worktree="w")
    second = start("true", worktree="w")
    assert any("is not set up" in said for said in second.history().warnings)
    first.archive()
    second.archive()
    assert not first.path.exists()
    assert not sign.exists()


def test_a_failing_setup_is_told_with_what_it_printed(repo: Path) -> None:
    wants(repo, worktree={"setup": ["echo fine", "test -e mended || { echo no such db; exit 3; }"]})
    with pytest.raises(paseo.RunFailed, match="(?s)exit code 3.*no such db") as raised:
        start("echo the agent works", worktree="w")
    assert raised.value.run is not None
    run = paseo.attach(raised.value.run.id)
    assert run.error is not None
    assert run.error.code == "setup"
    assert str(run.path) in (run.error.hint or "")
    (run.path / "mended").touch()
    run.send("echo the agent works")
    assert run.wait().text == "the agent works\n"


def test_a_setup_that_hangs_can_be_cancelled(repo: Path) -> None:
    wants(repo, worktree={"setup": "echo begun; sleep 600"})
    run = paseo.start("sh", "true", mode="auto", worktree="w")
    project = Project(repo)
    project.until(
        lambda: any("begun" in item.text for item in run.history().items if item.title == "setup"),
        10 * SLACK,
    )
    run.cancel()
    with pytest.raises(paseo.RunCancelled):
        run.wait(10 * SLACK)
    assert not (run.path / ".git").is_dir()


def test_a_failing_teardown_keeps_the_worktree(repo: Path) -> None:
    wants(repo, worktree={"teardown": "echo still in use; exit 1"})
    run = start("true", worktree="w")
    with pytest.raises(paseo.GitProblem, match="still in use"):
        run.archive()
    assert run.path.is_dir()
    assert run.state == "stopped"


@pytest.mark.parametrize(
    "told", [{"worktree": {"setup": 1}}, {"worktree": []}, {"scripts": {"a": 1}}, "no object"]
)
def test_a_wrong_file_is_told(repo: Path, told: object) -> None:
    file = repo / "paseo.json"
    file.write_text(json.dumps(told))
    git(repo, "add", "paseo.json")
    git(repo, "commit", "-q", "-m", "x")
    with pytest.raises(UsageProblem, match=r"paseo\.json"):
        start("true", worktree="w")


def test_listed_untracked_files_are_copied(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASEO_NB_COPY_FILES", ".env:config/*.local:README.md:nothing")
    (repo / "config").mkdir()
    (repo / "config" / "a.local").write_text("a")
    (repo / ".env").write_text("KEY=1")
    (repo / "README.md").write_text("the user is at it")
    run = start("true", worktree="w")
    assert (run.path / ".env").read_text() == "KEY=1"
    assert (run.path / "config" / "a.local").read_text() == "a"
    assert (run.path / "README.md").read_text() != "the user is at it", "it is tracked"
    (repo / ".env").write_text("KEY=2")
    assert (start("cat .env", worktree="w").text) == "KEY=1", "nothing is overwritten"


@pytest.mark.parametrize("pattern", ["../outside", "/etc/passwd", ".git/config", "a/../../b"])
def test_a_pattern_that_leads_out_is_refused(
    repo: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setenv("PASEO_NB_COPY_FILES", pattern)
    with pytest.raises(UsageProblem, match="copy_files"):
        start("true", worktree="w")


def test_links_that_lead_out_are_refused(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text("secret")
    os.symlink(outside / "key", repo / ".env")
    monkeypatch.setenv("PASEO_NB_COPY_FILES", ".env")
    with pytest.raises(UsageProblem, match="is a link to"):
        start("true", worktree="w")
    monkeypatch.setenv("PASEO_NB_COPY_FILES", "conf/mine")
    os.symlink(outside, repo / "conf")
    git(repo, "add", "conf")
    git(repo, "commit", "-q", "-m", "a link")
    os.unlink(repo / "conf")
    (repo / "conf").mkdir()
    (repo / "conf" / "mine").write_text("x")
    with pytest.raises(paseo.GitProblem, match="leads out of the worktree"):
        start("true", worktree="v")
    assert os.listdir(outside) == ["key"]
