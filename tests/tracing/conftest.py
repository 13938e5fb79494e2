"""A tale: a run's journal lines made one by one, with the times that a test names."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import msgspec
import pytest

from paseo_nb.history import History
from paseo_nb.model import Line, RunSpec
from paseo_nb.tracing.spans import Seen, Span, run_span, walk

# MLflow is installed by `sh tests/run.sh --all`.
collect_ignore = [] if find_spec("mlflow") else ["test_mlflow.py"]
T0 = 1_790_000_000_000_000


class Tale:
    """One run. Times in seconds after its beginning; `at` moves on by `said(..., at=)`."""

    def __init__(self, run_id: str = "01K3VS41QX0000000000000001", **spec: Any) -> None:
        created = spec.pop("at", 0.0)
        spec.setdefault("provider", "claude")
        self.spec = RunSpec(
            run_id=run_id, created_us=T0 + int(created * 1e6), command=["agent"], cwd="/w", **spec
        )
        self.lines: list[Line] = []
        self.turn = 0
        self.now = created

    def line(self, direction: Any, kind: str, told: Any, at: float | None) -> Tale:
        self.now = self.now if at is None else at
        t = T0 + round(self.now * 1e6)
        raw = msgspec.Raw(msgspec.json.encode(told))
        self.lines.append(Line(len(self.lines) + 1, t, t, self.turn, direction, kind, raw))
        return self

    def own(self, kind: str, at: float | None = None, **told: Any) -> Tale:
        return self.line("own", kind, told, at)

    def update(self, said: str, at: float | None = None, **fields: Any) -> Tale:
        params = {"sessionId": "s1", "update": {"sessionUpdate": said, **fields}}
        return self.line("in", said, {"method": "session/update", "params": params}, at)

    def begin(self, prompt: str = "do it", at: float | None = None) -> Tale:
        self.turn += 1
        return self.own("turn_start", at, origin="user", prompt=[{"type": "text", "text": prompt}])

    def end(self, outcome: str = "end_turn", at: float | None = None, **facts: Any) -> Tale:
        return self.own("turn_end", at, outcome=outcome, stop_reason=outcome, **facts)

    def text(self, text: str, at: float | None = None) -> Tale:
        return self.update("agent_message_chunk", at, content={"type": "text", "text": text})

    def extension(self, name: str, at: float | None = None, **told: Any) -> Tale:
        method = f"_paseo_nb/{name}"
        return self.line(
            "in", method, {"method": method, "params": {"sessionId": "s1", **told}}, at
        )

    def model(
        self, ident: str, begin: float, end: float, into: int, out: int, read: int = 0, **more: Any
    ) -> Tale:
        """A model call, told at its beginning and its end. `into` includes what was read."""
        self.extension("model_call", begin, messageId=ident)
        counts = {"inputTokens": into - read, "outputTokens": out, "cachedReadTokens": read}
        told = {"model": "opus-5", "stopReason": "tool_use", **more}
        return self.extension("model_call", end, messageId=ident, usage=counts, **told)

    def tool(
        self,
        ident: str,
        begin: float,
        end: float | None = None,
        name: str = "Bash",
        status: str = "completed",
        output: Any = "done",
        parent: str | None = None,
        **more: Any,
    ) -> Tale:
        """A tool call's beginning and, where `end` is given, its end."""
        meta = {"toolName": name} | ({"parent_tool_call_id": parent} if parent else {})
        told = {"title": f"{name} {ident}", "kind": "execute", "rawInput": {"command": ident}}
        self.update(
            "tool_call", begin, toolCallId=ident, status="pending", _meta=meta, **(told | more)
        )
        return self if end is None else self.done(ident, end, status, output)

    def done(self, ident: str, at: float, status: str = "completed", output: Any = "done") -> Tale:
        shown = [{"type": "content", "content": {"type": "text", "text": str(output)}}]
        return self.update(
            "tool_call_update", at, toolCallId=ident, status=status, rawOutput=output, content=shown
        )

    def ask(self, ident: str, at: float, answered: float, by: str = "user") -> Tale:
        options = [{"optionId": "yes", "name": "Yes", "kind": "allow_once"}]
        params = {"toolCall": {"toolCallId": ident, "title": "x"}, "options": options}
        kind = "session/request_permission"
        self.line("in", kind, {"id": 9, "method": kind, "params": params}, at)
        return self.own(
            "permission_answer", answered, permission=f"p{len(self.lines)}", option_id="yes",
            outcome="allowed", by=by,
        )  # fmt: skip

    def seen(self, *children: Tale) -> Seen:
        history = History("acp", self.spec.provider).feed(self.lines)
        return Seen(self.spec, history, [child.seen() for child in children])

    def tree(self, *children: Tale) -> Span:
        return run_span(self.seen(*children))

    def spans(self, *children: Tale) -> dict[str, Span]:
        """By tool call's id, else name."""
        return {one.tool_call_id or one.name: one for one in walk(self.tree(*children))
                if one.kind != "permission"}  # fmt: skip


@pytest.fixture
def tale() -> type[Tale]:
    return Tale
