"""gemini: Gemini CLI over ACP (`gemini --acp`)."""

from __future__ import annotations

from .provider import Capabilities, Provider

NAME = "gemini"

# Find: a node program (node 20 or later).
NEEDS = "gemini"
INSTALL = "npm install -g @google/gemini-cli"

# Launch: it offers no choice of model in the session. The one agent that wants `authenticate`
# with an API key; without one it uses its own sign-in.
COMMAND = ["gemini", "--acp"]
MODEL_ARGS = ["--model", "{model}"]
AUTH_METHOD, AUTH_NEEDS = "gemini-api-key", "GEMINI_API_KEY"

# Differences from plain ACP: uses `fs/read` and `fs/write` where offered (and fails to write if
# reading a new file gives another error than "not found"); an approved write gave only a
# `tool_call_update`, no `tool_call`; session/resume is unknown to it (-32601), session/load works.
# A folder that it does not trust: GEMINI_CLI_TRUST_WORKSPACE=true.
NOTES = "tells no cached tokens"

# Capabilities
CAPABILITIES = Capabilities(
    images=True, mcp=("stdio", "http"), returns="load", asks=True, effort=False
)

# Usage: none in `PromptResponse.usage`; `_meta.quota.token_count` has input (cached ones included)
# and output; no `usage_update`, no cost.

# Measured: 0.61.0. Ready in 1.3-1.4 s, 413-423 MB; cancel 0.01 s; HTTP 500 from the model: silent
# for more than 120 s; does not leave on stdin's end while it retries; kill -9 leaves 6 processes.
MEASURED = "0.61.0"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    model_by="argv",
    model_args=MODEL_ARGS,
    auth_method=AUTH_METHOD,
    auth_needs=AUTH_NEEDS,
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    capabilities=CAPABILITIES,
)
