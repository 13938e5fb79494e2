"""Loop: what was wrong goes into the next attempt, limits hold, a killed one goes on in place.

The faults that other loops have are tests here: the same prompt each time, checks without a time
limit, a success that is forgotten, a limit that is only looked at between two iterations.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kit import SLACK
from minds import AGENT

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem

COUNTS = """
def worker(prompt, turn, folder):
    path = folder / "n"
    n = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(n))
    return f"attempt {n}"
"""


def records(repo: Path) -> list[Path]:
    return sorted((repo / ".paseo_nb" / "patterns").glob("*.jsonl"))


def test_what_a_check_said_goes_into_the_next_attempt(repo: Path, minds) -> None:
    minds.has(COUNTS)
    check = 'test "$(cat n)" = 3 || { echo "n is $(cat n), not 3"; exit 1; }'
    done = paseo.loop(
        "count to three", agent="worker", checks=["true", check], mode="auto", worktree="count"
    )
    assert done.state == "succeeded"
    assert bool(done)
    assert [one.passed for one in done.iterations] == [False, False, True]
    assert len({one.worker.id for one in done.iterations}) == 3, "a new worker each"
    first, second, third = minds.asked("worker")
    assert "This is the first attempt" in first
    assert "n is 1, not 3" in second
    assert "n is 2, not 3" in third
    assert "count to three" in third
    assert isinstance(done.run, paseo.Run)
    assert (done.run.path / "n").read_text() == "3"
    assert done.run.branch == "count"
    assert done.run.labels["pattern"] == done.record
    assert str(done).splitlines()[0].startswith("Loop succeeded after 3 iterations")
    assert "✓" in done._repr_mimebundle_()["text/html"]


def test_the_verifiers_reason_goes_along_and_it_may_not_edit(repo: Path, minds) -> None:
    minds.has(COUNTS)
    minds.has("""
        def judge(prompt, turn, folder):
            n = int((folder / "n").read_text())
            said = {"passed": n >= 2, "reason": "" if n >= 2 else "count once more, please"}
            return "I looked.\\n```json\\n" + json.dumps(said) + "\\n```"
    """)
    done = paseo.loop(
        "count", agent="worker", verify="n is two", verifier="judge", mode="auto", worktree="w"
    )
    assert done.state == "succeeded"
    assert "count once more, please" in minds.asked("worker")[1]
    asked = minds.asked("judge")[0]
    assert "n is two" in asked
    assert "attempt 1" in asked, "what the worker said"
    assert done.iterations[0].reason == "count once more, please"
    verifier = done.iterations[-1].verifier
    assert verifier.spec.mode == "read"
    assert verifier.path == done.run.path


def test_a_check_that_hangs_ends_with_its_time_and_all_it_started(repo: Path, minds) -> None:
    minds.has(COUNTS)
    begun = time.monotonic()
    hangs = "setsid sleep 1234 & sleep 1234"
    done = paseo.loop("count", agent="worker", checks=[hangs], mode="auto", time_limit=4)
    assert done.state == "time"
    assert time.monotonic() - begun < 4 * SLACK + 20
    assert done.iterations == [] or not done.iterations[-1].passed
    assert (
        "sleep 1234"
        not in subprocess.run(["ps", "-axo", "args"], capture_output=True, text=True).stdout
    )


def test_the_time_limit_holds_inside_a_worker(repo: Path, minds) -> None:
    minds.has("def hangs(prompt, turn, folder):\n    time.sleep(600)\n")
    begun = time.monotonic()
    done = paseo.loop("hang", agent="hangs", checks=["true"], mode="auto", time_limit=3)
    assert done.state in ("time", "failed")
    assert not done
    assert time.monotonic() - begun < 3 * SLACK + 20
    assert done.iterations[0].worker.state != "running"


def test_a_failing_agent_does_not_use_up_all_iterations(repo: Path, minds) -> None:
    minds.has('def broken(prompt, turn, folder):\n    raise RuntimeError("no key, log in first")\n')
    done = paseo.loop("x", agent="broken", checks=["true"], mode="auto", iterations=9)
    assert done.state == "failed"
    assert len(done.iterations) == 2
    assert "no key, log in first" in done.iterations[-1].reason


def test_iterations_are_a_limit_and_the_next_call_begins_anew(repo: Path, minds) -> None:
    minds.has(COUNTS)
    for turn in (1, 2):
        done = paseo.loop("count", agent="worker", checks=["false"], mode="auto", iterations=2)
        assert done.state == "iterations"
        assert len(minds.asked("worker")) == 2 * turn
    assert len(records(repo)) == 2
    assert "This is the first attempt" in minds.asked("worker")[2]


def test_until_is_a_function_of_the_run(repo: Path, minds) -> None:
    minds.has(COUNTS)
    seen = []

    def until(run: paseo.Run) -> bool | str:
        seen.append(run.text)
        assert isinstance(run, paseo.Run)
        return True if run.text == "attempt 2" else "it is not two"

    done = paseo.loop("count", agent="worker", until=until, mode="auto")
    assert done.state == "succeeded"
    assert seen == ["attempt 1", "attempt 2"]
    assert "it is not two" in minds.asked("worker")[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "a way to know"),
        ({"checks": ["true"], "iterations": 0}, "at least 1"),
        ({"checks": ["true"], "time_limit": 0}, "more than 0"),
        ({"checks": ["true"], "agent": "wroker"}, "worker"),
    ],
)
def test_bad_input(repo: Path, minds, wrong: dict, said: str) -> None:
    minds.has(COUNTS)
    with pytest.raises(UsageProblem, match=said):
        paseo.loop("count", **{"agent": "worker", **wrong})
    with pytest.raises(UsageProblem, match="empty"):
        paseo.loop(" ", agent="worker", checks=["true"])


KILLED = """
import os, sys
import paseo_nb as paseo
sys.path.insert(0, {tests!r})
for name in {names!r}:
    paseo.register_provider(name, command=[sys.executable, {agent!r}, {file!r}, name])
