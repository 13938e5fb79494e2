"""What a child may have of its parent: no wider policy, a part of its budget, so many, so deep.

A parent may allow for a child only what its own policy would let pass by itself; what that leaves
to a person waits for one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..drivers.reading import reading_for
from ..errors import UsageProblem
from ..handle import AsyncRun
from ..model import Limits, Mode, Permission, Rule
from ..preparing import Cell, Wish
from ..supervisor.policy import Decision, decide, inside
from ..supervisor.recovery import Past, read_past

WIDTH: dict[str, int] = {"read": 0, "ask": 1, "edit": 2, "auto": 3}


def mode_of(run: AsyncRun) -> Mode:
    """The permission mode that holds in a run now."""
    return run.history().asked.get("mode", run.spec.mode)  # pyright: ignore[reportReturnType]


def policy(wish: Wish, parent: AsyncRun) -> Wish:
    """The wish with its parent's rules, and a mode no wider than its parent's. UsageProblem."""
    held = mode_of(parent)
    spec = parent.spec
    if wish.mode is not None and WIDTH.get(wish.mode, 9) > WIDTH[held]:
        raise UsageProblem(f"mode {wish.mode!r} is wider than yours, {held!r}")
    mode = wish.mode or held
    roots = spec.write_roots or [spec.cwd]
    own = wish.worktree is not None
    if mode == "edit" and held == "edit" and not own and not inside(wish.repo or spec.cwd, roots):
        if wish.mode is not None:
            raise UsageProblem(
                f"mode 'edit' in {wish.repo} is wider than yours, which holds in {roots[0]}: give"
                " it a worktree of its own (worktreeName), or mode 'ask'"
            )
        mode = "ask"
    if wish.agent_mode is not None and held != "auto":
        raise UsageProblem(f"an agent mode may be chosen in mode 'auto' only; yours is {held!r}")
    return msgspec.structs.replace(
        wish,
        mode=mode,
        allow=_texts(spec.rules, "allow"),
        deny=[*_texts(spec.rules, "deny"), *(wish.deny or ())],
        cell=Cell(notebook=spec.notebook),  # which it is asked about before it changes it, too
    )


def _texts(rules: list[Rule], verdict: str) -> list[str]:
    return [str(rule).partition(" ")[2] for rule in rules if rule.verdict == verdict]


def limits(wish: Wish, parent: AsyncRun) -> Wish:
    """The wish with its part of what its parent has left: what it asks for, else half. UsageProblem
    where that is nothing, or too deep, or one too many."""
    mine = parent.spec.limits
    if mine.depth < 1:
        raise UsageProblem("you may start no agents: you are as deep as conduct_depth allows")
    if wish.conduct and mine.depth < 2:
        raise UsageProblem("it may start no agents of its own: conduct_depth would be passed")
    alive = [one for one in children(parent) if one.state != "archived"]
    if len(alive) >= mine.children:
        raise UsageProblem(
            f"you have {len(alive)} agents, as many as conduct_children allows: archive one first"
        )
    past = past_of(parent)
    most = Limits(timeout_s=mine.timeout_s, depth=mine.depth - 1)
    if mine.cost_usd is not None:
        left = mine.cost_usd - past.spent.usd - past.kin.cost_usd()
        most.cost_usd = _part("budgetUsd", wish.budget, left, left / 2)
    if mine.tokens is not None:
        left = mine.tokens - past.tokens - past.kin.used()
        most.tokens = int(_part("tokenBudget", wish.token_budget, left, left // 2))
    return msgspec.structs.replace(
        wish,
        most=most,
        budget=most.cost_usd if most.cost_usd is not None else wish.budget,
        token_budget=most.tokens if most.tokens is not None else wish.token_budget,
    )


def may_go_on(child: AsyncRun, parent: AsyncRun) -> dict[str, Any]:
    """What a child that gets another prompt may use in all, as `expect` has it. UsageProblem where
    its parent has less left than it may still use."""
    mine, its = parent.spec.limits, child.spec.limits
    past, before = past_of(parent), past_of(child)
    if mine.cost_usd is not None and its.cost_usd is not None:
        left = mine.cost_usd - past.spent.usd - past.kin.cost_usd()
        if child.id not in past.kin.expected and its.cost_usd - before.spent.usd > left:
            raise UsageProblem(f"${left:.4g} of your budget are left: too little for it to go on")
    return {"child": child.id, "cost_usd": its.cost_usd, "tokens": its.tokens}


def _part(name: str, asked: float | None, left: float, usual: float) -> float:
    if left <= 0 or (asked is not None and asked > left):
        wanted = "" if asked is None else f", less than {name}={asked:g}"
        raise UsageProblem(f"{max(left, 0):.4g} of your budget are left{wanted}")
    return usual if asked is None else asked


def past_of(run: AsyncRun) -> Past:
    """What a run's journal tells a supervisor: the same sums that it goes by."""
    spec = run.spec
    return read_past(run.host.folder(run.id), reading_for(spec.dialect, spec.at_heart))


def children(run: AsyncRun) -> list[AsyncRun]:
    """The runs that a run started."""
    return [AsyncRun(run.host, child) for child in run.children]


def may_answer(permission: Permission, child: AsyncRun, parent: AsyncRun) -> Decision:
    """What the parent's own policy says to what a child asks for."""
    call = {"kind": permission.kind, "rawInput": permission.input, "title": permission.title}
    spec, roots = parent.spec, list(parent.spec.write_roots)
    if child.spec.worktree is not None:
        roots += child.spec.write_roots
    return decide(mode_of(parent), call, roots, child.spec.cwd, spec.rules, spec.notebook)
