"""What a line of Codex's app-server is at first sight: its method, id, thread and item, and the
journal's kind that follows from them."""

from __future__ import annotations

from typing import Any

import msgspec

from .acp_reading import as_dict, as_str
from .codex_items import TOOLS
from .transport import decode, envelope_of_blob

_TEXT = ("params", "delta")
SUBAGENT = "subagent/"  # before the kind of what another thread than ours says
OUTPUT = "item/commandExecution/outputDelta"
KINDS = {
    "item/agentMessage/delta": "agent_message_chunk",
    "item/reasoning/summaryTextDelta": "agent_thought_chunk",
    "item/reasoning/textDelta": "agent_thought_chunk",
    "item/fileChange/patchUpdated": "tool_call_update",
    "turn/plan/updated": "plan",
    "thread/tokenUsage/updated": "usage_update",
}
QUIET = {
    f"{prefix}{kind}": _TEXT
    for kind in ("agent_message_chunk", "agent_thought_chunk", OUTPUT, "item/plan/delta")
    for prefix in ("", SUBAGENT)
}


class Named(msgspec.Struct, gc=False):
    """An item, a turn or a thread, as far as a line's kind depends on it."""

    id: str | None = None
    type: str | None = None
    status: Any = None


class Params(msgspec.Struct, gc=False):
    """The parameters of a notification or the result of a request, likewise."""

    threadId: str | None = None
    delta: str | None = None
    item: Named | None = None
    turn: Named | None = None
    thread: Named | None = None
    willRetry: bool | None = None


class Envelope(msgspec.Struct, gc=False):
    """Just enough of a message to know what it is."""

    method: str | None = None
    id: int | str | float | None = None
    params: Params | None = None
    result: Params | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(Envelope).decode


def sight(line: bytes) -> Envelope | None:
    """See `seat.Dialect.sight`."""
    try:
        return _decode(line)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = decode(line)  # an object with fields of unexpected types: take what is usable
    if not isinstance(message, dict):
        return None
    known = as_dict(message)
    ident = known.get("id")
    if not isinstance(ident, (int, str, float)):
        ident = None
    failed = msgspec.Raw(b"{}" if known.get("error") is not None else b"null")
    return Envelope(as_str(known.get("method")), ident, error=failed)


def sight_of_blob(head: bytes, tail: bytes) -> Envelope:
    """See `seat.Dialect.sight_of_blob`."""
    told = envelope_of_blob(head, tail)
    return Envelope(told.method, told.id)


def notice_kind(method: str, params: Params, our_turn: str | None) -> str:
    """The journal's kind of a notification: ACP's word where there is one, else its method."""
    kind = KINDS.get(method, method[:120])
    item, turn = params.item, params.turn
    if method in ("item/started", "item/completed") and item is not None and item.type in TOOLS:
        return "tool_call" if method == "item/started" else "tool_call_update"
    if method == "error" and params.willRetry:
        return "retry"
    if method == "turn/completed" and turn is not None and turn.id == our_turn:
        return f"session/prompt:{'error' if turn.status == 'failed' else 'result'}"
    return kind
