"""opencode: OpenCode over ACP (`opencode acp`). Its models are named `provider/model`, so an agent
reads `opencode/anthropic/claude-sonnet-4-5`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .. import scratch
from ..model import Usage
from .acp_reading import as_dict, as_int, as_str, decode
from .differing import Account, Called, Differences, Json, home_of, now_ms
from .provider import Capabilities, Provider

NAME = "opencode"

# Find: a Bun binary, no node needed.
NEEDS = "opencode"
INSTALL = "paseo-nb install opencode"

# Launch: the model is the session's config option `model`. `opencode acp` opens its HTTP server on
# 127.0.0.1 (port 4096 where that is free), to anyone on the machine unless it has a password: each
# start gets one of its own. The switches keep it from looking for updates of itself, of its list of
# models and of language servers. (Its plugin package it fetches into ~/.npm in any case.) Bun
# unpacks a library of 5 MB into its folder for temporary files, in every process, and leaves it.
# What it logs of failing model calls and MCP servers it tells nowhere else, so its log goes to
# standard error, too.
COMMAND = ["opencode", "acp", "--print-logs", "--log-level", "WARN"]
PASSWORD = "OPENCODE_SERVER_PASSWORD"
SWITCHES = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "BUN_TMPDIR": scratch.WANTED,
}

# Permissions default to "allow": it asks for what OPENCODE_PERMISSION says, which stands above its
# own configuration, but for what that says of one agent: so it is said of its agents too, by
# OPENCODE_CONFIG_CONTENT, which is put over the user's own; `mode`, an older word for `agent`,
# stands above that. The last key that fits decides, and a key that stands there already keeps its
# place: so each is written as a pattern that nobody has. An agent of the user's own, which
# `default_agent` may name, is left where the policy forbids anything (`acp.AcpDialect`). Looking
# passes, as with other agents, unless a rule denies some of it. It never tells what a sub-agent
# asks, and waits for ever: there are none in a run that asks.
_LOOKING = ("read", "glob", "grep", "list", "lsp", "skill", "todowrite", "todoread")
ASKING_MODES = ("build", "plan")


def _asking(looking: str) -> dict[str, str]:
    rules = {**dict.fromkeys(_LOOKING, looking), "task": "deny"}

    def agents(n: int) -> dict[str, Json]:
        spelt = {kind[:-n] + n * "?": rule for kind, rule in rules.items()}
        permission = {"*" * (n + 1): "ask", **spelt}
        return {name: {"permission": permission} for name in ASKING_MODES}

    return {
        "OPENCODE_PERMISSION": json.dumps({"*": "ask", **rules}),
        "OPENCODE_CONFIG_CONTENT": json.dumps({"agent": agents(1), "mode": agents(2)}),
    }


ASKING, ASKING_ALL = _asking("allow"), _asking("ask")

# Differences from plain ACP: a denied permission ends the turn. `fs/write` is used only after an
# approved edit. A cancelled turn's usage is zeros; where one that we
# cancelled ends as `end_turn`, what it was is read from its messages. The usage of every model call
# stands in its database, `$XDG_DATA_HOME/opencode/opencode.db`.
_CALLS = """
    with recursive mine(id) as (
        select ?1 union select session.id from session join mine on session.parent_id = mine.id
    )
    select id, data, session_id from message
    where session_id in (select id from mine) and time_created >= ?2 order by time_created, id
