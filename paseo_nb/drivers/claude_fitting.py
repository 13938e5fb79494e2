"""Making a wish fit Claude Code: a prompt's blocks as the API's, MCP servers as its own."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .acp_fitting import fit
from .acp_reading import Json, as_dict, as_list, as_str
from .attached import PDF, PDF_SIGN
from .names import parts, resolve_name
from .seat import AgentProblem

TAKES = {"image": True}
NEW, BACK = "--session-id=", "--resume="
BUDGET = "--max-budget-usd="
MOST_PDF = 20 << 20
FORK, FORK_AT = "--fork-session", "--resume-session-at="
_SIZE = re.compile(r"(.*?)(\[\w+\])?", re.DOTALL)  # `sonnet[1m]`: with a larger context
CUSTOM = "Custom model"  # what its list says of a name that it was launched with


def sessions_folder(environment: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its sessions: `PROJECT/SESSION_ID.jsonl`."""
    own = os.path.join(environment.get("HOME") or "~", ".claude")
    return Path(environment.get("CLAUDE_CONFIG_DIR") or own).expanduser() / "projects"


def forked(command: list[str], session_id: str, at: str) -> list[str]:
    """The command line of a new session that begins as a session was at one of its messages."""
    return [*command, f"{BACK}{session_id}", FORK, f"{FORK_AT}{at}"]


def unforked(command: list[str]) -> list[str]:
    """The command line of a new session without the fork."""
    if FORK not in command:
        return command
    return [part for part in command if part != FORK and not part.startswith((BACK, FORK_AT))]


def command_line(
    command: list[str],
    session_id: str | None,
    environment: Mapping[str, str],
    budget_left: float | None = None,
) -> list[str]:
    """The command line that goes on with a session; one that was cut off before anything of it was
    kept begins anew under its id. A budget is what is left of it: each process counts from zero."""
    if session_id is not None and budget_left is not None:
        left = f"{BUDGET}{max(budget_left, 0.000001):f}"
        command = [left if part.startswith(BUDGET) else part for part in command]
    if session_id is None or f"{BACK}{session_id}" in command:
        return command
    kept = any(sessions_folder(environment).glob(f"*/{session_id}.jsonl"))
    if f"{NEW}{session_id}" in command and not kept:
        return command
    left = [part for part in unforked(command) if not part.startswith((NEW, BACK))]
    return [*left, f"{BACK}{session_id}"]


def model_named(wanted: str, listed: list[Json]) -> tuple[str, str | None]:
    """The name by which Claude Code takes the model that is meant, and what to warn of: its list
    has the newest of each kind only, so one that is not in it is asked for all the same."""
    bare, size = _SIZE.fullmatch(wanted).groups("")  # pyright: ignore[reportOptionalMemberAccess]
    offered: dict[str, str] = {}
    for model in listed:
        if model.get("description") != CUSTOM:
            offered[str(model.get("value"))] = as_str(model.get("displayName")) or ""
            offered.setdefault(as_str(model.get("resolvedModel")) or "default", "")
    if wanted in offered:
        return wanted, None
    try:
        return resolve_name("model", bare, offered) + size, None
    except AgentProblem as error:
        words, name = parts(bare), wanted
        if words and words[0] in offered:  # `Opus 4.8`
            name = "-".join(["claude", *words]) + size
        said = f"Claude Code lists no model {wanted!r}: it is asked for {name!r}."
        return name, f"{said} {error.problem.hint or ''}".strip()


def content_of(blocks: list[Json]) -> list[Json]:
    """A prompt's ACP blocks as the API's. AgentProblem for sound, which it does not take."""
    content: list[Json] = []
    for block in fit(blocks, TAKES):
        kind = block.get("type")
        if kind == "image":
            source = {
                "type": "base64",
                "media_type": block.get("mimeType"),
                "data": block.get("data"),
            }
            content.append({"type": "image", "source": source})
        elif kind == "resource_link" and (document := _document(block)) is not None:
            content += document
        elif kind == "resource_link":
            content.append({"type": "text", "text": f"[{block.get('name')}]({block.get('uri')})"})
        else:
            content.append({"type": "text", "text": str(block.get("text") or "")})
    return content


def _document(block: Json) -> list[Json] | None:
    """A PDF as the API takes it, and where it lies; None for what is none, or too large for it."""
    uri = str(block.get("uri"))
    if block.get("mimeType") != PDF or not uri.startswith("file:"):
        return None
    try:
        data = Path(unquote(urlsplit(uri).path)).read_bytes()
    except (OSError, ValueError):
        return None
    if len(data) > MOST_PDF or not data.startswith(PDF_SIGN):
        return None
    encoded = base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": PDF, "data": encoded}
    named = {"type": "text", "text": f"[{block.get('name')}]({uri})"}
    return [named, {"type": "document", "source": source}]


def mcp_server(server: Json) -> Json:
    """An MCP server as ACP has it, as Claude Code has it."""

    def pairs(key: str) -> dict[str, str]:
        given = server.get(key)
        if isinstance(given, dict):
            return {str(name): str(value) for name, value in as_dict(given).items()}
        listed = [as_dict(one) for one in as_list(given)]
        return {str(one.get("name")): str(one.get("value")) for one in listed}

    if server.get("url"):
        kind = as_str(server.get("type")) or "http"
        return {"type": kind, "url": server["url"], "headers": pairs("headers")}
    return {
        "type": "stdio",
        "command": server.get("command"),
        "args": as_list(server.get("args")),
        "env": pairs("env"),
    }
