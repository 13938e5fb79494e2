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
_NEVER_ASKS = Difference("has no permissions: it never asks", "did not ask")
_REFUSED = Difference("refused before launch: it never asks", "never asks for permission, so")
_LOOKS = Difference("reads without asking; said on the run", "it was read")
_TOLD = "the other input did not run"
_SAID = Difference("is denied, and told what to do instead", _TOLD)
_QUEUED_SAID = Difference("is denied, and told what to do instead by the next prompt", _TOLD)
_LATE = Difference("holds after the turn: tokens are told at its end", "on to its end")


def _not_offered(what: str) -> Difference:
    return Difference("not offered by this CLI; said so", f"offers no choice of {what}")


_ENDS_WELL = Difference(
    "this CLI ends such a turn as done, with the error as text", "DID NOT RAISE"
)
_HTTP_ONLY = Difference(
    "takes MCP servers over HTTP only; said before launch", "over http and sse only"
)
_NO_MCP = Difference("takes no MCP servers; said before launch", "takes no MCP servers")

_NO_REASON = Difference("ACP has no place for it; said on the run", "the model is not told why")

_TABLE: dict[str, dict[str, Difference]] = {
    "demo": {
        "denial_reason": _SCRIPTED,
        "token_limit": _LATE,
        "permission_edited": _QUEUED_SAID,
        "image_in": _SCRIPTED,
        "attachments_in": _SCRIPTED,
        "steer": _QUEUED,
        "usage": _SCRIPTED,
        "rule_denies_reading": _SCRIPTED,
        "mcp_stdio": _SCRIPTED,
        "mcp_http": _SCRIPTED,
        "killed_while_it_retries": _SCRIPTED,
        "retries_told": _SCRIPTED,
        "mcp_broken_stdio": Difference("scripted: it uses no MCP servers", "it is not told"),
    },
    "api": {
        "permission_edited": _SAID,
        "rule_denies_reading": _LOOKS,
    },
    "claude": {},
    "codex": {
        "retries_told": Difference(
            "a request's are silent (4, if its settings say nothing), a broken stream's are told",
            "a retry is told",
        ),
        "permission_edited": _SAID,
        "http_500": Difference("ends as error, but Codex says “high demand” for it", "high demand"),
    },
    "opencode": {
        "denial_reason": _NO_REASON,
        "token_limit": _LATE,
        "permission_edited": _QUEUED_SAID,
        "steer": _QUEUED,
    },
    "gemini": {
        "denial_reason": _NO_REASON,
        "change_effort": _not_offered("effort"),
        "token_limit": _LATE,
        "permission_edited": _QUEUED_SAID,
        "steer": _QUEUED,
    },
    "copilot": {
        "denial_reason": _NO_REASON,
        "rule_denies_reading": _LOOKS,
        "change_model": _not_offered("model"),
        "change_effort": _not_offered("effort"),
        "token_limit": _LATE,
        "permission_edited": _QUEUED_SAID,
        "mcp_stdio": _HTTP_ONLY,
        "mcp_broken_stdio": _HTTP_ONLY,
        "steer": _QUEUED,
    },
    "pi": {
        "denial_reason": _NEVER_ASKS,
        "change_agent_mode": _not_offered("agent mode"),
        "token_limit": _LATE,
        "permission_allow": _NEVER_ASKS,
        "permission_deny": _NEVER_ASKS,
        "denied_call_told": _NEVER_ASKS,
        "permission_edited": _NEVER_ASKS,
        "permission_deny_and_cancel": _NEVER_ASKS,
        "mode_read": _REFUSED,
        "rule_denies_reading": _REFUSED,
        "rule_denies": _REFUSED,
        "rule_allows": _NEVER_ASKS,
        "mcp_stdio": _NO_MCP,
        "mcp_http": _NO_MCP,
        "mcp_broken_stdio": _NO_MCP,
        "mcp_broken_http": _NO_MCP,
        "steer": _QUEUED,
    },
    "foreign": {
        "denial_reason": _NO_REASON,
        "retries_told": Difference("told as its text", "no retry is told"),
        "mcp_broken_stdio": Difference("is handed on; this CLI leaves it out", "it is not told"),
        "tool_call_told": Difference(
            "its input only; the name is not told over ACP", "its name is not told"
        ),
        "rule_denies_reading": _LOOKS,
        "change_model": _not_offered("model"),
        "change_effort": _not_offered("effort"),
        "token_limit": _LATE,
        "permission_edited": _QUEUED_SAID,
        "mcp_stdio": Difference("is handed on; this CLI leaves it out", "no tool 'add'"),
        "attachments_in": Difference(
            "is handed on as announced; this CLI tells its model the paths only", "no table reached"
        ),
        "steer": _QUEUED,
        "http_429": _ENDS_WELL,
        "http_500": _ENDS_WELL,
        "usage": Difference(
            "read as ACP has it, per turn; this CLI counts on over the session", "input_tokens is"
        ),
    },
}
DIFFERENCES = {
    (provider, case): difference
    for provider, rows in _TABLE.items()
    for case, difference in rows.items()
}

# Fields of `run.usage` that are NULL over several turns, and why
_NOT_TOLD = "not told over ACP"
NOT_REPORTED: dict[str, dict[str, str]] = {
    "opencode": {"cache_write_tokens": "it counts none with an OpenAI-compatible endpoint"},
    "gemini": {
        "cache_write_tokens": "there is no such number in its API",
        "cost_usd": "Gemini CLI keeps no cost",
    },
    "api": {"cost_usd": "an endpoint of your own has no price that is known"},
    "codex": {"cost_usd": "Codex tells no cost"},
    "copilot": {"cost_usd": _NOT_TOLD},
}
