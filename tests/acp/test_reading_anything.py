"""Reading whatever comes: odd types in every field, lines that are no messages.

Invariants: (1) no message, whatever it holds, stops the fold, and what follows is still told; (2)
folding line by line and all at once tell the same story.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec
from acp_samples import ANSWERED, MESSAGES, Tape, call, mutated, said, snapshot

from paseo_nb.drivers.acp_reading import AcpReading
from paseo_nb.history import History


def test_line_by_line_and_all_at_once_tell_the_same() -> None:
    tape = Tape().begin()
    for kind, message in MESSAGES:
        tape.put("in", kind, message)
    tape.end().begin().take(said("x"), said("y")).end()
    slow = History("acp")
    for line in tape.lines:
        slow.feed([line])
    slow.feed(tape.lines)  # seen before: passed over
    assert snapshot(slow) == snapshot(tape.history())


def test_mutated_messages_never_stop_the_fold() -> None:
    """No type is promised, in any field: 12,000 messages with odd values in odd places."""
    rng = random.Random(20261121)
    reading = AcpReading("copilot")
    for _ in range(40):
        tape = Tape().begin()
        for _ in range(300):
            kind, message = rng.choice(MESSAGES)
            message = mutated(message, rng)
            found = message.get("params")
            found = found.get("update") if isinstance(found, dict) else None
            named = found.get("sessionUpdate") if isinstance(found, dict) else None
            if isinstance(named, str) and rng.random() < 0.8:
                kind = named
            tape.put("in", kind, message)
            if rng.random() < 0.02:
                tape.end(rng.choice(["end_turn", "error", "limit"])).begin()
        history = tape.history(rng.choice(["", "copilot", "gemini"]))
        for line in tape.lines:
            event = reading.event(line)
            assert event.text is None or isinstance(event.text, str)
            chunk = reading.chunk_text(line)
            assert chunk is None or isinstance(chunk, str)
        tape.begin().take(said("Still here."), call("end", title="T", status="completed"))
        tape.end(answer=ANSWERED)
        history.feed(tape.lines)
        assert history.turns[-1].text == "Still here."
        assert history.turns[-1].outcome == "end_turn"
        assert history.turns[-1].usage.output_tokens is not None
        json.dumps(msgspec.to_builtins(history.turns))
        msgspec.json.encode([history.items, history.permissions])


def test_lines_that_are_no_messages(tmp_path: Path) -> None:
    tape = Tape().begin()
    for raw in (
        "words",
        5,
        None,
        [],
        [[1]],
        "",
        {"$blob": "../../etc/passwd", "bytes": 5},
        {"$blob": "0" * 64, "bytes": "many"},
        {"$blob": None},
    ):
        for kind in (
            "garbage",
            "agent_message_chunk",
            "session/prompt:result",
            "session/request_permission",
        ):
            tape.put("in", kind, raw)
    tape.take(said("fine")).end(answer=ANSWERED)
    history = History("acp", "", tmp_path).feed(tape.lines)
    assert history.text == "fine"
    deep = msgspec.Raw(b'{"params":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    tape.lines[3] = msgspec.structs.replace(tape.lines[3], raw=deep)
    assert tape.history().text == "fine"
    assert AcpReading().event(tape.lines[3]).text is None
