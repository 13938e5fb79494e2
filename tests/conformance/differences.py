"""The one table of what a provider does not do, in the user's words. docs/providers.md shows it.

A row is an expected failure: the test fails if the case passes all the same (then the row has to
go), and also if it fails in another way than `shows` says. Whoever mends something takes its row
out and runs `python -m tests.conformance.page`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """`reason`: why, for the user. `shows`: a regular expression that the failure fulfils."""

    reason: str
    shows: str


_SCRIPTED = Difference("scripted: there is no model", "there is no model")
_QUEUED = Difference("is queued: the agent cannot be steered", "queued, not steered")
_SELDOM_ASKS = Difference("asks only where its own configuration says so", "did not ask")
_NEVER_ASKS = Difference("has no permissions: it never asks", "did not ask")
_NEW_FILE = Difference(
    "cannot write a new file while we offer it files; `edit` works", "hello.txt|did not ask"
)

# What the product does not offer yet: the same for every provider
_NOT_OFFERED = {
    "schema_out": Difference("not offered yet", "unexpected keyword argument 'schema'"),
    "mcp_stdio": Difference("not offered yet", "unexpected keyword argument 'mcp'"),
    "mcp_http": Difference("not offered yet", "unexpected keyword argument 'mcp'"),
}

_TABLE: dict[str, dict[str, Difference]] = {
    "demo": {
        "image_in": _SCRIPTED,
        "steer": _QUEUED,
        "usage": _SCRIPTED,
        "killed_while_it_retries": _SCRIPTED,
        **_NOT_OFFERED,
    },
    "api": {"steer": _QUEUED, **_NOT_OFFERED},
    "claude": {**_NOT_OFFERED},
    "codex": {
        "http_500": Difference("ends as error, but Codex says “high demand” for it", "high demand"),
        **_NOT_OFFERED,
    },
    "opencode": {
        "permission_allow": _SELDOM_ASKS,
        "permission_deny": _SELDOM_ASKS,
        "steer": _QUEUED,
        **_NOT_OFFERED,
    },
    "gemini": {
        "write_a_file": _NEW_FILE,
        "permission_allow": _NEW_FILE,
        "permission_deny": _NEW_FILE,
        "command_output": Difference("tells no output of a command", "the output is not told"),
        "steer": _QUEUED,
        **_NOT_OFFERED,
    },
    "copilot": {"steer": _QUEUED, **_NOT_OFFERED},
    "pi": {
        "permission_allow": _NEVER_ASKS,
        "permission_deny": _NEVER_ASKS,
        "command_output": Difference(
            "tells it in a way of its own that is not read yet", "the output is not told"
        ),
        "steer": _QUEUED,
        **_NOT_OFFERED,
    },
}
DIFFERENCES = {
    (provider, case): difference
    for provider, rows in _TABLE.items()
    for case, difference in rows.items()
}

# Fields of `run.usage` that are NULL over several turns, and why
_LAST_CALL = "its counts are those of a turn's last model call"
_NOT_TOLD = "not told over ACP"
NOT_REPORTED: dict[str, dict[str, str]] = {
    "opencode": {
        "input_tokens": _LAST_CALL,
        "output_tokens": _LAST_CALL,
        "cache_read_tokens": _LAST_CALL,
        "cache_write_tokens": _LAST_CALL,
        "reasoning_tokens": _LAST_CALL,
    },
    "gemini": {
        "cache_read_tokens": _NOT_TOLD,
        "cache_write_tokens": "there is no such number in its API",
        "reasoning_tokens": _NOT_TOLD,
    },
}
