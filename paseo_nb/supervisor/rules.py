"""Rules of the permission policy: what a user allows or denies by kind, command and path.

A deny stands above every mode and every allow. An allow is narrow on purpose: a command passes only
where it is one plain command, as a pattern like `pytest *` must not let `pytest; curl …` pass. A
deny is wide: its plain words are looked for anywhere in the command. No text rule can catch every
way to write a command (`git -C . push`): to forbid commands for certain, deny `execute` itself.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Sequence
from typing import Any

from ..drivers.acp_reading import as_dict, as_list, as_str
from ..model import Rule

_OPERATORS = re.compile(r"[;&|`<>\n\r]|\$\(")
_ESCAPED = re.compile(r"\[([*?[])\]")
_NOISE = re.compile(r"[\"'\\(){};&|`$<>\s]+")
_COMMAND_KEYS = ("command", "cmd", "commandLine", "command_line", "script")


def matching(
    rules: Sequence[Rule], tool_call: dict[str, Any], paths: Sequence[str], cwd: str
) -> Rule | None:
    """The rule that decides about a tool call; None where none speaks of it."""
    kind = as_str(tool_call.get("kind")) or "other"
    about = [rule for rule in rules if rule.kind in ("*", kind)]
    for rule in about:
        if rule.verdict == "deny" and _denies(rule, tool_call, paths, cwd):
            return rule
    for rule in about:
        if rule.verdict == "allow" and _allows(rule, tool_call, paths, cwd):
            return rule
    return None


def command_of(tool_call: dict[str, Any]) -> str | None:
    """The command that a call runs, as its input tells it; "" where it is known not to be told."""
    given = as_dict(tool_call.get("rawInput"))
    for key in _COMMAND_KEYS:
        value = given.get(key)
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, list):
            words = [str(word) for word in as_list(value)]
            shell = len(words) == 3 and os.path.basename(words[0]) in ("sh", "bash", "zsh")
            return words[2].strip() if shell and words[1] in ("-c", "-lc") else " ".join(words)
    return None


def _denies(rule: Rule, tool_call: dict[str, Any], paths: Sequence[str], cwd: str) -> bool:
    """Whether any part of the call is what the rule forbids."""
    if rule.pattern is None:
        return True
    command = command_of(tool_call)
    if command == "" and rule.kind == "execute":
        return True  # it may be what the rule forbids
    command = command or as_str(tool_call.get("title")) or ""
    words = " ".join(_NOISE.sub(" ", command).split())
    parts = [command, words, *(part.strip(" ()\t") for part in _OPERATORS.split(command))]
    plain = " ".join(rule.pattern.rstrip("* ").split())
    anywhere = rf"(?:^|[\s/]){re.escape(plain)}(?:\s|$)"
    named = bool(plain) and not set("*?[") & set(plain) and re.search(anywhere, words) is not None
    return (
        (named and rule.kind == "execute")
        or any(_fits(part, rule.pattern) for part in parts if part)
        or any(_path_fits(path, rule.pattern, cwd) for path in paths)
    )


def _allows(rule: Rule, tool_call: dict[str, Any], paths: Sequence[str], cwd: str) -> bool:
    """Whether all of the call is what the rule lets pass."""
    if rule.pattern is None:
        return True
    command = command_of(tool_call)
    if command is not None and (rule.kind == "execute" or not paths):
        return _OPERATORS.search(command) is None and _fits(command, rule.pattern)
    pattern = rule.pattern
    return bool(paths) and all(_path_fits(path, pattern, cwd) for path in paths)


def _fits(text: str, pattern: str) -> bool:
    """`pytest *` fits `pytest` too."""
    return fnmatch.fnmatchcase(text, pattern) or (
        pattern.endswith(" *") and fnmatch.fnmatchcase(text, pattern[:-2])
    )


def _path_fits(path: str, pattern: str, cwd: str) -> bool:
    """Whether a path, its links resolved, fits; a relative pattern is meant from `cwd`."""
    pattern += "**" if pattern.endswith("/") else ""
    whole = _resolved(os.path.join(glob.escape(os.path.realpath(cwd)), os.path.expanduser(pattern)))
    try:
        real = os.path.realpath(os.path.join(cwd, path))
    except ValueError:  # a NUL in it
        return False
    return fnmatch.fnmatchcase(real, whole) or (
        real.startswith(whole.rstrip("/*") + os.sep) and (whole.endswith(("/", "/**")))
    )


def _resolved(pattern: str) -> str:
    """The pattern with the links of its plain beginning resolved."""
    head, tail = pattern, ""
    while glob.has_magic(_ESCAPED.sub("", head)) or not os.path.lexists(_unescaped(head)):
        head, _, last = head.rpartition(os.sep)
        tail = os.path.join(last, tail) if tail else last
        if not head:
            return pattern
    whole = glob.escape(os.path.realpath(_unescaped(head)))
    return os.path.join(whole, tail) if tail else whole


def _unescaped(pattern: str) -> str:
    return _ESCAPED.sub(r"\1", pattern)
