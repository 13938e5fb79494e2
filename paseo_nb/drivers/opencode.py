"""opencode: OpenCode over ACP (`opencode acp`). Its models are named `provider/model`, so an agent
reads `opencode/anthropic/claude-sonnet-4-5`."""

from __future__ import annotations

import secrets

from .differing import Differences
from .provider import Capabilities, Provider

NAME = "opencode"

# Find: a Bun binary, no node needed.
NEEDS = "opencode"
INSTALL = "paseo-nb install opencode"

# Launch: the model is the session's config option `model`. `opencode acp` opens its HTTP server on
# 127.0.0.1 (port 4096 where that is free), to anyone on the machine unless it has a password: each
# start gets one of its own. The switches keep it from looking for updates of itself, of its list of
# models and of language servers. (Its plugin package it fetches into ~/.npm in any case.)
COMMAND = ["opencode", "acp"]
PASSWORD = "OPENCODE_SERVER_PASSWORD"
SWITCHES = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
}

# Differences from plain ACP: permissions default to "allow", so it asks for nothing unless its own
# configuration says so: OPENCODE_PERMISSION='{"edit":"ask","bash":"ask"}'. `fs/write` is used only
# after an approved edit in that mode. A cancelled turn's usage is zeros.
DIFFERENCES = Differences(scope="last model call")
NOTES = "asks for permission only where its own configuration says so"

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http", "sse"),
    returns="resume",
    asks=False,
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=None,
    steer=False,
    usage="tokens of the last model call with cache and reasoning; cost per turn",
)

# Usage: `PromptResponse.usage` is the last model call's only, excluding cached tokens: after more
# than one call a turn has no counts. `usage_update` has the context's gauge, and the session's cost
# in USD so far.

# Measured: 1.18.33. Ready in 1.8-2.1 s, 615-750 MB; a turn after session/load 5-10 s; cancel
# 0.2-0.3 s; a shell child survives killpg; model error: RequestError after 5 s.
MEASURED = "1.18.33"


def provider() -> Provider:
    """The provider, with a new password each time."""
    return Provider(
        name=NAME,
        command=COMMAND,
        switches={**SWITCHES, PASSWORD: secrets.token_urlsafe(24)},
        model_by="session",
        install=INSTALL,
        needs=NEEDS,
        notes=NOTES,
        extends=NAME,
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENCODE_CONFIG_CONTENT"),
        signed_in=(
            ("~/.local/share/opencode/auth.json", "type"),
            ("~/.config/opencode/opencode.json", "provider"),
        ),
        sign_in="opencode auth login",
        sessions="~/.local/share/opencode",
        capabilities=CAPABILITIES,
    )
