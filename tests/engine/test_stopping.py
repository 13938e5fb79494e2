"""Stopped from another process, in a process of its own, and by its words in cell and terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import SLACK, Project
from minds import AGENT, Minds

import paseo_nb as paseo
from paseo_nb import agent
from paseo_nb.engine.journal import folders
from paseo_nb.engine.standing_alone import free_names, module_of
from paseo_nb.engine.workflows import Workflow, defined
from paseo_nb.errors import UsageProblem, WorkflowError
from paseo_nb.options import HelpShown
from paseo_nb.programs.demo import copy_sample
from paseo_nb.workflow_commands import define, do


def until(what, why: str) -> None:
    deadline = time.monotonic() + 20 * SLACK
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def paseo_nb(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paseo_nb.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def test_a_stop_asked_for_in_another_process_ends_it_and_the_call_goes_on(place, home) -> None:
    go = threading.Event()

    async def waits(wanted):
        while wanted.call.prompt == "b" and not go.is_set():
            await asyncio.sleep(0.01)
        return wanted.call.prompt

    @paseo.workflow
    async def two():
        return [str(await agent("a")), str(await agent("b"))]

    made = place(waits)
    run = two.at(lambda: made).start()
    until(lambda: len(made.started) == 2, "it is at b")
    assert paseo_nb("workflow", "stop", run.id).stdout.strip() == "stopped"
    with pytest.raises(WorkflowError, match="was stopped"):
        run.wait()
    assert made.cancelled == [made.started[1].run_id]
    assert paseo.workflow_runs()["state"].tolist() == ["stopped"]
    go.set()
    again = two.at(lambda: made).start()
    assert again.wait() == ["a", "b"], "what asked the one to stop does not stop the next"
    assert again.id == run.id
    assert [one.call.prompt for one in made.started] == ["a", "b", "b"]
    assert paseo.stop_workflow(run.id) == "done", "there is nothing to stop"


def test_a_run_whose_engine_died_is_stopped_where_it_lies(home, tmp_path: Path) -> None:
    text = """
        import os
        import paseo_nb as paseo
        from paseo_nb.engine.simulated import SimulatedPlace

        async def dies(wanted):
            import asyncio
            while not os.path.exists("stop"):
                await asyncio.sleep(0.01)
            os._exit(9)

        @paseo.workflow
        async def one():
            await paseo.agent("x")

        one.at(lambda: SimulatedPlace(dies)).start().wait()
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(text)])
    until(lambda: folders(home) and len(list(folders(home)[0].lines())) >= 3, "it is at work")
    (tmp_path / "stop").touch()
    assert process.wait(60 * SLACK) == 9
    run = paseo.workflow_run("one")
    assert run.state == "interrupted"
    with pytest.raises(WorkflowError, match="its process died"):
        run.wait()
    run.stop()
    assert run.state == "stopped"
    assert run.steps()["state"].tolist() == ["cancelled"]


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("async def f(x):\n    return x + y", ["y"]),
        ("import a.b\nasync def f():\n    def g(): return a, z\n    return [g for w in q]", "qz"),
        ("async def f(n: Kind = D):\n    try: pass\n    except E as e: print(e, __name__)", "DE"),
        ("class K:\n    v = 1\nasync def f():\n    global t\n    t = K.v\n    return t", []),
    ],
)
def test_free_names(text: str, free) -> None:
    assert free_names(text) == sorted([*free, *(["Kind"] if "Kind" in text else [])])


def test_what_can_be_imported_is_and_the_rest_is_listed() -> None:
    known = {"js": json, "paseo": paseo, "agent": agent, "Path": Path, "here": 3}
    text = "async def f():\n    return js, Path, await agent(paseo), {}"
    made = module_of(text.format("1"), known, "f")
    assert made.splitlines()[:4] == [
        "from pathlib import Path as Path",
        "from paseo_nb import agent",
        "import json as js",
        "import paseo_nb as paseo",
    ]
    with pytest.raises(UsageProblem, match="it uses gone, here, which are not defined in it"):
        module_of(text.format("here, gone"), known, "f")


CELL = '''
import dataclasses

@dataclasses.dataclass
class Thing:
    name: str

async def greet(whom: str, times: int = 1):
    """Says hello."""
    log("greeting", Thing(whom))
    return [str(await agent(f"hello {whom} {n}")) for n in range(times)]
'''


def test_a_cell_defines_a_workflow_that_stands_by_itself(place, home) -> None:
    made = define("greet", CELL)
    assert isinstance(made, Workflow)
    assert made.at(place)("you", times=2) == ["did hello you 0", "did hello you 1"]
    with pytest.raises(UsageProblem, match="uses df, other,"):
        define("greet", CELL + "    return df + other\n")
    listed = do(["ls"], "%paseo workflow").set_index("name")
    assert listed.loc["greet", ["source", "runs", "state"]].tolist() == ["cell", 1, "done"]
    assert do(["show", "greet"], "%paseo workflow").state == "done"
    with pytest.raises(UsageProblem, match="there are ls, runs, show, run, resume, stop"):
        do(["sow"], "%paseo workflow")
    with pytest.raises(HelpShown):
        do(["run", "-h"], "%paseo workflow")
    with pytest.raises(UsageProblem, match="NAME=VALUE"):
        do(["run", "greet", "you"], "%paseo workflow")