done = paseo.loop("count", agent="worker", checks=[{check!r}], mode="auto", worktree="k", iterations=6)
print("state", done.state, len(done.iterations))
"""


def kernel(repo: Path, minds, check: str) -> subprocess.Popen[str]:
    """A process that loops as a kernel does."""
    code = KILLED.format(
        tests=str(Path(__file__).parent), names=minds.names(), agent=str(AGENT),
        file=str(minds.file), check=check,
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=repo, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ},
    )  # fmt: skip


@pytest.mark.parametrize("where", ["worker", "check"])
def test_killed_it_goes_on_in_place(repo: Path, minds, tmp_path: Path, where: str) -> None:
    """The kernel dies in the second iteration: the worker that runs is gone on with, the check that
    ran is ended and run again, and nothing that was done is done twice."""
    gate = tmp_path / "gate"
    slow = f"while [ ! -e {gate} ]; do sleep 0.05; done" if where == "check" else "true"
    minds.has(f"""
        def worker(prompt, turn, folder):
            path = folder / "n"
            n = int(path.read_text()) + 1 if path.exists() else 1
            path.write_text(str(n))
            while {where == "worker"} and n == 2 and not os.path.exists({str(gate)!r}):
                time.sleep(0.05)
            return f"attempt {{n}}"
    """)
    check = f'echo x >> checked; if [ "$(cat n)" = 2 ]; then {slow}; fi; test "$(cat n)" = 3'
    first = kernel(repo, minds, check)
    place = repo / ".paseo_nb" / "worktrees" / "k"

    def there() -> bool:
        lines = (place / "checked").read_text() if (place / "checked").exists() else ""
        n = (place / "n").read_text() if (place / "n").exists() else ""
        return n == "2" and (where == "worker" or lines.count("x") == 2)

    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    gate.touch()
    second = kernel(repo, minds, check)
    out, err = second.communicate(timeout=120)
    assert out.strip() == "state succeeded 3", err
    assert "going on" in err
    assert len(minds.asked("worker")) == 3, "each attempt once"
    assert (place / "n").read_text() == "3"
    assert (place / "checked").read_text().count("x") == (3 if where == "worker" else 4)
    assert len(records(repo)) == 1


def test_two_at_once_are_one(repo: Path, minds) -> None:
    minds.has(COUNTS)
    both = [kernel(repo, minds, 'test "$(cat n)" = 3') for _ in range(2)]
    for one in both:
        out, err = one.communicate(timeout=120)
        assert out.strip() == "state succeeded 3", err
    assert len(minds.asked("worker")) == 3


def test_a_torn_record_is_cut(repo: Path, minds) -> None:
    minds.has(COUNTS)
    paseo.loop("count", agent="worker", checks=['test "$(cat n)" = 1'], mode="auto")
    [record] = records(repo)
    whole = record.read_bytes().splitlines(True)
    record.write_bytes(b"".join(whole[:-1]) + whole[-1][:9])
    done = paseo.loop("count", agent="worker", checks=['test "$(cat n)" = 1'], mode="auto")
    assert done.state == "succeeded"
    assert len(minds.asked("worker")) == 1, "what was known is not done again"
    assert records(repo) == [record]


def test_in_a_terminal(repo: Path, minds, capfd: pytest.CaptureFixture[str]) -> None:
    from paseo_nb import cli

    minds.has(COUNTS)
    words = ["loop", "count", "--agent", "worker", "--mode", "auto", "--time-limit", "5m"]
    assert cli.run([*words, "--checks", "test -e n"]) == 0
    assert "Loop succeeded after 1 iteration" in capfd.readouterr().out
    assert cli.run([*words, "--checks", "false", "--iterations", "1", "--json"]) == 3
    assert '"state":"iterations"' in capfd.readouterr().out
