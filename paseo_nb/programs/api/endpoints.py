"""Where a model is: what `deepseek-chat` or `vllm:qwen3` stands for, by the usual variables.

Only the standard library: the driver asks it too, before anything is launched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Api = Literal["chat", "responses", "anthropic", "google"]


class Service(NamedTuple):
    """A kind of endpoint: the API it speaks, its own address, the variables that say otherwise."""

    api: Api
    url: str
    url_variables: tuple[str, ...]
    key_variables: tuple[str, ...]
    local: bool = False


def _local(name: str, port: int, *more: str) -> Service:
    variables = (f"{name}_BASE_URL", *more)
    return Service("chat", f"http://127.0.0.1:{port}/v1", variables, (f"{name}_API_KEY",), True)


_OPENAI = Service(
    "responses", "https://api.openai.com/v1", ("OPENAI_BASE_URL",), ("OPENAI_API_KEY",)
)
SERVICES: dict[str, Service] = {
    "openai": _OPENAI,
    "openai-chat": _OPENAI._replace(api="chat"),
    "openai-responses": _OPENAI,
    "anthropic": Service(
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_BASE_URL",),
        ("ANTHROPIC_API_KEY",),
    ),
    "google": Service(
        "google",
        "https://generativelanguage.googleapis.com",
        ("GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"),
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    "deepseek": Service(
        "chat", "https://api.deepseek.com", ("DEEPSEEK_BASE_URL",), ("DEEPSEEK_API_KEY",)
    ),
    "openrouter": Service(
        "chat",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_BASE_URL",),
        ("OPENROUTER_API_KEY",),
    ),
    "ollama": _local("OLLAMA", 11434, "OLLAMA_HOST"),
    "vllm": _local("VLLM", 8000),
    "sglang": _local("SGLANG", 30000),
    "llamacpp": _local("LLAMACPP", 8080),
    "lmstudio": _local("LMSTUDIO", 1234),
}
# Names that tell whose model it is.
_FAMILIES = {
    "deepseek": re.compile(r"deepseek-"),
    "openai": re.compile(r"(gpt-|chatgpt-|o\d|codex-)"),
    "anthropic": re.compile(r"claude-"),
    "google": re.compile(r"gemini-"),
}
FORMS = (
    "api/deepseek-chat, api/gpt-…, api/claude-…, api/gemini-…, or with the endpoint's kind:"
    f" {', '.join(f'api/{name}:MODEL' for name in SERVICES)}"
)


class NoEndpoint(Exception):
    """A name that stands for no endpoint, or one whose key is not set; says what to do.
    `variable`: the one that is missing."""

    def __init__(self, message: str, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class Endpoint(NamedTuple):
    """A model and where it is. `key` is None where none is set (a local server needs none);
    `vendor`: the address is the service's own, so that its price list holds."""

    service: str
    api: Api
    model: str
    url: str
    url_variable: str
    key: str | None
    key_variable: str
    vendor: bool
    local: bool


def find(name: str | None, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of `MODEL` or `KIND:MODEL`. NoEndpoint says what is missing."""
    if not name:
        raise NoEndpoint(f"no model is named. Write {FORMS}")
    kind, colon, model = name.partition(":")
    if not colon or kind not in SERVICES:
        kind, model = _family(name, environment), name
    if not model:
        raise NoEndpoint(f"{name!r} names no model: write {kind}:MODEL")
    service = SERVICES[kind]
    set_url = next((v for v in service.url_variables if environment.get(v)), None)
    set_key = next((v for v in service.key_variables if environment.get(v)), None)
    url = service.url if set_url is None else _address(environment[set_url], set_url, service)
    vendor = url.rstrip("/") == service.url and not service.local
    url_variable, key_variable = service.url_variables[0], set_key or service.key_variables[0]
    if vendor and set_key is None:
        raise NoEndpoint(
            f"{name} is asked at {url}, which needs a key: set {key_variable}."
            f" For another address set {url_variable}.",
            key_variable,
        )
    # OpenAI's own newer API is hardly spoken elsewhere: another address gets what all speak.
    api: Api = "chat" if kind == "openai" and not vendor else service.api
    key = environment[set_key] if set_key else None
    return Endpoint(
        kind, api, model, url, set_url or url_variable, key, key_variable, vendor, service.local
    )


def _family(name: str, environment: Mapping[str, str]) -> str:
    """Whose model a bare name is; OPENAI_BASE_URL takes those that nobody else is set up for."""
    compatible = bool(environment.get("OPENAI_BASE_URL"))
    for kind, pattern in _FAMILIES.items():
        if pattern.match(name):
            variables = SERVICES[kind].key_variables + SERVICES[kind].url_variables
            set_up = any(environment.get(variable) for variable in variables)
            return kind if set_up or not compatible else "openai"
    if compatible:
        return "openai"
    raise NoEndpoint(
        f"{name!r} does not tell where the model is. Write {FORMS}; or set OPENAI_BASE_URL to the"
        " address of an OpenAI-compatible server"
    )


def _address(said: str, variable: str, service: Service) -> str:
    """A base URL as clients want it; OLLAMA_HOST may be `host`, `host:port` or `0.0.0.0`."""
    said = said.strip().rstrip("/")
    if variable == "OLLAMA_HOST":
        said = said if "//" in said else f"http://{said}"
        parts = urlsplit(said)
        host = parts.hostname or "127.0.0.1"
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        host = f"[{host}]" if ":" in host else host
        port = parts.port or (443 if parts.scheme == "https" else 11434)
        said = f"{parts.scheme}://{host}:{port}{parts.path.removesuffix('/v1')}/v1"
    parts = urlsplit(said)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoEndpoint(
            f"{variable} is {said!r}, which is no address; it looks like {service.url}", variable
        )
    return said
