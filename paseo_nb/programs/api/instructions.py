"""The system prompt: our own text, where the agent is, and the repository's own instructions."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from string import Template

_FILES = ("AGENTS.md", "CLAUDE.md")
_LONGEST = 32_000
_PLAN = (
    "\n\nThe user has chosen the mode “plan”: read and search, then propose what to do. Do not"
    " edit files and do not run commands; such calls are refused."
)


def instructions(cwd: str, mode: str) -> str:
    """The system prompt for a session."""
    text = Path(__file__).with_name("instructions.md").read_text(encoding="utf-8")
    where = f"{platform.system()} {platform.machine()}"
    said = Template(text).substitute(cwd=cwd, platform=where).rstrip()
    for path in _own_files(Path(cwd)):
        found = path.read_text(encoding="utf-8", errors="replace")
        if len(found) > _LONGEST:
            found = found[:_LONGEST] + "\n[cut here; read the file for the rest]"
        said += f"\n\n# From {path}\n\n{found.strip()}"
    return said + (_PLAN if mode == "plan" else "")


def _own_files(cwd: Path) -> list[Path]:
    """AGENTS.md, else CLAUDE.md: of the repository's root and of the folder, where they differ."""
    root = next((p for p in (cwd, *cwd.parents) if (p / ".git").exists()), cwd)
    found: list[Path] = []
    for folder in dict.fromkeys((root, cwd)):
        for name in _FILES:
            path = folder / name
            if path.is_file() and os.access(path, os.R_OK):
                found.append(path)
                break
    return found
