"""Workflows in files: which there are, and one of them by its name.

`paseo_workflows/` and `.claude/workflows/` are looked for from the current folder up to the
project's root, the nearest wins; then the user's own folder, then `catalog`. A file has one
workflow, named as the file: Python, or JavaScript as Claude Code's scripts are written. It is code:
a project's counts only after `trust`, with this very content.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Literal

import msgspec

from .. import config, trusting
from ..errors import UsageProblem
from .catalog import BUILT_IN
from .flows import Flow
from .javascript import bodies, meta
from .loading import loaded
from .values import Origin
from .workflows import Workflow

SUFFIXES = (".py", ".js")  # where a folder has both, the first counts
FOLDERS = ("paseo_workflows", ".claude/workflows")


class Found(msgspec.Struct, frozen=True):
    """A workflow in a file. description: its docstring's first line, or what its meta says, read
    without running it."""

    name: str
    path: Path
    source: Literal["project", "user", "built-in"]
    trusted: bool
    description: str | None


def found(start: Path | None = None) -> list[Found]:
    """The workflows that can be named here, by name."""
    here = (start or config.here()).resolve()
    root = config.project_root(here)
    up = [here, *here.parents]
    nearest = up[: up.index(root) + 1] if root in up else [root]
    known: dict[str, Found] = {}
    for folder in nearest:
        for name in FOLDERS:
            for path in _files(folder / name):
                known.setdefault(path.stem, _told(path, "project"))
    for path in _files(trusting.user_folder() / "workflows"):
        known.setdefault(path.stem, _told(path, "user"))
    for name, one in BUILT_IN.items():
        doc = str(one.__doc__).splitlines()[0]
        path = Path(inspect.getfile(one.function))
        known.setdefault(name, Found(name, path, "built-in", True, doc))
    return [known[name] for name in sorted(known)]


def _files(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()]
        return sorted(found, key=lambda path: (path.stem, SUFFIXES.index(path.suffix)))
    except OSError:
        return []


def _told(path: Path, source: Literal["project", "user"]) -> Found:
    content = _read(path)
    trusted = source == "user" or trusting.is_trusted(path, content)
    return Found(path.stem, path, source, trusted, _description(path, content))


def _description(path: Path, content: bytes) -> str | None:
    try:
        if path.suffix == ".js":
            return meta.read(content.decode(), path.name).meta.description
        doc = ast.get_docstring(ast.parse(content))
    except (SyntaxError, ValueError):
        return None
    return doc.splitlines()[0] if doc else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}") from None


def named(name: str, start: Path | None = None) -> Workflow | Flow:
    """The workflow of that name, or in the file of that path. UsageProblem where there is none, or
    its file does not run; NotTrusted."""
    one = _at(Path(name), start) if name.endswith(SUFFIXES) else _called(name, start)
    if one.source == "built-in":
        return BUILT_IN[one.name]
    content = _read(one.path)
    if one.source == "project" and not trusting.is_trusted(one.path, content):
        raise trusting.not_trusted(one.path, "is a workflow, which is code that would run")
    if one.path.suffix == ".js":
        return _script(one, content)
    made = loaded(content, one.name, None, str(one.path), str(one.path))
    return made.with_text(content.decode(), Origin())


def _called(name: str, start: Path | None) -> Found:
    known = {one.name: one for one in found(start)}
    name = name if name in known else name.replace("_", "-")
    if name not in known:
        there = ", ".join(known) or "none"
        raise UsageProblem(
            f"no workflow {name!r}; there is: {there}. One lies in paseo_workflows/{name}.py"
        )
    return known[name]


def _at(path: Path, start: Path | None) -> Found:
    """A file by its path: the user's own, or one that counts once it is trusted."""
    path = ((start or config.here()) / path.expanduser()).resolve()
    own = (trusting.user_folder() / "workflows").resolve()
    return _told(path, "user" if path.parent == own else "project")


def _script(one: Found, content: bytes) -> Workflow:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageProblem(f"{one.path} is no text in UTF-8") from None
    return bodies.script(text, one.name).with_text(text, Origin())
