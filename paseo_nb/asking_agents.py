"""What an agent says of itself when it is started for a moment: its modes, models and commands,
what it can do, and who is signed in. No model is asked. One way for each dialect; for the doctor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import msgspec

from . import __version__, visiting
from .drivers.acp_choosing import Offer
from .drivers.acp_reading import Json, as_dict, as_list, as_str, problem_of
from .drivers.claude_results import problem_of as refusal
from .drivers.claude_system import introduced
from .drivers.codex_settings import AGENT_MODES
from .drivers.jsonrpc import RequestError
from .drivers.registry import Resolved
from .visiting import Visit

ASK_S = 30.0
COMMANDS_S = 0.3  # the commands of an ACP session come after it was opened, if at all
AUTH_REQUIRED = -32000


class Told(msgspec.Struct, kw_only=True):
    """What it said; None: nothing of that. signed_in: as whom, or by what; "" where it says that
    nobody is. problem: why no session can be opened, hint: what to do."""

    modes: list[str] | None = None
    models: list[str] | None = None
    commands: list[str] | None = None
    effort: bool | None = None
    images: bool | None = None
    mcp: list[str] | None = None
    returns: str | None = None
    signed_in: str | None = None
    problem: str | None = None
    hint: str | None = None


def ask(resolved: Resolved, environment: Mapping[str, str], *, opens: bool = True) -> Told:
    """Start the agent in an empty folder and ask it, 30 s at most. opens: whether a session may be
    opened. TimeoutError; OSError, EOFError or RequestError where it cannot be asked."""
    way = {"acp": _acp if opens else _acp_introduced, "claude": _claude, "codex": _codex}
    header: Json | None = {} if resolved.dialect == "codex" else None

    async def visit(folder: str) -> Told:
        async with visiting.visiting(resolved.launched(), environment, folder, header) as there:
            return await way[resolved.dialect](there, resolved, folder)

    with tempfile.TemporaryDirectory(prefix="paseo-ask-") as folder:
        return visiting.run(visit(folder), ASK_S)


async def _acp_introduced(visit: Visit, resolved: Resolved, folder: str) -> Told:
    can, _ = await visiting.introduce(visit, resolved)
    kinds = as_dict(can.get("mcpCapabilities"))
    resume = as_dict(can.get("sessionCapabilities")).get("resume") not in (None, False)
    return Told(
        images=bool(as_dict(can.get("promptCapabilities")).get("image")),
        mcp=["stdio", *(kind for kind in ("http", "sse") if kinds.get(kind))],
        returns="resume" if resume else "load" if can.get("loadSession") else None,
    )


async def _acp(visit: Visit, resolved: Resolved, folder: str) -> Told:
    told = await _acp_introduced(visit, resolved, folder)
    updates: list[Json] = []

    def hear(message: Json, line: bytes) -> None:
        updates.append(as_dict(as_dict(message.get("params")).get("update")))

    visit.heard = hear
    try:
        session, _ = await visit.ask("session/new", {"cwd": folder, "mcpServers": []})
    except RequestError as error:
        problem = problem_of({"code": error.code, "message": str(error), "data": error.data})
        told.problem, told.hint = problem.message, problem.hint
        told.signed_in = "" if error.code == AUTH_REQUIRED else None
        return told
    await visit.listen(COMMANDS_S)
    offer = Offer(
        as_dict(session.get("modes")),
        as_dict(session.get("models")),
        as_list(session.get("configOptions")),
    )
    told.modes, told.models = offer.values("agent_mode") or None, offer.values("model") or None
    told.effort = bool(offer.values("effort")) or None
    for update in updates:
        if update.get("sessionUpdate") == "available_commands_update":
            told.commands = _names(update.get("availableCommands"), "name")
    return told


async def _claude(visit: Visit, resolved: Resolved, folder: str) -> Told:
    visit.write(
        {"type": "control_request", "request_id": "1", "request": {"subtype": "initialize"}}
    )
    while True:
        message, _ = await visit.read()
        answer = as_dict(message.get("response"))
        if message.get("type") == "control_response" and answer.get("request_id") == "1":
            break
        if message.get("type") == "result":  # it cannot begin, and says why
            raise EOFError(refusal(message).message)
    if answer.get("subtype") == "error":
        raise RequestError.of(answer.get("error"))
    said = as_dict(answer.get("response"))
    facts = dict(introduced(said))
    session, commands = facts["session"], facts["available_commands_update"]
    models = [as_dict(model) for model in as_list(said.get("models"))]
    account = as_dict(said.get("account"))
    return Told(
        modes=_names(as_dict(session["modes"]).get("availableModes"), "id"),
        models=_names(models, "value"),
        commands=_names(commands.get("availableCommands"), "name"),
        effort=any(model.get("supportsEffort") for model in models),
        signed_in=_claude_account(account),
    )


def _claude_account(account: Json) -> str:
    """Who it is signed in as; the vendor whose keys are used elsewhere; "" for nobody."""
    vendor = as_str(account.get("apiProvider"))
    if vendor not in (None, "firstParty"):
        return vendor
    ways = [as_str(account.get(name)) for name in ("apiKeySource", "tokenSource")]
    way = next((way for way in ways if way and way != "none"), "")
    names = [as_str(account.get(name)) for name in ("email", "subscriptionType")]
    return ", ".join(part for part in (*names, way) if part)


async def _codex(visit: Visit, resolved: Resolved, folder: str) -> Told:
    about = {"name": "paseo_nb", "title": "paseo_nb", "version": __version__}
    await visit.ask("initialize", {"clientInfo": about})
    visit.notify("initialized")
    account, _ = await visit.ask("account/read", {})
    listed, _ = await visit.ask("model/list", {})
    models = [as_dict(model) for model in as_list(listed.get("data"))]
    config, _ = await visit.ask("config/read", {"cwd": folder})
    chosen = as_str(as_dict(config.get("config")).get("model"))
    names = _names(models, "model")
    told = Told(
        modes=list(AGENT_MODES),
        models=[*([chosen] if chosen and chosen not in names else []), *names],
        effort=any(as_list(model.get("supportedReasoningEfforts")) for model in models),
        images=any("image" in as_list(model.get("inputModalities")) for model in models),
    )
    who = as_dict(account.get("account"))
    if who:
        kind = {"chatgpt": "ChatGPT", "apiKey": "API key"}.get(str(who.get("type")))
        parts = [as_str(who.get("email")), as_str(who.get("planType")), kind or as_str(who["type"])]
        told.signed_in = ", ".join(part for part in parts if part)
    elif account.get("requiresOpenaiAuth"):
        told.signed_in = ""
    else:  # an endpoint of the user's own
        provider = as_str(as_dict(config.get("config")).get("model_provider"))
        told.signed_in = f"model_provider {provider}" if provider else None
    return told


def _names(told: Any, key: str) -> list[str]:
    names = [as_str(as_dict(one).get(key)) for one in as_list(told)]
    return [name for name in names if name]
