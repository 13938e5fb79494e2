"""Claude Code's own sessions: `~/.claude/projects/PROJECT/SESSION_ID.jsonl`, a JSON object a line;
its sub-agents beside it, in `SESSION_ID/subagents/agent-*.jsonl`.

Lines of type `user` and `assistant` are the conversation, with the model's final usage; most others
are book-keeping. The files have no cost of a turn.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from .acp_reading import Json, as_dict, as_list, as_str, blocks_text
from .claude_fitting import sessions_folder
from .claude_reading import FROM_FILE
from .sessions import Session, Told
from .transport import decode

# What stands in the user's name and is nobody's prompt.
_NOT_SAID = ("<local-command", "<task-notification", "<system-reminder", "<bash-", "Caveat: ")
_INTERRUPTED = "[Request interrupted by user"
_COMMAND = "<command-name>"
TITLE_CHARACTERS = 80
DAY_S = 86_400


class _Head(msgspec.Struct, gc=False):
    """Just enough of a line to pass over book-keeping."""

    type: str = ""


_head = msgspec.json.Decoder(_Head).decode


class ClaudeSessions:
    """See `sessions.Sessions`."""

    def found(self, environment: Mapping[str, str]) -> Iterator[Session]:
        """See `sessions.Sessions.found`."""
        for path in sessions_folder(environment).glob("*/*.jsonl"):
            session = _session(path)
            if session is not None:
                yield session

    def unlisted(self, session_id: str) -> Session | None:
        """See `sessions.Sessions.unlisted`."""
        return None

    def told(self, session: Session, environment: Mapping[str, str]) -> Iterator[Told]:
        """See `sessions.Sessions.told`."""
        assert session.path is not None
        files = [session.path, *session.path.with_suffix("").glob("subagents/*.jsonl")]
        lines = [line for file in files for line in _lines(file)]
        for message, raw in sorted(lines, key=lambda pair: time_us(pair[0])):
            at, prompt = time_us(message), prompt_of(message)
            if prompt is not None:
                yield Told(at, prompt)
                continue
            kind = str(message.get("type"))
            kind = str(message.get("subtype")) if kind == "system" else kind
            text = _text(message)
            cut = message.get("type") == "user" and text.startswith(_INTERRUPTED)
            yield Told(at, None, FROM_FILE + kind, raw, "cancelled" if cut else None)


def _session(path: Path) -> Session | None:
    times: list[int] = []
    prompts: list[str] = []
    cwd = model = title = None
    for message, _ in _lines(path, titles=True):
        title = as_str(message.get("summary")) or as_str(message.get("customTitle")) or title
        cwd = cwd or as_str(message.get("cwd"))
        at, prompt = time_us(message), prompt_of(message)
        if at:
            times.append(at)
        if prompt is not None:
            prompts.append(prompt)
        said = as_str(as_dict(message.get("message")).get("model"))
        model = said if said and not said.startswith("<") else model
    if not prompts or not times or cwd is None:
        return None
    first = " ".join(prompts[0].split())
    return Session(
        provider="claude",
        session_id=path.stem,
        cwd=cwd,
        title=title or first[:TITLE_CHARACTERS],
        started_us=min(times),
        finished_us=max(times),
        turns=len(prompts),
        path=path,
        model=model,
    )


def _lines(path: Path, titles: bool = False) -> Iterator[tuple[Json, bytes]]:
    """The lines of the conversation, decoded, and as they are."""
    wanted = {"user", "assistant", "system", *(("summary", "custom-title") if titles else ())}
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for raw in file:
            try:
                if _head(raw).type not in wanted:
                    continue
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue  # a line that is still being written, or damaged
            yield as_dict(decode(raw)), raw.strip()


def prompt_of(message: Json) -> str | None:
    """What the user said, if a line is that; a slash command as it was typed."""
    if message.get("type") != "user" or message.get("isSidechain") or message.get("isMeta"):
        return None
    origin = as_dict(message.get("origin")).get("kind")
    if message.get("isCompactSummary") or origin not in (None, "human", "sdk", "user"):
        return None
    text = _text(message)
    if not text or text.startswith((*_NOT_SAID, _INTERRUPTED)):
        return None
    if text.startswith(_COMMAND):
        name = text.removeprefix(_COMMAND).split("<")[0]
        _, _, rest = text.partition("<command-args>")
        return f"{name} {rest.split('</command-args>')[0]}".strip()
    return text


def _text(message: Json) -> str:
    content = as_dict(message.get("message")).get("content")
    if isinstance(content, str):
        return content.strip()
    blocks = [as_dict(block) for block in as_list(content)]
    if any(block.get("type") == "tool_result" for block in blocks):
        return ""
    return blocks_text([block for block in blocks if block.get("type") == "text"]).strip()


def time_us(message: Json) -> int:
    """When a line was written; 0 where it does not say, or says what cannot be."""
    try:
        told = datetime.datetime.fromisoformat(str(message.get("timestamp"))).timestamp()
    except (ValueError, OverflowError):
        return 0
    return int(told * 1_000_000) if 0 < told < time.time() + DAY_S else 0