def test_a_run_is_resumed_with_the_workflow_as_it_is_defined_now(place, home) -> None:
    broken = "async def mended(name):\n    first = await agent(f'one {name}')\n    "
    for body, more in (("raise ValueError('typo')", ""), ("return str(first) + '!'", ", extra")):
        define("mended", broken.replace("name)", f"name{more})", 1) + body)
        defined["mended"] = mended = defined["mended"].at(place)
        if not more:
            with pytest.raises(ValueError, match="typo"):
                mended("tea")
            (run_id,) = paseo.workflow_runs()["workflow_run_id"]
    with pytest.raises(UsageProblem, match=r"takes \(name, extra\) now; .* called with name"):
        do(["resume", run_id], "%paseo workflow")
    define("mended", broken + "return str(first) + '!'")
    defined["mended"] = mended = defined["mended"].at(place)
    assert do(["resume", run_id], "%paseo workflow") == "did one tea!"
    assert paseo.workflow_runs()["state"].tolist() == ["done"]
    assert len(paseo.steps(run_id)) == 1, "its finished step was taken"
    with pytest.raises(ValueError, match="oops"):
        define("mended", broken + "raise ValueError('oops')").at(place)("tea")
    assert paseo.workflow_runs()["state"].tolist() == ["failed", "done"]
    failed = paseo.workflow_runs()["workflow_run_id"][0]
    with pytest.raises(ValueError, match="oops"):
        defined["mended"].at(place).options(refresh=True)("tea")
    with pytest.raises(UsageProblem, match="the same call was made again later, as run"):
        do(["resume", failed], "%paseo workflow")


def test_bg_refuses_what_another_process_would_not_have(home) -> None:
    data = {1, 2}

    @paseo.workflow(bg=True)
    async def near(x: object = None):
        return data

    with pytest.raises(UsageProblem, match="it uses data, which is not defined in it"):
        near()
    with pytest.raises(UsageProblem, match="argument whom of greet, a PosixPath"):
        define("greet", CELL).options(bg=True)(Path("a"))  # pyright: ignore


def test_bg_gives_what_the_body_says_that_it_returns(home) -> None:
    cell = "class Told(msgspec.Struct):\n    n: int\n\nasync def counted(n: int) -> Told:\n"
    made = define("counted", f"import msgspec\n{cell}    return Told(n)\n")
    run = made.options(bg=True)(3)  # pyright: ignore

    async def awaited() -> object:
        return await run

    assert run.wait(60 * SLACK) == made.function.__globals__["Told"](3) == asyncio.run(awaited())


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    monkeypatch.delenv("PASEO_NB_HOME", raising=False)
    monkeypatch.setenv("PASEO_NB_IDLE", "20")
    yield path
    project = Project(path)
    project.runs = [run_id for run_id in project.host.list() if project.alive(run_id)]
    project.close()


def test_a_workflow_run_that_came_with_a_repository_is_not_executed(repo: Path) -> None:
    made = define(
        "broken", "async def broken():\n    open('executed', 'a').write('x')\n    1 / 0\n"
    )
    run = made.options(bg=True)()  # pyright: ignore
    with pytest.raises(WorkflowError):
        run.wait(60 * SLACK)
    subprocess.run(["git", "add", "-f", "--", run.folder.path], check=True)
    told = paseo_nb("workflow", "resume", run.id, check=False)
    assert told.returncode != 0
    assert "came here with a repository" in told.stderr
    assert (repo / "executed").read_text() == "x"


KERNEL = """
import time
import paseo_nb as paseo
from paseo_nb import agent

paseo.register_provider("waits", command={command!r})

@paseo.workflow
async def slow(name):
    first = await agent(f"first {{name}}", "waits")
    return [str(first), str(await agent("second", "waits"))]

print(slow.options(bg=True)("tides").id, flush=True)
time.sleep(600)
"""


def test_in_a_process_of_its_own_it_outlives_the_kernel_and_is_stopped_from_anywhere(
    repo: Path, tmp_path: Path
) -> None:
    minds = Minds(tmp_path)
    minds.has(
        """
        def waits(prompt, turn, folder):
            while prompt == "second" and not (folder.parent / "go").exists():
                time.sleep(0.02)
            return prompt.upper()
        """
    )
    command = [sys.executable, str(AGENT), str(minds.file), "waits"]
    file = tmp_path / "kernel.py"
    file.write_text(KERNEL.format(command=command))
    kernel = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    run_id = kernel.stdout.readline().strip()
    kernel.kill()
    kernel.wait()
    run = paseo.workflow_run(run_id)
    until(lambda: minds.asked() == ["first tides", "second"], "it goes on without the kernel")
    assert run.state == "running"
    engine = run.story().engine["pid"]
    with pytest.raises(TimeoutError):
        run.wait(0.1)
    assert "running" in paseo_nb("workflow", "show", run_id).stdout
    assert paseo_nb("workflow", "stop", run_id).stdout.strip() == "stopped"
    assert run.steps()["state"].tolist() == ["done", "cancelled"]
    assert "slow: " in (run.folder.path / "output.log").read_text()

    with pytest.raises(UsageProblem, match="changed_tree='x': error, accept or restore"):
        do(["resume", run_id, "--changed-tree", "x"], "%paseo workflow")
    again = do(["resume", run_id, "--budget", "9", "--worktrees", "keep"], "%paseo workflow")
    assert again.id == run_id
    until(lambda: minds.asked()[2:] == ["second"], "it goes on where it was")
    assert again.story().engine["budget"] == 9
    assert again.story().engine["pid"] != engine
    os.kill(again.story().engine["pid"], signal.SIGKILL)
    until(lambda: again.state == "interrupted", "it is gone")
    assert run_id[:8] in paseo_nb("workflow", "resume", run_id).stdout
    (tmp_path / "go").touch()
    assert run.wait(60 * SLACK) == ["FIRST TIDES", "SECOND"]
    assert minds.asked()[3:] == [], "what was at work was attached to"
    assert run.steps()["state"].tolist() == ["done", "cancelled", "done"]
