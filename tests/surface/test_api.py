"""The Python API as a user calls it: launch, look, go on, and what bad input gets."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import paseo_nb as paseo
from paseo_nb import aio
from paseo_nb.drivers import demo


def git(repo: Path, *args: str) -> str:
    return subprocess.run(
        ["git", *args], cwd=repo, check=True, capture_output=True, text=True
    ).stdout


def test_the_main_job(repo: Path) -> None:
    before = git(repo, "rev-parse", "HEAD"), git(repo, "status", "--porcelain")
    fix = paseo.run("demo/fixer", "The tests fail. Fix the code.", worktree="fix-math")
    assert fix.state == "idle"
    assert "13 tests pass" in fix.text
    assert fix.branch == "fix-math"
    diff = fix.diff()
    assert list(diff.files["path"]) == ["tidelog/durations.py", "tidelog/offsets.py"]
    assert '+    sign = -1 if hours.startswith("-") else 1' in diff.patch
    done = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd=fix.path, capture_output=True, text=True
    )
    assert "OK" in done.stderr
    assert (git(repo, "rev-parse", "HEAD"), git(repo, "status", "--porcelain")) == before
    usage = fix.usage
    assert usage.input_tokens is not None
    assert usage.cache_read_tokens is not None
    assert usage.input_tokens >= usage.cache_read_tokens > 0
    runs = paseo.runs()
    assert list(runs["run_id"]) == [fix.id]
    assert runs["state"][0] == "idle"
    traces = paseo.tool_traces(run=fix)
    assert set(traces["kind"]) == {"read", "execute", "edit"}
    assert (traces["latency_ms"] >= 0).all()
    events = paseo.events(run=fix.id[:10])
    assert list(events["seq"]) == list(range(1, len(events) + 1))
    assert paseo.sql("select count(*) as n from tool_traces")["n"][0] == len(traces)
    assert list(fix.turns()["outcome"]) == ["end_turn"]
    assert {"message", "thought", "plan", "tool_call"} <= set(fix.transcript()["kind"])


def test_the_same_with_await(repo: Path) -> None:
    async def main() -> None:
        run = await aio.start("demo/slow", "seconds=2")
        texts = [e.text async for e in run.stream() if e.kind == "agent_message_chunk"]
        assert "".join(texts) == run.text
        assert (await run.wait()).state == "idle"
        await run.send("seconds=1")
        await run.wait()
        assert list((await aio.turns(run=run))["turn"]) == [1, 2]

    asyncio.run(main())


def test_a_run_is_gone_on_with_after_its_processes_ended(repo: Path) -> None:
    run = paseo.run("demo/echo", "one")
    session = run.session_id
    run.stop()
    assert run.state == "stopped"
    run.send("two").wait()
    assert run.session_id == session
    assert "2" in run.text  # the agent counts the user's messages in its session
    assert len(run.history().turns) == 2


def test_cancel_queue_interrupt_archive(repo: Path) -> None:
    run = paseo.start("demo/slow", "seconds=60")
    while not run.text:
        time.sleep(0.02)
    run.send("/echo queued")
    run.cancel()
    run.wait()
    assert [turn.outcome for turn in run.history().turns] == ["cancelled", "end_turn"]
    run.send("seconds=60")
    while len(run.history().turns) < 3 or not run.text:
        time.sleep(0.02)
    run.send("/echo now", when="interrupt").wait()
    assert [t.outcome for t in run.history().turns][2:] == ["cancelled", "end_turn"]
    run.archive()
    assert run.state == "archived"
    assert run.id not in [one.id for one in paseo.ls()]
    assert run.id in [one.id for one in paseo.ls(all=True)]
    with pytest.raises(paseo.UsageProblem, match="unarchive"):
        run.send("hello")
    run.unarchive()
    run.send("/echo back").wait()
    assert run.state == "idle"


def test_failures_are_never_silent(repo: Path) -> None:
    with pytest.raises(paseo.RunFailed, match="exit code 7.*scripted to exit") as caught:
        paseo.run("demo/exit", "x")
    assert caught.value.run.state == "error"
    with pytest.raises(paseo.RunFailed, match="exit code 3"):
        paseo.run("demo/crash", "x")
    with pytest.raises(paseo.RunFailed, match="refused"):
        paseo.run("demo/refuse", "x")
    with pytest.raises(paseo.RunFailed, match="limit"):
        paseo.run("demo/maxtokens", "x")
    with pytest.raises(paseo.RunFailed, match="limit.*longer than 1 s"):
        paseo.run("demo/slow", "seconds=60", timeout=1)
    with pytest.raises(paseo.RunTimeout, match="goes on"):
        paseo.start("demo/slow", "seconds=60").wait(0.5)
    with pytest.raises(paseo.PermissionNeeded, match=r"run\.allow"):
        paseo.run("demo/asker", "x", on_permission="raise")


def test_permissions_are_answered_and_kept(repo: Path) -> None:
    run = paseo.start("demo/asker", "run: echo hi")
    while not run.pending():
        time.sleep(0.02)
    assert run.state == "waiting"
    run.allow()
    run.wait()
    frame = run.permissions()
    assert list(frame["outcome"]) == ["allowed"]
    denied = paseo.start("demo/asker", "run: echo hi")
    while not denied.pending():
        time.sleep(0.02)
    denied.deny(message="not today")
    denied.wait()
    assert denied.permissions()["message"][0] == "not today"


def test_sessions_by_name(repo: Path) -> None:
    first = paseo.run("demo/echo", "one", session="talk")
    second = paseo.start("demo/echo", "two", session="talk").wait()
    assert second.id == first.id
    assert len(second.history().turns) == 2
    with pytest.raises(paseo.UsageProblem, match="another session name"):
        paseo.start("demo/slow", "three", session="talk")


def test_reuse_and_replay(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = paseo.run("demo/echo", "the same question")
    again = paseo.run("demo/echo", "the same question", reuse=True)
    assert again.id == first.id
    assert again.cached
    assert paseo.run("demo/echo", "another question", reuse=True).id != first.id
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    with pytest.raises(paseo.ReplayMiss, match="no finished run"):
        paseo.run("demo/echo", "a question never asked")


BAD = [
    (dict(agent="demo/fixr", prompt="x"), "fixer"),
    (dict(agent="dmo/fixer", prompt="x"), "demo"),
    (dict(agent="opencode/some", prompt="x"), "install"),
    (dict(agent="demo/echo", prompt="  \n "), "prompt is empty"),
    (dict(agent="demo/echo", prompt="x", mode="yolo"), "ask, edit, auto, read"),
    (dict(agent="demo/echo", prompt="x", repo="/nowhere"), "no folder"),
    (dict(agent="demo/echo", prompt="x", worktree="no..good"), "no..good"),
    (dict(agent="demo/echo", prompt="x", attach=["missing.png"]), "missing.png"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_says_what_to_do(
    repo: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, object], said: str
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(paseo.PaseoError) as caught:
        paseo.start(**arguments)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert not (repo / ".paseo_nb" / "runs").exists() or not paseo.ls()


def test_ids(repo: Path) -> None:
    one, two = paseo.run("demo/echo", "1"), paseo.run("demo/echo", "2")
    assert paseo.attach(one.id.lower()).id == one.id
    with pytest.raises(paseo.UsageProblem, match="fits 2 runs"):
        paseo.attach("01")
    with pytest.raises(paseo.UsageProblem, match="no run"):
        paseo.attach("nonsense")
    assert two.inspect()["state"] == "idle"


def test_a_run_of_another_project_is_attached(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paseo_nb.widgets.live import about_of

    one = paseo.run("demo/echo", "here")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    with pytest.raises(paseo.UsageProblem, match="no run"):
        paseo.attach(one.id)
    assert paseo.attach(one.id[:20], project=str(repo)).text == one.text
    assert paseo.attach(one.id, project=os.path.relpath(repo)).id == one.id
    with pytest.raises(paseo.UsageProblem, match="no run"):
        paseo.attach(one.id, project="nowhere")
    monkeypatch.setenv("JPY_SESSION_NAME", str(repo / "job.ipynb"))  # a kernel that went away
    assert paseo.attach(one.id).id == one.id
    assert "project" not in about_of(one)["paseo_nb"]
    monkeypatch.setenv("JPY_SESSION_NAME", str(other / "job.ipynb"))
    assert about_of(one)["paseo_nb"]["project"] == os.path.relpath(repo, other)


def test_worktree_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(paseo.GitProblem, match="git"):
        paseo.start("demo/echo", "x", worktree="w")
    run = paseo.run("demo/echo", "works without git")
    with pytest.raises(paseo.GitProblem, match="outside a git repository"):
        run.diff()
    run.stop()


@pytest.mark.parametrize("call", ["p.start('demo/echo','x')", "p.archive(p.ls()[0].id)"])
def test_a_read_only_project(repo: Path, call: str) -> None:
    """Root may write anywhere, so the folder is put on a read-only mount of its own."""
    paseo.run("demo/echo", "x").stop()
    code = f"import paseo_nb as p\ntry: {call}\nexcept p.PaseoError as e: print('SAID', e)\n"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c",
         f"mount --bind . . && mount -o remount,ro,bind . && cd {repo} && {sys.executable} -c \"$0\"",
         code],
        cwd=repo, capture_output=True, text=True,
    )  # fmt: skip
    assert "SAID" in done.stdout, done.stderr
    assert "PASEO_NB_HOME" in done.stdout


def test_a_forked_child_of_a_process_that_used_it(repo: Path) -> None:
    code = (
        "import multiprocessing, paseo_nb as p; p.run('demo/echo', 'x'); p.runs()\n"
        "child = multiprocessing.get_context('fork').Process(target=lambda: print(len(p.ls())))\n"
        "child.start(); child.join(60); print(child.exitcode); child.kill()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["1", "0"], done.stderr


def test_what_is_no_run_among_the_runs(repo: Path) -> None:
    run = paseo.run("demo/echo", "x")
    (repo / ".paseo_nb" / "runs" / ".DS_Store").touch()
    (repo / ".paseo_nb" / "runs" / "notes.txt").touch()
    assert [one.id for one in paseo.ls()] == [run.id]
    assert list(paseo.runs()["run_id"]) == [run.id]


def test_a_worktree_that_was_deleted(repo: Path) -> None:
    run = paseo.run("demo/fixer", "x", worktree="gone")
    before = run.diff().patch
    run.stop()
    shutil.rmtree(run.path)
    assert run.diff().patch == before, "as its last turn left it"
    run.send("again")
    with pytest.raises(paseo.RunFailed, match="the folder that the run works in is gone"):
        run.wait()


def test_a_secret_in_a_label_is_not_kept(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "a-very-secret-value")
    run = paseo.run(
        "demo/echo", "x", title="with a-very-secret-value", label="a-very-secret-value",
        labels={"k": "is a-very-secret-value"},
    )  # fmt: skip
    paseo.runs()
    assert run.inspect()["title"] == "with •••"
    found = subprocess.run(["grep", "-rl", "a-very-secret-value", ".paseo_nb"], cwd=repo)
    assert found.returncode == 1, "the value is nowhere on the disk"


def test_a_question_that_nobody_can_be_asked_is_announced(repo: Path) -> None:
    code = "import paseo_nb as p; p.run('demo/asker', 'x', permission_timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "Answer with `paseo-nb allow" in done.stderr
    assert done.stderr.count("denied in 1 s") == done.stderr.count(" asks: ") >= 1


def test_a_resumed_run_names_a_missing_variable(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = paseo.run("demo/echo", "x", env={"MY_SERVICE_KEY": "very-secret-value"})
    run.stop()
    with pytest.raises(paseo.UsageProblem, match="MY_SERVICE_KEY"):
        run.send("again")
    monkeypatch.setenv("MY_SERVICE_KEY", "very-secret-value")
    run.send("again").wait()
    found = subprocess.run(["grep", "-rl", "very-secret-value", ".paseo_nb"], cwd=repo)
    assert found.returncode == 1, "the value is nowhere on the disk"


def test_a_run_goes_on_when_its_cli_has_left_the_path(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "leaves").write_text(f'#!/bin/sh\nexec {shlex.join(demo.command())} "$@"\n')
    (tools / "leaves").chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{path}")
    monkeypatch.setenv("GIVEN", "1")
    # Registered providers last as long as the process, so this one is nobody else's.
    paseo.register_provider("leaves", ["leaves"], {"FROM_IT": "x", "FILLED": "${GIVEN}"})
    run = paseo.run("leaves/echo", "one").stop()
    monkeypatch.setenv("PATH", path)
    run.send("two").wait(60)
    assert "two" in run.text
    run.stop()
    monkeypatch.delenv("GIVEN")
    with pytest.raises(paseo.UsageProblem, match="FILLED needs GIVEN, which is not set"):
        run.send("three")


def test_two_kernels_and_a_terminal_at_once(repo: Path) -> None:
    code = "import paseo_nb as p; [p.run('demo/echo', f'n{i}') for i in range(3)]; print(len(p.runs()))"
    procs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert all(proc.wait(120) == 0 for proc in procs)
    frame = paseo.runs()
    assert len(frame) == 9
    assert frame["run_id"].is_unique
    assert set(frame["state"]) == {"idle"}


def test_wrong_types_leave_nothing_behind(repo: Path) -> None:
    for more in (
        {"labels": {"A": 1}}, {"timeout": "5"}, {"budget": -1.0}, {"budget": 0}, {"budget": "5"}, {"budget": True},
        {"budget": float("nan")}, {"budget": float("inf")}, {"timeout": float("nan")},
        {"title": 3}, {"env": {"A=B": "x"}}, {"env": {"A": 1}}, {"worktree": 3},
    ):  # fmt: skip
        with pytest.raises(paseo.UsageProblem):
            paseo.start("demo/echo", "x", **more)  # type: ignore[arg-type]
    for prompt in (5, None, "\udcff not utf-8"):
        with pytest.raises(paseo.UsageProblem, match="prompt"):
            paseo.start("demo/echo", prompt)  # type: ignore[arg-type]
    assert not (repo / ".paseo_nb" / "runs").exists()
    with pytest.raises(paseo.UsageProblem):
        paseo.attach(None)  # type: ignore[arg-type]
    (repo / ".paseo_nb" / "runs" / "01BROKEN").mkdir(parents=True)
    (repo / ".paseo_nb" / "runs" / "01BROKEN" / "spec.json").write_text("{}")
    assert paseo.ls() == []


def test_an_agent_that_starts_another_stays_in_its_worktree(repo: Path) -> None:
    command = f"run: {sys.executable} -m paseo_nb.cli run demo/writer nested --mode auto"
    outer = paseo.run("demo/nested", command, worktree="outer", mode="auto")
    inner = next(run for run in paseo.ls() if run.id != outer.id)
    assert inner.parent == outer.id
    assert inner.path == outer.path
    assert outer.children == [inner.id]
    assert git(repo, "status", "--porcelain") == ""


def test_two_that_want_the_same_worktree_or_session(repo: Path) -> None:
    def both(*words: str) -> list[int]:
        command = [sys.executable, "-m", "paseo_nb.cli", "start", "demo/slow", "seconds=5"]
        procs = [subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL) for _ in range(3)]
        return sorted(proc.wait(60) for proc in procs)

    assert both("--worktree", "same") == [0, 2, 2]
    assert both("--session", "talk") == [0, 0, 0]
    assert len(paseo.ls()) == 2


def test_replay_sends_nothing_and_archived_stays_away(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = paseo.run("demo/echo", "x").stop()
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    for go_on in (lambda: run.send("y"), run.resume):
        with pytest.raises(paseo.ReplayMiss):
            go_on()
    monkeypatch.delenv("PASEO_NB_REPLAY")
    run.archive()
    with pytest.raises(paseo.UsageProblem, match="archived"):
        run.resume()


def test_a_front_end_with_another_runtime_folder(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = paseo.start("demo/slow", "seconds=60")
    while not run.text:
        time.sleep(0.02)
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    assert run.state == "running"
    run.cancel().wait(check=False)
    assert run.history().turns[0].outcome == "cancelled"


def test_leaving_while_something_waits_does_not_hang(repo: Path) -> None:
    code = "import anyio\nfrom paseo_nb import _portal\n_portal.start_soon(anyio.sleep_forever)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


ENDS = """
import sys
import paseo_nb as paseo
paseo.runs()
try:
    paseo.sql("select nope from runs")
