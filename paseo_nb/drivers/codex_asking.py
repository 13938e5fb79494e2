"""What Codex's app-server asks, in ACP's words: an approval request as the tool call that it is
about, with options, and the chosen option as Codex's answer. Pure functions, for both halves."""

from __future__ import annotations

from .acp_reading import Json, as_dict, as_list, as_str
from .codex_items import command_kind, plain_command

COMMAND = "item/commandExecution/requestApproval"
FILES = "item/fileChange/requestApproval"
ACCESS = "item/permissions/requestApproval"
FORM = "mcpServer/elicitation/request"
QUESTION = "item/tool/requestUserInput"
ALWAYS = "acceptForSession"  # of a person; Codex itself is told `accept`, see `lasting`
ASKING = frozenset({COMMAND, FILES, ACCESS, FORM, QUESTION})


def asked_for(method: str, params: Json) -> Json:
    """The tool call that an approval request is about, as far as the request itself tells."""
    told: Json = {"toolCallId": as_str(params.get("itemId"))}
    reason = as_str(params.get("reason"))
    if method == COMMAND:
        told.update(_asked_command(params))
    elif method == FILES:
        told["kind"] = "edit"
        root = as_str(params.get("grantRoot"))
        if root:
            told.update(title=f"Write anywhere under {root}", locations=[{"path": root}])
    elif method == ACCESS:
        wanted = as_dict(params.get("permissions"))
        told.update(
            kind="other",
            title=f"Further access{f': {reason}' if reason else ''}",
            rawInput={name: value for name, value in wanted.items() if value},
        )
    elif method == QUESTION:
        question = as_dict(next(iter(as_list(params.get("questions"))), None))
        told.update(kind="other", title=as_str(question.get("question")), rawInput=question)
    else:
        meta = as_dict(params.get("_meta"))
        tool = as_str(meta.get("tool_name"))
        name = f"{params.get('serverName')}.{tool}" if tool else str(params.get("serverName"))
        told.update(
            kind="other",
            toolName=name if tool else None,
            title=as_str(params.get("message")) or name,
            rawInput=meta.get("tool_params") or params.get("requestedSchema") or {},
        )
    return {key: value for key, value in told.items() if value is not None}


def _asked_command(params: Json) -> Json:
    network = as_dict(params.get("networkApprovalContext"))
    if network:
        return {
            "kind": "fetch",
            "title": f"Connect to {network.get('host')} ({network.get('protocol')})",
            "rawInput": network,
        }
    command = as_str(params.get("command")) or ""
    script = plain_command(command)
    reason = as_str(params.get("reason"))
    raw = {"command": script, "cwd": params.get("cwd"), "reason": reason}
    plain = params.get("kind", "command") == "command" and not reason
    return {
        "kind": command_kind(command) if plain else "execute",
        "title": script or reason,
        "rawInput": {key: value for key, value in raw.items() if value},
    }


def options_for(method: str, params: Json) -> list[Json]:
    """The options of an approval request, the plainest yes and no first."""
    if method == QUESTION:
        question = as_dict(next(iter(as_list(params.get("questions"))), None))
        labels = [as_str(as_dict(o).get("label")) for o in as_list(question.get("options"))]
        chosen = [_option(label, label, "allow_once") for label in labels if label]
        return [*chosen, _option("decline", "No answer", "reject_once")]
    options = [_option("accept", "Allow once", "allow_once")]
    options.append(_option(ALWAYS, "Allow always", "allow_always"))
    options.append(_option("decline", "Deny", "reject_once"))
    if method != ACCESS:
        options.append(_option("cancel", "Deny and end the turn", "reject_once"))
    return options


def _option(ident: str, name: str, kind: str) -> Json:
    return {"optionId": ident, "name": name, "kind": kind}


def answer_for(method: str, params: Json, option_id: str | None) -> Json:
    """The result of an approval request; `option_id` None: the turn was cancelled."""
    chosen = option_id or "cancel"
    yes = chosen.startswith("accept")
    if method == QUESTION:
        if chosen in ("decline", "cancel"):
            return {"answers": {}}
        question = as_dict(next(iter(as_list(params.get("questions"))), None))
        return {"answers": {str(question.get("id")): {"answers": [chosen]}}}
    if method == FORM:
        answer: Json = {"action": "accept" if yes else chosen, "content": None, "_meta": None}
        if yes:
            answer["content"] = {}
        return answer
    if method == ACCESS:
        wanted = as_dict(params.get("permissions"))
        granted = {name: value for name, value in wanted.items() if value} if yes else {}
        return {"permissions": granted, "scope": "turn"}
    return {"decision": chosen}
