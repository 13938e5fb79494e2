"""claude: Claude Code in its native dialect, stream-json with the control protocol."""

from __future__ import annotations

from .provider import Capabilities, Provider

NAME = "claude"

# Find: npm's package brings a native binary that needs no node to run; the wheel of
# `claude-agent-sdk` on PyPI brings the same one.
NEEDS = "claude"
INSTALL = "paseo-nb install claude"

# Launch: the session's id is ours, so that a run knows it before the first word. All else goes over
# standard input (`claude_dialect`), so that no secret stands in an argument.
COMMAND = ["claude"]
ARGS = [
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool=stdio",
]
NEW_SESSION = ["--session-id={session_id}"]
OLD_SESSION = ["--resume={session_id}"]
BUDGET_ARGS = ["--max-budget-usd={usd}"]
MODEL_ARGS = ["--model", "{model}"]
ENV = {"CLAUDE_CODE_SDK_READS_SESSION_STATE": "1"}  # it tells when its sub-agents are done, too
SWITCHES = {"DISABLE_AUTOUPDATER": "1"}  # a run's program must not change under it

# Dialect: `claude_dialect`, `claude_reading`. Its own mode stays `default`, in which it asks, and
# our policy answers. What its settings allow, and commands that only look, pass unasked; what mode
# `read` or a deny rule forbids, a hook of ours denies, in each of its modes. Its mode
# `bypassPermissions` is not offered (root cannot have it): mode="auto" is the same. A message in
# mid-turn is taken after the tool that runs. In its mode `plan`, haiku answers as sonnet. A turn
# lasts until its sub-agents are done. MCP servers come beside its own.
NOTES = (
    "its own settings' allow rules, and commands that only look, pass without a question, but for"
    ' mode="read" and deny rules'
)

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http"),
    returns="resume",
    asks=True,
    asks_to_look=True,
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=True,
    steer=True,
    cost=True,
    usage="tokens per model call and turn with cache and reasoning, sub-agents included; cost",
)

# Usage: of each model call by the stream; of a turn by its result, sub-agents, side calls and
# a cancelled stream included. `total_cost_usd` counts for the session, over processes, and is lost
# where one is killed: the cost of a run is the sum of its turns'. It is told at a turn's end only:
# `--max-budget-usd`, which counts from zero in each process, ends a turn in between.

# Measured: 2.1.329. Ready in 0.3-0.5 s, 205-240 MB. Cancel 0.01-0.03 s, the shell
# command is gone; a shell child survives kill -9 of the agent; ten retries of a failed model call
# take over two minutes (CLAUDE_CODE_MAX_RETRIES), each of them told; it does not leave a retry loop
# when its input is closed.
MEASURED = "2.1.329"

PROVIDER = Provider(
    name=NAME,
    command=COMMAND,
    args=ARGS,
    new_session=NEW_SESSION,
    old_session=OLD_SESSION,
    budget_args=BUDGET_ARGS,
    env=ENV,
    switches=SWITCHES,
    dialect="claude",
    model_by="argv",
    model_args=MODEL_ARGS,
    install=INSTALL,
    needs=NEEDS,
    notes=NOTES,
    extends=NAME,
    keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    signed_in=(("${CLAUDE_CONFIG_DIR:-~/.claude}/.credentials.json", "accessToken"),),
    sign_in="run `claude` and type /login",
    sessions="${CLAUDE_CONFIG_DIR:-~/.claude}/projects",
    capabilities=CAPABILITIES,
)
