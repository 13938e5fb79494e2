"""What `agentType` stands for: a profile, a built-in kind of Claude Code's, or a file of its own.

Such a file (`.claude/agents/NAME.md`, the nearest wins, then the user's) says in front matter which
model, and below it what the agent is told. It becomes part of the prompt, so that a changed file is
another step.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ... import config
from ...errors import UsageProblem

BUILT_IN = {"general-purpose": None, "explore": "read", "plan": "read"}  # the mode that they have
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*\n?", re.DOTALL)
_LINE = re.compile(r"^(\w+):\s*(.*?)\s*$", re.MULTILINE)


class Kind(msgspec.Struct, frozen=True):
    """An agentType. told: what comes before the prompt."""

    agent: str | None = None
    model: str | None = None
    mode: str | None = None
    told: str = ""


def kind(name: str, start: Path | None = None) -> Kind:
    """What a name stands for. UsageProblem where it is nothing."""
    here = (start or config.here()).resolve()
    root = config.project_root(here)
    if name in config.settings(root).profiles:
        return Kind(agent=f"@{name}")
    up = [here, *here.parents]
    nearest = up[: up.index(root) + 1] if root in up else [root]
    for folder in [*nearest, Path.home()]:
        path = folder / ".claude" / "agents" / f"{name}.md"
        if re.fullmatch(r"[\w.-]+", name) and path.is_file():
            return _of_file(path)
    if name.lower() in BUILT_IN:
        return Kind(mode=BUILT_IN[name.lower()])
    raise UsageProblem(
        f"agentType {name!r}: there is no profile of this name ([profiles.{name}]), and no"
        f" .claude/agents/{name}.md"
    )


def _of_file(path: Path) -> Kind:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} cannot be read: {error}") from error
    front = _FRONT.match(text)
    facts = dict(_LINE.findall(front[1])) if front else {}
    told = text[front.end() :] if front else text
    model = facts.get("model", "").strip("\"'")
    return Kind(model=model or None, told=told.strip())
