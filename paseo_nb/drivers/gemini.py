"""gemini: Gemini CLI over ACP (`gemini --acp`)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ..model import Usage
from .acp_reading import as_dict, as_int, as_list, as_str, decode
from .differing import (
    MAX_RECORD,
    Account,
    Called,
    Differences,
    Json,
    Used,
    entries_of,
    home_of,
    iso_us,
    now_ms,
)
from .provider import Capabilities, Provider

NAME = "gemini"

# Find: a node program (node 20 or later).
NEEDS = "gemini"
INSTALL = "paseo-nb install gemini"

# Launch: it offers no choice of model in the session. The one agent that wants `authenticate`
# with an API key; without one it uses its own sign-in. Unless told otherwise it starts itself once
# more, to give node more memory: 6 processes that outlive a kill -9. What a command printed it
# tells only where it runs it without a terminal (else it keeps a screen, and leaves that out). Of
# failing model calls and MCP servers it tells in its log only; unless it has a file for that, it
# keeps it back until it ends.
COMMAND = ["gemini", "--acp"]
MODEL_ARGS = ["--model", "{model}"]
AUTH_METHOD, AUTH_NEEDS = "gemini-api-key", "GEMINI_API_KEY"
SWITCHES = {
    "GEMINI_CLI_NO_RELAUNCH": "true",
    "GEMINI_PTY_INFO": "child_process",
    "GEMINI_DEBUG_LOG_FILE": "/dev/stderr",
}


# It asks for what changes anything, or (where a rule denies some looking) for everything: by a
# policy of the administrators' tier, which stands above what its user's settings (`tools.allowed`,
# trusted MCP servers, `defaultApprovalMode`) and policies allow, and also above what they deny. It
# leaves it out where the machine's administrator has put policies into /etc/gemini-cli/policies.
def _asks(name: str) -> list[str]:
    return ["--admin-policy", str(Path(__file__).with_name(name))]


ASKING_ARGS, ASKING_ALL_ARGS = _asks("gemini_asks.toml"), _asks("gemini_asks_all.toml")


# Differences from plain ACP: where files are offered it reads a new one by `fs/read` before it
# writes it, and takes "not found" for a failure (its check wants an Error, the answer is none), so
# they are not offered; an approved write gave only a
# `tool_call_update`, no `tool_call`; session/resume is unknown to it (-32601), session/load works,
# for a session of the folder that it runs in; session/list is unknown to it.
# It writes into no folder that it does not trust: GEMINI_CLI_TRUST_WORKSPACE=true is the user's to
# set. It goes on replaying after its answer to session/load.
# A load makes a further file of the session, named by the minute: within the minute of an earlier
# one it overwrites that; and one that was left empty so makes its next start delete them all.
def mend_session(session_id: str, environment: Mapping[str, str]) -> None:
    """Keep a session's history from that: remove its empty files, and name a file of this minute
    after an earlier one."""
    files = {file: _history_of(file, session_id) for file in _files(session_id, environment)}
    for file, has in files.items():
        with contextlib.suppress(OSError):  # then it is loaded as it is
            if has is False and any(files.values()):
                file.unlink()
            elif has:
                _name_earlier(file)


def _files(session_id: str, environment: Mapping[str, str]) -> list[Path]:
    base = environment.get("GEMINI_CLI_HOME")
    home = Path(base) if base else home_of(environment)
    return list(home.glob(f".gemini/tmp/*/chats/session-*-{session_id[:8]}.jsonl"))


def _history_of(file: Path, session_id: str) -> bool | None:
    """Whether a file has a message of its session; None for another session's."""
    try:
        lines = [as_dict(decode(msgspec.Raw(line))) for line in file.read_bytes().splitlines()]
    except OSError:
        return None
    if not lines or lines[0].get("sessionId") != session_id:
        return None
    changed = [as_list(as_dict(line.get("$set")).get("messages")) for line in lines]
    messages = [*lines, *(as_dict(one) for many in changed for one in many)]
    asked = [message for message in messages if message.get("type") == "user"]
    said = any("<session_context>" not in str(message.get("content")) for message in asked)
    return said or any(message.get("type") == "gemini" for message in messages)


def _name_earlier(file: Path) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    stamp = "%Y-%m-%dT%H-%M"
    if f"session-{minute:{stamp}}-" not in file.name:
        return
    earlier = file
    while earlier.exists():
        minute -= timedelta(minutes=1)
        earlier = file.with_name(f"session-{minute:{stamp}}-{file.name.rsplit('-', 1)[-1]}")
    file.rename(earlier)


def command_of(tool_call: Json) -> str:
    """The command that it asks to run: its input is not told, and the title is the command, or (of
    one over 150 characters) what the model says of it. That stands in the content, too, behind the
    folder and in brackets."""
    title = as_str(tool_call.get("title")) or ""
    said = " ".join(
        as_str(as_dict(as_dict(block).get("content")).get("text")) or ""
        for block in as_list(tool_call.get("content"))
    )
    letters = r"\W*".join(re.escape(c) for c in title if c.isalnum() or c == "_")
    described = re.search(rf"\(\W*{letters}\W*\)\s*(\[background\])?\s*$", said)
    return "" if described else title


def usage_of(result: Json) -> Usage:
    """What `_meta.quota.token_count` of a prompt's answer tells of the input, where its file has no
    call of the turn. Not the output: that leaves the thoughts out."""
    quota = as_dict(as_dict(as_dict(result.get("_meta")).get("quota")).get("token_count"))
    return Usage(input_tokens=as_int(quota.get("input_tokens")) or None)


