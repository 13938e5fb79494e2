"""Where an agent's session can be forked so that it is as at the end of a turn, by a run's journal.

Claude Code takes one of its messages, Codex one of its turns, our own agents the number of a prompt
of theirs; any other agent that speaks ACP's `session/fork` forks a session's end. Whoever forks a
run looks here; `forking` has the agent do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..journal import read_journal
from ..model import RunSpec
from .acp_reading import Json, as_dict, as_int, as_str, decode
from .claude_fitting import forked as claude_command
from .claude_fitting import sessions_folder
from .forking import OURS


class Point(msgspec.Struct, frozen=True):
    """An agent's session and its mark of a turn's end; why: it cannot be forked there."""

    session_id: str | None = None
    at: str | None = None
    why: str | None = None


def point_of(journal: Path, spec: RunSpec, turn: int, environment: Mapping[str, str]) -> Point:
    """Where the agent of a run can fork its session so that it is as at that turn's end."""
    session, at, last = None, None, turn
    ended, offers, ours = None, False, False
    for line in read_journal(journal):
        if line.dir == "own" and line.kind == "turn_start":
            last = line.turn
        if line.turn > turn or not _tells(line.kind):
            continue
        told = as_dict(decode(line.raw))
        if line.dir == "own" and line.kind == "session":
            session = as_str(told.get("session_id"))
        elif line.dir == "own" and line.kind == "turn_end" and line.turn == turn:
            ended = told.get("outcome")
        elif line.dir == "in" and line.kind == "initialize:result":
            can = as_dict(as_dict(told.get("result")).get("agentCapabilities"))
            offers = as_dict(can.get("sessionCapabilities")).get("fork") not in (None, False)
            ours = bool(as_dict(as_dict(can.get("_meta")).get(OURS)).get("fork"))
        elif line.dir == "in" and line.turn == turn:
            at = _MARKS[spec.dialect](line.kind, told) or at
    if session is None or ended is None:
        return Point(why="it had no session then")
    if turn != last and ended != "end_turn":
        return Point(why="that turn was cut off")
    if spec.dialect == "acp" and not offers:
        return Point(why="its agent forks no sessions")
    if spec.dialect == "acp" and turn == last:
        return Point(session, at)
    if spec.dialect == "acp" and not ours:
        return Point(why="its agent forks a session's end only")
    if at is None:
        return Point(why="its agent said nothing in that turn")
    if spec.dialect == "claude" and not any(
        sessions_folder(environment).glob(f"*/{session}.jsonl")
    ):
        return Point(why="Claude Code does not have its session any more")
    return Point(session, at)


def _tells(kind: str) -> bool:
    return kind in ("session", "turn_end", "assistant", "initialize:result") or kind.startswith(
        "session/prompt:"
    )


def _claude_mark(kind: str, told: Json) -> str | None:
    if kind == "assistant" and not told.get("parent_tool_use_id"):
        return as_str(told.get("uuid"))
    return None


def _codex_mark(kind: str, told: Json) -> str | None:
    turn = as_dict(as_dict(told.get("params")).get("turn"))
    return as_str(turn.get("id")) if kind.startswith("session/prompt:") else None


def _our_mark(kind: str, told: Json) -> str | None:
    meta = as_dict(as_dict(as_dict(told.get("result")).get("_meta")).get(OURS))
    number = as_int(meta.get("turn")) if kind == "session/prompt:result" else None
    return None if number is None else str(number)


_MARKS = {"claude": _claude_mark, "codex": _codex_mark, "acp": _our_mark}


def command_of(dialect: str, command: list[str], point: Point) -> list[str]:
    """The command line of a new session that is forked there, where that is said on it."""
    if dialect == "claude" and point.session_id is not None and point.at is not None:
        return claude_command(command, point.session_id, point.at)
    return command
