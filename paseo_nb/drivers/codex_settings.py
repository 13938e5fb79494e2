"""How a run's settings are said to Codex: what it may do, model and effort, MCP servers, prompt and
schema."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from ..model import Mode
from .acp_reading import Json, as_dict, as_list, as_str
from .jsonrpc import RequestError
from .names import resolve_name
from .seat import AgentProblem

SANDBOXES = ("read-only", "workspace-write", "danger-full-access")
APPROVALS = ("untrusted", "on-request", "never")
# What each of our modes lets Codex do. It asks for every command and every edit (`untrusted`), so
# that our policy decides, and the sandbox holds what was allowed where Codex runs it inside.
BY_MODE: dict[Mode, str] = {
    "read": "read-only",
    "ask": "workspace-write",
    "edit": "workspace-write",
    "auto": "danger-full-access",
}
PLAN = "plan"
_VERSION = re.compile(r"/(\d[\w.+-]*)")
AGENT_MODES = (
    PLAN,
    *SANDBOXES,
    *(f"{sandbox}/{approval}" for sandbox in SANDBOXES for approval in APPROVALS),
)
# Those in which it asks for every command and edit, so that our policy holds.
ASKING_MODES = (PLAN, *SANDBOXES, *(f"{sandbox}/untrusted" for sandbox in SANDBOXES))
SANDBOX_NAMES = {
    "readOnly": "read-only",
    "workspaceWrite": "workspace-write",
    "dangerFullAccess": "danger-full-access",
}
_POLICIES: dict[str, Json] = {
    "read-only": {"type": "readOnly", "networkAccess": False},
    "workspace-write": {
        "type": "workspaceWrite",
        "writableRoots": [],
        "networkAccess": False,
        "excludeTmpdirEnvVar": False,
        "excludeSlashTmp": False,
    },
    "danger-full-access": {"type": "dangerFullAccess"},
}


class Access:
    """Sandbox and approval policy: by the run's permission mode, or by an agent mode
    `SANDBOX[/APPROVAL]` where one was chosen. The agent mode `plan` is Codex's collaboration mode:
    it looks and plans, with sandbox and approvals of the permission mode."""

    def __init__(self, agent_mode: str | None) -> None:
        self._chosen: str | None = None
        self._in_force: tuple[str, str] | None = None
        self._plan = self._planning = False  # chosen, in force
        self._policies = dict(_POLICIES)
        if agent_mode:
            self.choose(agent_mode)

    def choose(self, name: str) -> str:
        """Take an agent mode, in any spelling; AgentProblem for an unknown one."""
        name = resolve_name("agent_mode", name, dict.fromkeys(AGENT_MODES, ""))
        self._plan = name == PLAN
        self._chosen = None if self._plan else name
        return name

    def _wanted(self, mode: Mode) -> tuple[str, str]:
        sandbox, _, approval = (self._chosen or BY_MODE[mode]).partition("/")
        return sandbox, approval or "untrusted"

    def at_start(self, mode: Mode) -> Json:
        """What `thread/start` and `thread/resume` are to be told."""
        self._in_force = self._wanted(mode)
        sandbox, approval = self._in_force
        return {"approvalPolicy": approval, "sandbox": sandbox}

    def told(self, result: Json) -> None:
        """Codex told the thread's sandbox, with what its configuration says more about it."""
        policy = as_dict(result.get("sandbox"))
        name = SANDBOX_NAMES.get(str(policy.get("type")))
        if name is not None:
            self._policies[name] = policy
        self._planning = as_dict(result.get("collaborationMode")).get("mode") == PLAN

    def collaboration(self, anew: bool) -> str | None:
        """The collaboration mode that `turn/start` is to be told: where it changes, and `anew`
        while it plans, as what it says of model and effort stands above theirs."""
        if self._plan == self._planning and not (anew and self._plan):
            return None
        self._planning = self._plan
        return PLAN if self._plan else "default"

    def changes(self, mode: Mode) -> Json:
        """What `turn/start` is to be told, where something else was wanted before."""
        wanted = self._wanted(mode)
        if wanted == self._in_force:
            return {}
        self._in_force = wanted
        sandbox, approval = wanted
        return {"approvalPolicy": approval, "sandboxPolicy": self._policies[sandbox]}


