"""Made-up sessions for notebook 06: `python -m tests.tracing.synthetic` writes the bundle that comes
with the package. Nobody's work: numbers by chance from a fixed seed, with a few things planted (a
tool that fails, a question that waits, a clock in a system prompt, a tool that is added)."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from paseo_nb import bundling
from paseo_nb.host.local import LocalHost
from paseo_nb.journal import Journal
from paseo_nb.programs.common.segments import segment, since
from paseo_nb.programs.demo import sample_sessions

from .conftest import T0, Tale

DAY_S = 86_400.0
FILES = ("tidelog/parse.py", "tidelog/offsets.py", "tidelog/durations.py", "tests/test_parse.py",
         "README.md", "tidelog/cli.py")  # fmt: skip
TOOLS = {  # name: kind, seconds at least and at most, how often it fails, bytes of its result
    "Read": ("read", 0.02, 0.3, 0.02, 6000),
    "Grep": ("search", 0.05, 0.8, 0.0, 1500),
    "Edit": ("edit", 0.05, 0.3, 0.08, 300),
    "Bash": ("execute", 0.4, 9.0, 0.15, 1800),
    "WebFetch": ("fetch", 0.8, 6.0, 0.45, 4000),
}
SESSIONS = [  # agent, model, label, turns, what is planted
    ("claude", "claude-sonnet-4-5", "parse offsets", 6, "clock"),
    ("codex", "gpt-5.4", "durations without a unit", 5, "tool"),
    ("opencode", "deepseek-chat", "command line help", 5, ""),
    ("gemini", "gemini-2.5-pro", "changelog", 4, "slow"),
]


class Session:
    """One run's tale, told call by call."""

    def __init__(self, number: int, row: tuple[str, str, str, int, str]) -> None:
        provider, self.model, label, self.turns, self.planted = row
        self.chance = random.Random(number)
        self.at = number * 0.7 * DAY_S
        self.tale = Tale(
            f"01K3VS41Q{number}0000000000000000", provider=provider, model=self.model, at=self.at,
            title=f"{label} (synthetic)", label=f"{label} (synthetic)", prompt=[],
        )  # fmt: skip
        self.began = self.at
        self.tools = [segment("tool", name, name * 700) for name in TOOLS]
        self.chat: list[dict[str, Any]] = []
        self.last: list[dict[str, Any]] = []
        self.kept, self.calls = 0, 0

    def tell(self) -> Tale:
        tale = self.tale
        tale.own("run_started", self.at, run_id=tale.spec.run_id, resumed=False)
        tale.own("agent_started", self.at + 0.4, argv=["agent"], recorded=True)
        for turn in range(self.turns):
            tale.begin(f"Step {turn + 1} of the work", self.at + 1)
            self.at += 1.5
            for step in range(self.chance.randint(4, 9)):
                self._model(turn, step, last=False)
                for name in self._wishes():
                    self._tool(name)
            self._model(turn, 99, last=True)
            tale.text(f"Step {turn + 1} is done.", self.at)
            tale.end(at=self.at + 0.2)
            self.at += self.chance.uniform(20, 90)
            if self.planted == "slow" and turn == 2:
                self.at += 5400  # longer than a prefix is kept
        tale.own("state", self.at, state="stopped")
        return tale.own("run_ended", self.at, reason="stopped", state="stopped")

    def _system(self, turn: int) -> dict[str, Any]:
        clock = f"It is 14:{turn:02} now. " if self.planted == "clock" and turn >= 3 else ""
        text = clock + "You are a careful engineer. " * 500
        return segment("system", "system 1", text) | {"text": text[:2000]}

    def _model(self, turn: int, step: int, last: bool) -> None:
        if self.planted == "tool" and turn == 2 and step == 0:
            self.tools.insert(0, segment("tool", "Browser", "Browser" * 700))
        self.calls += 1
        name = f"message {len(self.chat) + 1}"
        self.chat.append(segment("message", f"{name} (user)", f"{self.calls} " + "words " * 300))
        marked = [*self.chat[:-1], self.chat[-1] | {"mark": True}]
        sent = [*self.tools, self._system(turn), *marked]
        into = sum(one["size"] for one in sent) // 4
        same = since([one | {"mark": False} for one in self.last],
                     [one | {"mark": False} for one in sent])["same"]  # fmt: skip
        read = sum(one["size"] for one in sent[:same]) // 4 if self.last else 0
        gap_s = self.at - self.kept
        if gap_s > (300 if "claude" in self.model else 3600) or read < 1024:
            read = 0
        took = self.chance.uniform(1.5, 9.0)
        first = self.chance.uniform(0.5, 1.6)
        us = self.tale.spec.created_us - T0
        begin, end = self.at, self.at + took
        if self.chance.random() < 0.05:
            self._recorded(begin, begin + 0.3, None, status=429, error="rate limit", sent=sent)
            begin, end = begin + 2, end + 2
        out = self.chance.randint(60, 700)
        usage = {"input_tokens": into, "output_tokens": out, "cache_read_tokens": read}
        if "claude" in self.model:
            usage["cache_write_tokens"] = into - read
        self._recorded(begin, end, usage, first=begin + first, sent=sent, last=last)
        self.at, self.kept = end, end
        assert us >= 0

    def _recorded(self, begin: float, end: float, usage: Any, **more: Any) -> None:
        sent, first = more["sent"], more.get("first")
        us = lambda at: T0 + round(at * 1e6)  # noqa: E731
        facts: dict[str, Any] = {
            "id": f"call-{self.calls}-{more.get('status', 200)}", "model": self.model,
            "started_us": us(begin), "finished_us": us(end), "status": more.get("status", 200),
            "attempt": 1, "stop_reason": "end_turn" if more.get("last") else "tool_use",
            **since(self.last, sent),
        }  # fmt: skip
        facts |= (
            {"usage": usage, "first_token_us": us(first)} if usage else {"error": more["error"]}
        )
        self.tale.own("recorded", end, **facts)
        self.last = sent

    def _wishes(self) -> list[str]:
        names = self.chance.choices(
            list(TOOLS), [5, 3, 3, 4, 1], k=self.chance.choice([1, 1, 2, 3])
        )
        return sorted(names) if names.count("Bash") < 2 else ["Bash"]

    def _tool(self, name: str) -> None:
        kind, least, most, fails, size = TOOLS[name]
        chance = self.chance
        ident = f"t{len(self.tale.lines)}"
        file = chance.choice(FILES)
        given = {"command": chance.choice(["pytest -q", "git status", "python -m build"])}
        given = given if name == "Bash" else {"path": file}
        begin, took = self.at + 0.05, chance.uniform(least, most)
        self.tale.tool(
            ident, begin, name=name, kind=kind, title=f"{name} {given.get('path', given.get('command'))}",
            rawInput=given, locations=[{"path": file}] if kind == "read" else [],
        )  # fmt: skip
        if name == "Bash" and chance.random() < 0.12:
            waited = chance.uniform(4, 60)
            self.tale.ask(ident, begin + 0.1, begin + 0.1 + waited)
            begin += waited
        bad = chance.random() < fails
        said = {"Bash": "exit code 1", "WebFetch": "HTTP 503"}.get(name, "no such text in the file")
        output = said if bad else "line of output\n" * max(size // 15, 1)
        self.tale.done(ident, begin + took, "failed" if bad else "completed", output[:400])
        self.chat.append(segment("message", f"message {len(self.chat) + 1} (tool)", output + ident))
        self.at = begin + took


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        host = LocalHost(Path(folder) / ".paseo_nb")
        ids: list[str] = []
        for number, row in enumerate(SESSIONS, 1):
            tale = Session(number, row).tell()
            host.make(tale.spec)
            journal = Journal(host.folder(tale.spec.run_id))
            parts = [msgspec.json.encode(line) + b"\n" for line in tale.lines]
            journal.append_encoded(parts, tale.lines[-1].seq)
            journal.close()
            ids.append(tale.spec.run_id)
        target = sample_sessions()
        target.unlink(missing_ok=True)
        bundling.write(host, target, ids)
        print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
