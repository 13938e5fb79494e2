"""What Claude Code tells of itself and its circumstances, beside the conversation: who it is, its
commands, models and modes; retries, a shortened context, limits near or reached."""

from __future__ import annotations

from .acp_reading import Json, as_dict, as_int, as_list, as_str
from .claude_results import number
from .reading import Fact

MODES = {
    "default": "asks before it changes anything",
    "acceptEdits": "edits files without asking",
    "plan": "looks and plans, changes nothing",
    "auto": "a model decides what has to be asked",
    "dontAsk": "denies what its own rules do not allow",
    "bypassPermissions": "asks for nothing",
}
EFFORTS: dict[str, str] = dict.fromkeys(("low", "medium", "high", "xhigh", "max"), "")


def introduced(told: Json) -> list[Fact]:
    """The answer to `initialize`: who it is, its commands, models and modes."""
    version = as_str(told.get("claude_code_version"))
    models = [as_dict(model) for model in as_list(told.get("models"))]
    mode = as_str(told.get("current_permission_mode"))
    session: Json = {
        "session_id": None,
        "modes": {
            "currentModeId": mode,
            "availableModes": [{"id": m, "name": m, "description": d} for m, d in MODES.items()],
        },
        "models": {
            "availableModels": [
                {
                    "modelId": model.get("value"),
                    "name": model.get("displayName"),
                    "description": model.get("description"),
                }
                for model in models
            ]
        },
        "config_options": [],
    }
    info = {"name": "claude-code", "title": "Claude Code", "version": version}
    return [
        ("agent_info", info),
        ("session", session),
        ("available_commands_update", _commands(told)),
    ]


def _commands(told: Json) -> Json:
    return {
        "sessionUpdate": "available_commands_update",
        "availableCommands": [
            {
                "name": as_str(command.get("name")) or "",
                "description": as_str(command.get("description")) or "",
                "input": {"hint": command["argumentHint"]} if command.get("argumentHint") else None,
            }
            for command in map(as_dict, as_list(told.get("commands")))
        ],
    }


def system(subtype: str, message: Json) -> list[Fact]:
    if subtype == "init":
        session: Json = {"session_id": as_str(message.get("session_id"))}
        facts: list[Fact] = [
            ("session", {**session, "modes": {}, "models": {}, "config_options": []})
        ]
        return facts + _mode(message)
    if subtype == "status":
        return _mode(message)
    if subtype == "api_retry":
        status = as_int(message.get("error_status"))
        said = as_str(message.get("error")) or "the model could not be reached"
        retry = {
            "attempt": as_int(message.get("attempt")),
            "max_attempts": as_int(message.get("max_retries")),
            "delay_s": (as_int(message.get("retry_delay_ms")) or 0) / 1000,
            "status": status,
            "message": f"{said} (HTTP {status})" if status else said,
        }
        return [("retry", retry)]
    if subtype == "compact_boundary":
        about = as_dict(message.get("compact_metadata"))
        before, after = as_int(about.get("pre_tokens")), as_int(about.get("post_tokens"))
        said = "the context was shortened"
        said += f" from {before:,} tokens" if before else ""
        said += f" to {after:,}" if before and after else ""
        return [("compaction", {"message": said})]
    if subtype in ("model_fallback", "model_refusal_fallback", "model_consent_fallback"):
        said = as_str(message.get("content")) or as_str(message.get("message"))
        return [("warning", {"message": said or "another model answers than the one asked for"})]
    return []


def _mode(message: Json) -> list[Fact]:
    mode = as_str(message.get("permissionMode"))
    return [("current_mode_update", {"currentModeId": mode})] if mode else []


def rate_limit(info: Json) -> list[Fact]:
    if info.get("status") in (None, "allowed"):
        return []
    which = (as_str(info.get("rateLimitType")) or "usage").replace("_", " ")
    used = number(info.get("utilization"))
    said = (
        f"the {which} limit is reached"
        if info["status"] == "rejected"
        else f"near the {which} limit"
    )
    return [("warning", {"message": said + (f" ({used:.0%} used)" if used else "")})]
