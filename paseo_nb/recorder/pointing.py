"""How each agent is pointed at the recorder: by its own setting for its model endpoint's address.

Called by whoever prepares a launch, or brings a run back, and by the doctor; starts nothing. The
address that the agent would have used stands in the path of the one that it gets (`proxy`), so
that the recorder needs to be told nothing. Who cannot be pointed at it is said why.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ..drivers.acp_reading import as_dict, as_str
from ..drivers.differing import home_of
from ..scratch import MIRROR, MIRRORED, RECORDER

Environment = Mapping[str, str]
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_HERE = ("127.0.0.1", "localhost", "::1")
# Where OpenCode's and Pi's own providers are, as far as their addresses have no further path.
_KNOWN = {
    "anthropic": "https://api.anthropic.com/v1",
    "openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com",
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "openrouter": "https://openrouter.ai/api/v1",
    "groq": "https://api.groq.com/openai/v1",
    "xai": "https://api.x.ai/v1",
}
_PI = {**_KNOWN, "anthropic": "https://api.anthropic.com"}  # it adds the version itself


class Pointed(msgspec.Struct):
    """What an agent is given: variables (`_CONTENT` is put over the user's own) and arguments."""

    env: dict[str, str] = {}
    args: list[str] = []


class NotRecorded(Exception):
    """Why an agent cannot be recorded as things stand."""


def point(heart: str, model: str | None, environment: Environment, cwd: Path) -> Pointed:
    """How an agent (`heart`: the built-in provider that it is) is pointed. NotRecorded."""
    if heart == "api":
        raise NotRecorded("api tells of its requests by itself, recorded or not")
    if heart not in _HOW:
        raise NotRecorded(
            f"it is not known which setting tells {heart} the address of its model endpoint"
        )
    pointed = _HOW[heart](model, environment, cwd)
    if any(environment.get(name) for name in ("HTTP_PROXY", "http_proxy", *_PROXIES)):
        for name in ("NO_PROXY", "no_proxy"):
            known = environment.get(name)
            pointed.env[name] = ",".join([*([known] if known else []), *_HERE[:2]])
    return pointed


def why_not(heart: str, environment: Environment, cwd: Path) -> str | None:
    """Why an agent cannot be recorded here; None where it can, as far as is seen."""
    try:
        point(heart, None, environment, cwd)
    except NotRecorded as error:
        return str(error)
    return None


def _through(url: str, environment: Environment) -> str:
    """The address to give instead of one. NotRecorded."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotRecorded(f"its endpoint's address {url!r} is none that a proxy can stand before")
    if parts.username or parts.password or parts.query:
        raise NotRecorded("its endpoint's address has a key in it, which would be kept")
    if parts.hostname not in _HERE and (
        name := next((n for n in _PROXIES if environment.get(n)), None)
    ):
        raise NotRecorded(f"{name} is set, and the recorder goes to the endpoint directly")
    return f"{RECORDER}/{parts.scheme}/{parts.netloc}{parts.path.rstrip('/')}"


def _claude(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    for name in ("BEDROCK", "VERTEX", "FOUNDRY"):
        if environment.get(f"CLAUDE_CODE_USE_{name}"):
            raise NotRecorded(f"claude goes to {name.title()}, whose requests are signed by host")
    variable = "ANTHROPIC_BASE_URL"
    own = environment.get("CLAUDE_CONFIG_DIR")
    folder = Path(own).expanduser() if own else home_of(environment) / ".claude"
    project = cwd / ".claude"
    for file in (folder / "settings.json", project / "settings.json",
                 project / "settings.local.json"):  # fmt: skip
        if variable in as_dict(_json(file).get("env")):
            raise NotRecorded(f"{file} sets {variable}, which goes over a run's own")
    url = environment.get(variable) or "https://api.anthropic.com"
    return Pointed({variable: _through(url, environment)})


def _codex(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    own = environment.get("CODEX_HOME")
    home = Path(own).expanduser() if own else home_of(environment) / ".codex"
    try:
        config: dict[str, Any] = tomllib.loads((home / "config.toml").read_text("utf-8"))
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError) as error:
        raise NotRecorded(f"{home / 'config.toml'} cannot be read: {error}") from None
    name = as_str(config.get("model_provider")) or "openai"
    if name == "openai":
        if not as_str(_json(home / "auth.json").get("OPENAI_API_KEY")):
            raise NotRecorded(
                "codex signed in with ChatGPT goes to an address of its own: sign in with a key"
                " (codex login --with-api-key)"
            )
        url = as_str(config.get("openai_base_url")) or "https://api.openai.com/v1"
        return Pointed(args=["-c", f'openai_base_url="{_through(url, environment)}"'])
    url = as_str(as_dict(as_dict(config.get("model_providers")).get(name)).get("base_url"))
    if url is None or "." in name:  # its -c takes no quotes in a name
        raise NotRecorded(f"codex's provider {name!r} has no base_url in {home / 'config.toml'}")
    told = _through(url, environment)
    return Pointed(args=["-c", f'model_providers.{name}.base_url="{told}"'])


def _copilot(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    url = environment.get("COPILOT_PROVIDER_BASE_URL")
    if not url:
        raise NotRecorded(
            "copilot signed in at GitHub goes where GitHub tells it: only an endpoint of your own"
            " (COPILOT_PROVIDER_BASE_URL) can be recorded"
        )
    return Pointed({"COPILOT_PROVIDER_BASE_URL": _through(url, environment)})


def _gemini(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    chosen = as_dict(_json(home_of(environment) / ".gemini/settings.json").get("security"))
    kind = as_str(as_dict(chosen.get("auth")).get("selectedType"))
    if (kind is not None and kind != "gemini-api-key") or not environment.get("GEMINI_API_KEY"):
        raise NotRecorded(
            "gemini signed in with Google goes to an address of its own: only with GEMINI_API_KEY"
            " can it be recorded"
        )
    url = environment.get("GOOGLE_GEMINI_BASE_URL") or "https://generativelanguage.googleapis.com"
    return Pointed({"GOOGLE_GEMINI_BASE_URL": _through(url, environment)})


def _opencode(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    config_home = environment.get("XDG_CONFIG_HOME") or str(home_of(environment) / ".config")
    files = [Path(config_home) / "opencode/opencode.json", cwd / "opencode.json"]
    if environment.get("OPENCODE_CONFIG"):
        files.append(Path(environment["OPENCODE_CONFIG"]))
    known, chosen = dict(_KNOWN), model
    for config in (*map(_json, files), _decoded(environment.get("OPENCODE_CONFIG_CONTENT"))):
        chosen = model or as_str(config.get("model")) or chosen
        for name, provider in as_dict(config.get("provider")).items():
            url = as_str(as_dict(as_dict(provider).get("options")).get("baseURL"))
            if url is not None:
                known[name] = url
    data = environment.get("XDG_DATA_HOME") or str(home_of(environment) / ".local/share")
    signed = _json(Path(data) / "opencode/auth.json")
    return Pointed(
        {
            "OPENCODE_CONFIG_CONTENT": json.dumps(
                {
                    "provider": {
                        name: {"options": {"baseURL": _through(url, environment)}}
                        for name, url in _of_model(chosen, known, signed, "opencode")
                    }
                }
            )
        }
    )


def _pi(model: str | None, environment: Environment, cwd: Path) -> Pointed:
    own = environment.get("PI_CODING_AGENT_DIR")
    home = Path(own).expanduser() if own else home_of(environment) / ".pi" / "agent"
    settings, told = _json(home / "settings.json"), _json(home / "models.json")
    tables = as_dict(told.get("providers"))
    urls = {name: as_str(as_dict(table).get("baseUrl")) for name, table in tables.items()}
    known = {**_PI, **{name: url for name, url in urls.items() if url}}
    first = as_str(settings.get("defaultProvider"))
    chosen = model or (f"{first}/" if first else None)
    env: dict[str, str] = {}
    changed: dict[str, Any] = {}
    for name, table in tables.items():
        changed[name] = _without_keys(name, as_dict(table), env)
    for name, url in _of_model(chosen, known, _json(home / "auth.json"), "pi"):
        changed[name] = {**as_dict(changed.get(name)), "baseUrl": _through(url, environment)}
    env["PI_CODING_AGENT_DIR"] = f"{MIRROR}{home}"
    env[MIRRORED] = json.dumps({"models.json": {**told, "providers": changed}})
    return Pointed(env)


def _without_keys(provider: str, table: dict[str, Any], env: dict[str, str]) -> dict[str, Any]:
    """A provider's table in which keys stand as names of variables, whose values go beside it."""

    def named(value: Any) -> Any:
        if not isinstance(value, str) or value.startswith(("$", "!")):
            return value
        name = f"PASEO_NB_PI_KEY_{len(env)}"
        env[name] = value
        return f"${name}"

    headers = {name: named(value) for name, value in as_dict(table.get("headers")).items()}
    more: dict[str, Any] = {"headers": headers} if headers else {}
    if "apiKey" in table:
        more["apiKey"] = named(table["apiKey"])
    return {**table, **more}


def _of_model(
    model: str | None, known: Mapping[str, str], signed: Mapping[str, Any], agent: str
) -> list[tuple[str, str]]:
    """The providers to stand before, with their addresses: the model's own, and those whose
    address the user wrote. NotRecorded."""
    name = (model or "").partition("/")[0]
    if name and as_dict(signed.get(name)).get("type") == "oauth":
        raise NotRecorded(f"{agent} is signed in at {name} with an account: only keys can be used")
    if name and name not in known:
        raise NotRecorded(f"the address of {agent}'s provider {name!r} is not known")
    return sorted(known.items())


def _json(path: Path) -> dict[str, Any]:
    try:
        return _decoded(path.read_text("utf-8"))
    except OSError:
        return {}


def _decoded(text: str | None) -> dict[str, Any]:
    try:
        return as_dict(json.loads(text or "{}"))
    except ValueError:
        return {}


_HOW: dict[str, Callable[[str | None, Environment, Path], Pointed]] = {
    "claude": _claude,
    "codex": _codex,
    "copilot": _copilot,
    "gemini": _gemini,
    "opencode": _opencode,
    "pi": _pi,
}
KNOWN = frozenset(_HOW)
