"""gemini: Gemini CLI over ACP (`gemini --acp`)."""

from __future__ import annotations

from ..model import Usage
from .acp_reading import as_dict, as_int
from .differing import Differences, Json
from .provider import Capabilities, Provider

NAME = "gemini"

# Find: a node program (node 20 or later).
NEEDS = "gemini"
INSTALL = "paseo-nb install gemini"

# Launch: it offers no choice of model in the session. The one agent that wants `authenticate`
# with an API key; without one it uses its own sign-in. Unless told otherwise it starts itself once
# more, to give node more memory: 6 processes that outlive a kill -9.
COMMAND = ["gemini", "--acp"]
MODEL_ARGS = ["--model", "{model}"]
AUTH_METHOD, AUTH_NEEDS = "gemini-api-key", "GEMINI_API_KEY"
SWITCHES = {"GEMINI_CLI_NO_RELAUNCH": "true"}


# Differences from plain ACP: where files are offered it reads a new one by `fs/read` before it
# writes it, and takes "not found" for a failure (its check wants an Error, the answer is none), so
# they are not offered; an approved write gave only a
# `tool_call_update`, no `tool_call`; session/resume is unknown to it (-32601), session/load works.
# A folder that it does not trust: GEMINI_CLI_TRUST_WORKSPACE=true.
def usage_of(result: Json) -> Usage:
    """What stands in `_meta.quota.token_count` of a prompt's answer."""
    quota = as_dict(as_dict(as_dict(result.get("_meta")).get("quota")).get("token_count"))
    return Usage(
        input_tokens=as_int(quota.get("input_tokens")),
        output_tokens=as_int(quota.get("output_tokens")),
    )


DIFFERENCES = Differences(usage_of=usage_of, offer_files=False)
NOTES = "tells no cached tokens"

# Capabilities
CAPABILITIES = Capabilities(
    images=True, mcp=("stdio", "http", "sse"), returns="load", asks=True, effort=False
)

# Usage: none in `PromptResponse.usage`; `_meta.quota.token_count` has input (cached ones included)
# and output; no `usage_update`, no cost.

# Measured: 0.61.0. Ready in 1.3-1.4 s, 413-423 MB; cancel 0.01 s; HTTP 500 from the model: silent
# for more than 120 s; does not leave on stdin's end while it retries; kill -9 leaves 6 processes.
MEASURED = "0.61.0"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
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
    signed_in=("~/.gemini/oauth_creds.json",),
    sign_in="gemini, then choose how to sign in; or set GEMINI_API_KEY",
    sessions="~/.gemini/tmp",
    capabilities=CAPABILITIES,
)
