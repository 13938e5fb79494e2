"""Our skills for other agents: SKILL.md files put where an agent looks for them, and taken away.

What was put is written down with its hash, so that uninstalling removes exactly that: a file that
somebody changed, or that was there before, is left and said.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import UsageProblem
from ..journal import private_dir

_FOLDER = Path(__file__).with_name("skills")
SHARED = "~/.agents/skills"  # the Agent Skills standard's: codex, copilot, gemini, opencode, pi
MADE = "folder"  # instead of a hash
PLACES = {
    "claude": "~/.claude/skills",
    **dict.fromkeys(("codex", "copilot", "gemini", "opencode", "pi"), SHARED),
}


Do = Callable[[Path, bytes, dict[str, str]], str]


class Skill(msgspec.Struct):
    """One skill in one place. done: what was done, or how it is."""

    skill: str
    agents: str
    path: str
    done: str


def installed(agents: list[str]) -> list[Skill]:
    """Put all skills where these agents look."""
    return _each(agents, _install)


def uninstalled(agents: list[str]) -> list[Skill]:
    """Take away what was put there, and nothing else. Who shares the place loses them, too."""
    return _each(agents, _uninstall)


def shown(agents: list[str]) -> list[Skill]:
    """How it is."""

    def look(path: Path, text: bytes, ours: dict[str, str]) -> str:
        if not path.exists():
            return "not installed"
        if _hash(path.read_bytes()) == _hash(text):
            return "installed"
        return "an older one of ours" if _is_ours(path, ours) else "another's"

    return _each(agents, look)


def _each(agents: list[str], do: Do) -> list[Skill]:
    for agent in agents:
        if agent not in PLACES:
            raise UsageProblem(f"no skills for {agent!r}; there are {', '.join(PLACES)}")
    ours = _manifest()
    found: list[Skill] = []
    for place in dict.fromkeys(PLACES[agent] for agent in agents or PLACES):
        readers = ", ".join(agent for agent, where in PLACES.items() if where == place)
        for skill in sorted(path.name for path in _FOLDER.iterdir() if path.is_dir()):
            path = _expanded(place) / skill / "SKILL.md"
            text = (_FOLDER / skill / "SKILL.md").read_bytes()
            try:
                done = do(path, text, ours)
            except OSError as error:
                done = f"failed: {error.strerror or error}"
            found.append(Skill(skill, readers, str(path), done))
    _keep(ours)
    return found


def _expanded(place: str) -> Path:
    """A place; Claude Code's own folder may be elsewhere."""
    moved = os.environ.get("CLAUDE_CONFIG_DIR")
    if moved and place == PLACES["claude"]:
        return Path(moved).expanduser() / "skills"
    return Path(place).expanduser()


def _install(path: Path, text: bytes, ours: dict[str, str]) -> str:
    there = path.exists()
    if there and _hash(path.read_bytes()) == _hash(text):
        return "installed"
    if there and not _is_ours(path, ours):
        return "left: another file stands there, or you changed it"
    for folder in (path.parent, path.parent.parent):
        if not folder.exists():
            ours[str(folder)] = MADE
    private_dir(path.parent)
    path.write_bytes(text)
    ours[str(path)] = _hash(text)
    return "installed"


def _uninstall(path: Path, text: bytes, ours: dict[str, str]) -> str:
    if not path.exists():
        ours.pop(str(path), None)
        return "not installed"
    if not _is_ours(path, ours):
        return "left: another file stands there, or you changed it"
    path.unlink()
    ours.pop(str(path), None)
    for folder in (path.parent, path.parent.parent):
        with contextlib.suppress(OSError):  # what holds something else stays
            if ours.get(str(folder)) == MADE:
                folder.rmdir()
                del ours[str(folder)]
    return "removed"


def _is_ours(path: Path, ours: dict[str, str]) -> bool:
    return ours.get(str(path)) == _hash(path.read_bytes())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest_path() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "paseo_nb" / "skills.json"


def _manifest() -> dict[str, str]:
    try:
        return msgspec.json.decode(_manifest_path().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def _keep(ours: dict[str, str]) -> None:
    path = _manifest_path()
    if ours or path.exists():
        private_dir(path.parent)
        path.write_bytes(msgspec.json.encode(ours))
