"""The main scenario really mends the sample repository, asks as its mode says, and is honest where
it cannot help; the sample repository is what its README claims."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paseo_nb.programs.demo import copy_sample

if TYPE_CHECKING:
    from .conftest import Launch


def run_unittest(repo: Path) -> str:
    argv = [sys.executable, "-B", "-m", "unittest"]
    return subprocess.run(argv, cwd=repo, capture_output=True, text=True).stderr


def git(repo: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=repo, capture_output=True, text=True).stdout


def test_the_sample_has_two_failing_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("GIT_DIR", "/nonsense")
    repo, again = copy_sample(tmp_path / "a"), copy_sample(str(tmp_path / "b"))
    monkeypatch.delenv("GIT_DIR")
    output = run_unittest(repo)
    assert "Ran 13 tests" in output
    assert "FAILED (failures=2)" in output
    pytest_run = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=repo,
        capture_output=True,
        text=True,
    )
    assert "2 failed, 11 passed" in pytest_run.stdout
    assert git(repo, "status", "--short") == ""
    assert git(repo, "rev-list", "--count", "HEAD") == "1\n"
    assert git(repo, "rev-parse", "HEAD") == git(again, "rev-parse", "HEAD")
    assert [copy_sample(repo).name, copy_sample(repo).name] == [f"{repo.name}-2", f"{repo.name}-3"]
    (tmp_path / "other" / "mine").mkdir(parents=True)
    with pytest.raises(FileExistsError):
        copy_sample(tmp_path / "other")


def test_our_own_tools_do_not_take_the_sample_for_code() -> None:
    sample = Path(copy_sample.__globals__["__file__"]).parent / "sample"
    files = [path for path in sample.rglob("*") if path.is_file()]
    assert files
    assert all(path.suffix == ".txt" for path in files)


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        ("default", ["edit", "edit"]),
        ("acceptEdits", []),
        ("auto", []),
    ],
)
def test_it_mends_the_sample(launch: Launch, repo: Path, mode: str, asked: list[str]) -> None:
    demo = launch("--model", "fixer")
    demo.start(repo)
    demo.call("session/set_mode", sessionId=demo.session, modeId=mode)
    assert demo.prompt("make the tests pass")["result"]["stopReason"] == "end_turn"
    assert [request["toolCall"]["kind"] for request in demo.permissions] == asked
    assert "OK" in run_unittest(repo)
    assert git(repo, "diff", "--stat").count("|") == 2
    assert "All **13 tests pass** now; 2 failed before." in demo.text()
    assert "scripted" in demo.text()
    assert demo.text("agent_thought_chunk")
    plans = [[entry["status"] for entry in plan["entries"]] for plan in demo.updates("plan")]
    assert plans[0] == ["in_progress", "pending", "pending", "pending"]
    assert plans[-1] == ["completed"] * 4
    diffs = [c for u in demo.updates("tool_call") for c in u.get("content", [])]
    for diff in diffs:
        assert diff["newText"] == Path(diff["path"]).read_text()
    outputs = [str(u.get("rawOutput")) for u in demo.updates("tool_call_update")]
    assert any("FAILED (failures=2)" in output for output in outputs)
    demo.prompt("and now?")
    assert "All 13 tests pass already" in demo.text()


def test_it_streams_at_a_watchable_pace(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "fixer", "--pace", "1")
    demo.start(repo)
    began = time.monotonic()
    demo.prompt("make the tests pass")
    assert 1 < time.monotonic() - began < 6
    chunks = [u["content"]["text"] for u in demo.updates("agent_message_chunk")]
    assert len(chunks) > 30
    assert max(len(chunk) for chunk in chunks) < 40


def test_plan_mode_proposes_and_changes_nothing(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "fixer")
    demo.start(repo)
    demo.call("session/set_mode", sessionId=demo.session, modeId="plan")
    demo.prompt("make the tests pass")
    assert demo.permissions == []
    assert git(repo, "status", "--short") == ""
    assert "+    millis = int(fraction.ljust(3" in demo.text()
    demo.call("session/set_mode", sessionId=demo.session, modeId="auto")
    demo.prompt("go on")
    assert "Resuming at step 3 of 6" in demo.text()
    assert "OK" in run_unittest(repo)


def test_a_denial_ends_the_turn_and_can_be_taken_up_again(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "fixer")
    demo.start(repo)
    demo.permission_answer = "reject_once"
    assert demo.prompt("make the tests pass")["result"]["stopReason"] == "end_turn"
    assert "denied" in demo.text()
    assert demo.updates("tool_call_update")[-1]["status"] == "failed"
    assert git(repo, "status", "--short") == ""
    demo.permission_answer = "allow_once"
    demo.prompt("continue, please")
    assert "Resuming at step 4 of 6" in demo.text()
    assert "OK" in run_unittest(repo)


def test_it_is_honest_where_it_cannot_help(launch: Launch, repo: Path, tmp_path: Path) -> None:
    for path in ("offsets.py", "durations.py"):
        code = repo / "tidelog" / path
        code.write_text(code.read_text().replace("return", "return 1 +", 1))
    (repo / "tidelog" / "offsets.py").write_text("def parse_offset(t): ...\nformat_offset = 1\n")
    (repo / "tidelog" / "durations.py").write_text("def parse_duration(t): ...\n")
    demo = launch("--model", "fixer")
    demo.start(repo)
    before = git(repo, "diff")
    demo.prompt("make the tests pass")
    assert "cannot fix this" in demo.text()
    assert git(repo, "diff") == before
    empty = tmp_path / "empty"
    empty.mkdir()
    demo = launch("--model", "fixer")
    demo.start(empty)
    demo.prompt("make the tests pass")
    assert "no Python tests" in demo.text()


def test_usage_is_deterministic_and_the_cache_grows(launch: Launch, tmp_path: Path) -> None:
    runs: list[list[dict[str, int]]] = []
    for name in ("one", "a-much-longer-name-for-a-folder"):
        demo = launch("--model", "fixer")
        demo.start(copy_sample(tmp_path / name))
        demo.call("session/set_mode", sessionId=demo.session, modeId="auto")
        usages = [demo.prompt(text)["result"]["usage"] for text in ("fix it", "again", "/echo hi")]
        runs.append(usages)
        costs = [update["cost"]["amount"] for update in demo.updates("usage_update")]
        assert costs == sorted(costs)
        assert costs[-1] > 0
    assert runs[0] == runs[1]
    for usage in runs[0]:
        parts = [value for name, value in usage.items() if name != "totalTokens"]
        assert usage["totalTokens"] == sum(parts)
    assert runs[0][2]["cachedReadTokens"] > 10 * runs[0][2]["cachedWriteTokens"]
    assert runs[0][2]["cachedReadTokens"] > 6000


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs /proc")
def test_a_hanging_test_dies_with_the_turn(launch: Launch, repo: Path) -> None:
    (repo / "tests" / "test_hang.py").write_text(
        "import os, time, unittest\n"
        "class T(unittest.TestCase):\n"
        "    def test_it(self):\n"
        "        print('pid', os.getpid(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    demo = launch("--model", "fixer")
    demo.start(repo)
    demo.call("session/set_mode", sessionId=demo.session, modeId="auto")
    number = demo.ask("make the tests pass")
    demo.until(lambda d: re.search(r"pid \d+", str(d.updates("tool_call_update"))))
    pid = re.findall(r"pid (\d+)", str(demo.updates("tool_call_update")))[0]
    demo.cancel()
    assert demo.result(number)["result"]["stopReason"] == "cancelled"
    time.sleep(0.2)
    assert not Path(f"/proc/{pid}").exists()
