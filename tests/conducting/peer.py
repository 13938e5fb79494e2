"""Calls as Paseo's own tools take them, played against ours; makes docs/conductors.md.

python -m tests.conducting.peer > docs/conductors.md

`$child` and `$request` stand for what earlier answers gave. `answer`: the names that the peer's own
answer has, and ours must have.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """One call: the tool, its arguments, the names in its answer, what it is."""

    tool: str
    arguments: dict[str, Any]
    answer: tuple[str, ...]
    what: str = ""


_MADE = ("agentId", "type", "status", "cwd", "currentModeId", "availableModes", "lastMessage",
         "permission")  # fmt: skip
CALLS: list[Peer] = [
    Peer("list_providers", {}, ("providers",)),
    Peer("list_models", {"provider": "demo"}, ("provider", "models")),
    Peer(
        "create_agent",
        {
            "title": "Writer",
            "provider": "$agent",
            "initialPrompt": "Write it.",
            "background": True,
            "notifyOnFinish": True,
            "labels": {"part": "a"},
            "thinking": "high",
        },
        _MADE,
        "by an agent",
    ),
    Peer(
        "create_agent",
        {
            "title": "Looker",
            "provider": "demo/echo",
            "initialPrompt": "Look.",
            "settings": {"modeId": "read", "thinkingOptionId": "low", "features": {}},
            "background": False,
            "notifyOnFinish": False,
        },
        _MADE,
        "newer form, and waiting for it",
    ),
    Peer(
        "create_agent",
        {
            "title": "Brancher",
            "provider": "demo/echo",
            "initialPrompt": "Go.",
            "mode": "edit",
            "worktreeName": "side",
            "baseBranch": "HEAD",
            "background": False,
        },
        _MADE,
        "in a worktree",
    ),
    Peer(
        "wait_for_agent", {"agentId": "$child"}, ("agentId", "status", "permission", "lastMessage")
    ),
    Peer("list_pending_permissions", {}, ("permissions",)),
    Peer(
        "respond_to_permission",
        {"agentId": "$child", "requestId": "$request", "response": {"behavior": "allow"}},
        ("success",),
        "or deny, with message and interrupt",
    ),
    Peer(
        "wait_for_agent", {"agentId": "$child"}, ("agentId", "status", "permission", "lastMessage")
    ),
    Peer("get_agent_status", {"agentId": "$child"}, ("status", "snapshot")),
    Peer(
        "get_agent_activity",
        {"agentId": "$child", "limit": 20},
        ("agentId", "updateCount", "currentModeId", "content"),
    ),
    Peer(
        "list_agents",
        {"includeArchived": True, "sinceHours": 24, "statuses": ["idle"], "limit": 10},
        ("agents",),
    ),
    Peer(
        "send_agent_prompt",
        {"agentId": "$child", "prompt": "And again.", "background": True, "notifyOnFinish": True},
        ("agentId", "status", "permission"),
    ),
    Peer(
        "send_agent_prompt",
        {"agentId": "$child", "prompt": "More.", "activeTurnBehavior": "interrupt"},
        ("agentId", "status", "steered"),
        "newer form; steer as well, queue is ours",
    ),
    Peer("cancel_agent", {"agentId": "$child"}, ("success",)),
    Peer(
        "create_worktree",
        {"cwd": "$cwd", "worktreeSlug": "peer", "refName": "HEAD"},
        ("branchName", "worktreePath"),
    ),
    Peer("list_worktrees", {"cwd": "$cwd"}, ("worktrees",)),
    Peer("archive_worktree", {"cwd": "$cwd", "worktreeSlug": "peer"}, ("success",)),
    Peer(
        "kill_agent", {"agentId": "$child"}, ("success",), "its processes end; a prompt revives it"
    ),
    Peer("archive_agent", {"agentId": "$child"}, ("success",)),
]

_PAGE = """# Agents that lead agents

Made by `python -m tests.conducting.peer > docs/conductors.md`; a test plays every call of the table.

```python
run = paseo.start(
    "claude/opus",
    "Have two others review this, then merge what they say.",
    mode="auto",
    conduct=True,
    budget=5,
)
```
`conduct=True` (`--conduct`; needs `pip install 'paseo_nb[mcp]'`) hands the agent our MCP server, over stdio
or http as it takes it. Any other MCP client starts it by `paseo-nb mcp`, or `paseo-nb mcp --http`, which
prints the URL and the header to send; then it has a user's rights.

What is started so is a run like any other: in `ls()`, the dashboard and the frames, with
`parent_run_id` and its parent's labels. It outlives its parent's turn, its processes and the server.

- **Policy**: a child's mode is its parent's or narrower; its rules are its parent's and more. In mode
  `edit` it works in a worktree of its own, or is asked. A parent may allow for a child only what its own
  policy lets pass by itself; the rest waits for a person.
- **Budget**: what a child may use is taken from its parent's before it starts (half of what is left,
  unless it asks for another part), and what it has not used comes back when its turn ends. Before a
  further prompt the same is looked at again, dollars and tokens; what was taken for a child that
  never came is given back by the next launch, or the parent's next pair.
- **Number and depth**: `conduct_children`, `conduct_depth` ([settings](settings.md)).
- **News**: the end of a child's turn, and a question of its, is told to the parent once, when that is
  idle, in one prompt for all there is; not again what it was given by `wait_for_agent` or
  `subagent_result`. A parent that was killed is told when it is resumed. What a child said stands
  between marks that it could not know, so that it cannot pass for news of another.
- **Others**: a conductor may look at every run of the project; it commands those below it. It may
  remove a worktree that nobody lives in and that is its family's or nobody's.
- **Putting away**: `archive_agent` puts an agent's children away with it. A person's `archive` leaves
  them, as they may be at work for somebody else by now; `archive(children=True)` takes them along.
- **Providers** of `register_provider` are known to the process that registered them only: for
  children name those of the config.
- **Results** come whole: by pages (`offset`, `limit`, `next`, `total`, a `sha256` of all), and as a
  `file` where they are longer than one.
- **Steps**: `steps=["plan", "build", "test"]` gives a model that loses its way `next_step` and
  `step_done`. `run.steps` says how far it came; what was never begun, or begun and never said to be
  done, is a warning of its turn.

From Python the same in the background: `spawn_subagent(…, on_finish=hook)` returns at once;
`on_finish(hook, run=…)` takes a function, a shell command, or a run. A command and a run are told by the
subagent's own supervisor, also when the kernel is gone. The same function, given again in a new kernel,
hears what it missed and nothing twice; a changed one is another. Several made by one `def` are told each.

## Calls as Paseo's tools take them
Names with underscores are taken too. A name that means nothing here is not refused but listed in the
answer, as `ignored`.

| tool | arguments | in the answer | |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The text of docs/conductors.md."""
    rows = [
        f"| `{call.tool}` | `{json.dumps(call.arguments)}` |"
        f" {', '.join(f'`{name}`' for name in call.answer)} | {call.what} |\n"
        for call in CALLS
    ]
    return _PAGE + "".join(rows).replace("$agent", "PROVIDER/MODEL")


if __name__ == "__main__":
    print(page(), end="")