"""


FINISHED = ("stop", "length", "content-filter")  # other calls are broken off, or want tools


class Database(msgspec.Struct, frozen=True):
    """Its database, read only: messages of a session and of the agents below it, with times."""

    def mark(self, session_id: str | None, environment: Mapping[str, str]) -> int:
        """See `differing.Record.mark`: the time."""
        return now_ms()

    def since(self, mark: int, session_id: str, environment: Mapping[str, str]) -> Account | None:
        """See `differing.Record.since`: the model calls."""
        rows = _rows(_CALLS, (session_id, mark), environment, 2.0)
        if rows is None:
            return None
        told = [
            (str(row[0]), as_dict(decode(msgspec.Raw(str(row[1]).encode()))), row[2])
            for row in rows
        ]
        calls = [one for one in told if one[1].get("role") == "assistant"]
        own = [message for _, message, session in calls if session == session_id]
        cut = not own or "error" in own[-1] or own[-1].get("finish") not in FINISHED
        return Account([_call(ident, message) for ident, message, _ in calls], cut=cut)


def _rows(
    query: str, values: tuple[str | int, ...], environment: Mapping[str, str], limit_s: float
) -> list[Any] | None:
    """What its database says; None where it cannot be read."""
    try:
        import sqlite3  # 2 MB that no other agent's supervisor needs
    except ImportError:
        return None
    base = environment.get("XDG_DATA_HOME")
    data = Path(base) if base else home_of(environment) / ".local" / "share"
    path = data / "opencode" / (environment.get("OPENCODE_DB") or "opencode.db")
    try:
        database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=limit_s)
        try:
            return database.execute(query, values).fetchall()
        finally:
            database.close()
    except (sqlite3.Error, ValueError):
        return None


def is_summary(message_id: str, environment: Mapping[str, str]) -> bool:
    """Whether a message is what it keeps of a context that it shortens: over ACP it reads as an
    answer. It is in the database before its first word is told."""
    rows = _rows("select data from message where id = ?", (message_id,), environment, 0.2)
    return any(
        as_dict(decode(msgspec.Raw(str(row[0]).encode()))).get("summary") for row in rows or ()
    )


def _call(ident: str, message: Json) -> Called:
    """One model call, with the time that its tools took."""
    begun, ended = (
        as_int(as_dict(message.get("time")).get(name)) for name in ("created", "completed")
    )
    model, provider = as_str(message.get("modelID")), as_str(message.get("providerID"))
    error = as_dict(message.get("error"))
    said = as_str(as_dict(error.get("data")).get("message")) or as_str(error.get("name"))
    return Called(
        ident,
        started_us=None if begun is None else begun * 1000,
        finished_us=None if ended is None else ended * 1000,
        model=f"{provider}/{model}" if model and provider else model,
        usage=_usage(message),
        stop_reason=as_str(message.get("finish")),
        error=said,
    )


def _usage(message: Json) -> Usage:
    """One call's; nothing where it was broken off, for which it keeps zeros."""
    tokens, cost = as_dict(message.get("tokens")), message.get("cost")
    names = ("input", "output", "reasoning")
    fresh, out, thoughts = (as_int(tokens.get(name)) for name in names)
    read, written = (as_int(as_dict(tokens.get("cache")).get(name)) for name in ("read", "write"))
    if fresh is None or out is None or not any((fresh, out, read, written)):
        return Usage()
    return Usage(
        input_tokens=fresh + (read or 0) + (written or 0),
        output_tokens=out + (thoughts or 0),
        cache_read_tokens=read,
        cache_write_tokens=written or None,  # it keeps 0 where an endpoint tells none
        reasoning_tokens=thoughts,
        total_tokens=as_int(tokens.get("total")),
        cost_usd=float(cost) if isinstance(cost, (int, float)) else None,
        source="session file",
        scope="turn",
    )


DIFFERENCES = Differences(
    scope="last model call",
    aside_retry=re.compile(
        r'.*\bmessage="stream error" .*\bsmall=false\b.*\berror\.error="(?P<message>.*)"\s*'
    ),
    aside_mcp=re.compile(
        r'.*\bmessage="server unavailable" key=(?P<quote>"?)(?P<name>.+?)(?P=quote)'
        r"(?: type=\w+)?(?: status=(?P<message>\w+))?(?: .*)?"
    ),
    summary=is_summary,
    record=Database(),
)
NOTES = (
    'has no sub-agents but with mode="auto" and no deny rule; a denial ends its turn; an agent of'
    " its user's own makes room for `build` where the policy forbids anything"
)

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http", "sse"),
    returns="resume",
    asks=True,
    asks_to_look=True,
    asking_modes=ASKING_MODES,
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=None,
    steer=False,
    usage="from its database: tokens per turn with cache and reasoning, cost",
)

# Usage: `PromptResponse.usage` is the last model call's only, excluding cached tokens: after more
# than one call a turn has no counts, were it not for its database. `usage_update` has the context's
# gauge, and the session's cost in USD so far.

# Measured: 1.18.33. Ready in 1.8-2.1 s, 615-750 MB; a turn after session/load 5-10 s; cancel
# 0.2-0.3 s; a shell child survives killpg; model error: RequestError after 5 s.
MEASURED = "1.18.33"


def provider() -> Provider:
    """The provider, with a new password each time."""
    return Provider(
        name=NAME,
        command=COMMAND,
        asking=ASKING,
        asking_all=ASKING_ALL,
        switches={**SWITCHES, PASSWORD: os.urandom(24).hex()},
        model_by="session",
        install=INSTALL,
        needs=NEEDS,
        notes=NOTES,
        extends=NAME,
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENCODE_CONFIG_CONTENT"),
        signed_in=(
            ("${XDG_DATA_HOME:-~/.local/share}/opencode/auth.json", "type"),
            ("${XDG_CONFIG_HOME:-~/.config}/opencode/opencode.json", r'(?m)^[^/\n]*"provider"\s*:'),
        ),
        sign_in="opencode auth login",
        sessions="${XDG_DATA_HOME:-~/.local/share}/opencode",
        capabilities=CAPABILITIES,
    )
