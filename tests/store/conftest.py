"""Projects with journals of the kinds that supervisors write, for the store's tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import paseo_nb
from paseo_nb.journal import (
    Journal,
    RunFolder,
    encode,
    private_dir,
    read_journal,
    write_file_once,
)
from paseo_nb.locks import HeldLock, take_lock
from paseo_nb.model import RunSpec, new_run_id
from paseo_nb.store import background

ROOT = Path(paseo_nb.__file__).parents[1]
WANTED = os.environ.get("WANTED_DUCKDB", "")
assert duckdb.__version__.startswith(WANTED), f"DuckDB {duckdb.__version__}, not {WANTED}"
PATHS = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # an older DuckDB's, in CI


class Writer:
    """One run and its journal, written as a supervisor would: under the run lock."""

    def __init__(self, home: Path, **spec: Any) -> None:
        run_id = spec.pop("run_id", None) or new_run_id()
        spec.setdefault("provider", "claude")
        self.folder = RunFolder(home / "runs" / run_id)
        self.id = run_id
        for path in (self.folder.path, self.folder.live_marker.parent, self.folder.blobs):
            private_dir(path)
        self.folder.live_marker.touch(mode=0o600)
        made = RunSpec(
            run_id=run_id, created_us=int(time.time() * 1e6), command=["agent"], cwd="/w", **spec
        )
        write_file_once(self.folder.spec, encode(made))
        self.lock: HeldLock | None = None
        self.journal: Journal | None = None
        self.open()

    def open(self) -> Writer:
        self.folder.live_marker.touch(mode=0o600)
        self.lock = take_lock(self.folder.lock, 2.0)
        assert self.lock is not None
        self.journal = Journal(self.folder)
        self.own("run_started", host=os.uname().nodename, boot_id="b", pid=1, socket="s")
        return self

    def own(self, kind: str, **facts: Any) -> Writer:
        self.journal.own(kind, **facts)
        return self

    def says(self, kind: str, message: dict[str, Any]) -> Writer:
        self.journal.append([("in", kind, encode(message))])
        return self

    def update(self, said: str, **fields: Any) -> Writer:
        update = {"sessionUpdate": said, **fields}
        params = {"sessionId": "s1", "update": update}
        return self.says(said, {"jsonrpc": "2.0", "method": "session/update", "params": params})

    def text(self, text: str, kind: str = "agent_message_chunk") -> Writer:
        return self.update(kind, content={"type": "text", "text": text})

    def session(self, model: str = "opus-5") -> Writer:
        info = {"agentInfo": {"name": "fake", "title": "Fake", "version": "1.2"}}
        self.says("initialize:result", {"jsonrpc": "2.0", "id": 0, "result": info})
        result = {"sessionId": "s1", "models": {"currentModelId": model}}
        return self.says("session/new:result", {"jsonrpc": "2.0", "id": 1, "result": result})

    def begin(self, prompt: str = "do it") -> Writer:
        self.journal.turn += 1
        self.own("turn_start", origin="user", prompt=[{"type": "text", "text": prompt}])
        return self.own("state", state="running")

    def end(self, outcome: str = "end_turn", **facts: Any) -> Writer:
        usage = {
            "inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 30, "cachedWriteTokens": 5,
            "thoughtTokens": 2, "totalTokens": 51,
        }  # fmt: skip
        result = {"stopReason": outcome, "usage": usage}
        self.says("session/prompt:result", {"jsonrpc": "2.0", "id": 2, "result": result})
        self.own("turn_end", outcome=outcome, stop_reason=outcome, **facts)
        state = {"error": "error", "interrupted": "interrupted"}.get(outcome, "idle")
        return self.own("state", state=state)

    def tool(self, call_id: str = "t1", status: str | None = "completed") -> Writer:
        self.update(
            "tool_call", toolCallId=call_id, title="Write x", kind="edit", status="pending",
            rawInput={"path": "x"}, _meta={"toolName": "Write"},
        )  # fmt: skip
        if status is not None:
            self.update("tool_call_update", toolCallId=call_id, status=status, rawOutput="done")
        return self

    def model_call(self, ident: str = "msg_1") -> Writer:
        counts = {"inputTokens": 3, "outputTokens": 2, "cachedReadTokens": 30}
        told = {
            "sessionId": "s1", "messageId": ident, "model": "opus-5", "stopReason": "tool_use",
            "usage": counts | {"cachedWriteTokens": 5},
        }  # fmt: skip
        method = "_paseo_nb/model_call"
        return self.says(method, {"jsonrpc": "2.0", "method": method, "params": told})

    def ask(self, call_id: str = "t1") -> int:
        options = [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}]
        params = {"toolCall": {"toolCallId": call_id, "title": "Write x"}, "options": options}
        message = {"jsonrpc": "2.0", "id": 9, "method": "session/request_permission"}
        self.says("session/request_permission", {**message, "params": params})
        return self.journal.seq

    def answer(self, seq: int) -> Writer:
        return self.own(
            "permission_answer", permission=f"p{seq}", option_id="yes", outcome="selected",
            by="user", rule=None, message=None,
        )  # fmt: skip

    def turn(self, prompt: str = "do it", texts: int = 3) -> Writer:
        """A whole ordinary turn."""
        self.begin(prompt)
        for at in range(texts):
            self.text(f"word {at} ")
        self.tool()
        self.answer(self.ask())
        return self.text("all done").end()

    def stop(self) -> Writer:
        """The pair ends in good order."""
        self.own("state", state="stopped").own("run_ended", reason="stopped", state="stopped")
        return self.die()

    def die(self) -> Writer:
        """The pair is gone."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None
        if self.lock is not None:
            self.lock.release()
            self.lock = None
        return self

    def raw(self) -> list[str]:
        """What each line holds."""
        return [bytes(line.raw).decode() for line in read_journal(self.folder.journal)]

    def lines(self) -> int:
        return self.folder.journal.read_bytes().count(b"\n")


class Project:
    """A `.paseo_nb` folder under test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.writers: list[Writer] = []

    @property
    def db(self) -> Path:
        return self.home / "paseo.duckdb"

    def run(self, **spec: Any) -> Writer:
        writer = Writer(self.home, **spec)
        self.writers.append(writer)
        return writer

    def rest(self, seconds: float = 60.0) -> None:
        """Let the live markers be as old as if nobody had started anything lately."""
        then = time.time() - seconds
        for marker in (self.home / "live").iterdir():
            os.utime(marker, (then, then))
        for spec in self.home.glob("runs/*/spec.json"):
            os.utime(spec, (then, then))

    def live(self) -> set[str]:
        return {path.name for path in (self.home / "live").iterdir()}

    def indexed(self, table: str = "events") -> list[tuple[Any, ...]]:
        """What the file itself holds."""
        with contextlib.closing(duckdb.connect(str(self.db), read_only=True)) as con:
            found = con.sql(f"SELECT * FROM {table} ORDER BY 1, 2").to_arrow_table()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def count(self, table: str = "events") -> int:
        with contextlib.closing(duckdb.connect(str(self.db), read_only=True)) as con:
            return con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]

    def close(self) -> None:
        background.close()
        for writer in self.writers:
            writer.die()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / ".paseo_nb")
    yield made
    made.close()


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs a script in a process of its own, ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *args: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, args)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
