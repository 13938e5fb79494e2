"""An earlier run as a bounded digest for another agent: what was asked, how it ended, what it said
last, what it changed, which tools failed. Markdown; from values, reads nothing itself."""

from __future__ import annotations

from .describing import cut
from .git.values import DiffSummary
from .history import History
from .model import RunSpec, ToolCall, Turn, short_id

PROMPT, ANSWER, LINE, ERROR = 2_000, 8_000, 200, 400
TURNS, FILES, ERRORS = 10, 40, 10
CONVERSATION, LAST, CALLS = 24_000, 8_000, 20


def digest(history: History, spec: RunSpec, state: str, diff: DiffSummary | None) -> str:
    """The digest of a run; `diff` is None where it works outside git."""
    agent = f"{spec.provider}/{spec.model}" if spec.model else spec.provider
    parts = [f"# Run {short_id(spec.run_id)} of {agent}: {state}"]
    *before, last = history.turns or [None]
    if before:
        lines = [f"{turn.turn}. {_line(turn.prompt)}: {turn.outcome}" for turn in before if turn]
        parts.append(_list("Earlier prompts", lines, TURNS))
    if last is not None:
        ended = last.outcome or "still at work"
        why = f" ({_line(last.error.message, ERROR)})" if last.error else ""
        parts.append(f"## Prompt\n{cut(last.prompt, PROMPT)}")
        parts.append(f"## Outcome\n{ended}{why}")
        parts.append(f"## Its last text\n{cut(last.text.strip(), ANSWER) or '(none)'}")
    if diff is not None:
        lines = [
            f"- {one.path} "
            + ("binary" if one.added is None else f"+{one.added} -{one.removed or 0}")
            for one in diff.files
        ]
        where = f" on branch {spec.branch}" if spec.branch else ""
        parts.append(_list(f"Changed files{where}", lines or ["none"], FILES))
    failed = [call for call in history.tool_calls.values() if call.outcome == "failed"]
    if failed:
        parts.append(_list("Tool errors", [_failure(call) for call in failed], ERRORS))
    return "\n\n".join(parts) + "\n"


def conversation(history: History, spec: RunSpec, turn: int, before: str = "") -> str:
    """What was said in a run up to the end of a turn, for an agent that goes on from there without
    having been there: at most some 24,000 characters, the latest turns first to stay. `before`: the
    same of what that run was itself forked off."""
    agent = f"{spec.provider}/{spec.model}" if spec.model else spec.provider
    head = (
        f"# A conversation that you go on with\nIt was held by {agent}, in turns 1 to {turn} of run"
        f" {short_id(spec.run_id)}, and is told here in short. The files are as they were at its"
        " end. Read it as what was said and done so far; the user's new message follows it."
    )
    told: list[str] = []
    room = CONVERSATION
    for one in reversed(history.turns[:turn]):
        most = min(LAST if not told else LAST // 3, room)
        if most < LINE:
            told.append(f"({one.turn} earlier turns left out)")
            break
        told.append(_turn(history, one, most))
        room -= len(told[-1])
    if before and room > LINE:
        told.append(cut(before, room))
    return "\n\n".join([head, *reversed(told), "# End of that conversation"]) + "\n"


def _turn(history: History, turn: Turn, most: int) -> str:
    calls = [call for call in history.tool_calls.values() if call.turn == turn.turn]
    lines = [f"- {call.kind or 'tool'} {_line(call.title or '')}: {call.outcome}" for call in calls]
    ended = "" if turn.outcome == "end_turn" else f"\n\n(This turn ended so: {turn.outcome})"
    parts = [f"## Turn {turn.turn}, the user\n{cut(turn.prompt, most // 2)}"]
    if lines:
        parts.append(_list(f"Turn {turn.turn}, what the agent did", lines, CALLS))
    said = cut(turn.text.strip(), most // 2) or "(nothing)"
    parts.append(f"## Turn {turn.turn}, the agent\n{said}{ended}")
    return "\n\n".join(parts)


def _list(title: str, lines: list[str], most: int) -> str:
    left = len(lines) - most
    note = [f"({left:,} earlier ones left out)"] if left > 0 else []
    return "\n".join([f"## {title}", *note, *lines[-most:]])


def _failure(call: ToolCall) -> str:
    said = call.error or (call.output if isinstance(call.output, str) else "") or "failed"
    return f"- {call.kind or 'tool'} {_line(call.title or '')}: {_line(said, ERROR)}"


def _line(text: str, limit: int = LINE) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
