"""The widget in a real kernel, with a front end that speaks to it over raw messages."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel
from kit import SLACK, Project

from paseo_nb.handle import AsyncRun
from paseo_nb.programs.demo import copy_sample

from .test_feed import same, shown_now
from .told import Front

BLOCKING = "def go():\n    get_ipython().run_cell_magic('paseo', 'demo/slow', 'seconds=60')\ngo()"
WAITING = "paseo.run('demo/slow', 'seconds=60')"
VIEW = "application/vnd.jupyter.widget-view+json"


class Browser:
    """Reads what a kernel sends, keeps every widget's state, says hello where one is shown."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.fronts: dict[str, Front] = {}
        self.closed: set[str] = set()
        self.outputs: dict[str, dict[str, Any]] = {}  # by display id, as they stand
        self.about: dict[str, dict[str, Any]] = {}
        self.idle: set[str] = set()
        self.errors: list[str] = []

    def cell(self, code: str) -> str:
        return self.kernel.submit(code, stdin=True)

    def say(self, comm: str, content: dict[str, Any]) -> None:
        session = self.kernel.client.session
        told = {"comm_id": comm, "data": {"method": "custom", "content": content}}
        self.kernel.client.shell_channel.send(session.msg("comm_msg", told))

    def hello(self, comm: str) -> None:
        front = self.fronts[comm]
        front.lost = False
        self.say(comm, {"k": "hello", "epoch": front.epoch, "n": front.n})

    def take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and "_esm" in content["data"].get("state", {}):
            self.fronts[content["comm_id"]] = Front()
        elif kind == "comm_msg" and content["comm_id"] in self.fronts:
            if content["data"].get("method") == "custom":
                assert content["data"]["content"] == {"k": "json"}
                self.fronts[content["comm_id"]].tell(json.loads(bytes(message["buffers"][0])))
        elif kind == "comm_close":
            self.closed.add(content["comm_id"])
        elif kind in ("display_data", "update_display_data"):
            name = content.get("transient", {}).get("display_id", "")
            shown = content["data"].get(VIEW)
            if shown and kind == "display_data":
                self.hello(shown["model_id"])
            self.outputs[name] = content["data"]
            self.about[name] = content.get("metadata") or {}
        elif kind == "error":
            self.errors.append(content["ename"])
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle.add(message["parent_header"].get("msg_id"))

    def until(self, what: Callable[[], Any], within: float, why: str) -> Any:
        deadline = time.monotonic() + within
        while not (found := what()):
            assert time.monotonic() < deadline, f"not within {within:g} s: {why}"
            try:
                self.take(self.kernel.client.get_iopub_msg(timeout=0.1))
            except queue.Empty:
                continue
            for comm, front in self.fronts.items():
                if front.lost and comm not in self.closed:
                    self.hello(comm)
        return found

    def front(self, at: int = -1) -> Front:
        self.until(lambda: self.fronts, 30, "a widget is opened")
        return list(self.fronts.values())[at]

    def asks_by_input(self) -> bool:
        try:
            self.kernel.client.get_stdin_msg(timeout=0.05)
        except queue.Empty:
            return False
        return True


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(repo)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    kernel = Kernel(repo)
    kernel.run("%load_ext paseo_nb\nimport paseo_nb as paseo")
    yield Browser(kernel)
    kernel.close()
    project = Project(repo)
    project.runs = project.host.list()
    project.close()


def project_run(browser: Browser) -> AsyncRun:
    host = Project(Path.cwd()).host

    def made() -> list[str]:
        return [one for one in host.list() if host.folder(one).spec.exists()]

    return AsyncRun(host, browser.until(made, 30, "a run")[-1])


def test_a_cell_is_live_and_static_at_the_end(browser: Browser) -> None:
    sent = browser.cell("%%paseo demo/fixer --worktree fix -o fix\nThe tests fail. Fix the code.")
    front = browser.front()
    browser.until(lambda: front.head.get("state") == "running", 30, "it runs")
    shown = browser.outputs.values()
    browser.until(
        lambda: [o for o in shown if "data-paseo-beside" in o.get("text/html", "")],
        10,
        "HTML beside",
    )
    browser.until(lambda: sent in browser.idle, 120, "the cell ends")
    assert front.kinds.count("full") <= 2, "one unasked, one for a hello that came before it"
    assert front.kinds[-1] == "frozen"
    assert len(browser.closed) >= 1
    [static] = [data for data in browser.outputs.values() if data]
    assert set(static) == {"text/html", "text/markdown", "text/plain"}
    assert "13 tests pass" in static["text/plain"]
    assert any(about.get("paseo_nb", {}).get("run_id") for about in browser.about.values())
    live = " ".join(row.get("text", "") for row in front.rows)
    assert "13 tests pass" in live, "the live view's end is the saved one's"


