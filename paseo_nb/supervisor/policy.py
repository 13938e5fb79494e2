"""The permission policy: what a mode lets pass by itself. A pure function of the request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ..drivers.acp_reading import as_dict, as_list, as_str
from ..model import Mode, Rule
from .rules import matching

Verdict = Literal["allow", "deny", "ask"]

LOOKING = frozenset({"read", "search", "think"})
CHANGING = frozenset({"edit", "delete", "move"})
_PATH_KEYS = (
    "path", "file_path", "filePath", "abs_path", "absolute_path", "notebook_path",
    "source", "destination", "old_path", "new_path", "filename", "paths", "files",
)  # fmt: skip
_DEEPEST = 6
OWN_NOTEBOOK = (
    "it is the notebook that the run was launched from: where it is open, the next save there"
    " overwrites this change, or a reload loses what was not saved. Save it first, and reload it"
    " afterwards; or have the agent write another file"
)


class Decision(msgspec.Struct):
    """A verdict, the rule behind it, and the least mode that would have let the request pass. why:
    a person is to be asked whatever the mode."""

    verdict: Verdict
    rule: str
    enough: Mode
    why: str | None = None


def decide(
    mode: Mode,
    tool_call: dict[str, Any],
    roots: list[str],
    cwd: str,
    rules: Sequence[Rule] = (),
    notebook: str | None = None,
) -> Decision:
    """What `mode` says to a tool call.

    `auto` lets everything pass; `read` lets only looking pass and never asks; `edit` lets looking
    and edits inside `roots` (the run's own worktree) pass; `ask` asks for everything. A rule that
    speaks of the call stands above the mode; but what mode `read` forbids no rule allows. A change
    of `notebook`, which the run was launched from, is asked for unless a rule allows it.
    """
    kind = as_str(tool_call.get("kind")) or "other"
    looking = kind in LOOKING
    inside = kind in CHANGING and edits_inside(tool_call, roots, cwd)
    enough: Mode = "read" if looking else "edit" if inside else "auto"
    rule = matching(rules, tool_call, named_paths(tool_call), cwd) if rules else None
    if rule is not None and (rule.verdict == "deny" or mode != "read"):
        return Decision(rule.verdict, f"rule {rule}", enough)
    if mode != "read" and not looking and names_file(tool_call, notebook, cwd):
        return Decision("ask", "the notebook it was launched from", enough, OWN_NOTEBOOK)
    if mode == "auto":
        return Decision("allow", "mode auto lets everything pass", enough)
    if mode == "read":
        if looking:
            return Decision("allow", "mode read lets looking pass", enough)
        return Decision("deny", f"mode read forbids {kind}", enough)
    if mode == "edit":
        if looking:
            return Decision("allow", "mode edit lets looking pass", enough)
        if inside:
            return Decision("allow", "mode edit lets edits in the run's worktree pass", enough)
    return Decision("ask", f"mode {mode} asks for {kind}", enough)


def edits_inside(tool_call: dict[str, Any], roots: list[str], cwd: str) -> bool:
    """Whether every path that the call names lies inside the roots (and it names at least one)."""
    paths = named_paths(tool_call)
    return bool(paths) and all(inside(os.path.join(cwd, path), roots) for path in paths)


def names_file(tool_call: dict[str, Any], file: str | None, cwd: str) -> bool:
    """Whether a call names that very file, links resolved."""
    if file is None:
        return False
    named = (real_path(os.path.join(cwd, path)) for path in named_paths(tool_call))
    return real_path(file) in named


def inside(path: str, roots: list[str]) -> bool:
    """Whether a path, links resolved, lies in a root and not in its git folder."""
    real = real_path(path)
    for root in roots:
        base = real_path(root)
        if real == base or real.startswith(base + os.sep):
            return ".git" not in os.path.relpath(real, base).split(os.sep)
    return False


def real_path(path: str) -> str:
    """The path with its links resolved; nothing where it cannot be one (a NUL in it)."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return ""


def named_paths(tool_call: dict[str, Any]) -> list[str]:
    """Every path that a tool call names: locations, diffs, and its input's path fields, those of
    nested edits too."""
    found = [as_str(as_dict(place).get("path")) for place in as_list(tool_call.get("locations"))]
    for block in map(as_dict, as_list(tool_call.get("content"))):
        if block.get("type") == "diff":
            found.append(as_str(block.get("path")))
    return [path for path in found if path] + _paths_in(tool_call.get("rawInput"), False, 0)


def _paths_in(given: Any, named: bool, depth: int) -> list[str]:
    """The paths in a tool's input: what stands under a path key, and keys that are paths."""
    if isinstance(given, str):
        return [given] if named and given else []
    found: list[str] = []
    if depth < _DEEPEST:
        for value in as_list(given):
            found += _paths_in(value, named, depth + 1)
        for key, value in as_dict(given).items():
            if os.path.isabs(key):
                found.append(key)
            found += _paths_in(value, key in _PATH_KEYS, depth + 1)
    return found


def says_yes(options: list[Any], option_id: str | None) -> bool:
    """Whether an option allows; one without a kind that we know does not."""
    known = [as_dict(option) for option in options]
    kinds = [as_str(o.get("kind")) or "" for o in known if o.get("optionId") == option_id]
    return option_id is not None and any(kind.startswith("allow") for kind in kinds)


def pick_option(options: list[Any], allow: bool, option_id: str | None = None) -> str | None:
    """The option that says yes (or no), the one-time kind first; None where there is none."""
    known = [as_dict(option) for option in options]
    if option_id is not None:
        return option_id if any(o.get("optionId") == option_id for o in known) else None
    kinds = ("allow_once", "allow_always") if allow else ("reject_once", "reject_always")
    for kind in kinds:
        for option in known:
            if option.get("kind") == kind:
                return as_str(option.get("optionId"))
    return None
