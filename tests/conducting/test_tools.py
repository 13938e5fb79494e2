"""The conductor's tools over stdio: children of a run, their bounds, their results.

Invariants: a child is an ordinary run of its own that outlives its parent's turn and the server; it
has no wider policy, budget or depth than its parent; its result comes whole, by pages.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from kit import Project, git, killed

import paseo_nb as paseo
from paseo_nb.host.local import LocalHost
from paseo_nb.preparing import Cell

from .conftest import WRITE, Call, conductor, with_tools

BIG = 1_000_000


def test_a_child_its_permission_its_result_and_its_archive(
    repo: Path, project: Project, script: Callable[..., str]
) -> None:
    parent = conductor("demo/slow", "seconds=60", labels={"trial": "7"})
    child_agent = script(WRITE)

    async def work(call: Call) -> dict[str, Any]:
        made = await call(
            "create_agent", provider=child_agent, initialPrompt="Write it.", title="writer",
            mode="ask", labels={"part": "a"},
        )  # fmt: skip
        assert made["status"] in ("initializing", "running")
        assert made["type"] == "demo"
        assert Path(made["cwd"]) == repo
        asks = await call("wait_for_agent", agentId=made["agentId"])
        assert asks["permission"]["toolKind"] == "edit"
        listed = await call("list_pending_permissions")
        [waiting] = listed["permissions"]
        assert waiting["agentId"] == made["agentId"]
        await call(
            "respond_to_permission", agentId=made["agentId"],
            requestId=waiting["request"]["id"], response={"behavior": "allow"},
        )  # fmt: skip
        done = await call("wait_for_agent", agent_id=made["agentId"])
        assert (done["status"], done["outcome"], done["permission"]) == ("idle", "end_turn", None)
        assert "Written." in done["lastMessage"]
        [seen] = (await call("list_agents"))["agents"]
        assert (seen["agentId"], seen["title"]) == (made["agentId"], "writer")
        activity = await call("get_agent_activity", agentId=made["agentId"], limit=20)
        assert "made.txt" in activity["content"]
        facts = await call("get_agent_status", agentId=made["agentId"])
        assert facts["status"] == "idle"
        assert "Written." not in str(facts["snapshot"])
        assert (await call("archive_agent", agentId=made["agentId"]))["success"]
        assert (await call("list_agents"))["agents"] == []
        return made

    made = with_tools(parent, work)
    assert (repo / "made.txt").read_text() == "hello\n"
    child = paseo.attach(made["agentId"])
    assert child.state == "archived"
    assert child.parent == parent.id
    assert child.labels == {"trial": "7", "part": "a"}
    [answer] = child.history().permissions.values()
    assert answer.by == f"agent {parent.id}"
    assert parent.state == "running", "the parent goes on"


def test_a_result_of_a_megabyte_comes_whole_by_pages_and_as_a_file(
    repo: Path, script: Callable[..., str]
) -> None:
    text = "".join(f"{n:07d} ü\n" for n in range(BIG // 10))
    pieces = [{"say": text[at : at + 50_000]} for at in range(0, len(text), 50_000)]
    parent = conductor("demo/slow", "seconds=60")

    async def work(call: Call) -> None:
        made = await call("spawn_subagent", agent=script(pieces), prompt="Count.")
        done = await call("wait_for_agent", agentId=made["agentId"])
        while "still at work" in done.get("message", ""):
            done = await call("wait_for_agent", agentId=made["agentId"])
        assert (done["lastMessageTotal"], len(done["lastMessage"])) == (len(text), done["next"])
        assert 5_000 < done["next"] <= 8_000
        parts, at, sums = [], 0, set[str]()
        while at is not None:
            page = await call("subagent_result", agentId=made["agentId"], offset=at, limit=200_000)
            parts.append(page["text"])
            sums.add(page["sha256"])
            at = page["next"]
        assert "".join(parts) == text
        assert sums == {hashlib.sha256(text.encode()).hexdigest()}
        assert Path(page["file"]).read_text() == text

    with_tools(parent, work)


def test_waiting_ends_after_its_time_and_by_a_cancel_and_the_child_goes_on(repo: Path) -> None:
    parent = conductor("demo/slow", "seconds=90")

    async def work(call: Call) -> str:
        made = await call("create_agent", provider="demo/slow", initialPrompt="seconds=60")
        told = await call("wait_for_agent", agentId=made["agentId"], timeoutS=0.5)
        assert "call wait_for_agent again" in told["message"]
        with anyio.move_on_after(0.5) as waited:
            await call("wait_for_agent", agentId=made["agentId"])
        assert waited.cancelled_caught
        assert (await call("subagent_status", agentId=made["agentId"]))["state"] == "running"
        return made["agentId"]

    child = paseo.attach(with_tools(parent, work))
    assert child.state == "running", "the server is gone, its child is not"
    parent.cancel()
    parent.wait(60, check=False)
    assert child.state == "running", "it outlives its parent's turn"
    parent.stop()
    assert child.state == "running", "and its parent's processes"


def test_a_child_has_no_wider_policy_than_its_parent(
    repo: Path, script: Callable[..., str]
) -> None:
    agent = script([{"say": "one"}])
    parent = conductor("demo/slow", "seconds=90", mode="ask", deny=["execute:git push *"])

    async def work(call: Call) -> dict[str, Any]:
        wider = {"provider": agent, "initialPrompt": "x"}
        said = await call("create_agent", fails=True, **wider, mode="auto")
        assert "wider than yours" in said["error"]
        said = await call("create_agent", fails=True, **wider, settings={"modeId": "yolo"})
        assert "agent mode" in said["error"]
        return await call("create_agent", **wider, deny=["fetch"])

    made = with_tools(parent, work)
    spec = paseo.attach(made["agentId"]).spec
    assert spec.mode == "ask"
    assert [str(rule) for rule in spec.rules] == ["deny execute:git push *", "deny fetch"]


def test_a_parent_allows_no_more_than_its_own_policy_does(
    repo: Path, project: Project, script: Callable[..., str]
) -> None:
    parent = conductor("demo/slow", "seconds=90", mode="ask")
    agent = script(WRITE)

    async def work(call: Call) -> str:
        made = await call("create_agent", provider=agent, initialPrompt="x")
        ident = made["agentId"]
        asks = await call("wait_for_agent", agentId=ident)
        request = {"agentId": ident, "requestId": asks["permission"]["id"]}
        yes = await call(
            "respond_to_permission", fails=True, **request, response={"behavior": "allow"}
        )
        assert "leaves this to a person" in yes["error"]
        no = {"behavior": "deny", "message": "not now"}
        assert (await call("respond_to_permission", **request, response=no))["success"]
        return ident

    child = paseo.attach(with_tools(parent, work)).wait(60, check=False)
    [answer] = child.history().permissions.values()
    assert (answer.outcome, answer.message) == ("denied", "not now")
    assert not (repo / "made.txt").exists()


def test_the_notebook_that_a_parent_was_launched_from_is_a_persons_to_give(
    repo: Path, project: Project, script: Callable[..., str]
) -> None:
    book = repo / "lead.ipynb"
    book.write_text("{}")
    cell = Cell(notebook=str(book))
    parent = conductor("demo/slow", "seconds=90", cell=cell)
    agent = script([{"write": {"path": "lead.ipynb", "text": "{}"}}, {"say": "Written."}])

    async def work(call: Call) -> str:
        made = await call("create_agent", provider=agent, initialPrompt="x")
        ident = made["agentId"]
        asks = await call("wait_for_agent", agentId=ident)
        request = {"agentId": ident, "requestId": asks["permission"]["id"]}
        yes = await call(
            "respond_to_permission", fails=True, **request, response={"behavior": "allow"}
        )
        assert "leaves this to a person" in yes["error"]
        return ident

    child = paseo.attach(with_tools(parent, work))
    assert child.state == "waiting"
    assert child.spec.mode == "auto"


def test_depth_and_number_of_children_have_a_limit(
    repo: Path, monkeypatch: Any, script: Callable[..., str]
) -> None:
    monkeypatch.setenv("PASEO_NB_CONDUCT_DEPTH", "1")
    monkeypatch.setenv("PASEO_NB_CONDUCT_CHILDREN", "2")
    agent = script([{"say": "one"}])
    parent = conductor("demo/slow", "seconds=90")

    async def work(call: Call) -> None:
        wish = {"provider": agent, "initialPrompt": "x"}
        said = await call("create_agent", fails=True, **wish, conduct=True)
        assert "conduct_depth" in said["error"]
        first = await call("create_agent", **wish)
        await call("create_agent", **wish)
        said = await call("create_agent", fails=True, **wish)
        assert "conduct_children" in said["error"]
        await call("archive_agent", agentId=first["agentId"])
        await call("create_agent", **wish)

    with_tools(parent, work)
    assert parent.spec.limits.depth == 1


def test_children_count_against_their_parents_budget(
    repo: Path, project: Project, script: Callable[..., str]
) -> None:
    agent = script([{"say": "That was dear."}])
    parent = conductor("demo/slow", "seconds=90", budget=1.0)

    async def work(call: Call) -> str:
        wish = {"provider": agent, "initialPrompt": "x", "background": False}
        said = await call("create_agent", fails=True, **wish, budgetUsd=2.0)
        assert "of your budget are left" in said["error"]
        made = await call("create_agent", **wish, budgetUsd=0.5)
        assert made["outcome"] == "end_turn"
        return made["agentId"]

    child = paseo.attach(with_tools(parent, work))
    assert child.spec.limits.cost_usd == 0.5
    project.until(lambda: project.own(parent.id, "child_told"), 30)
    [told] = project.own(parent.id, "child_told")
    assert told["cost_usd"] == child.cost_usd > 0

    async def again(call: Call) -> None:
        made = await call("create_agent", provider=agent, initialPrompt="x")
        left = (1.0 - child.cost_usd) / 2
        spec = paseo.attach(made["agentId"]).spec
        assert abs(spec.limits.cost_usd - left) < 1e-6, "half of what is left, as it asked for none"

    with_tools(parent, again)


def test_only_ones_own_agents_are_commanded(repo: Path) -> None:
    other = paseo.start("demo/slow", "seconds=60", mode="auto")
    parent = conductor("demo/slow", "seconds=60")

    async def work(call: Call) -> None:
        for tool in ("cancel_agent", "archive_agent", "kill_agent"):
            said = await call(tool, fails=True, agentId=other.id)
            assert "not one of your agents" in said["error"]
        said = await call("send_agent_prompt", fails=True, agentId=other.id, prompt="x")
        assert "not one of your agents" in said["error"]
        assert (await call("list_agents"))["agents"] == []

    with_tools(parent, work)
    assert other.state == "running"


def test_worktrees_are_made_listed_and_removed(repo: Path) -> None:
    parent = conductor("demo/slow", "seconds=60")

    async def work(call: Call) -> None:
        made = await call("create_worktree", worktreeSlug="side")
        path = Path(made["worktreePath"])
        assert (path.is_dir(), made["branchName"]) == (True, "side")
        listed = await call("list_worktrees", cwd=str(repo))
        assert {one["branchName"] for one in listed["worktrees"]} >= {"side"}
        (path / "new.txt").write_text("not committed")
        assert "new.txt" not in str(await call("archive_worktree", fails=True, worktreeSlug="side"))
        assert path.is_dir()
        (path / "new.txt").unlink()
        async with anyio.create_task_group() as group:
            with LocalHost(repo / ".paseo_nb").holding("launch.lock", 60):  # somebody launches
                group.start_soon(lambda: call("archive_worktree", worktreePath=str(path)))
                await anyio.sleep(0.5)
                assert path.exists()
        assert not path.exists()
        said = await call("archive_worktree", fails=True, worktreePath=str(repo))
        assert "no worktree of this project" in said["error"]

    with_tools(parent, work)


MAKES = """
import anyio
from paseo_nb import config
from paseo_nb.conducting.asked import CreateWorktree
from paseo_nb.conducting.tools import Conductor
from paseo_nb.host.local import LocalHost

