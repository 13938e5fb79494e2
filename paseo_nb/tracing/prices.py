"""What tokens cost: rates of a model, from the settings (`[prices]`) or the bundled table.

The table is genai-prices', as it was when that version was made: nothing is fetched. A model that
neither names has no price, which is no price of 0. What rates make of tokens is `pricing.priced`,
which supervisors use, too.
"""

from __future__ import annotations

import datetime
import fnmatch
import functools
import importlib.metadata
from collections.abc import Mapping
from typing import Any

from ..config import Price
from ..model import Rate, Rates

# Whose models an agent uses where their names do not tell it.
VENDORS = {"claude": "anthropic", "codex": "openai", "gemini": "google"}
SUBSCRIPTIONS = {"copilot"}  # billed by requests of a plan: tokens have no price there


class Book:
    """The prices that hold: the settings' over the bundled table's."""

    def __init__(self, overrides: Mapping[str, Price] | None = None) -> None:
        # A name goes before a pattern, whatever their order: it means this model.
        self._overrides = dict(sorted((overrides or {}).items(), key=lambda one: "*" in one[0]))

    def rates(
        self,
        provider: str,
        model: str | None,
        at_us: int | None = None,
        at_heart: str | None = None,
    ) -> tuple[Rates | None, str]:
        """The rates of a model of a provider of ours, at a time; else None and why not. at_heart:
        the built-in provider that it is."""
        if not model:
            return None, "the agent tells no model"
        for name, given in self._overrides.items():
            if any(fnmatch.fnmatchcase(one, name) for one in (model, f"{provider}/{model}")):
                if given.subscription:
                    return None, "paid by subscription"
                return _from_settings(given, model)
        known = at_heart or provider
        if known in SUBSCRIPTIONS:
            return None, "paid by subscription"
        when = datetime.date.today() if at_us is None else _day(at_us)
        found = _bundled(VENDORS.get(known), model, when)
        return (found, "") if found is not None else (None, f"no price for {model}")


def table_version() -> str:
    """The bundled table and its version."""
    return f"genai-prices {importlib.metadata.version('genai-prices')}"


def _from_settings(given: Price, model: str) -> tuple[Rates | None, str]:
    if given.input is None or given.output is None:
        return None, f"[prices] has no input and output for {model}"

    def rate(usd: float | None) -> Rate | None:
        return None if usd is None else Rate(usd)

    return Rates(
        input=Rate(given.input),
        output=Rate(given.output),
        cache_read=rate(given.cache_read),
        cache_write=rate(given.cache_write),
        cache_write_1h=rate(given.cache_write_1h),
        source="[prices]",
        model=model,
    ), ""


def _day(at_us: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).date()


@functools.lru_cache(maxsize=512)
def _bundled(vendor: str | None, model: str, day: datetime.date) -> Rates | None:
    from genai_prices.data_snapshot import get_snapshot

    # `vendor/model` as OpenCode and Pi write it, `service:model` as our own agent does.
    named, _, name = model.rpartition("/")
    service, _, rest = name.partition(":")
    tries = [(vendor, model), (named.rpartition("/")[2] or vendor, name), (service, rest)]
    noon = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    for provider_id, ref in tries:
        if not ref:
            continue
        try:
            maker, found = get_snapshot().find_provider_model(ref, None, provider_id, None)
        except LookupError:
            continue
        told = found.get_prices(noon)
        into, out = _rate(told, "input_mtok"), _rate(told, "output_mtok")
        if into is not None and out is not None:
            return Rates(
                input=into,
                output=out,
                cache_read=_rate(told, "cache_read_mtok"),
                cache_write=_rate(told, "cache_write_mtok"),
                cache_write_1h=_rate(told, "cache_1h_write_mtok"),
                source=table_version(),
                model=f"{maker.id}/{found.id}",
            )
    return None


def _rate(told: Any, name: str) -> Rate | None:
    value = getattr(told, name, None)
    if value is None:
        return None
    if hasattr(value, "tiers"):
        tiers = tuple((int(tier.start), float(tier.price)) for tier in value.tiers)
        return Rate(float(value.base), tiers)
    return Rate(float(value))
