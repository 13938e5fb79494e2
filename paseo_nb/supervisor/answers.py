"""Structured answers: ask for a value of a JSON Schema, find it in what the agent says, validate.

For agents that take no schema themselves (`Dialect.takes_schema`), and to check those that do.
`jsonschema` is imported only where a run has a schema: it doubles a supervisor's memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..drivers.acp_reading import content_text
from ..drivers.reading import Reading
from ..journal import RunFolder, read_journal

TRIES = 3
_ASK = """End your answer with one JSON value that is valid against this JSON Schema, in a ```json \
block, with nothing after it:

{schema}"""
_AGAIN = """Your answer is not what was asked for: {wrong}

Answer again with only the corrected JSON value, in a ```json block, valid against this JSON Schema:

{schema}"""
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_DECODER = json.JSONDecoder()


class Asked:
    """What a run's schema asks for."""

    def __init__(self, schema: dict[str, Any]) -> None:
        from jsonschema.validators import validator_for
        from referencing import Registry

        self._text = json.dumps(schema, ensure_ascii=False)
        # The empty registry fetches nothing: a schema may not have us open a connection.
        self._validator: Any = validator_for(schema)(schema, registry=Registry())

    def wish(self) -> dict[str, Any]:
        """What is added to a prompt."""
        return {"type": "text", "text": _ASK.format(schema=self._text)}

    def again(self, wrong: str) -> dict[str, Any]:
        """The prompt after a wrong answer."""
        return {"type": "text", "text": _AGAIN.format(schema=self._text, wrong=wrong)}

    def judge(self, text: str, value: Any = None) -> tuple[Any, str | None]:
        """The value that an answer holds, or what is wrong with it: (value, None), (None, why).
        value: as the agent gave it apart from its text."""
        candidates = [value] if value is not None else list(_values(text))
        wrong = "it holds no JSON value"
        for candidate in candidates:
            found = self._wrong(candidate)
            if found is None:
                return candidate, None
            wrong = found if candidate is candidates[0] else wrong
        return None, wrong

    def _wrong(self, value: Any) -> str | None:
        try:
            errors = sorted(self._validator.iter_errors(value), key=lambda error: len(error.path))
        except Exception as error:  # a $ref that leads nowhere, a pattern that is no expression
            return f"the schema cannot be applied: {error}"
        told = [f"{error.json_path}: {error.message}"[:500] for error in errors[:5]]
        return "; ".join(told) or None


def _values(text: str) -> Iterator[Any]:
    """The JSON values in an answer, the likeliest first: all of it, its blocks from the last on,
    the objects and lists in its prose from the last on."""
    for part in (text.strip(), *reversed([match[1] for match in _FENCED.finditer(text)])):
        try:
            yield json.loads(part)
        except (ValueError, RecursionError):
            continue
    found: list[Any] = []
    at = 0
    while (at := next((i for i in range(at, len(text)) if text[i] in "{["), -1)) >= 0:
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            found.append(value)
    yield from reversed(found)


def answer_text(folder: RunFolder, reading: Reading, offset: int) -> str:
    """What the agent has said in the journal from `offset` on, after its last tool call."""
    parts: list[str] = []
    for line in read_journal(folder.journal, offset):
        if line.dir == "out" and line.kind == "session/prompt":
            parts.clear()
        for kind, data in reading.facts(line) if line.dir == "in" else ():
            if kind == "agent_message_chunk":
                parts.append(content_text(data.get("content")))
            elif kind == "tool_call":
                parts.clear()
    return "".join(parts)
