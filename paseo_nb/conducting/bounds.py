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
    usd, tokens = _left(parent, past_of(parent))
    most = Limits(timeout_s=mine.timeout_s, depth=mine.depth - 1)
    if usd is not None:
        most.cost_usd = _part("budgetUsd", "${:.4g}", wish.budget, usd, usd / 2)
    if tokens is not None:
        part = _part("tokenBudget", "{:,} tokens", wish.token_budget, tokens, tokens // 2)
        most.tokens = int(part)
    return msgspec.structs.replace(
        wish,
        most=most,
        budget=most.cost_usd if most.cost_usd is not None else wish.budget,
        token_budget=most.tokens if most.tokens is not None else wish.token_budget,
    )


def may_go_on(child: AsyncRun, parent: AsyncRun) -> dict[str, Any]:
    """What a child that gets another prompt may use in all, as `expect` has it. UsageProblem where
    its parent has less left than it may still use."""
    its, past = child.spec.limits, past_of(parent)
    if child.id not in past.kin.expected:  # else all that it may use is taken already
        usd, tokens = _left(parent, past)
        its_usd, its_tokens = _left(child, past_of(child))
        for form, left, its_left in (
            ("${:.4g}", usd, its_usd),
            ("{:,} tokens", tokens, its_tokens),
        ):
            if left is not None and its_left is not None and its_left > left:
                raise UsageProblem(
                    f"{form.format(max(left, 0))} of your budget are left, and it may use"
                    f" {form.format(its_left)} more: too little for it to go on"
                )
    return {"child": child.id, "cost_usd": its.cost_usd, "tokens": its.tokens}


def _left(run: AsyncRun, past: Past) -> tuple[float | None, int | None]:
    """US dollars and tokens that a run may still use, with those below it; None: no limit."""
    limits = run.spec.limits
    usd = None if limits.cost_usd is None else limits.cost_usd - past.spent.usd
    tokens = None if limits.tokens is None else limits.tokens - past.tokens
    return (
        None if usd is None else usd - past.kin.cost_usd(),
        None if tokens is None else tokens - past.kin.used(),
    )


def _part(name: str, form: str, asked: float | None, left: float, usual: float) -> float:
    if left <= 0 or (asked is not None and asked > left):
        wanted = "" if asked is None else f", less than {name}={asked:g}"
        raise UsageProblem(f"{form.format(max(left, 0))} of your budget are left{wanted}")
    return usual if asked is None else asked


def unborn(parent: AsyncRun) -> list[str]:
    """The children that a parent reserved something for and that never came to a turn. To be asked
    by who holds its family's lock: nobody is just launching one."""

    def never_came(child: str) -> bool:
        if not parent.host.folder(child).spec.exists():
            return True
        history = AsyncRun(parent.host, child).history()
        return history.archived and not history.turns

    return [one for one in past_of(parent).kin.expected if never_came(one)]


def untold(parent: AsyncRun) -> bool:
    """Whether a child's turn is over whose news the parent has not taken up yet."""
    return any(_is_over(AsyncRun(parent.host, one)) for one in past_of(parent).kin.expected)


def _is_over(run: AsyncRun) -> bool:
    history = run.history()
    return bool(history.turns) and not history.turn_open and not history.queued


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