def test_the_widget_answers_and_input_does_not_ask(browser: Browser) -> None:
    sent = browser.cell("%%paseo demo/asker --mode ask\nmay I")
    front = browser.front()
    browser.until(lambda: front.asks, 30, "it asks")
    end = time.monotonic() + 6  # longer than it is given to load
    browser.until(lambda: time.monotonic() > end, 20, "")
    assert not browser.asks_by_input()
    [comm] = browser.fronts
    once = next(o["id"] for o in front.asks[0]["options"] if o["kind"] == "allow_once")
    answer = {"k": "do", "id": "c1", "verb": "allow", "permission": front.asks[0]["id"]}
    browser.say(comm, {**answer, "option": once})
    browser.until(lambda: sent in browser.idle, 60, "the cell ends")
    assert "done" in front.kinds
    assert any("You allowed it" in str(row) for row in front.rows)


def test_a_blocking_cell_streams_and_asks_by_input(browser: Browser) -> None:
    code = "get_ipython().run_cell_magic('paseo', 'demo/asker --mode ask', 'may I')"
    sent = browser.cell(f"def go():\n    {code}\ngo()")
    front = browser.front()
    browser.until(lambda: front.asks, 30, "the view has it though the kernel hears nothing")
    assert browser.kernel.client.get_stdin_msg(timeout=30)
    browser.kernel.client.input("y")
    browser.until(lambda: sent in browser.idle, 60, "the cell ends")
    assert any("You allowed it" in str(row) for row in front.rows)


@pytest.mark.parametrize("code", ["%%paseo demo/slow\nseconds=60", BLOCKING, WAITING])
def test_a_kernel_that_is_restarted_ends_no_turn(browser: Browser, code: str) -> None:
    """A restart begins with an interrupt, as ■ does."""
    browser.cell(code)
    run = project_run(browser)
    browser.until(lambda: run.history().seq > 12, 30, "it streams")
    browser.kernel.manager.restart_kernel(now=False)
    time.sleep(1.5)
    assert run.state == "running"
    assert run.history().turn_open


def test_attach_is_awaited_so_that_buttons_work(browser: Browser) -> None:
    browser.cell("run = paseo.start('demo/slow', 'seconds=60')")
    run = project_run(browser)
    sent = browser.cell(f"%paseo attach {run.id}")
    front = browser.front()
    browser.until(lambda: any("2 of" in str(row) for row in front.rows), 30, "it streams")
    browser.say(list(browser.fronts)[-1], {"k": "do", "id": "c1", "verb": "cancel"})
    browser.until(lambda: sent in browser.idle, 30, "the cell ends with the turn")
    assert run.history().turns[0].outcome == "cancelled"
    assert browser.errors == []
    again = browser.cell(f"%paseo attach {run.id}")
    browser.until(lambda: again in browser.idle, 30, "a run that is over is shown")
    assert len(browser.fronts) == 2, "live, too: it can be answered"


def test_a_run_shows_itself_live_and_is_bounded(browser: Browser) -> None:
    browser.cell("run = paseo.start('demo/slow', 'seconds=3')\nrun")
    front = browser.front()
    browser.until(lambda: front.head.get("state") == "idle", 60, "it ends while no cell runs")
    browser.until(
        lambda: any("Done" in o.get("text/html", "") for o in browser.outputs.values()),
        10 * SLACK,
        "the HTML beside follows",
    )
    [comm] = browser.fronts
    browser.say(
        comm, {"k": "do", "id": "c1", "verb": "send", "text": "/echo again", "when": "queue"}
    )
    browser.until(lambda: front.head.get("turn") == 2 and front.head["state"] == "idle", 30, "more")
    done = browser.cell("run")
    browser.until(lambda: comm in browser.closed, 30, "the new view supersedes the old one")
    browser.until(lambda: done in browser.idle, 30, "the cell ends")
    assert len(browser.fronts) - len(browser.closed & set(browser.fronts)) == 1
    static = [o for o in browser.outputs.values() if o and VIEW not in o]
    assert any("again" in o["text/plain"] and "beside" not in o["text/html"] for o in static)


def test_a_client_that_stalls_for_4_s_loses_nothing_in_the_end(browser: Browser) -> None:
    browser.cell("run = paseo.start('demo/slow', 'seconds=12')\nrun")
    front = browser.front()
    browser.until(lambda: any("2 of" in str(row) for row in front.rows), 30, "it streams")
    browser.cell(
        "import time\nfrom IPython.display import display\nend = time.time() + 4\n"
        "while time.time() < end:\n"
        "    for _ in range(100): display({'text/plain': 'x' * 20_000}, raw=True)"
    )
    time.sleep(4)
    browser.until(lambda: front.head.get("state") == "idle", 60, "it ends")
    quiet = time.monotonic() + 3
    browser.until(lambda: time.monotonic() > quiet, 10, "")
    assert front.kinds.count("full") >= 2, "messages were lost, and made good"
    other = shown_now(project_run(browser))
    other.head["diff"], front.head["diff"] = None, None
    for head in (other.head, front.head):
        head["can"].pop("steer")  # measured beside the journal
    same(front, other)


def test_a_front_end_without_widgets_gets_html_and_is_asked(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = browser.kernel.run("%%paseo demo/echo\nhello")
    assert all(VIEW not in data for data in outcome.displays)
    browser.kernel.run("%env PASEO_NB_WIDGETS=0")
    sent = browser.cell("%%paseo demo/echo\nhello")
    browser.until(lambda: sent in browser.idle, 30, "the cell ends")
    assert browser.fronts == {}
