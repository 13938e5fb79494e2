"""How each real CLI is pointed at the model server: config files in a fresh HOME, and environment.

One function per CLI, all of one form: `recipe(home, server_url, **wishes) -> env`. They write
files under `home` and start nothing. The environment goes on top of PATH; nothing of the
developer's own is needed, and none of it must leak in. What each setting is for was measured by
leaving it out, under strace, with the versions pinned in install.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .install import TOOLS, executable

ACP_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "opencode": ("acp",),
    "gemini": ("--acp",),
    "copilot": ("--acp",),
    "pi": (),
}
# for `authenticate`, which gemini also goes without, given the settings below
ACP_AUTH_METHOD: dict[str, str | None] = {
    "opencode": None,
    "gemini": "gemini-api-key",
    "copilot": None,
    "pi": None,
}


def acp_command(name: str) -> list[str]:
    """The command line of a CLI as an ACP agent; raises AgentMissing."""
    return [str(executable(name)), *ACP_ARGUMENTS[name]]


def opencode(home: Path, server_url: str, *, ask: Sequence[str] = ()) -> dict[str, str]:
    """`ask`: what opencode asks permission for, of `edit` and `bash`; it asks for nothing else.

    Without OPENCODE_DISABLE_MODELS_FETCH it asks models.dev for its list of models; without
    npm_config_offline it downloads @opencode-ai/plugin into each fresh HOME (50-95 MB, in the
    background, no setting turns it off). With both it connects to nothing but loopback.
    """
    model = {
        "name": "Fake",
        "attachment": True,
        "reasoning": True,
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "limit": {"context": 128_000, "output": 8_192},
        "cost": {"input": 1, "output": 2, "cache_read": 0.1},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",  # comes with opencode, is not fetched
        "name": "Fake",
        "options": {"baseURL": f"{server_url}/opencode/v1", "apiKey": "no-key-needed"},
        "models": {"fake-model": model, "other-model": {**model, "name": "Other"}},
    }
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": "fake/fake-model",
        "provider": {"fake": provider},
    }
    _write_json(home / ".config/opencode/opencode.json", config)
    env = _home(home) | {"OPENCODE_DISABLE_MODELS_FETCH": "1", "npm_config_offline": "true"}
    if ask:
        env["OPENCODE_PERMISSION"] = json.dumps(dict.fromkeys(ask, "ask"))
    return env


def gemini(home: Path, server_url: str, *, attempts: int = 1) -> dict[str, str]:
    """`attempts`: how often a failed model request is tried; gemini's own number is 10, minutes.

    Without GEMINI_CLI_TRUST_WORKSPACE it writes no file; without GEMINI_MODEL it first asks a
    model which model to use; without the privacy setting it looks up a telemetry host. It asks
    permission for edits and commands unless its session mode says otherwise.
    """
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False, "maxAttempts": attempts},
    }
    _write_json(home / ".gemini/settings.json", settings)
    return _home(home) | {
        "GOOGLE_GEMINI_BASE_URL": f"{server_url}/gemini",
        "GEMINI_API_KEY": "no-key-needed",
        "GEMINI_MODEL": "gemini-2.5-pro",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }


def claude(home: Path, server_url: str, *, attempts: int = 1) -> dict[str, str]:
    """`attempts`: how often a failed model request is tried; its own number is 10, minutes.

    IS_SANDBOX lets root use the mode that asks for nothing.
    """
    return _home(home) | {
        "ANTHROPIC_BASE_URL": f"{server_url}/claude",
        "ANTHROPIC_API_KEY": "sk-ant-no-key-needed",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(attempts - 1),
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
        "IS_SANDBOX": "1",
    }


def codex(
    home: Path, server_url: str, *, model: str = "gpt-5.1-codex", attempts: int = 1
) -> dict[str, str]:
    """`model`: an unknown one gets plain function tools, a bundled one (gpt-6.1-sol) code mode."""
    lines = (
        f'model = "{model}"',
        'model_provider = "fake"',
        "check_for_update_on_startup = false",
        "[model_providers.fake]",
        'name = "fake"',
        f'base_url = "{server_url}/codex/v1"',
        'wire_api = "responses"',
        'env_key = "FAKE_API_KEY"',
        f"request_max_retries = {attempts - 1}",
        f"stream_max_retries = {attempts - 1}",
        "[analytics]",
        "enabled = false",
    )
    folder = home / ".codex"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _home(home) | {"CODEX_HOME": str(folder), "FAKE_API_KEY": "no-key-needed"}


def copilot(home: Path, server_url: str) -> dict[str, str]:
    """Its own model endpoint ("bring your own key"): no sign-in, and nothing but loopback.

    It unpacks itself, 240 MB, once for each of its cache folders: a folder beside it and renamed,
    so that two at once do each other no harm. All tests share one.
    """
    return _home(home) | {
        "COPILOT_HOME": str(home / ".copilot"),
        "COPILOT_PKG_CACHE_HOME": str(TOOLS.parent / "copilot-unpacked"),
        "COPILOT_OFFLINE": "true",
        "COPILOT_AUTO_UPDATE": "false",
        "COPILOT_PROVIDER_BASE_URL": f"{server_url}/copilot/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_PROVIDER_API_KEY": "no-key-needed",
        "COPILOT_MODEL": "gpt-4.1",
    }


def pi(home: Path, server_url: str, *, retries: bool = False) -> dict[str, str]:
    """`retries`: whether a failed model request is tried again, three times in 14 s as pi does."""
    model = {
        "id": "fake-model",
        "name": "Fake",
        "reasoning": True,
        "input": ["text", "image"],
        "contextWindow": 128_000,
        "maxTokens": 8_192,
        "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 0},
    }
    fake = {
        "baseUrl": f"{server_url}/pi/v1",
        "api": "openai-completions",
        "apiKey": "no-key-needed",
        "models": [model, {**model, "id": "other-model", "name": "Other"}],
    }
    settings = {
        "defaultProvider": "fake",
        "defaultModel": "fake-model",
        "enableInstallTelemetry": False,
        "quietStartup": True,
        "retry": {"enabled": retries},
    }
    _write_json(home / ".pi/agent/models.json", {"providers": {"fake": fake}})
    _write_json(home / ".pi/agent/settings.json", settings)
    return _home(home) | {"PI_OFFLINE": "1", "PI_TELEMETRY": "0", "PI_SKIP_VERSION_CHECK": "1"}


RECIPES: dict[str, Callable[..., dict[str, str]]] = {
    "opencode": opencode,
    "gemini": gemini,
    "claude": claude,
    "codex": codex,
    "copilot": copilot,
    "pi": pi,
}


def _home(home: Path) -> dict[str, str]:
    """HOME, and the XDG folders inside it: a developer's own would win over HOME."""
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
