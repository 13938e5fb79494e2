"""What a front end asks of a run that is at work: real runs, real feeds, no kernel."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import SLACK, Project

import paseo_nb as paseo
from paseo_nb import _portal
from paseo_nb.handle import AsyncRun
from paseo_nb.programs.demo import copy_sample
from paseo_nb.widgets.run_view import acting, feed

from .told import Front


class Page(Front):
    """A front end that joins the feed of a run in the portal's loop, and sends commands."""

    def __init__(self, run: AsyncRun) -> None:
        super().__init__()
        self.run = run
        _portal.start_soon(feed.join, run, self)

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        told = {"k": "do", "id": "c1", "verb": verb, **fields}
        answer = _portal.call(acting.act, self.run, told)
        assert (answer["k"], answer["id"]) == ("done", "c1")
        return answer

    def until(self, what: Callable[[Page], Any], why: str, within: float = 4.0) -> Any:
        deadline = time.monotonic() + within * SLACK
        while not (found := what(self)):
            assert time.monotonic() < deadline, f"{why}: {self.head.get('state')} {self.rows[-3:]}"
            time.sleep(0.02)
        return found

    def says(self, text: str) -> bool:
        return any(text in str(row) for row in self.rows)

    async def _gone(self) -> None:
        mine = feed.feed_of(self.run)
        if mine is not None:
            mine.leave(self)

    def close(self) -> None:
        _portal.call(self._gone)


@pytest.fixture
def page(project: Project) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def opened(model: str, prompt: str, **more: Any) -> Page:
        pages.append(Page(AsyncRun(project.host, project.start(model, prompt, **more))))
        return pages[-1]

    yield opened
    for one in pages:
        one.close()


def test_stop_ends_the_turn(page: Callable[..., Page]) -> None:
    shown = page("slow", "seconds=60")
    shown.until(lambda one: one.says("2 of"), "it streams")
    assert shown.head["can"]["cancel"] is True
    assert shown.do("cancel")["ok"]
    shown.until(lambda one: one.head["state"] == "idle", "the turn ends")
    assert (shown.head["word"], shown.head["shape"]) == ("Cancelled", "stopped")
    assert shown.head["can"]["cancel"] is False
    assert shown.do("stop")["ok"]
    shown.until(lambda one: one.head["state"] == "stopped", "its processes end")
    assert shown.head["can"]["resume"] is True


def test_what_a_turn_changed_is_applied_and_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(repo)
    for name in ("user.name", "user.email"):
        subprocess.run(["git", "config", name, "someone@example.org"], check=True)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "sessions"))
    run = paseo.run("demo/fixer", "The tests fail. Fix the code.", worktree="w", mode="auto")
    shown = Page(run._run)
    try:
        shown.until(lambda one: one.head.get("can", {}).get("apply") is True, "it can be applied")
        changed = [change.path for change in run.diff_summary().files]
        before = {path: (repo / path).read_text() for path in changed}
        seen = shown.do("apply", dry_run=True)
        assert (seen["ok"], seen["clear"]) == (True, True), seen
        assert seen["said"].startswith(f"2 files would change in {seen['onto']}")
        assert all((repo / path).read_text() == text for path, text in before.items()), "not yet"
        done = shown.do("apply", onto=seen["onto"])
        assert done["said"].startswith("2 files changed in "), done
        for path in changed:
            assert (repo / path).read_text() == (run.path / path).read_text()
        assert not shown.do("apply", dry_run=True)["clear"], "it is there"
        undone = shown.do("undo")
        assert undone["said"].startswith("Put back as it was before the turn: "), undone
        assert all((run.path / path).read_text() == text for path, text in before.items())
    finally:
        shown.close()
        run.stop()


def test_a_permission_is_answered_and_an_edit_is_kept(page: Callable[..., Page]) -> None:
    script = [[{"permission": {"title": "rm it", "kind": "execute", "input": {"command": "rm x"}}}]]
    shown = page("script", "go", script=script, mode="ask")
    [ask] = shown.until(lambda one: one.asks, "it asks")
    assert (ask["question"], ask["subject"]) == ("Run this command?", "rm x")
    assert ask["editable"] is True
    assert shown.head["state"] == "waiting"
    [once] = [one["id"] for one in ask["options"] if one["kind"] == "allow_once"]
    answer = shown.do("allow", permission=ask["id"], option=once, input="rm y")
    assert answer["ok"], answer
    shown.until(lambda one: not one.asks, "it is answered")
    [permission] = shown.run.history().permissions.values()
    assert permission.edited == {"command": "rm y"}
    late = shown.do("deny", permission=ask["id"], reason="too late")
    assert (late["ok"], late["said"]) == (False, "It needs no answer any more.")


def test_a_denial_has_its_reason(page: Callable[..., Page]) -> None:
    shown = page("asker", "may I", mode="ask")
    [ask] = shown.until(lambda one: one.asks, "it asks")
    assert shown.do("deny", permission=ask["id"], reason="not today")["ok"]
    row = shown.until(
        lambda one: [r for r in one.rows if r["k"] == "answered"], "the answer is a row"
    )
    assert "not today" in str(row)


