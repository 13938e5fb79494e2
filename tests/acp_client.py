"""A client of our own for an ACP program: it sees the raw lines, answers what is asked, and checks
every line against the SDK's models. What the tests of our programs share."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acp import schema

ROOT = Path(__file__).parents[1]
RESULTS = {
    "initialize": schema.InitializeResponse,
    "authenticate": schema.AuthenticateResponse,
    "session/new": schema.NewSessionResponse,
    "session/load": schema.LoadSessionResponse,
    "session/resume": schema.ResumeSessionResponse,
    "session/list": schema.ListSessionsResponse,
    "session/set_mode": schema.SetSessionModeResponse,
    "session/set_config_option": schema.SetSessionConfigOptionResponse,
    "session/close": schema.CloseSessionResponse,
    "session/prompt": schema.PromptResponse,
}
REQUESTS = {
    "session/request_permission": schema.RequestPermissionRequest,
    "fs/read_text_file": schema.ReadTextFileRequest,
    "fs/write_text_file": schema.WriteTextFileRequest,
    "terminal/create": schema.CreateTerminalRequest,
    "terminal/output": schema.TerminalOutputRequest,
    "terminal/wait_for_exit": schema.WaitForTerminalExitRequest,
    "terminal/kill": schema.KillTerminalRequest,
    "terminal/release": schema.ReleaseTerminalRequest,
}
DEAD = object()


def check(model: Any, value: Any) -> None:
    """Valid, and nothing in it that the model does not know."""
    parsed = model.model_validate(value, strict=True)
    dumped = parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped == value


class Terminals:
    """The client's terminals, just enough of them."""

    def __init__(self) -> None:
        self.open: dict[str, subprocess.Popen[str]] = {}
        self.used: list[str] = []

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.used.append(method)
        if method == "terminal/create":
            name = f"term{len(self.used)}"
            argv = [params["command"], *params["args"]]
            self.open[name] = subprocess.Popen(
                argv, stdout=subprocess.PIPE, text=True, cwd=params["cwd"], start_new_session=True
            )
            return {"terminalId": name}
        process = self.open[params["terminalId"]]
        if method == "terminal/kill":
            os.killpg(process.pid, signal.SIGKILL)
        elif method == "terminal/wait_for_exit":
            code = process.wait()
            return {"exitCode": code} if code >= 0 else {"exitCode": None, "signal": str(-code)}
        elif method == "terminal/output":
            return {"output": process.communicate()[0], "truncated": False}
        return {}


