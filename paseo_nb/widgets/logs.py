"""A run as lines for a terminal: what `logs` prints and what `run` and `attach` print as it
happens."""

from __future__ import annotations

from collections.abc import Iterator

from ..history import History
from ..model import Item, ToolCall, short_id
from .render.text import clean
from .render.units import duration

_MARKS = {"thought": "~ ", "plan": "", "permission": "? ", "note": "! "}
TOOL_LINES = 12


def item_text(item: Item) -> str:
    """One entry of the transcript."""
    text = clean(item.text).strip()
    if item.kind == "tool_call":
        return _tool(item)
    if item.kind == "permission":
        return f"? {clean(item.title or 'permission')}: {item.outcome or 'waiting'}"
    if item.role == "user":
        return "> " + text.replace("\n", "\n> ")
    return _MARKS.get(item.kind, "") + text


def _tool(item: Item) -> str:
    call = item.ref if isinstance(item.ref, ToolCall) else None
    took = ""
    if item.finished_us is not None:
        took = f" ({duration((item.finished_us - item.started_us) / 1e6)})"
    kind = f"{call.kind} " if call is not None and call.kind else ""
    head = f"* {kind}{clean(item.title or '')}: {item.outcome or 'running'}{took}"
    lines = clean(item.text).strip().splitlines()
    if len(lines) > TOOL_LINES:
        lines = [f"… {len(lines) - TOOL_LINES} lines before", *lines[-TOOL_LINES:]]
    return "\n".join([head, *(f"    {line}" for line in lines)])


def plain_transcript(history: History, tail: int | None = None) -> str:
    """The whole transcript, or its last entries."""
    items = history.items if tail is None else history.items[-tail:] if tail > 0 else []
    return "\n".join(item_text(item) for item in items)


class Printer:
    """Gives what is new since the last look: whole entries, and messages as they stream."""

    def __init__(self, run_id: str) -> None:
        self._run = short_id(run_id)
        self._at = 0
        self._shown = 0
        self._asked: set[str] = set()

    def _asks(self, history: History) -> Iterator[str]:
        """Each question that waits, once, with how to answer it."""
        for permission in history.open_permissions():
            if permission.id not in self._asked:
                self._asked.add(permission.id)
                what = clean(permission.title or permission.kind or "something")
                yield (
                    f"? Waiting for you: {what}. Answer with `paseo-nb allow {self._run}` or"
                    f" `paseo-nb deny {self._run}`\n"
                )

    def news(self, history: History) -> Iterator[str]:
        """Pieces to print, in order; an entry that goes on is continued at the next call."""
        while self._at < len(history.items):
            item = history.items[self._at]
            last = self._at == len(history.items) - 1
            streams = item.kind in ("message", "thought") and item.role == "agent"
            if streams:
                text = clean(item.text)
                piece = text[self._shown :]
                if self._shown == 0 and piece:
                    piece = _MARKS.get(item.kind, "") + piece
                self._shown = len(text)
                if piece:
                    yield piece
                if last and history.turn_open:
                    return
                yield "\n"
            else:
                done = item.finished_us is not None or item.role != "agent"
                if not done and history.turn_open and item.kind != "plan":
                    yield from self._asks(history)
                    return
                yield item_text(item) + "\n"
            self._at += 1
            self._shown = 0
