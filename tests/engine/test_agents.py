"""Workflows on real runs: worktrees, commits, a conductor that is killed, two processes at once."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from kit import SLACK, Project, git, kill_9, killed
from minds import AGENT, Minds

import paseo_nb as paseo
from paseo_nb import agent, parallel
from paseo_nb.engine.journal import folders
from paseo_nb.engine.story import Story
from paseo_nb.errors import WorkflowFatal

MINDS = """
def writes(prompt, turn, folder):
    (folder / "note.txt").write_text(prompt)
    return "written"

def reads(prompt, turn, folder):
    path = folder / "note.txt"
    return path.read_text() if path.exists() else "nothing there"

def waits(prompt, turn, folder):
    go = folder.parent / "go"
    while not go.exists():
        time.sleep(0.02)
    return f"{os.environ['PASEO_STEP_KEY'].count('/')} {prompt}"

def breaks(prompt, turn, folder):
    raise ValueError("invalid api key")
"""


@pytest.fixture
def minds(tmp_path: Path, repo: Path) -> Minds:
    made = Minds(tmp_path)
    made.has(MINDS)
    return made


def test_files_that_were_changed_meanwhile_are_put_back_where_that_is_asked_for(
    repo: Path, minds: Minds
) -> None:
    go_on = False

    @paseo.workflow
    async def two():
        await agent("as the step left it", "writes", mode="edit")
        assert go_on
        return str(await agent("what is there?", "reads"))

    with pytest.raises(AssertionError):
        two()
    go_on = True
    (repo / "note.txt").write_text("somebody else's")
    (repo / "more.txt").write_text("not committed")
    (repo / "paseo_workflows").mkdir()
    (repo / "paseo_workflows" / "two.py").write_text("edited, as what failed was mended")
    assert two.options(changed_tree="restore")() == "as the step left it"
    assert not (repo / "more.txt").exists()
    assert (repo / "paseo_workflows" / "two.py").exists()
    [ref] = git(
        repo, "for-each-ref", "--format=%(refname)", "refs/paseo/workflows/*/before/*"
    ).split()
    assert git(repo, "show", f"{ref}:note.txt") == "somebody else's"
    assert git(repo, "show", f"{ref}:more.txt") == "not committed"


def test_a_workflow_that_is_mended_in_its_file_goes_on(repo: Path, minds: Minds) -> None:
    file = repo / "deep" / "paseo_workflows" / "mended.py"
    file.parent.mkdir(parents=True)
    go_on = False

    @paseo.workflow
    async def mended():
        first = await agent("what is there?", "reads")
        file.write_text("edited")
        assert go_on
        return str(await agent(f"again: {first}", "reads"))

    with pytest.raises(AssertionError):
        mended()
    go_on = True
    assert mended() == "nothing there"
    assert len(minds.asked()) == 2, "the first step was taken from before"
    (repo / "other.txt").write_text("edited")
    run = mended.start()
    run.wait()
    assert len(minds.asked()) == 4
    assert "the files that it begins with" in run.why_rerun(run.steps()["step"].iloc[0])


def test_a_step_in_a_worktree_hands_its_files_on(repo: Path, minds: Minds) -> None:
    @paseo.workflow
    async def two():
        made = await agent("from the worktree", "writes", isolation="worktree", label="make")
        assert made.path is not None
        assert "+from the worktree" in made.diff()
        here = await agent(f"what is in {made.path}?", "reads")
        there = await agent("and there?", "reads", isolation="worktree", needs=made)
        return str(here), str(there), made.branch

    here, there, branch = two()
    assert (here, there) == ("nothing there", "from the worktree")
    assert git(repo, "status", "--porcelain").strip() == "", "the folder itself is untouched"
    asked = len(minds.asked())
    assert asked == 3
    apart = repo / ".paseo_nb" / "worktrees"
    assert not [*apart.rglob(".git")], "none of them is left behind"
    git(repo, "branch", "-D", branch)
    run = two.start()
    assert run.wait() == (here, there, branch)
    assert len(minds.asked()) == asked, "taken again, though its folder had another name each time"
    assert git(repo, "branch", "--list", branch).strip(), (
        "the branch is back, at the result's commit"
    )
    frame = paseo.runs()
    assert len(set(frame["workflow_run_id"])) == 1
    paseo.unarchive(run.steps().set_index("label").loc["make", "run_id"])
    assert (apart / branch / "note.txt").exists()
    assert two.options(refresh="make", worktrees="keep")()[:2] == (here, there)
    assert len([*apart.rglob(".git")]) > 1
    labels = [json.loads(text) for text in frame["labels"]]
    assert {one["workflow"] for one in labels} == {"two"}


def test_the_agents_of_finished_steps_leave(repo: Path, minds: Minds) -> None:
    @paseo.workflow
    async def some():
        await parallel([agent(f"look {n}", "reads") for n in range(3)])
        deadline = time.monotonic() + 10 * SLACK  # the setting is 20 s: they do not wait that long
        project = Project(repo)
        while any(map(project.alive, project.host.list())):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        return len(project.host.list())

    begun = time.monotonic()
    assert some() == 3
    assert time.monotonic() - begun < 20


def test_steps_that_write_here_are_a_chain(repo: Path, minds: Minds) -> None:
    @paseo.workflow
    async def chain(mark: int):
        before = str(await agent("look", "reads"))
        await agent("a note", "writes", mode="auto")
        return before, str(await agent("look", "reads"))

    assert chain(1) == ("nothing there", "a note")
    asked = len(minds.asked())
    assert chain(2) == ("a note", "a note")
    # The first look begins with the files of the last one, so that is taken, once.
    assert minds.asked()[asked:] == ["a note", "look"]


def test_an_agent_that_cannot_sign_in_ends_the_workflow(repo: Path, minds: Minds) -> None:
    @paseo.workflow
    async def three():
        await parallel([agent("x", "breaks"), agent("look", "reads")])
        await agent("never", "reads")

    with pytest.raises(WorkflowFatal, match="invalid api key") as raised:
        three()
    assert raised.value.cause == "auth"
    assert "never" not in minds.asked()

    @paseo.workflow
    async def unknown():
        await agent("x", "nobody/nothing")

    with pytest.raises(WorkflowFatal, match="nobody"):
        unknown()


SCRIPT = """
import sys
import paseo_nb as paseo

