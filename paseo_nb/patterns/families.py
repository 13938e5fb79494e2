"""Which family a model is of: who made it. A second opinion is worth more from another one."""

from __future__ import annotations

import re
from pathlib import Path

from ..drivers import registry
from ..errors import UsageProblem
from ..examining_agents import look

# Beginnings of models' names, after what a router puts before them (`openrouter/…`).
_BY_MODEL = {
    "anthropic": r"claude|opus|sonnet|haiku|fable",
    "openai": r"gpt|o\d|codex|chatgpt",
    "google": r"gemini|gemma",
    "deepseek": r"deepseek",
    "alibaba": r"qwen|qwq",
    "meta": r"llama",
    "mistral": r"mistral|devstral|codestral|magistral",
    "xai": r"grok",
    "moonshot": r"kimi",
    "zhipu": r"glm",
}
_BY_PROVIDER = {"claude": "anthropic", "codex": "openai", "gemini": "google"}


def family(provider: str, model: str | None) -> str:
    """The family of an agent; its provider's name where the model's tells nothing."""
    name = (model or "").lower().rpartition("/")[2]
    for made_by, beginnings in _BY_MODEL.items():
        if re.match(rf"({beginnings})", name):
            return made_by
    return _BY_PROVIDER.get(provider, provider)


def able(project: Path) -> list[str]:
    """The providers that can be used here: found, signed in where that can be seen, no script."""
    known = registry.providers(project)
    return [
        facts.provider
        for provider, facts in look(project)
        if facts.found and not facts.problem and not known[provider.name].scripted
        if facts.signed_in or provider.name == "api"
    ]


def others(project: Path, than: set[str], count: int = 1) -> list[str]:
    """Agents of families other than these, each of another one; UsageProblem where there are not
    enough of them."""
    found: dict[str, str] = {}
    usable = able(project)
    for provider in usable:
        if provider == "api":
            continue  # which model is not known
        found.setdefault(family(provider, None), provider)
    wanted = [agent for name, agent in found.items() if name not in than]
    if len(wanted) < count:
        raise UsageProblem(
            f"{count} agent(s) of another family are wanted, and there are"
            f" {', '.join(usable) or 'no agents'} signed in here: name them (agent=, agents=), or"
            " set one up; doctor() says how"
        )
    return wanted[:count]
