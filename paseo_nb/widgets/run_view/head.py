"""The head of a live view: who is at work, in what state, at what cost, and what can be done.

Pure functions over the fold and the spec; what is not known is None, and shown as nothing.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from ...drivers.acp_choosing import find_option, option_values
from ...drivers.acp_reading import as_dict, as_list, as_str
from ...git.values import DiffSummary
from ...history import History
from ...model import BUSY_STATES, MODES, Permission, RunSpec, short_id
from ..render.facts import agent_of, title_of, total_tokens
from ..render.states import sign
from ..render.text import one_line

Head = dict[str, Any]
SHAPES = {
    "starting": "queued",
    "running": "running",
    "waiting": "waiting",
    "idle": "done",
    "error": "failed",
    "interrupted": "interrupted",
    "unresponsive": "interrupted",
    "stopped": "stopped",
    "archived": "stopped",
}
ENDS = {"cancelled": "stopped", "limit": "stopped", "refused": "failed"}
NAME, CHOICES = 80, 200


class Beyond(msgspec.Struct, frozen=True):
    """What the journal does not tell: what changed in the folder, and whether the agent takes a
    message in mid-turn (None: not known)."""

    diff: DiffSummary | None = None
    steer: bool | None = None


def head_of(history: History, spec: RunSpec, state: str, beyond: Beyond) -> Head:
    """The head, without the clock."""
    turn, usage, agent = history.turn, history.usage, agent_of(history, spec)
    outcome = turn.outcome if turn else None
    context = usage.context_used is not None and usage.context_size
    models, efforts, modes = (choices(history, what) for what in ("model", "effort", "agent_mode"))
    diff = beyond.diff
    return {
        "run_id": spec.run_id,
        "short": short_id(spec.run_id),
        "title": title_of(history, spec),
        "state": state,
        "word": sign(state, outcome).word,
        "shape": ENDS.get(outcome or "", "done")
        if state == "idle"
        else SHAPES.get(state, "queued"),
        "agent": one_line(agent, NAME),
        "model": named(history.model_answered or history.asked.get("model", spec.model)),
        "models": models,
        "effort": named(_current(history, "effort") or history.asked.get("effort", spec.effort)),
        "efforts": efforts,
        "agent_mode": named(history.agent_mode or spec.agent_mode),
        "agent_modes": modes,
        "permission_mode": history.asked.get("mode", spec.mode),
        "permission_modes": list(MODES),
        "branch": named(spec.branch),
        "base": spec.git_base[:10] if spec.git_base else None,
        "turn": len(history.turns),
        "turn_started_us": turn.started_us if turn else None,
        "turn_took_s": (turn.finished_us - turn.started_us) / 1e6
        if turn and turn.finished_us is not None
        else None,
        "tokens": total_tokens(usage),
        "cost_usd": number(usage.cost_usd),
        "budget_usd": spec.limits.cost_usd,
        "context": [usage.context_used, usage.context_size] if context else None,
        "diff": [len(diff.files), diff.added, diff.removed] if diff is not None else None,
        "queued": [
            {"id": ident, "text": one_line(text, 500)} for ident, text in history.queued.items()
        ][:20],
        "can": can(history, spec, state, beyond, (models, efforts)),
        "attach": f"%paseo attach {short_id(spec.run_id)}",
    }


def can(
    history: History,
    spec: RunSpec,
    state: str,
    beyond: Beyond,
    offers: tuple[list[Any], list[Any]],
) -> dict[str, bool | str]:
    """What may be asked of the run now: True, or why not, as a sentence."""
    name, (models, efforts) = one_line(spec.provider, 40), offers
    put_away = "The run is archived. Bring it back first: `unarchive`."
    busy, turn = state in BUSY_STATES, history.turn
    send: bool | str = put_away if history.archived else True
    steer: bool | str = send
    if beyond.steer is False:
        steer = f"{name} takes no message in mid-turn. Queue it, or interrupt."
    return {
        "send": send,
        "steer": steer,
        "interrupt": send,
        "cancel": busy,
        "stop": busy,
        "resume": state in ("interrupted", "stopped"),
        "retry": state == "error" and turn is not None and bool(turn.prompt),
        "unqueue": True,
        "set_mode": send,
        "set_agent_mode": send,
        "set_model": send if models else f"{name} offers no choice of model.",
        "set_effort": send if efforts else f"{name} offers no choice of effort.",
        "edit_input": True,
        "trace": turn is not None,
        "undo": not busy and turn is not None and bool(beyond.diff and beyond.diff.files),
        "apply": not busy and spec.worktree is not None and bool(beyond.diff and beyond.diff.files),
    }


def went(permission: Permission) -> str:
    """What became of a question, in a few words."""
    by = permission.rule or permission.by
    if permission.outcome == "cancelled":
        return "The turn was cancelled"
    if permission.rule == "timeout":
        return "Nobody answered in time"
    kinds = {o.get("optionId"): str(o.get("kind")) for o in permission.options}
    kind = kinds.get(permission.option_id, "")
    yes = kind.startswith("allow") or permission.outcome in ("allow", "allowed")
    word = "Allowed" if yes else "Denied"
    return f"{word} elsewhere" if by in ("user", None) else f"{word} by {one_line(by, 60)}"


def choices(history: History, what: str) -> list[dict[str, str]]:
    """What the agent offers to choose from: ids and names."""
    option = find_option(what, history.config_options)
    if option is not None:
        found = option_values(as_list(option.get("options")))
    elif what == "model":
        told = map(as_dict, as_list(history.models.get("availableModels")))
        found = {str(one.get("modelId")): as_str(one.get("name")) or "" for one in told}
    elif what == "agent_mode":
        told = map(as_dict, as_list(history.modes.get("availableModes")))
        found = {str(one.get("id")): as_str(one.get("name")) or "" for one in told}
    else:
        found = {}
    pairs = list(found.items())[:CHOICES]
    return [{"id": ident, "name": one_line(name or ident, NAME)} for ident, name in pairs]


def _current(history: History, what: str) -> str | None:
    option = find_option(what, history.config_options) or {}
    return as_str(option.get("currentValue"))


def named(text: str | None) -> str | None:
    """A name on one line."""
    return one_line(text, NAME) if text else None


def number(value: float | None) -> float | None:
    """A number that JSON can carry."""
    return value if value is not None and math.isfinite(value) else None
