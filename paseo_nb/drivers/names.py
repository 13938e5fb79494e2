"""What a user's name for a model, mode or effort stands for, among the ids that an agent offers.

Exact id, the agent's own alias or display name, then the same in another spelling: `Opus 4.8`,
`opus-4.8` and `claude-opus-4-8` are one model, `gpt-5` and `gpt-5-mini` are two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..model import Problem
from .seat import AgentProblem

_PARTS = re.compile(r"[a-z]+|\d+")
_DATE = re.compile(r"20\d{6}")


def resolve_name(what: str, wanted: str, offered: Mapping[str, str]) -> str:
    """The id that is meant, of `offered` (id -> display name, "" where it has none); any name goes
    where nothing is offered. AgentProblem for one that fits none or several, with the nearest."""
    if not offered or wanted in offered:
        return wanted
    folded = wanted.casefold()
    for fits in (
        [ident for ident, name in offered.items() if folded in (ident.casefold(), name.casefold())],
        [ident for ident, name in offered.items() if parts(wanted) in (parts(ident), parts(name))],
        [ident for ident in offered if parts(wanted) == parts(last_part(ident))],
        undated([ident for ident in offered if same_name(wanted, ident)]),
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise _problem(what, f"{wanted!r} fits several: {', '.join(fits[:8])}", "Name one.")
    import difflib  # a supervisor starts without it

    near = difflib.get_close_matches(wanted, offered, n=5, cutoff=0.3) or list(offered)[:8]
    said = f"the agent knows no {what.replace('_', ' ')} {wanted!r}"
    raise _problem(what, said, f"Nearest: {', '.join(near)}.")


def same_name(asked: str, answered: str) -> bool:
    """Whether an answer can be what was asked for: the same words, but for a vendor in front, a
    date behind, or (for a name without numbers, an alias) its version."""
    wanted, found = parts(last_part(asked)), parts(last_part(answered))
    if not wanted:
        return False
    for start in range(len(found) - len(wanted) + 1):
        if found[start : start + len(wanted)] == wanted:
            rest = found[start + len(wanted) :]
            alias = not any(part.isdigit() for part in wanted)
            if all(_DATE.fullmatch(p) or p == "latest" or (alias and p.isdigit()) for p in rest):
                return True
    return False


def parts(name: str) -> list[str]:
    """The words and numbers of a name, whatever stands between them."""
    return _PARTS.findall(name.casefold())


def undated(names: list[str]) -> list[str]:
    """Without the names that are another one with a date."""
    bare = [name for name in names if not any(_DATE.fullmatch(part) for part in parts(name))]
    return bare or names


def last_part(name: str) -> str:
    """Behind the provider of `provider/model`, and of a URL what is behind its #."""
    return re.split(r"[/#]", name)[-1]


def _problem(what: str, message: str, hint: str) -> AgentProblem:
    return AgentProblem(Problem(f"unknown_{what}", message, hint))
