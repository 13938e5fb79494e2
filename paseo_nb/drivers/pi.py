"""pi: Pi over ACP (`pi-acp`, which starts the `pi` on PATH in its RPC mode)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..model import Usage
from .acp_reading import as_dict, as_int, as_list, as_str
from .differing import Account, Called, Differences, Json, Lines, Used, home_of, iso_us
from .failing import model_problem
from .provider import Capabilities, Provider

NAME = "pi"

# Find: two node programs, `pi-acp` and `pi` (node 22.19 or later).
NEEDS = "pi-acp"
INSTALL = "paseo-nb install pi"

# Launch: the model is the session's config option `model`, named `provider/model`.
COMMAND = ["pi-acp"]
SWITCHES = {"PI_TELEMETRY": "0", "PI_SKIP_VERSION_CHECK": "1"}


# Differences from plain ACP: it never asks for permission, and takes no MCP servers; its modes are
# levels of thinking. A failed model request ends the turn as `end_turn`, with no word of why: the
# cause, and the usage of every model call, stand in its own record of the session. Retries are text
# chunks. session/resume is unknown to it, session/load works.
def find_record(session_id: str, environment: Mapping[str, str]) -> Path | None:
    """`$PI_CODING_AGENT_DIR/sessions/FOLDER/TIME_ID.jsonl`."""
    base = environment.get("PI_CODING_AGENT_DIR")
    home = Path(base).expanduser() if base else home_of(environment) / ".pi" / "agent"
    return next(iter(sorted(home.glob(f"sessions/*/*_{session_id}.jsonl"))), None)


def read_record(entries: list[Json]) -> Account:
    """Its model calls with the tool calls that they wish for, and the error that the last one
    ended in. The record begins a call by our clock, and is written when it has ended."""
    account = Account()
    for entry in entries:
        message = as_dict(entry.get("message"))
        if message.get("role") != "assistant":
            continue
        account.problem = None
        begun = as_int(message.get("timestamp"))
        call = Called(
            as_str(message.get("responseId")) or str(entry.get("id")),
            started_us=None if begun is None else begun * 1000,
            finished_us=iso_us(entry.get("timestamp")),
            model=_model(message),
            stop_reason=as_str(message.get("rawStopReason")) or as_str(message.get("stopReason")),
        )
        account.calls.append(call)
        if message.get("stopReason") == "error":
            call.error = as_str(message.get("errorMessage")) or "the model failed"
            account.problem = model_problem(call.error)
            continue
        call.usage = _usage(as_dict(message.get("usage")))
        for block in map(as_dict, as_list(message.get("content"))):
            ident = as_str(block.get("id"))
            if block.get("type") == "toolCall" and ident:
                used = Used(ident, as_str(block.get("name")), block.get("arguments"))
                account.tools.append(used)
    return account


def _model(message: Json) -> str | None:
    """As its list of models has it: `provider/model`."""
    model, provider = as_str(message.get("model")), as_str(message.get("provider"))
    return f"{provider}/{model}" if model and provider else model


def place(entry: Json) -> bool | None:
    """See `differing.Record`."""
    role = as_dict(entry.get("message")).get("role")
    return None if role in (None, "system") else role == "user"


def _usage(told: Json) -> Usage:
    read, written = as_int(told.get("cacheRead")), as_int(told.get("cacheWrite"))
    tokens = as_int(told.get("input"))
    cost = as_dict(told.get("cost")).get("total")
    return Usage(
        input_tokens=None if tokens is None else tokens + (read or 0) + (written or 0),
        output_tokens=as_int(told.get("output")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=as_int(told.get("reasoning")),
        total_tokens=as_int(told.get("totalTokens")),
        cost_usd=float(cost) if isinstance(cost, (int, float)) else None,
        source="session file",
        scope="turn",
    )


DIFFERENCES = Differences(
    retry=re.compile(
        r"Retrying \(attempt (?P<attempt>\d+)/(?P<most>\d+), waiting \d+s\)\.\.\."
        r"|Retrying\.\.\.|Retry finished, resuming\."
    ),
    record=Lines(find_record, read_record, place),
    effort_as_modes=True,
)
NOTES = "never asks for permission; takes no MCP servers"

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=(),
    returns="load",
    asks=False,
    permissions=(),
    effort=True,
    steer=False,
    usage="from its session file: tokens per turn with cache, cost; over ACP none",
)

# Usage: none over ACP but the context's gauge (`usage_update`). Pi's own session file has every
# model call, with cached tokens and the cost that its list of models gives.

# Measured: pi 0.87.1, pi-acp 0.0.34. Ready in 0.7-0.9 s, 204 MB; cancel 0.02 s; HTTP 500: three
# retries in 14 s, then end_turn without a word (at once where its retries are off).
MEASURED = "0.87.1"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    switches=SWITCHES,
    model_by="session",
    install=INSTALL,
    needs=NEEDS,
    version_of="pi",
    notes=NOTES,
    extends=NAME,
    keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY"),
    signed_in=(
        ("${PI_CODING_AGENT_DIR:-~/.pi/agent}/auth.json", "type"),
        ("${PI_CODING_AGENT_DIR:-~/.pi/agent}/models.json", "apiKey"),
    ),
    sign_in="pi, then /login",
    sessions="${PI_CODING_AGENT_DIR:-~/.pi/agent}/sessions",
    capabilities=CAPABILITIES,
)