class Client:
    """One process of a program of ours, and a client that answers what it asks."""

    def __init__(self, program: str, *args: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"paseo_nb.programs.{program}", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | env,
        )
        self.messages: list[dict[str, Any]] = []
        self.bad_lines: list[bytes] = []
        self.permissions: list[dict[str, Any]] = []
        self.permission_answer: str | None = "allow_once"
        self.terminals = Terminals()
        self.session = ""
        self._methods: dict[Any, str] = {}
        self._next = 0
        self._seen: Counter[str] = Counter()
        self._lines: queue.Queue[Any] = queue.Queue()
        self._reading = threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put((time.monotonic(), line))
            self._reading.wait()
        self._lines.put((time.monotonic(), DEAD))

    def stop_reading(self) -> None:
        self._reading.clear()

    def go_on_reading(self) -> None:
        self._reading.set()

    def post(self, method: str, params: dict[str, Any], *, request: bool = True) -> int:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if request:
            self._next += 1
            message["id"] = self._next
            self._methods[self._next] = method
        self.write(json.dumps(message).encode() + b"\n")
        return self._next

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self, timeout: float = 30) -> dict[str, Any] | None:
        """The next message, checked, and answered if it is a request; None at the end."""
        while True:
            self.heard_at, line = self._lines.get(timeout=timeout)
            if line is DEAD:
                return None
            try:
                message: dict[str, Any] = dict(json.loads(line))
            except (ValueError, TypeError):
                message = {}
            if "method" not in message and "id" not in message:
                self.bad_lines.append(line)
                continue
            self._take(message)
            return message

    def _take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        method, params = message.get("method"), message.get("params", {})
        if method is None:
            if "result" in message and self._methods.get(message["id"]) in RESULTS:
                check(RESULTS[self._methods[message["id"]]], message["result"])
            elif "error" in message:
                check(schema.Error, message["error"])
            return
        if method in REQUESTS:
            check(REQUESTS[method], params)
        if "id" in message:
            answer = self._answer(method, params)
            if answer is not None:
                self.write(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | answer).encode())
                self.write(b"\n")
        elif method == "session/update" and isinstance(params.get("update"), dict):
            kind = params["update"]["sessionUpdate"]
            self._seen[kind] += 1
            if kind != "demo_unknown_update" and self._seen[kind] < 3000:
                check(schema.SessionNotification, params)

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "session/request_permission":
            self.permissions.append(params)
            if self.permission_answer is None:
                return None
            ids = [o["optionId"] for o in params["options"]]
            chosen = self.permission_answer if self.permission_answer in ids else ids[0]
            return {"result": {"outcome": {"outcome": "selected", "optionId": chosen}}}
        if method.startswith("terminal/"):
            return {"result": self.terminals.answer(method, params)}
        if method == "fs/read_text_file":
            path = Path(params["path"])
            if path.is_file():
                return {"result": {"content": path.read_text()}}
            return {"error": {"code": -32002, "message": "no such file"}}
        if method == "fs/write_text_file":
            Path(params["path"]).write_text(params["content"])
            return {"result": {}}
        return {"error": {"code": -32601, "message": "Method not found"}}

    def result(self, number: int) -> dict[str, Any]:
        """The answer to a request, whole: `result` or `error`."""
        while (message := self.next()) is not None:
            if message.get("id") == number and "method" not in message:
                return message
        raise AssertionError(f"the agent ended with {self.process.wait()} before it answered")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.result(self.post(method, params))

    def start(self, cwd: Path, *, fs: bool = False, terminal: bool = False, mcp: Any = ()) -> str:
        """initialize and session/new; returns the session's id."""
        self.initialize(fs=fs, terminal=terminal)
        new = self.call("session/new", cwd=str(cwd), mcpServers=list(mcp))
        self.session = new["result"]["sessionId"]
        return self.session

    def initialize(self, *, fs: bool = False, terminal: bool = False) -> dict[str, Any]:
        files = {"readTextFile": fs, "writeTextFile": fs}
        can = {"fs": files, "terminal": terminal}
        return self.call("initialize", protocolVersion=1, clientCapabilities=can)

    def ask(self, text: str | list[dict[str, Any]]) -> int:
        blocks = [{"type": "text", "text": text}] if isinstance(text, str) else text
        return self.post("session/prompt", {"sessionId": self.session, "prompt": blocks})

    def prompt(self, text: str | list[dict[str, Any]]) -> dict[str, Any]:
        return self.result(self.ask(text))

    def cancel(self) -> float:
        self.post("session/cancel", {"sessionId": self.session}, request=False)
        return time.monotonic()

    def updates(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [
            m["params"]["update"] for m in self.messages if m.get("method") == "session/update"
        ]
        kinds = [u.get("sessionUpdate") if hasattr(u, "get") else None for u in found]
        return [u for u, k in zip(found, kinds, strict=True) if k and kind in (None, k)]

    def text(self, kind: str = "agent_message_chunk") -> str:
        return "".join(u["content"].get("text", "") for u in self.updates(kind))

    def until(self, wanted: Callable[[Client], Any]) -> None:
        """Read on until it is true."""
        while not wanted(self):
            assert self.next() is not None, "the agent ended"

    def end(self) -> int:
        """Close stdin; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    self._thread.join(5)
                    stream.close()
                except OSError:
                    pass
