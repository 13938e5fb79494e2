"""What the tools take, as values: the peer's names (camel case), ours beside them.

The docstring of a struct is the tool's description, and its fields are the schema that an agent
sees. What a call gives beyond them is not refused, but said (`ignored`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast

import msgspec
from msgspec import Meta

from ..errors import UsageProblem

Id = Annotated[str, Meta(description="An agent's id, or any beginning of it that fits one.")]
Limit = Annotated[
    int, Meta(ge=1, le=200_000, description="Characters; by default what any agent can take.")
]
# What every agent passes on to its model whole, as measured; Copilot puts 21 kB into a file.
PAGE = 8_000  # characters
PAGE_BYTES = 9_000  # of JSON


class Asked(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a tool takes."""

    ALIASES: ClassVar[dict[str, str]] = {}


_T = TypeVar("_T", bound=Asked)


class Settings(msgspec.Struct, rename="camel"):
    """How an agent runs."""

    mode_id: str | None = None
    thinking_option_id: str | None = None
    features: dict[str, Any] = {}


class CreateAgent(Asked):
    """Start another agent on a task. Returns at once (background) with its agentId; you are told
    when it has finished, failed or needs a permission. It knows nothing of your conversation: the
    prompt must say everything. Its policy and budget are no wider than yours."""

    ALIASES = {
        "agent": "provider", "prompt": "initialPrompt", "name": "title", "worktree": "worktreeName",
        "worktreeSlug": "worktreeName", "base": "baseBranch", "refName": "baseBranch",
        "effort": "thinking", "budget": "budgetUsd", "modeId": "mode",
    }  # fmt: skip
    provider: Annotated[str, Meta(description="`provider/model`, as list_models has it.")]
    initial_prompt: Annotated[str, Meta(description="The whole task.")]
    title: str | None = None
    cwd: Annotated[str | None, Meta(description="Its folder (default: yours).")] = None
    thinking: Annotated[str | None, Meta(description="Its reasoning effort.")] = None
    mode: Annotated[
        str | None, Meta(description="read, ask, edit or auto; no wider than yours (the default).")
    ] = None
    labels: dict[str, str] = {}
    background: Annotated[bool, Meta(description="false: wait up to 30 s for its result.")] = True
    notify_on_finish: bool = True
    worktree_name: Annotated[
        str | None, Meta(description="A branch: it works in a git worktree of its own on it.")
    ] = None
    base_branch: str | None = None
    github_pr_number: int | None = None
    settings: Settings | None = None
    budget_usd: float | None = None
    token_budget: int | None = None
    timeout_s: float | None = None
    deny: Annotated[list[str], Meta(description="KIND or KIND:PATTERN, as execute:git push *")] = []
    conduct: Annotated[bool, Meta(description="Let it start agents, too.")] = False


class SpawnSubagent(CreateAgent):
    """Start an agent in the background: its agentId at once. You are told when it is done; fetch
    what it said with subagent_result. As create_agent with background."""


class WaitForAgent(Asked):
    """Wait until an agent has finished, failed or asks for a permission, at most 30 s; where it is
    still at work then, call again."""

    agent_id: Id
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 30.0


class SendAgentPrompt(Asked):
    """Give an agent a further prompt: after its running turn (queue), into it (steer), or in its
    place (interrupt)."""

    ALIASES = {"activeTurnBehavior": "when", "sessionMode": "mode"}
    agent_id: Id
    prompt: str
    when: Literal["queue", "steer", "interrupt"] = "queue"
    mode: str | None = None
    background: bool = True
    notify_on_finish: bool = True


class GetAgentStatus(Asked):
    """What an agent is and how it stands; not what it said."""

    agent_id: Id


class SubagentStatus(Asked):
    """How a background agent stands; its result is told you, or fetched with subagent_result."""

    ALIASES = {"subagentId": "agentId", "id": "agentId"}
    agent_id: Id


class SubagentResult(Asked):
    """What an agent said at the end of a turn, whole, by pages: `next` is the offset of the next
    one, null at the end. `file` holds all of it, where it is longer than a page."""

    ALIASES = {"subagentId": "agentId", "id": "agentId"}
    agent_id: Id
    turn: int | None = None
    offset: Annotated[int, Meta(ge=0, description="Characters.")] = 0
    limit: Limit | None = None


