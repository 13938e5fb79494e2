"""The live trace in a real kernel, with a front end that speaks to it over raw messages."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel
from kit import SLACK, Project

from paseo_nb.programs.demo import copy_sample

VIEW = "application/vnd.jupyter.widget-view+json"


class Browser:
    """Keeps what the trace's messages say, and the outputs as they stand."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.comm = ""
        self.rows: dict[str, dict[str, Any]] = {}
        self.head: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []
        self.outputs: dict[str, dict[str, Any]] = {}

    def say(self, **content: Any) -> None:
        session = self.kernel.client.session
        told = {"comm_id": self.comm, "data": {"method": "custom", "content": content}}
        self.kernel.client.shell_channel.send(session.msg("comm_msg", told))

    def take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_msg" and content["data"].get("method") == "custom":
            self._hear(content["data"]["content"])
        elif kind in ("display_data", "update_display_data"):
            self.outputs[content["transient"]["display_id"]] = content["data"]
            if VIEW in content["data"] and not self.comm:
                self.comm = content["data"][VIEW]["model_id"]
                self.say(k="hello")

    def _hear(self, told: dict[str, Any]) -> None:
        self.told.append(told)
        if told["k"] == "trace":
            self.rows = {} if told["whole"] else self.rows
            self.rows |= {row["i"]: row for row in told["rows"]}
            self.head = told.get("head", self.head)

    def until(self, what: Callable[[], Any], why: str) -> Any:
        deadline = time.monotonic() + 10 * SLACK
        while not (found := what()):
            assert time.monotonic() < deadline, why
            try:
                self.take(self.kernel.client.get_iopub_msg(timeout=0.1))
            except queue.Empty:
                continue
        return found

    def answer(self, kind: str) -> dict[str, Any]:
        return self.until(lambda: next((m for m in self.told if m["k"] == kind), None), kind)


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


def test_it_is_live_while_the_run_is_at_work(browser: Browser) -> None:
    browser.kernel.run("run = paseo.run('demo/fixer', 'mend it', worktree='fix', mode='auto')")
    browser.kernel.run("run.send('again')")
    browser.kernel.submit("paseo.trace(run.id)", stdin=True)
    browser.until(lambda: browser.head, "the trace is told")
    browser.until(
        lambda: (
            [r for r in browser.rows.values() if r["k"] == "turn" and r["l"] == 1][1:]
            and browser.head["live"] is False
        ),
        "the second turn is there, to its end",
    )
    numbers = [message["n"] for message in browser.told if message["k"] == "trace"]
    assert numbers == list(range(1, len(numbers) + 1))
    calls = [row for row in browser.rows.values() if row["k"] == "tool_call"]
    assert calls
    assert all(row["e"] is not None for row in calls)
    static = [o for o in browser.outputs.values() if "data-paseo-beside" in o.get("text/html", "")]
    assert len(static) == 1, "the picture that a saved notebook has"
    browser.say(k="open", i=calls[0]["i"])
    detail = browser.answer("detail")
    assert detail["i"] == calls[0]["i"]
    assert [name for name, _, _ in detail["parts"]]
    browser.say(k="find", text="again")
    assert browser.answer("found")["ids"]


def test_a_filtered_one_is_as_it_was(browser: Browser) -> None:
    browser.kernel.run("run = paseo.run('demo/echo', 'hello')")
    told = browser.kernel.run("paseo.trace(run.id, search='hello')")
    assert "Trace of" in told.displays[-1]["text/html"]
    assert VIEW not in told.displays[-1]
