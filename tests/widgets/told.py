"""Runs told into real journals, and a front end in Python that does with messages what a browser's
does."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from render.tales import Tale, spec, text_block

from paseo_nb.handle import AsyncRun
from paseo_nb.host.local import LocalHost
from paseo_nb.journal import Journal
from paseo_nb.model import Line
from paseo_nb.widgets.run_view.rows import Row, apply


class Written:
    """Stands where a tale has its fold: the lines go into a journal."""

    def __init__(self, home: Path, run_id: str) -> None:
        self.host = LocalHost(home)
        self.host.make(spec(run_id=run_id, cwd=str(home)))
        self.journal = Journal(self.host.folder(run_id))

    @property
    def seq(self) -> int:
        return self.journal.seq

    def feed(self, lines: list[Line]) -> None:
        parts = [msgspec.json.encode(line) + b"\n" for line in lines]
        self.journal.append_encoded(parts, lines[-1].seq)


def written(home: Path, run_id: str = "01K3VQ8R7NABCDEFGHJKMNPQRS") -> tuple[Tale, AsyncRun]:
    """A tale whose lines are a run's journal, and a handle on that run."""
    tale = Tale()
    tale.history = Written(home, run_id)  # type: ignore[assignment]
    return tale, AsyncRun(tale.history.host, run_id)  # type: ignore[attr-defined]


class Front:
    """A front end: it keeps what the messages say, and says hello where one is missing."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.n = 0
        self.rows: list[Row] = []
        self.head: dict[str, Any] = {}
        self.asks: list[Row] = []
        self.lost = False
        self.kinds: list[str] = []
        self.bytes = 0

    def tell(self, message: dict[str, Any]) -> None:
        message = msgspec.json.decode(msgspec.json.encode(message))
        self.bytes += len(msgspec.json.encode(message))
        self.kinds.append(message["k"])
        if message["k"] == "full":
            self._full(message)
        elif message["k"] == "delta":
            if (message["epoch"], message["n"]) != (self.epoch, self.n + 1):
                self.lost = True
                return
            self.n += 1
            self.take(message["ops"])
        elif message["k"] == "at":
            self.lost = self.lost or (message["epoch"], message["n"]) != (self.epoch, self.n)

    def _full(self, message: dict[str, Any]) -> None:
        if message["part"] == 0:
            self.rows, self.head, self.asks = [], message["head"], message["asks"]
        self.rows += message["rows"]
        self.epoch, self.n, self.lost = message["epoch"], message["n"], False

    def take(self, ops: list[list[Any]]) -> None:
        apply(self.rows, [op for op in ops if op[0] in "rtom"])
        for op in ops:
            if op[0] == "h":
                self.head |= op[1]
            elif op[0] == "a":
                self.asks = op[1]


class Chance:
    """Something that may happen in a run, chosen by chance; every kind of line a fold knows."""

    def __init__(self, tale: Tale, seed: int) -> None:
        self.tale, self.random = tale, random.Random(seed)
        self.breathe: Callable[[], object] = lambda: None  # between lines of one event
        self.calls: dict[str, str] = {}
        self.asked: list[str] = []
        self.queued: list[str] = []
        self.open = False
        self.count = 0

    def happens(self) -> None:
        """One or a few lines."""
        if not self.open:
            self._begin()
            return
        names = [name for name in dir(self) if name.startswith("do_")]
        weights = {"do_text": 8, "do_output": 5, "do_end": 0.4}
        chosen = self.random.choices(names, [weights.get(name, 1) for name in names])[0]
        getattr(self, chosen)()

    def _begin(self) -> None:
        self.open = True
        self.tale.prompt(f"do *this* {self.count}\n\nand that")
        self.tale.line("own", "state", {"state": "running"})

    def word(self) -> str:
        self.count += 1
        words = ["alpha ", "beta\n", "`code` ", "\U0001f600 ", "é", "\n\n", "<b>x</b> ", " "]
        return self.random.choice(words) + str(self.count)

    def do_text(self) -> None:
        self.tale.says(self.word(), 0.01)

    def do_thought(self) -> None:
        content = {"type": "text", "text": self.word()}
        self.tale.update("agent_thought_chunk", 0.5, content=content)

    def do_plan(self) -> None:
        statuses = ["completed", "in_progress", "pending"]
        self.tale.plans(*((self.random.choice(statuses), self.word()) for _ in range(3)))

    def do_begin(self) -> None:
        self.count += 1
        call, kind = f"c{self.count}", self.random.choice(["execute", "read", "edit", "other"])
        self.calls[call] = ""
        self.tale.begins(call, kind, f"call {call}", rawInput={"command": f"run {call}", "x": 1})

    def do_output(self) -> None:
        if self.calls:
            call = self.random.choice(list(self.calls))
            more = self.random.choice([20, 400, 9000])
            self.calls[call] += "".join(f"line {self.count} {i}\n" for i in range(more // 10))
            text = self.calls[call][-64_000:]
            self.tale.update("tool_call_update", toolCallId=call, content=[text_block(text)])
            self.count += 1

    def do_finish(self) -> None:
        if self.calls:
            call = self.random.choice(list(self.calls))
            fields: dict[str, Any] = {"content": [text_block(self.calls.pop(call))]}
            if self.random.random() < 0.3:
                diff = {"type": "diff", "path": "/x/a.py", "oldText": "a\nb\n", "newText": "a\nc\n"}
                fields["content"] = [diff]
            self.tale.ends(call, 0.1, self.random.choice(["completed", "failed"]), **fields)

    def do_late(self) -> None:
        """A call that has ended is told of again."""
        self.tale.reads(f"r{self.count}", "a.py", "text\n" * 5)
        self.tale.update("tool_call_update", toolCallId=f"r{self.count}", title="Read it all")
        self.count += 1

    def do_ask(self) -> None:
        self.count += 1
        given = {"command": f"rm {self.count}"}
        self.asked.append(self.tale.asks(f"a{self.count}", "rm", rawInput=given))
        self.tale.line("own", "state", {"state": "waiting"})

    def do_answer(self) -> None:
        if self.asked:
            asked = self.asked.pop(self.random.randrange(len(self.asked)))
            option = self.random.choice(["allow-once", "reject"])
            self.tale.answers(asked, option, 1.0, message="no need")
            self.tale.line("own", "state", {"state": "running"})

    def do_note(self) -> None:
        self.tale.line("own", "warning", {"message": self.word()})

    def do_usage(self) -> None:
        self.tale.costs(self.count / 100, self.count * 10)

    def do_queue(self) -> None:
        self.count += 1
        blocks = [{"type": "text", "text": self.word()}]
        told = {"id": f"q{self.count}", "verb": "send", "args": {"prompt": blocks}}
        self.queued.append(f"q{self.count}")
        self.tale.line("own", "command", told)

    def do_unqueue(self) -> None:
        if self.queued:
            told = {"id": self.queued.pop(), "ok": False, "error": "taken back"}
            self.tale.line("own", "command_result", told)

    def do_end(self) -> None:
        outcome = self.random.choice(["end_turn", "cancelled", "error", "interrupted", "limit"])
        error: dict[str, Any] = {}
        if outcome in ("error", "limit"):
            error = {"error": {"code": "x", "message": "it broke"}}
        if outcome == "limit":
            self.tale.line("own", "limit", {"message": "it broke"})
            self.breathe()
        self.tale.ended(outcome, **error)
        self.open = False
        self.calls.clear()
        self.asked.clear()
