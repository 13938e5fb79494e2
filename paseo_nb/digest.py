"""An earlier run as a bounded digest for another agent: what was asked, how it ended, what it said
last, what it changed, which tools failed. Markdown; from values, reads nothing itself."""

from __future__ import annotations

from .describing import cut
from .git.values import DiffSummary
from .history import History
from .model import RunSpec, ToolCall, short_id

PROMPT, ANSWER, LINE, ERROR = 2_000, 8_000, 200, 400
TURNS, FILES, ERRORS = 10, 40, 10


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