class Chats(msgspec.Struct, frozen=True):
    """Its files of a session, and those of the agents below it. A turn's messages are known by
    their times, as files are made anew and named anew."""

    def mark(self, session_id: str | None, environment: Mapping[str, str]) -> int:
        """See `differing.Record.mark`: the time."""
        return now_ms()

    def since(self, mark: int, session_id: str, environment: Mapping[str, str]) -> Account | None:
        """See `differing.Record.since`: the model calls and the tool calls."""
        files = _files(session_id, environment)
        folders = {file.parent / session_id for file in files}
        files += [file for folder in folders for file in folder.glob("*.jsonl")]
        calls: dict[tuple[str, str], Called] = {}  # a message is written again where it changes
        tools: dict[str, Used] = {}
        try:
            for file in files:
                with file.open("rb") as lines:
                    for message in _messages(entries_of(lines.read(MAX_RECORD))):
                        ident, at = str(message.get("id")), iso_us(message.get("timestamp")) or 0
                        if message.get("tokens") and at >= mark * 1000:
                            calls[file.stem[-8:], ident] = _call(ident, at, message)
                        for used in _used(message, mark):
                            tools[used.tool_call_id] = used
        except OSError:
            return None
        return Account(
            sorted(calls.values(), key=lambda call: call.finished_us or 0), [*tools.values()]
        )


def _messages(entries: list[Json]) -> Iterator[Json]:
    for entry in entries:
        changed = as_list(as_dict(entry.get("$set")).get("messages"))
        yield from (as_dict(message) for message in (entry, *changed))


def _used(message: Json, mark: int) -> Iterator[Used]:
    """Tool calls since then: a message gets further ones, also of a later turn's."""
    for used in map(as_dict, as_list(message.get("toolCalls"))):
        ident = as_str(used.get("id"))
        if ident and (iso_us(used.get("timestamp")) or 0) >= mark * 1000:
            yield Used(ident, as_str(used.get("name")), used.get("args"))


def _call(ident: str, at_us: int, message: Json) -> Called:
    """One model call; when it began is not told."""
    return Called(
        ident,
        finished_us=at_us,
        model=as_str(message.get("model")),
        usage=_usage(as_dict(message.get("tokens"))),
    )


def _usage(told: Json) -> Usage:
    """One call's: `input` has the cached tokens in it, `output` not the thoughts."""
    numbers = {
        name: as_int(told.get(name)) or 0 for name in ("input", "tool", "output", "thoughts")
    }
    return Usage(
        input_tokens=numbers["input"] + numbers["tool"],
        output_tokens=numbers["output"] + numbers["thoughts"],
        cache_read_tokens=as_int(told.get("cached")),
        reasoning_tokens=as_int(told.get("thoughts")),
        total_tokens=as_int(told.get("total")),
        source="session file",
        scope="turn",
    )


DIFFERENCES = Differences(
    embeds=False,  # it leaves out every image of a prompt with an embedded text
    usage_of=usage_of,
    aside_retry=re.compile(
        r"\[[^]]+\] \[WARN\] Attempt (?P<attempt>\d+) failed\b"
        r".*\. Retrying with backoff\.\.\. (?P<message>.*)"
    ),
    aside_mcp=re.compile(
        r"\[[^]]+\] \[LOG\] \[MCP error\] Error during discovery for MCP server"
        r" '(?P<name>[^']+)': (?P<message>.*?)(?: \w*Error: (?P=message))?"  # said twice
    ),
    command=command_of,
    record=Chats(),
    offer_files=False,
    mend_session=mend_session,
    not_said=re.compile(r"<session_context>.*|\[Function Response: [^\]]*\]", re.DOTALL),
    replays_on_s=0.3,
)
NOTES = (
    "runs commands without a terminal, as it tells no output of one; in a run that asks, it asks"
    " for what its user's own settings and policies allow, or deny; not where the machine's"
    " administrator has set policies: what it does unasked is then said on the run"
)

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http", "sse"),
    returns="load",
    asks=True,
    asks_to_look=True,
    asking_modes=("default", "plan"),
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=False,
    steer=False,
    cost=False,
    usage="from its session file: tokens per turn with cached and reasoning ones; no cost",
)

# Usage: none in `PromptResponse.usage`; `_meta.quota.token_count` has input (cached ones included)
# and output without the thoughts; no `usage_update`, no cost. Its own session file has every model
# call's, with cached tokens and thoughts; a call that was broken off has none.

# Measured: 0.61.0. Ready in 1.3-1.4 s, 413-423 MB; cancel 0.01 s; HTTP 500 from the model: ten
# tries in more than 120 s; does not leave on stdin's end while it retries; kill -9 leaves 6
# processes.
MEASURED = "0.61.0"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    asking_args=ASKING_ARGS,
    asking_all_args=ASKING_ALL_ARGS,
    switches=SWITCHES,
    model_by="argv",
    model_args=MODEL_ARGS,
    auth_method=AUTH_METHOD,
    auth_needs=AUTH_NEEDS,
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    keys=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
    signed_in=(("${GEMINI_CLI_HOME:-~}/.gemini/oauth_creds.json", "token"),),
    sign_in="gemini, then choose how to sign in; or set GEMINI_API_KEY",
    sessions="${GEMINI_CLI_HOME:-~}/.gemini/tmp",
    capabilities=CAPABILITIES,
)