except paseo.UsageProblem as error:
    print(error)
sys.setswitchinterval(1)  # as on a busy machine: other threads hardly get on while this one ends
"""


def test_a_script_that_ends_after_a_query_says_nothing_of_leaks(repo: Path) -> None:
    paseo.run("demo/echo", "hello")
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True)
        assert "nope" in done.stdout
        assert done.stderr == ""


def test_one_file_may_be_attached_by_its_name_alone(repo: Path) -> None:
    run = paseo.run("demo/echo", "look", attach="README.md")
    assert [block["type"] for block in run.spec.prompt] == ["text", "resource"]
    run.send("again", attach="README.md").wait()
    assert len(run.history().turns) == 2


def test_runs_of_a_linked_worktree_are_the_repositorys(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = tmp_path / "linked"
    git(repo, "worktree", "add", "-q", str(linked), "-b", "other")
    monkeypatch.chdir(linked)
    run = paseo.run("demo/echo", "hello")
    assert run.path == linked
    assert not (linked / ".paseo_nb").exists()
    monkeypatch.chdir(repo)
    assert [one.id for one in paseo.ls()] == [run.id]


@pytest.mark.parametrize(
    "call",
    [
        "paseo.run('demo/slow', 'seconds=60')",
        "asyncio.run(paseo.aio.run('demo/slow', 'seconds=60'))",
    ],
)
def test_an_interrupted_launch_cancels_its_turn(repo: Path, call: str) -> None:
    code = f"import asyncio, signal; import paseo_nb as paseo; from paseo_nb import aio; {call}"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(2, signal.default_int_handler); {code}"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (len(paseo.ls()) and paseo.ls()[0].state == "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    run = paseo.ls()[0]
    run.wait(30, check=False)
    assert run.history().turns[0].outcome == "cancelled"


def test_a_budget_of_the_settings_that_is_not_kept_is_said(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "paseo_nb.programs.demo", "--model", "echo"]
    paseo.register_provider("mine", command=command, extends="copilot")
    monkeypatch.setenv("PASEO_NB_BUDGET", "2.5")
    run = paseo.run("mine", "hello")
    assert any("the budget of the settings is not kept" in one for one in run.inspect()["warnings"])
    assert not any("budget" in one for one in paseo.run("demo/echo", "hello").inspect()["warnings"])
