"""What the agent tells: text, thoughts, plans, usage, settings; no step here touches a file."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ...common.value import spelled_out
from .. import options
from ..errors import BadScript
from ..turn import Turn


async def say(turn: Turn, value: Any) -> None:
    """{"say": "text"}: one chunk."""
    await turn.say(str(value))


async def stream(turn: Turn, value: Any) -> None:
    """{"stream": "text"}: small chunks, a few milliseconds apart."""
    await turn.stream(str(value))


async def think(turn: Turn, value: Any) -> None:
    """{"think": "text"}"""
    await turn.think(str(value))


async def sleep(turn: Turn, value: Any) -> None:
    """{"sleep": seconds}"""
    await asyncio.sleep(float(value))


async def plan(turn: Turn, value: Any) -> None:
    """{"plan": ["text" or {"content", "priority", "status"}, …]}"""
    entries: list[tuple[str, str, str]] = []
    for entry in value:
        full = spelled_out(entry, "content")
        entries.append(
            (full["content"], full.get("priority", "medium"), full.get("status", "pending"))
        )
    await turn.plan(entries)


async def usage(turn: Turn, value: Any) -> None:
    """{"usage": {"used", "size", "cost"}} sends a `usage_update`, `true` the counted one;
    {"usage": {"turn": {…}}} replaces the turn's usage, {"usage": null} hides all usage."""
    if value is None:
        turn.usage_hidden = True
        return
    given = spelled_out(value)
    if "turn" in given:
        turn.usage_override = given["turn"]
        return
    update = turn.ledger.update() | {k: given[k] for k in ("used", "size") if k in given}
    if "cost" in given:
        update["cost"] = {"amount": given["cost"], "currency": "USD"}
    await turn.update(update)


async def mode(turn: Turn, value: Any) -> None:
    """{"mode": "plan"}: the agent changes its own mode."""
    if value not in options.MODES:
        raise BadScript(f"unknown mode {value!r}; known: {', '.join(options.MODES)}")
    turn.session.choose(mode=value)
    await turn.update({"sessionUpdate": "current_mode_update", "currentModeId": value})


async def config(turn: Turn, value: Any) -> None:
    """{"config": {"effort": "high"}}: the agent changes its own settings."""
    session = turn.session
    effort = value.get("effort", session.effort)
    if effort not in options.EFFORTS:
        raise BadScript(f"unknown effort {effort!r}; known: {', '.join(options.EFFORTS)}")
    session.choose(effort=effort)
    state = options.config_options(turn.models, session.model, session.effort)
    await turn.update({"sessionUpdate": "config_option_update", "configOptions": state})


async def title(turn: Turn, value: Any) -> None:
    """{"title": "text"}: the session's title."""
    turn.session.choose(title=str(value))
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    await turn.update(
        {"sessionUpdate": "session_info_update", "title": str(value), "updatedAt": now}
    )


async def commands(turn: Turn, value: Any) -> None:
    """{"commands": {"name": "description"}}; `true`: the ones there are."""
    listed = options.commands(spelled_out(value) or turn.models)
    await turn.update({"sessionUpdate": "available_commands_update", "availableCommands": listed})


async def user(turn: Turn, value: Any) -> None:
    """{"user": "text"}: a user message, as an agent tells of one that it queued itself."""
    turn.new_message()
    await turn.update(turn.chunk("user_message_chunk", str(value)))
    turn.new_message()


async def update(turn: Turn, value: Any) -> None:
    """{"update": {"sessionUpdate": …}}: any update, as it is."""
    await turn.update(dict(value))
