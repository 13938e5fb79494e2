"""What the tools answer, as JSON objects: an agent, its permission, a page of a long text."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from ..git.commands import Repository
from ..handle import AsyncRun
from ..journal import write_file_once
from ..model import Permission, Turn
from ..runview import RunView
from .asked import PAGE, PAGE_BYTES
from .bounds import mode_of

Json = dict[str, Any]
# The peer's words for our states.
STATUS = {
    "starting": "initializing", "running": "running", "waiting": "running", "idle": "idle",
    "error": "error", "interrupted": "error", "unresponsive": "running", "unknown": "running",
    "stopped": "closed", "archived": "closed",
}  # fmt: skip


def short(run: RunView) -> Json:
    """An agent as a list has it."""
    spec, state = run.spec, run.state
    return {
        "agentId": run.id,
        "type": spec.provider,
        "provider": run.agent,
        "title": spec.title or spec.label or run.history().title,
        "status": STATUS[state],
        "state": state,
        "cwd": spec.cwd,
        "branch": spec.branch,
        "labels": spec.labels,
        "parentAgentId": spec.parent_run_id,
        "createdAt": spec.created_us // 1000,
        "turns": len(run.history().turns),
        "requiresPermission": bool(run.pending()),
    }


def standing(run: AsyncRun) -> Json:
    """An agent after something was asked of it: where it stands, and what it waits for."""
    state, waiting = run.state, run.pending()
    return {
        "agentId": run.id,
        "type": run.spec.provider,
        "status": STATUS[state],
        "state": state,
        "cwd": run.spec.cwd,
        "currentModeId": mode_of(run),
        "availableModes": [{"id": mode} for mode in ("read", "ask", "edit", "auto")],
        "permission": permission(waiting[0]) if waiting else None,
    }


def permission(one: Permission) -> Json:
    """A question of an agent."""
    return {
        "id": one.id,
        "requestId": one.id,
        "kind": "tool",
        "toolKind": one.kind,
        "title": one.title,
        "input": one.input,
        "actions": [
            {"id": o.get("optionId"), "label": o.get("name"), "kind": o.get("kind")}
            for o in one.options
        ],
    }


def snapshot(run: AsyncRun) -> Json:
    """All that is known of an agent, but for what it said."""
    facts = run.known()
    usage = msgspec.to_builtins(run.usage)
    kept = ("model_asked", "model_answered", "warnings", "agent_version", "session_id", "git_base",
            "limits", "error")  # fmt: skip
    return short(run) | {
        "id": run.id,
        "model": run.spec.model,
        "currentModeId": mode_of(run),
        "pendingPermissions": [permission(one) for one in run.pending()],
        "lastUsage": usage,
        "costUsd": run.cost_usd,
        **{name: facts[name] for name in kept},
    }


def last_turn(run: RunView, number: int | None = None) -> Turn | None:
    """A turn that has ended: the one of a number, else the last."""
    ended = [turn for turn in run.history().turns if turn.outcome is not None]
    if number is not None:
        ended = [turn for turn in ended if turn.turn == number]
    return ended[-1] if ended else None


def outcome(run: AsyncRun, turn: Turn) -> Json:
    """How a turn ended, with its text where that is no longer than a page, else the first one."""
    first = page(turn.text, 0)
    told: Json = {"turn": turn.turn, "outcome": turn.outcome, "lastMessage": first["text"]}
    if turn.error is not None:
        told["error"] = turn.error.message
    if (at := first["next"]) is not None:
        told |= {
            "lastMessageTotal": len(turn.text),
            "next": at,
            "file": kept(run, turn),
            "message": f"The first {at:,} of {len(turn.text):,} characters; read the rest with"
            f" subagent_result (agentId, offset={at}).",
        }
    return told


def page(text: str, offset: int, limit: int | None = None) -> Json:
    """A part of a text, what there is in all, and where the next part begins. Without a limit it is
    as long as every agent passes on whole."""
    part = text[offset : offset + (limit or PAGE)]
    while limit is None and len(json.dumps(part, ensure_ascii=False).encode()) > PAGE_BYTES:
        part = part[: len(part) * 3 // 4]
    end = offset + len(part)
    return {
        "text": part,
        "offset": offset,
        "total": len(text),
        "next": end if end < len(text) else None,
    }


def result(run: AsyncRun, turn: Turn, offset: int, limit: int | None) -> Json:
    """A page of what a turn said; the sum tells whether the pages put together are all of it."""
    told = page(turn.text, offset, limit)
    told |= {"agentId": run.id, "turn": turn.turn, "outcome": turn.outcome}
    if turn.error is not None:
        told["error"] = turn.error.message
    if len(told["text"]) < told["total"]:
        told["sha256"] = hashlib.sha256(turn.text.encode()).hexdigest()
        told["file"] = kept(run, turn)
    if turn.value is not None:
        told["value"] = turn.value
    return told


def kept(run: AsyncRun, turn: Turn) -> str:
    """The file that holds a long result, for who reads files more easily than pages."""
    path = run.host.folder(run.id).path / f"result-{turn.turn}.txt"
    if not path.exists():
        write_file_once(path, turn.text.encode("utf-8", "replace"))
    return str(path)


def worktrees(folder: Path) -> list[Json]:
    """The worktrees of a repository, as `git worktree list` tells them. GitProblem."""
    found: list[Json] = []
    for facts in Repository(folder).worktrees():
        path = os.fsencode(facts["worktree"]).decode("utf-8", "replace")
        branch = facts.get("branch", "").removeprefix("refs/heads/") or None
        found.append({"worktreePath": path, "branchName": branch, "head": facts.get("HEAD")})
    return found
