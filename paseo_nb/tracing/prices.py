"""What tokens cost: rates of a model, from the settings (`[prices]`) or the bundled table.

The table is genai-prices', as it was when that version was made: nothing is fetched. `Rates` and
`priced` are pure; a model that neither names has no price, which is no price of 0.
"""

from __future__ import annotations

import datetime
import fnmatch
import functools
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import msgspec

from ..config import Price
from ..model import Usage

# Whose models an agent uses where their names do not tell it.
VENDORS = {"claude": "anthropic", "codex": "openai", "gemini": "google"}
SUBSCRIPTIONS = {"copilot"}  # billed by requests of a plan: tokens have no price there
MILLION = 1_000_000


class Rate(msgspec.Struct, frozen=True):
    """US dollars per million tokens; `tiers`: (above so many input tokens, rate for all of them),
    in rising order."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()

    def at(self, input_tokens: int, one_request: bool) -> float:
        """The rate that holds. Of the sum of several requests, which tier held is not known: the
        first."""
        above = [rate for start, rate in self.tiers if one_request and input_tokens > start]
        return above[-1] if above else self.base


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """A model's rates; `source` names the table and its version. A rate that is None is that of
    plain input."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    cache_write: Rate | None = None
    cache_write_1h: Rate | None = None
    source: str = ""
    model: str = ""


class Priced(msgspec.Struct, frozen=True):
    """What something cost in US dollars; what it had cost without a cache; `saved` is the
    difference, which is negative where what was written was not read often enough."""

    usd: float
    input_usd: float
    without_cache_usd: float

    @property
    def saved_usd(self) -> float:
        """Negative: the cache cost more than it saved."""
        return self.without_cache_usd - self.usd


def priced(
    usage: Usage, rates: Rates, *, written_1h: int = 0, one_request: bool = True
) -> Priced | None:
    """The price of some usage; None where its input or output was not told."""
    into, out = usage.input_tokens, usage.output_tokens
    if into is None or out is None:
        return None
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0

    def of(rate: Rate | None) -> float:
        return (rate or rates.input).at(into, one_request) / MILLION

    plain = max(into - read - written, 0) * of(rates.input)
    kept = min(written_1h, written)
    cached = read * of(rates.cache_read) + (written - kept) * of(rates.cache_write)
    cached += kept * of(rates.cache_write_1h or rates.cache_write)
    output = out * of(rates.output)
    return Priced(plain + cached + output, plain + cached, into * of(rates.input) + output)


class Book:
    """The prices that hold: the settings' over the bundled table's."""

    def __init__(self, overrides: Mapping[str, Price] | None = None) -> None:
        # A name goes before a pattern, whatever their order: it means this model.
        self._overrides = dict(sorted((overrides or {}).items(), key=lambda one: "*" in one[0]))

    def rates(
        self, provider: str, model: str | None, at_us: int | None = None
    ) -> tuple[Rates | None, str]:
        """The rates of a model of a provider of ours, at a time; else None and why not."""
        if not model:
            return None, "the agent tells no model"
        for name, given in self._overrides.items():
            if any(fnmatch.fnmatchcase(one, name) for one in (model, f"{provider}/{model}")):
                if given.subscription:
                    return None, "paid by subscription"
                return _from_settings(given, model)
        if provider in SUBSCRIPTIONS:
            return None, "paid by subscription"
        when = datetime.date.today() if at_us is None else _day(at_us)
        found = _bundled(VENDORS.get(provider), model, when)
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