def test_messages_wait_are_taken_back_and_go_first(page: Callable[..., Page]) -> None:
    shown = page("slow", "seconds=60")
    shown.until(lambda one: one.says("2 of"), "it streams")
    assert shown.do("send", text="/echo first", when="queue")["ok"]
    assert shown.do("send", text="/echo second", when="queue")["ok"]
    queued = shown.until(
        lambda one: len(one.head["queued"]) == 2 and one.head["queued"], "they are queued"
    )
    assert [one["text"] for one in queued] == ["/echo first", "/echo second"]
    assert shown.do("unqueue", queued=queued[0]["id"])["ok"]
    shown.until(lambda one: len(one.head["queued"]) == 1, "it is taken back")
    again = shown.do("unqueue", queued=queued[0]["id"])
    assert not again["ok"]
    assert "waits no longer" in again["said"]
    assert shown.do("send", text="/echo now", when="interrupt")["ok"]
    shown.until(lambda one: one.says("second") and one.head["state"] == "idle", "all are answered")
    prompts = [row["text"] for row in shown.rows if row["k"] == "prompt"]
    assert prompts == ["seconds=60", "/echo now", "/echo second"]


def test_what_cannot_be_done_is_said_in_words(page: Callable[..., Page]) -> None:
    shown = page("slow", "seconds=60")
    shown.until(lambda one: one.says("2 of"), "it streams")
    assert shown.head["can"]["steer"].startswith("demo takes no message in mid-turn.")
    for verb, fields, said in (
        ("send", {"text": "  "}, "nothing to send"),
        ("set_mode", {"value": "yolo"}, "no mode"),
        ("set_model", {"value": "no-such"}, "no-such"),
        ("allow", {"permission": "p1"}, "needs no answer"),
        ("frobnicate", {}, "no command"),
    ):
        answer = shown.do(verb, **fields)
        assert not answer["ok"]
        assert said in answer["said"], answer
    assert shown.do("set_mode", value="read")["ok"]
    shown.until(lambda one: one.head["permission_mode"] == "read", "the mode is shown")


def test_more_and_the_diff_on_demand(page: Callable[..., Page]) -> None:
    text = "\n".join(map(str, range(20_000)))
    script = [[{"tool": {"kind": "execute", "input": {"command": "seq"}, "text": text}}]]
    shown = page("script", "go", script=script)
    shown.until(lambda one: one.head.get("state") == "idle", "it ends")
    [at] = [i for i, row in enumerate(shown.rows) if row["k"] == "call"]
    assert shown.rows[at]["more"] is True
    more = _portal.call(acting.more_of, shown.run, at)
    assert "19999" in more["output"]
    assert len(more["output"]) > 100_000 > len(shown.rows[at]["output"])
    assert _portal.call(acting.more_of, shown.run, 10_000) == {"k": "more", "row": 10_000}
    diff = _portal.call(acting.diff_of, shown.run)
    assert diff["files"] == []
    assert "outside a git repository" in diff["said"]


def test_the_diff_follows_an_edit(page: Callable[..., Page], project: Project) -> None:
    import subprocess

    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(project.root)]
    (project.root / "a.txt").write_text("one\n")
    for words in (["init", "-q"], ["add", "a.txt"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    (project.root / ".git" / "info" / "exclude").write_text("*.json\ndemo-sessions\n")
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    script = [[{"sleep": 2}, {"write": {"path": "a.txt", "text": "one\ntwo\n"}}, {"sleep": 60}]]
    shown = page("script", "go", script=script, git_base=head.stdout.strip())
    shown.until(lambda one: one.head.get("diff") is not None, "it is measured at the beginning")
    assert shown.head["diff"] == [0, 0, 0]
    shown.until(lambda one: one.head["diff"] == [1, 1, 0], "and soon after an edit")
    told = _portal.call(acting.diff_of, shown.run)
    assert "+two" in str(told["files"])


def test_two_views_share_a_feed_and_the_last_one_ends_it(page: Callable[..., Page]) -> None:
    first = page("slow", "seconds=60")
    first.until(lambda one: one.says("1 of"), "it streams")
    second = Page(AsyncRun(first.run.host, first.run.id))
    second.until(lambda one: one.says("3 of"), "it streams there")
    assert second.epoch == first.epoch
    first.close()
    count = len(first.kinds)
    second.until(lambda one: one.says("6 of"), "the other goes on")
    assert len(first.kinds) == count
    second.close()
    second.until(lambda one: feed.feed_of(one.run) is None, "nobody looks: no feed")


def test_a_killed_run_is_told_as_interrupted(page: Callable[..., Page], project: Project) -> None:
    from kit import kill_9

    shown = page("slow", "seconds=60")
    shown.until(lambda one: one.says("2 of"), "it streams")
    pids = project.processes(shown.run.id)
    kill_9(*pids.values())
    shown.until(lambda one: one.head["state"] == "interrupted", "it is told")
    shown.until(lambda one: one.head["can"]["resume"] is True, "it can be resumed")
    assert shown.do("resume")["ok"]
    shown.until(lambda one: one.head["turn"] == 2, "it goes on", 10)


def test_a_run_that_is_gone_is_told(page: Callable[..., Page], tmp_path: Path) -> None:
    shown = page("echo", "hello")
    shown.until(lambda one: one.head.get("state") == "idle", "it ends")
    feed_of = feed.feed_of(shown.run)
    assert feed_of is not None
    feed_of.fail(OSError("the disk is gone"))
    shown.until(lambda one: one.head["notices"], "it says so")
    assert "This view has stopped: the disk is gone" in shown.head["notices"][0]["text"]
