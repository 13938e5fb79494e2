"""By what a budget in US dollars will be held: an agent's own word, or its model's price.

Looked up at the launch, where the table is at hand, and handed to the supervisor in the spec. A
budget that nothing could hold is refused where it was asked for, and said where the settings are
the ones that ask.
"""

from __future__ import annotations

from typing import Any

import msgspec

from . import config
from .drivers.registry import Resolved
from .errors import UsageProblem
from .model import Common, Limits, Pricing, Rates

INSTEAD = "token_budget= (a limit of tokens) or timeout= (of time) can be"


def check(budget: float | None, resolved: Resolved, settings: config.Settings) -> None:
    """UsageProblem for a budget of this run that could not be kept."""
    if budget is None or resolved.tells_cost is not False:
        return
    rates, why = _rates(resolved, settings)
    if rates is None and why:
        raise UsageProblem(_unkept(resolved, why, "budget= could not be kept"))


def pricing(
    limits: Limits, asked: bool, resolved: Resolved, settings: config.Settings
) -> tuple[Pricing | None, str | None]:
    """What a run's dollars are counted by, and what of its budgets is not kept. asked: whether the
    run's own was asked for it; None for an agent whose dollars are made up."""
    if resolved.scripted:
        return None, None
    found = Pricing(
        prices={name: _told(price) for name, price in settings.prices.items()},
        tells=resolved.tells_cost,
        firm=asked,
    )
    own = limits.cost_usd is not None
    if not (own or any(one.usd is not None for one in limits.common)):
        return found, None
    rates, why = _rates(resolved, settings)
    if rates is not None:
        found.rates[resolved.model or ""] = rates
        return found, None
    if resolved.tells_cost is not False or not why:
        return found, None  # its model may go by another name where it is called
    whose = "the budget of the settings is not kept" if own else "budgets of the day and project"
    return found, _unkept(resolved, why, whose if own else f"{whose} count none of its cost")


def common(settings: config.Settings) -> list[Common]:
    """The budgets that all runs of the project share."""
    day = Common("day", settings.day_budget, settings.day_tokens, _seconds(settings.day_hours))
    project = Common(
        "project",
        settings.project_budget,
        settings.project_tokens,
        _seconds(settings.project_hours),
    )
    return [one for one in (day, project) if (one.usd, one.tokens, one.seconds) != (None,) * 3]


def _seconds(hours: float | None) -> float | None:
    return None if hours is None else hours * 3600


def _rates(resolved: Resolved, settings: config.Settings) -> tuple[Rates | None, str]:
    """Of the model that is named; neither rates nor a reason where the agent chooses it."""
    from .tracing.prices import SUBSCRIPTIONS, Book

    if not resolved.model:
        return None, "paid by subscription" if resolved.extends in SUBSCRIPTIONS else ""
    book, names = Book(settings.prices), (resolved.provider, resolved.model)
    return book.rates(*names, at_heart=resolved.extends)


def _unkept(resolved: Resolved, why: str, what: str) -> str:
    reason = "is " + why if why.startswith("paid") else f"tells no cost, and there is {why}"
    said = f"{resolved.provider} {reason}: {what}. {INSTEAD}"
    if "subscription" in why:
        return said
    return f'{said}; or name the model in full, or tell its price: [prices."{resolved.model}"]'


def _told(price: config.Price) -> dict[str, Any]:
    told = msgspec.to_builtins(price)
    return {name: value for name, value in told.items() if value is not None}