Ask = Callable[[str, Json, float], Awaitable[Json]]


class Models:
    """The models that Codex lists, asked for when first needed. Those of an endpoint of one's own
    are not among them."""

    def __init__(self, ask: Ask, timeout_s: float) -> None:
        self._ask, self._timeout_s = ask, timeout_s
        self._known: list[Json] | None = None

    async def _listed(self) -> list[Json]:
        if self._known is None:
            try:
                told = await self._ask("model/list", {"includeHidden": True}, self._timeout_s)
            except (RequestError, TimeoutError):
                return []
            self._known = [as_dict(model) for model in as_list(told.get("data"))]
        return self._known

    async def model(self, name: str) -> str:
        """The id of a model that is listed under some spelling of the name; else the name."""
        ids = {str(m.get("model")): str(m.get("displayName")) for m in await self._listed()}
        try:
            return resolve_name("model", name, ids)
        except AgentProblem:
            return name

    async def effort(self, name: str, model: str | None) -> str:
        """The effort that is meant. Codex takes any word for one and says nothing: AgentProblem
        for one that the model does not list, or, where it is not listed itself, no model does."""
        offered: dict[str, str] = {}
        for listed in await self._listed():
            efforts = as_list(listed.get("supportedReasoningEfforts"))
            told = {str(as_dict(effort).get("reasoningEffort")): "" for effort in efforts}
            if model == listed.get("model"):
                offered = told
                break
            offered |= told
        return resolve_name("effort", name, offered)


def mcp_servers(servers: list[Json]) -> Json:
    """A run's MCP servers (as ACP writes them) as Codex's `config.mcp_servers`. It goes by a
    message, so that no secret stands on a command line."""
    told: Json = {}
    for server in servers:
        name = str(server.get("name"))
        if server.get("url"):
            headers = _pairs(server.get("headers"))
            told[name] = {"url": server["url"], **({"http_headers": headers} if headers else {})}
        else:
            env = _pairs(server.get("env"))
            told[name] = {
                "command": server.get("command"),
                "args": as_list(server.get("args")),
                **({"env": env} if env else {}),
            }
    return told


def _pairs(given: Any) -> dict[str, str]:
    """`[{name, value}]`, as ACP writes it, or an object, as one."""
    named = {str(as_dict(pair).get("name")): str(as_dict(pair).get("value")) for pair in
             as_list(given)}  # fmt: skip
    return {**named, **{name: str(value) for name, value in as_dict(given).items()}}


def input_items(blocks: list[Json]) -> list[Json]:
    """A prompt's blocks, fitted to what Codex takes, as its `input`."""
    items: list[Json] = []
    for block in blocks:
        if block.get("type") == "image":
            uri = as_str(block.get("uri")) or ""
            if block.get("data"):
                url = f"data:{block.get('mimeType') or 'image/png'};base64,{block['data']}"
                items.append({"type": "image", "url": url})
            elif uri.startswith("file://"):
                items.append({"type": "localImage", "path": uri.removeprefix("file://")})
            else:
                items.append({"type": "image", "url": uri})
            continue
        if block.get("type") == "resource_link":
            text = f"[{block.get('name')}]({block.get('uri')})"
        else:
            text = as_str(block.get("text")) or ""
        items.append({"type": "text", "text": text, "text_elements": []})
    return items


def agent_mode(sandbox: Any, approval: Any, collaboration: Any = None) -> str | None:
    """The agent mode, as a user names them."""
    if as_dict(collaboration).get("mode") == PLAN:
        return PLAN
    name = SANDBOX_NAMES.get(str(as_dict(sandbox).get("type")))
    if name is None or not isinstance(approval, str):
        return name
    return name if approval == "untrusted" else f"{name}/{approval}"


def thread_options(model: str | None, mode: str | None, effort: Any) -> list[Json]:
    """Model, agent mode and effort as ACP's config options; only those that are told."""
    told = (("model", "model", model), ("mode", "mode", mode), ("effort", "thought_level", effort))
    return [
        {"id": ident, "category": category, "type": "select", "currentValue": value}
        for ident, category, value in told
        if value
    ]


def version_of(initialized: Json) -> str | None:
    """Codex's own version, by its answer to `initialize`."""
    found = _VERSION.search(as_str(initialized.get("userAgent")) or "")
    return found and found.group(1)