tools = Conductor(LocalHost(config.home()))
anyio.run(tools.create_worktree, CreateWorktree(worktree_slug="side"))
"""


def test_a_worktree_whose_making_was_killed_is_given_to_nobody_and_goes(repo: Path) -> None:
    (repo / "many").mkdir()
    for number in range(1500):
        (repo / "many" / str(number)).write_text(str(number))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "many")
    half = repo / ".paseo_nb" / "worktrees" / "side"
    making = [sys.executable, "-c", MAKES]
    killed(
        subprocess.Popen(making, start_new_session=True, cwd=repo, text=True),
        lambda: (half / "many").exists(),
    )
    assert half.exists()
    again = subprocess.run(making, cwd=repo, capture_output=True, text=True)
    assert "broken off" in again.stderr
    paseo.prune(dry_run=False)
    assert not half.exists()
    assert git(repo, "branch", "--list", "side") == ""
    subprocess.run(making, cwd=repo, check=True)
    assert (half / "many" / "1499").exists()
    assert not list(half.parent.glob(".new-*"))


def test_what_means_nothing_is_said_and_what_is_wrong_is_named(repo: Path) -> None:
    parent = conductor("demo/slow", "seconds=60")

    async def work(call: Call) -> None:
        told = await call("list_agents", sinceHours=1, workspaceId="w")
        assert told["ignored"] == ["workspaceId"]
        said = await call("create_agent", fails=True, provider="demo/echo")
        assert "initialPrompt" in said["error"]
        said = await call("wait_for_agent", fails=True, agentId="zzz")
        assert "no run" in said["error"]

    with_tools(parent, work)