paseo.register_provider("waits", command={command!r})
paseo.register_provider("reads", command={reads!r})

@paseo.workflow
async def shared():
    first = await paseo.agent("first", "reads")
    both = await paseo.parallel([paseo.agent(f"w{{n}}", "waits") for n in range(2)])
    return [str(first), *map(str, both)]

print(shared())
"""


def script(tmp_path: Path, minds: Minds) -> Path:
    file = tmp_path / "shared.py"
    command = [sys.executable, str(AGENT), str(minds.file), "waits"]
    text = textwrap.dedent(SCRIPT).format(command=command, reads=[*command[:-1], "reads"])
    # A parallel test runner ignores SIGINT, and children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    file.write_text(heard + text)
    return file


def until(what, why: str) -> None:
    deadline = time.monotonic() + 20 * SLACK
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def test_a_killed_conductor_leaves_its_agents_to_be_attached_to(
    repo: Path, tmp_path: Path, minds: Minds
) -> None:
    file = script(tmp_path, minds)
    first = subprocess.Popen([sys.executable, str(file)], cwd=repo)
    try:
        until(lambda: len(minds.asked("waits")) == 2, "both wait")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    run = folders(repo / ".paseo_nb")[0]
    assert Story(run).state == "interrupted"
    second = subprocess.Popen([sys.executable, str(file)], cwd=repo, stdout=subprocess.PIPE)
    third = subprocess.Popen([sys.executable, str(file)], cwd=repo, stdout=subprocess.PIPE)
    until(lambda: Story(run).state == "running", "one conducts")
    (tmp_path / "go").touch()
    told = [one.communicate(timeout=60 * SLACK)[0].decode() for one in (second, third)]
    assert "1 w0" in told[0]
    assert len(minds.asked()) == 3, "each agent was asked once"
    stories = [Story(folder) for folder in folders(repo / ".paseo_nb")]
    assert {story.state for story in stories} == {"done"}
    assert told[0] == told[1], "one followed, or came later and took everything from before"
    frame = paseo.steps(run.id)
    assert list(frame["state"]) == ["done"] * 3
    assert list(frame["attempt"]) == [1, 1, 1], "they were attached to, not begun again"


def test_two_notebooks_that_call_it_at_once_are_one_engine_and_one_follower(
    repo: Path, tmp_path: Path, minds: Minds
) -> None:
    file = script(tmp_path, minds)
    text = file.read_text().replace(
        "print(shared())",
        "run = shared.start()\nprint(run.follows, run.id, flush=True)\nprint(run.wait())",
    )
    file.write_text(text)
    both = [
        subprocess.Popen([sys.executable, str(file)], cwd=repo, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    begun = [one.stdout.readline().split() for one in both if one.stdout is not None]
    assert sorted(follows for follows, _ in begun) == ["False", "True"]
    assert begun[0][1] == begun[1][1], "it is one run"
    (tmp_path / "go").touch()
    told = {one.communicate(timeout=60 * SLACK)[0].strip() for one in both}
    assert told == {"['nothing there', '1 w0', '1 w1']"}, "the same result"
    assert sorted(minds.asked()) == ["first", "w0", "w1"], "each agent once"
    assert len(folders(repo / ".paseo_nb")) == 1
    assert {line["epoch"] for line in folders(repo / ".paseo_nb")[0].lines()} == {0, 1}


def test_an_interrupt_cancels_its_running_turns_and_it_can_go_on(
    repo: Path, tmp_path: Path, minds: Minds
) -> None:
    file = script(tmp_path, minds)
    first = subprocess.Popen([sys.executable, str(file)], cwd=repo, stderr=subprocess.PIPE)
    until(lambda: len(minds.asked("waits")) == 2, "both wait")
    first.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in first.communicate(timeout=60 * SLACK)[1]
    run = folders(repo / ".paseo_nb")[0]
    assert Story(run).state == "stopped"
    project = Project(repo)
    until(lambda: not any(map(project.alive, project.host.list())), "no run is left")
    assert sorted(paseo.steps(run.id)["state"]) == ["cancelled", "cancelled", "done"]
    (tmp_path / "go").touch()
    told = subprocess.run([sys.executable, str(file)], cwd=repo, capture_output=True, check=True)
    assert told.stdout.decode().strip() == "['nothing there', '1 w0', '1 w1']"
    assert minds.asked("reads") == ["first"], "what was finished was taken"
    assert sorted(paseo.steps(run.id)["state"]) == ["cancelled", "cancelled", *["done"] * 3]


WHOLE = """
import sys
import paseo_nb as paseo
from paseo_nb import agent, parallel

