"""codex: Codex in its own protocol (`codex app-server`)."""

from __future__ import annotations

from .codex_settings import ASKING_MODES
from .provider import Capabilities, Provider

NAME = "codex"

# Find: a Rust binary behind a thin launcher that needs node.
NEEDS = "codex"
INSTALL = "paseo-nb install codex"

# Launch: one process, one thread. The model, the effort, the sandbox and the MCP servers go by
# messages. Sessions lie in CODEX_HOME (~/.codex), and any of them can be gone on with.
# `codex_sessions` reads them: whole items, as 0.169.0 writes by itself, and the older way
# (`historyMode: legacy`). A sub-agent's file counts in its parent's turn. Not read: compressed
# files (an experimental feature) and archived ones.
COMMAND = ["codex", "app-server"]
DIALECT = "codex"

# Differences from ACP, and what our words mean here (`codex_settings`):
# - `mode`: Codex is started with approvalPolicy `untrusted`, under which it asks for every command
#   (`ls` too), every edit and every MCP tool, and the run's policy answers. The sandbox is
#   read-only for `read`, workspace-write for `ask` and `edit`, danger-full-access for `auto`. A
#   command that was allowed may run outside the sandbox: Codex takes the yes for all of it. What
#   certainly only looks is asked as `read`, so that `read` and `edit` let it pass.
# - `agent_mode`: SANDBOX or SANDBOX/APPROVAL, as in `workspace-write/on-request`, Codex's usual
#   way: it asks only to leave the sandbox. With `/never` it asks for nothing. `plan` is its
#   collaboration mode of that name: it looks, asks, and ends with a plan.
# - `schema` goes as `outputSchema` where OpenAI's rules for such can say it (`codex_strict`), else
#   it is asked for in the prompt; the answer is checked in any case.
# - A denial's words are said into the turn (`turn/steer`) before the denial.
# - OPENAI_API_KEY alone is no login to it: `codex login --with-api-key`, or a model_provider.
# - `turn/interrupt` leaves the running command alive: it is ended through
#   thread/backgroundTerminals (experimental API), what left its process group by us.
# - Any word passes for an effort: checked against its list of models first.
# - `Model metadata … not found` is a warning of its own here, no part of the answer.
NOTES = (
    "asks for each command and edit; but what its user's own rules (~/.codex/rules) allow it does"
    ' unasked, also with mode="read", and no setting of a run turns them off: that is then said on'
    " the run; agent_mode SANDBOX/on-request is its own way of asking, plan its plan mode"
)

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http"),
    returns="resume",
    asks=True,
    asks_to_look=True,
    asking_modes=ASKING_MODES,
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=True,
    steer=True,
    cost=False,
    usage="tokens per model call and turn with cache and reasoning, sub-agents included; no cost",
)

# Usage: `thread/tokenUsage/updated` after each model call, as the thread's total (over resumes too)
# and the last call; input includes cached tokens, read and written, output includes reasoning. No
# cost. A call that was cut off by an interrupt is not counted.

# Measured: 0.169.0, on 2 busy cores: ready in 0.22 s by itself, in 0.53 s through us with our own
# start in it; 142 MB (npm's launcher 50 more), our pair 20 MB. Interrupt 0.02 s; a failed model
# request: `error` with willRetry at each of `stream_max_retries` retries (5), then the turn fails.
# A refused connection has no such end: it "waits for network", telling so every 30 s, until our
# limit of silence, for which a retry is no sign of life.
MEASURED = "0.169.0"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    dialect=DIALECT,
    model_by="session",
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    signed_in=(
        ("${CODEX_HOME:-~/.codex}/auth.json", "access_token"),
        ("${CODEX_HOME:-~/.codex}/auth.json", '"sk-'),
        (
            "${CODEX_HOME:-~/.codex}/config.toml",
            r"(?m)^\s*model_provider\s*=\s*(?![\"']openai[\"'])\S",
        ),
    ),
    sign_in="codex login",
    sessions="${CODEX_HOME:-~/.codex}/sessions",
    capabilities=CAPABILITIES,
)
