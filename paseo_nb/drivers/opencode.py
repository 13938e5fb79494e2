"""opencode: OpenCode over ACP (`opencode acp`). Its models are named `provider/model`, so an agent
reads `opencode/anthropic/claude-sonnet-4-5`."""

from __future__ import annotations

from .provider import Capabilities, Provider

NAME = "opencode"

# Find: a Bun binary, no node needed.
NEEDS = "opencode"
INSTALL = "npm install -g opencode-ai"

# Launch: the model is the session's config option `model`, which lists all of models.dev.
COMMAND = ["opencode", "acp"]

# Differences from plain ACP: permissions default to "allow", so it asks for nothing unless its own
# configuration says so: OPENCODE_PERMISSION='{"edit":"ask","bash":"ask"}'. `fs/write` is used only
# after an approved edit in that mode. A cancelled turn's usage is zeros.
NOTES = "asks for permission only where its own configuration says so"

# Capabilities
CAPABILITIES = Capabilities(
    images=True, mcp=("stdio", "http"), returns="resume", asks=False, effort=None
)

# Usage: `PromptResponse.usage` is the last model call's only, excluding cached tokens;
# `usage_update` has the session's context and its cost in USD so far.

# Measured: 1.18.33. Ready in 1.8-2.1 s, 615-750 MB; a turn after session/load 5-10 s; cancel
# 0.2-0.3 s; a shell child survives killpg; model error: RequestError after 5 s.
MEASURED = "1.18.33"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    model_by="session",
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    capabilities=CAPABILITIES,
)
