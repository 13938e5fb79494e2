"""Structured answers: ask for a value of a JSON Schema, find it in what the agent says, validate.

For agents that take no schema themselves (`Dialect.takes_schema`), and to check those that do.
Judging is left to a process of its own with a limit in time: a schema's pattern may take for ever
on what a model says, and `jsonschema` would double a supervisor's memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ..drivers.acp_reading import content_text
from ..drivers.beside import points_to_blob, with_blob
from ..drivers.reading import Reading
from ..journal import RunFolder, read_journal
from .children import Children

TRIES = 3
JUDGE_CPU_S = 10
JUDGE_S = 60.0  # a busy machine takes longer for the same
_BOOT = (
    "import os,sys;sys.path+=sys.argv.pop(1).split(os.pathsep);"
    "from paseo_nb.supervisor.answers import main;main()"
)
_ASK = """End your answer with one JSON value that is valid against this JSON Schema, in a ```json \
block, with nothing after it:

{schema}"""
_AGAIN = """Your answer is not what was asked for: {wrong}

Answer again with only the corrected JSON value, in a ```json block, valid against this JSON Schema:

{schema}"""
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_DECODER = json.JSONDecoder()
_NOTHING = object()


def wish(schema: dict[str, Any]) -> dict[str, Any]:
    """What is added to a prompt."""
    return {"type": "text", "text": _ASK.format(schema=json.dumps(schema, ensure_ascii=False))}


def again(schema: dict[str, Any], wrong: str) -> dict[str, Any]:
    """The prompt after a wrong answer."""
    told = json.dumps(schema, ensure_ascii=False)
    return {"type": "text", "text": _AGAIN.format(schema=told, wrong=wrong)}


async def judged(
    children: Children, schema: dict[str, Any], text: str, value: Any
) -> tuple[Any, str | None]:
    """`Judge.judge` in a process of its own, ended after `JUDGE_S`."""
    import tempfile

    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        question.write(json.dumps([schema, text, value]).encode("utf-8", "surrogatepass"))
        question.seek(0)
        child = children.spawn(
            [sys.executable, "-I", "-S", "-c", _BOOT, os.pathsep.join(sys.path)],
            env={},
            cwd="/",
            stdin=question.fileno(),
            stdout=answer.fileno(),
            stderr=subprocess.DEVNULL,
        )
        try:
            await asyncio.wait_for(asyncio.shield(child.exited), JUDGE_S)
        except TimeoutError:
            return None, f"it could not be checked in {JUDGE_S:g} s"
        finally:
            child.kill_group(signal.SIGKILL)
        answer.seek(0)
        try:
            told, wrong = json.loads(answer.read())
        except ValueError:
            return None, f"it could not be checked in {JUDGE_CPU_S} s"
        return told, wrong


def main() -> None:
    """The process that judges: [schema, text, value] in, [value, what is wrong] out."""
    resource.setrlimit(resource.RLIMIT_CPU, (JUDGE_CPU_S, JUDGE_CPU_S))
    schema, text, value = json.loads(sys.stdin.buffer.read().decode("utf-8", "replace"))
    try:
        told = Judge(schema).judge(text, value)
    except Exception as error:
        told = (None, f"the schema cannot be applied: {error}")
    sys.stdout.write(json.dumps(told))


class Judge:
    """Applies a schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        from jsonschema.validators import validator_for
        from referencing import Registry

        # The empty registry fetches nothing: a schema may not have us open a connection.
        self._validator: Any = validator_for(schema)(schema, registry=Registry())

    def judge(self, text: str, value: Any = None) -> tuple[Any, str | None]:
        """The value that an answer holds, or what is wrong with it: (value, None), (None, why).
        value: as the agent gave it apart from its text."""
        if value is None:
            value = next(_values(text), _NOTHING)
        if value is _NOTHING:
            return None, "it holds no JSON value"
        wrong = self._wrong(value)
        return (value, None) if wrong is None else (None, wrong)

    def _wrong(self, value: Any) -> str | None:
        try:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            return "it holds what is no text or no number: half of a character, NaN or Infinity"
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
        if line.dir == "in" and points_to_blob(line):
            line = with_blob(line, folder.blobs)
        for kind, data in reading.facts(line) if line.dir == "in" else ():
            if kind == "agent_message_chunk":
                parts.append(content_text(data.get("content")))
            elif kind == "tool_call":
                parts.clear()
    return "".join(parts)