for name in ("steady", "writes"):
    paseo.register_provider(name, command=[*{command!r}, name])

@paseo.workflow
async def whole():
    first = await parallel([agent(f"first {{n}}", "steady") for n in range(3)])
    made = await agent("apart", "writes", isolation="worktree")
    return [*map(str, first), made.diff().count("+apart"), str(await agent("last", "steady"))]

print(whole())
"""


MAKES = """
import paseo_nb as paseo
from paseo_nb import agent

paseo.register_provider("writes", command={command!r})

@paseo.workflow
async def makes():
    return (await agent("apart", "writes", isolation="worktree")).diff().count("+apart")

print(makes())
"""


@pytest.mark.crash
def test_killed_while_a_steps_worktree_is_made_it_is_made_anew(
    repo: Path, tmp_path: Path, minds: Minds
) -> None:
    (repo / "many").mkdir()
    for number in range(1500):
        (repo / "many" / str(number)).write_text(str(number))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "many")
    file = tmp_path / "makes.py"
    file.write_text(MAKES.format(command=[sys.executable, str(AGENT), str(minds.file), "writes"]))
    trees = repo / ".paseo_nb" / "worktrees"
    killed(
        subprocess.Popen([sys.executable, str(file)], cwd=repo, start_new_session=True, text=True),
        lambda: any(trees.glob("**/many")),
    )
    assert list(trees.glob(".new-*")), "it was killed too late"
    told = subprocess.run([sys.executable, str(file)], cwd=repo, capture_output=True)
    assert told.returncode == 0, told.stderr.decode()
    assert told.stdout == b"1\n"
    assert minds.asked() == ["apart"]
    assert not list(trees.glob(".new-*"))


# Who dies: the process that conducts (the caller's, which is a kernel; or, with `bg=True`, one of
# its own, whose caller dies as well; by SIGTERM once), all agents beside it, or the agents alone.
CRASHES = [
    *((lines, victim) for lines in (1, 2, 3, 5, 6, 8, 9, 11)
      for victim in ("conductor", "conductor and agents")),
    (5, "agents"), (9, "agents"), (5, "detached"), (9, "detached and agents"), (5, "terminated"),
]  # fmt: skip


@pytest.mark.crash
@pytest.mark.parametrize(("lines", "victim"), CRASHES)
def test_killed_at_any_time_each_finished_step_is_executed_once(
    repo: Path, tmp_path: Path, minds: Minds, lines: int, victim: str
) -> None:
    """The crash matrix of workflows, docs/workflows.md."""
    minds.has(
        """
        def steady(prompt, turn, folder):
            time.sleep(4 if task() == "last" else 0.3)
            return task().upper()
        """
    )
    file = tmp_path / "whole.py"
    command = [sys.executable, str(AGENT), str(minds.file)]
    text = WHOLE.format(command=command)
    if "detached" in victim:
        text = text.replace("print(whole())", "print(whole.options(bg=True)().wait())")
    file.write_text(text)
    home = repo / ".paseo_nb"

    def written() -> int:
        known = folders(home)
        return len(list(known[0].lines())) if known else 0

    first = subprocess.Popen([sys.executable, str(file)], cwd=repo, stdout=subprocess.PIPE)
    until(lambda: written() >= lines or first.poll() is not None, "it is that far")
    run = folders(home)[0]
    if victim == "terminated":
        first.terminate()
        first.wait()
    elif victim != "agents":
        if "detached" in victim:
            kill_9(Story(run).engine["pid"])
        kill_9(first.pid)
        first.wait()
    finished = {s.run_id for s in Story(run).steps.values() if s.state == "done"}
    project = Project(repo)
    if "agents" in victim:
        for run_id in filter(project.alive, project.host.list()):
            kill_9(*project.processes(run_id).values())
            if victim != "agents":  # whose conductor brings them back at once
                project.gone(run_id)
    if victim == "agents":
        out, _ = first.communicate(timeout=60 * SLACK)
        assert out.decode().strip() == str(["FIRST 0", "FIRST 1", "FIRST 2", 1, "LAST"])
        assert Story(run).state == "done"
        told = subprocess.CompletedProcess([], 0, out)
    else:
        told = subprocess.run([sys.executable, str(file)], cwd=repo, capture_output=True)
        assert told.returncode == 0, told.stderr.decode()
    assert told.stdout.decode().strip() == str(["FIRST 0", "FIRST 1", "FIRST 2", 1, "LAST"])
    assert len(folders(home)) == 1
    story = Story(run)
    assert story.state == "done"
    assert {s.state for s in story.steps.values()} == {"done"}
    assert len(story.steps) == 5
    assert finished <= {s.run_id for s in story.steps.values()}, "none was executed again"
    asked = minds.asked()
    if "agents" not in victim:
        assert sorted(asked) == ["apart", "first 0", "first 1", "first 2", "last"]
    until(lambda: not any(map(project.alive, project.host.list())), "no process is left")
    again = subprocess.run([sys.executable, str(file)], cwd=repo, capture_output=True, check=True)
    assert again.stdout == told.stdout
    assert minds.asked() == asked, "a call of what is done is a no-op"
