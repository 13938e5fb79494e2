"""acp: the base of any program that speaks ACP on stdin and stdout; `extends = "acp"`.

Not a provider to call by itself: it has no command.
"""

from __future__ import annotations

from .provider import Capabilities, Provider

NAME = "acp"

# Find: the command is the user's.
INSTALL = ""

# Launch: as the user wrote it; a model is chosen in the session, or by `model_args`.
COMMAND: list[str] = []

# Differences from plain ACP: none.
# Capabilities: the agent announces its own; nothing is known beforehand.
CAPABILITIES = Capabilities()

# Usage: ACP's rule, `PromptResponse.usage` per turn with input excluding cached tokens.
# Measured: nothing.

PROVIDER = Provider(name=NAME, command=COMMAND, install=INSTALL, capabilities=CAPABILITIES)
