"""A real kernel to drive: execute, watch what comes, interrupt, kill."""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager


class Kernel:
    """One ipykernel in a folder."""

    def __init__(self, cwd: Path) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(cwd))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def submit(self, code: str, cell_id: str | None = None, stdin: bool = False) -> str:
        """Send a cell; its message id. stdin: say that `input()` would be answered."""
        session = self.client.session
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": stdin, "stop_on_error": True,
        }  # fmt: skip
        message = session.msg("execute_request", content)
        if cell_id is not None:
            message["metadata"] = {"cellId": cell_id}
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def collect(self, sent: str, timeout: float = 60.0, until: str | None = None) -> Outcome:
        """What a cell gives, until it is done or `until` was seen in its output."""
        outcome = Outcome()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                outcome.done = True
                return outcome
            outcome.take(kind, content)
            if until is not None and until in outcome.text:
                return outcome
        raise AssertionError(f"not done within {timeout:g} s: {outcome.text[-2000:]}")

    def run(self, code: str, timeout: float = 60.0, cell_id: str | None = None) -> Outcome:
        """Send a cell and wait until it is done."""
        return self.collect(self.submit(code, cell_id), timeout)

    def interrupt(self) -> None:
        """What the Stop button in the toolbar does."""
        self.manager.interrupt_kernel()

    def kill(self) -> None:
        """kill -9."""
        self.manager.shutdown_kernel(now=True)

    def close(self) -> None:
        """End it."""
        self.client.stop_channels()
        if self.manager.is_alive():
            self.manager.shutdown_kernel(now=True)


class Outcome:
    """The outputs of one cell."""

    def __init__(self) -> None:
        self.done = False
        self.displays: list[dict[str, Any]] = []
        self.metadata: list[dict[str, Any]] = []
        self.streams = ""
        self.error: tuple[str, str] | None = None

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """One message."""
        if kind in ("display_data", "update_display_data", "execute_result"):
            self.displays.append(content["data"])
            self.metadata.append(content.get("metadata") or {})
        elif kind == "stream":
            self.streams += content["text"]
        elif kind == "error":
            self.error = (content["ename"], content["evalue"])

    @property
    def text(self) -> str:
        """The last output as text."""
        last = self.displays[-1].get("text/plain", "") if self.displays else ""
        return self.streams + last
