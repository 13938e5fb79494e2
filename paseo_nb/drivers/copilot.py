"""copilot: GitHub Copilot CLI over ACP (`copilot --acp`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..model import Usage
from .acp_reading import as_dict, as_int, as_str
from .differing import Account, Called, Differences, Json, Lines, Used, home_of, iso_us
from .failing import model_problem
from .provider import Capabilities, Provider

NAME = "copilot"

# Find: a native binary (npm's launcher for it needs node).
NEEDS = "copilot"
INSTALL = "paseo-nb install copilot"

# Launch: a model by `--model`, as the session offers no choice of one where it is your own endpoint
# (COPILOT_PROVIDER_BASE_URL, …). It looks for updates of itself otherwise.
COMMAND = ["copilot", "--acp"]
MODEL_ARGS = ["--model", "{model}"]
SWITCHES = {"COPILOT_AUTO_UPDATE": "false"}
ENV = {"COPILOT_ALLOW_ALL": ""}  # set, it would let everything pass: that is mode="auto"'s to do


# Differences from plain ACP: a failed model request ends the turn as `end_turn`; its retries,
# its error and what it says of itself (“Info: …”, “Warning: …”) are text chunks of their own, whole
# sentences (a model's come by the word). What really happened stands in its own record of the
# session. Its modes are URLs (…#agent, #plan, #autopilot). session/resume is unknown to it
# (-32601), session/load works. Its event channel is bounded: where a client reads too slowly it
# loses events and says "cancelled".
def find_record(session_id: str, environment: Mapping[str, str]) -> Path | None:
    """`$COPILOT_HOME/session-state/ID/events.jsonl`."""
    path = _home(environment) / "session-state" / session_id / "events.jsonl"
    return path if path.is_file() else None


def allows(folder: Path, environment: Mapping[str, str]) -> str | None:
    """`$COPILOT_HOME/permissions-config.json`, where what a person answered with “always” stands by
    folder. Over ACP it holds, too; `--deny-tool` would stand above it, and deny unasked."""
    path = _home(environment) / "permissions-config.json"
    try:
        places = as_dict(as_dict(json.loads(path.read_bytes())).get("locations"))
    except (OSError, ValueError):
        return None
    here = [as_dict(places.get(str(one))) for one in (folder, *folder.parents)]
    return str(path) if any(one.get("tool_approvals") for one in here) else None


def _home(environment: Mapping[str, str]) -> Path:
    base = environment.get("COPILOT_HOME")
    return Path(base) if base else home_of(environment) / ".copilot"


def read_record(entries: list[Json]) -> Account:
    """Its model calls and tool calls, the last error, unless the model answered after it, and which
    model answered."""
    account = Account()
    for entry in entries:
        kind, data = entry.get("type"), as_dict(entry.get("data"))
        if kind == "session.error":
            message = as_str(data.get("message")) or "the model failed"
            account.problem = model_problem(message, as_int(data.get("statusCode")))
        elif kind == "assistant.message":
            account.problem = None
            account.model = as_str(data.get("model")) or account.model
        elif kind == USED:
            account.calls.append(_call(entry, as_dict(data.get("usage"))))
        elif kind == "tool.execution_start" and as_str(data.get("toolCallId")):
            name, given = as_str(data.get("toolName")), data.get("arguments")
            account.tools.append(Used(str(data["toolCallId"]), name, given))
    return account


def _call(entry: Json, told: Json) -> Called:
    """One model call; its record is written when it has ended."""
    ended, took_ms = iso_us(entry.get("timestamp")), as_int(told.get("duration"))
    return Called(
        as_str(told.get("apiCallId")) or str(entry.get("id")),
        started_us=None if ended is None or took_ms is None else ended - took_ms * 1000,
        finished_us=ended,
        model=as_str(told.get("model")),
        usage=_usage(told),
    )


def place(entry: Json) -> bool | None:
    """See `differing.Record`."""
    kind = str(entry.get("type"))
    return kind == "user.message" or (False if kind.startswith(_OF_A_TURN) else None)


def _usage(told: Json) -> Usage:
    return Usage(
        input_tokens=as_int(told.get("inputTokens")),
        output_tokens=as_int(told.get("outputTokens")),
        cache_read_tokens=as_int(told.get("cacheReadTokens")),
        cache_write_tokens=as_int(told.get("cacheWriteTokens")),
        reasoning_tokens=as_int(told.get("reasoningTokens")),
        source="session file",
        scope="turn",
    )


USED = "session.usage_record"
_OF_A_TURN = ("assistant.", "tool.", "permission.", "session.error", USED)
DIFFERENCES = Differences(
    embeds=False,  # it tells its model their paths only, and those of images beside them
    input_includes_cache=True,
    cumulative=True,
    retry=re.compile(r"Info: .* [Rr]etrying\.\.\."),
    notice=re.compile(r"(Info|Warning): ([^\n]+[.!…]|Operation cancelled by user)"),
    failure=re.compile(r"Error: (?P<message>.+)", re.DOTALL),
    record=Lines(find_record, read_record, place),
    allows=allows,
)
NOTES = (
    "takes no MCP server over stdio; what its user has allowed it for good in a folder"
    ' (~/.copilot/permissions-config.json) it does there unasked, also with mode="read": said on'
    " the run"
)

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("http", "sse"),
    returns="load",
    asks=True,
    asking_modes=("agent", "plan"),
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=False,
    steer=False,
    cost=False,
    usage="from its record of the session: tokens per model call with cache and reasoning; no cost",
)

# Usage: its own record has every model call's, with cached tokens and reasoning; no cost.
# `PromptResponse.usage`, which holds where that cannot be read, counts up over the session's
# process, and its input includes cached tokens. A turn that failed in its first request tells none.
# `usage_update` has the context's gauge.

# Measured: 1.0.102. Ready in 0.45-0.64 s, 338 MB (of which npm's launcher 55 MB); cancel 0.01 s;
# HTTP 500 and 429: 5 retries in 5.6 s, then "Error: …" and end_turn; 401: two tries; 400: none.
# An MCP server over stdio is left out ("Rejecting non-http/sse MCP server", only in its log).
MEASURED = "1.0.102"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    switches=SWITCHES,
    env=ENV,
    model_by="argv",
    model_args=MODEL_ARGS,
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    keys=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN", "COPILOT_PROVIDER_BASE_URL"),
    signed_in=(("${COPILOT_HOME:-~/.copilot}/config.json", '"login"'),),
    sign_in="copilot login",
    sessions="${COPILOT_HOME:-~/.copilot}/session-state",
    capabilities=CAPABILITIES,
)