class GetAgentActivity(Asked):
    """What an agent did, as text, by pages; without an offset the last one."""

    agent_id: Id
    limit: Annotated[int, Meta(ge=1, description="Entries, the newest.")] = 50
    offset: Annotated[int, Meta(ge=0, description="Characters.")] | None = None


class ListAgents(Asked):
    """The agents that you started, newest first, and those below them."""

    ALIASES = {"states": "statuses"}
    include_archived: bool = False
    cwd: str | None = None
    since_hours: float | None = None
    statuses: list[str] = []
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class CancelAgent(Asked):
    """End an agent's running turn; the agent stays."""

    agent_id: Id


class ArchiveAgent(Asked):
    """Put an agent away, with those that it started; its worktree is kept in git."""

    agent_id: Id


class KillAgent(Asked):
    """End an agent's processes; a further prompt brings it back."""

    agent_id: Id


class ListPendingPermissions(Asked):
    """The permissions that your agents wait for."""

    ALIASES = {"id": "agentId"}
    agent_id: str | None = None


class Response(msgspec.Struct, rename="camel"):
    """An answer to a permission."""

    behavior: Literal["allow", "deny"]
    message: str | None = None
    updated_input: dict[str, Any] | None = None
    interrupt: bool = False
    selected_action_id: str | None = None


class RespondToPermission(Asked):
    """Answer a permission that one of your agents waits for. You may allow what your own policy
    lets pass by itself; what that leaves to a person waits for one."""

    ALIASES = {"permissionId": "requestId"}
    agent_id: Id
    request_id: Annotated[str, Meta(description="As list_pending_permissions has it.")]
    response: Response


class ListProviders(Asked):
    """The ways to get an agent."""


class ListModels(Asked):
    """The models and modes of a provider, as its agent tells them (it is started for a moment)."""

    provider: str


class CreateWorktree(Asked):
    """A git worktree with a branch of its own, for agents to work in (cwd)."""

    ALIASES = {"worktreeName": "worktreeSlug", "name": "worktreeSlug", "branch": "worktreeSlug",
               "refName": "baseBranch", "base": "baseBranch"}  # fmt: skip
    worktree_slug: str
    cwd: str | None = None
    base_branch: str | None = None


class ListWorktrees(Asked):
    """The git worktrees of a folder's repository."""

    cwd: str | None = None


class ArchiveWorktree(Asked):
    """Remove a worktree of this project's; its branch stays. Refused while an agent lives in it,
    where it is of one that is not yours, or where changes in it are not committed."""

    ALIASES = {"name": "worktreeSlug", "path": "worktreePath"}
    worktree_path: str | None = None
    worktree_slug: str | None = None
    cwd: str | None = None


class NextStep(Asked):
    """The next of the steps that you were given, in order; null where all are begun."""


class StepDone(Asked):
    """Say that a step is done, with a word on it; the next one."""

    ALIASES = {"step": "name"}
    name: str
    note: str = ""


def read(kind: type[_T], given: Mapping[str, Any]) -> tuple[_T, list[str]]:
    """A call's arguments as a value, and the names that mean nothing. UsageProblem."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    named: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in given.items():
        camel = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
        camel = camel if camel in known else kind.ALIASES.get(camel, camel)
        if camel not in known:
            ignored.append(name)
        elif value is not None:
            named[camel] = value
    try:
        return msgspec.convert(named, kind, strict=False), ignored
    except msgspec.ValidationError as error:
        raise UsageProblem(str(error)) from None


def schema(kind: type[Asked]) -> dict[str, Any]:
    """The JSON Schema of what a tool takes, with nothing to look up in it."""
    _, parts = msgspec.json.schema_components([kind], ref_template="{name}")
    told = cast(dict[str, Any], _whole(parts[kind.__name__], parts))
    return {name: told[name] for name in ("type", "properties", "required") if name in told}


def _whole(value: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_whole(one, parts) for one in cast(list[Any], value)]
    if not isinstance(value, dict):
        return value
    table = cast(dict[str, Any], value)
    if isinstance(table.get("$ref"), str):
        return _whole(parts[table["$ref"]], parts)
    return {name: _whole(one, parts) for name, one in table.items()}
