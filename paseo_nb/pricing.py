"""What tokens cost at some rates. Pure: supervisors hold budgets by it, `cost()` tells by it."""

from __future__ import annotations

import msgspec

from .model import Rate, Rates, Usage

MILLION = 1_000_000


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
