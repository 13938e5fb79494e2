"""Cost: computed beside reported, savings that may be negative, and no price is no zero."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import paseo_nb as paseo
from paseo_nb import config
from paseo_nb.config import Price
from paseo_nb.model import Rate, Rates, Usage
from paseo_nb.pricing import priced
from paseo_nb.tracing.cost import Cost, costs
from paseo_nb.tracing.prices import Book

RATES = Rates(
    input=Rate(3.0, ((200_000, 6.0),)),
    output=Rate(15.0, ((200_000, 22.5),)),
    cache_read=Rate(0.3),
    cache_write=Rate(3.75),
    cache_write_1h=Rate(6.0),
)


def used(into: int, out: int, read: int = 0, written: int = 0) -> Usage:
    return Usage(
        input_tokens=into, output_tokens=out, cache_read_tokens=read, cache_write_tokens=written
    )


def test_the_formula() -> None:
    found = priced(used(100_000, 1000, 80_000, 5000), RATES)
    assert found is not None
    assert found.usd == pytest.approx(0.045 + 0.024 + 0.01875 + 0.015)
    assert found.without_cache_usd == pytest.approx(0.315)
    assert found.saved_usd == pytest.approx(0.315 - 0.10275)
    an_hour = priced(used(100_000, 1000, 80_000, 5000), RATES, written_1h=2000)
    assert an_hour is not None
    assert an_hour.usd == pytest.approx(found.usd + 2000 * 2.25e-6)


def test_a_cache_that_is_only_written_costs_more_than_none() -> None:
    found = priced(used(10_000, 0, 0, 10_000), RATES)
    assert found is not None
    assert found.saved_usd == pytest.approx(-0.0075)


def test_a_tier_holds_for_one_request_not_for_a_sum_of_many() -> None:
    big = used(300_000, 1000)
    one, many = priced(big, RATES), priced(big, RATES, one_request=False)
    assert one is not None
    assert many is not None
    assert (one.usd, many.usd) == pytest.approx((1.8225, 0.915))
    assert priced(Usage(input_tokens=3), RATES) is None


def by_level(one: Any, book: Book) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {}
    for row in costs([one.tree()], book):
        found.setdefault(row.span.kind, []).append(row)
    return found


def session(tale: Any, **more: Any) -> Any:
    one = tale(model="m").begin(at=0)
    one.model("a", 0, 1, 1000, 100, model="m", **more)
    one.model("b", 2, 3, 1200, 100, read=1000, model="m", **more)
    return one.end(at=4)


BOOK = Book({"m": Price(input=1.0, output=2.0, cache_read=0.1)})


def test_a_turn_and_a_run_cost_what_their_calls_cost(tale: Any) -> None:
    found = by_level(session(tale), BOOK)
    calls = [one.priced.usd for one in found["model_call"] if one.priced]
    assert calls == pytest.approx([0.0012, 0.0005])
    for level in ("turn", "run"):
        (one,) = found[level]
        assert one.priced is not None
        assert one.priced.usd == pytest.approx(0.0017)
        assert one.priced.saved_usd == pytest.approx(0.0009)


def test_a_difference_to_what_the_agent_reports_is_flagged(tale: Any) -> None:
    same = by_level(session(tale, costUsd=0.00085), BOOK)
    assert [one.differs for one in same["turn"]] == [False]
    other = by_level(session(tale, costUsd=0.002), BOOK)
    assert [one.differs for one in other["run"]] == [True]
    assert other["run"][0].row()[14] == pytest.approx(0.0023)
    assert by_level(session(tale), BOOK)["turn"][0].differs is None


def test_what_has_no_price_is_null_and_says_why(tale: Any) -> None:
    nowhere = by_level(session(tale), Book())
    assert {one.why for rows in nowhere.values() for one in rows} == {"no price for m"}
    assert all(one.priced is None for rows in nowhere.values() for one in rows)
    plan = by_level(session(tale), Book({"claude/*": Price(subscription=True)}))
    assert plan["run"][0].why == "paid by subscription"
    copilot = tale(provider="copilot", model="claude-sonnet-4-5").begin(at=0)
    copilot.model("a", 0, 1, 10, 10, model="claude-sonnet-4-5").end(at=2)
    assert by_level(copilot, Book())["run"][0].why == "paid by subscription"
    silent = tale(model="m").begin(at=0).text("hi").end(at=2)
    assert by_level(silent, BOOK)["run"][0].why == "its tokens were not told"


def test_the_bundled_table_is_found_by_every_way_a_model_is_written() -> None:
    book, version = Book(), importlib.metadata.version("genai-prices")
    for provider, model in (
        ("claude", "claude-opus-4-6"),
        ("opencode", "anthropic/claude-opus-4-6"),
        ("api", "anthropic:claude-opus-4-6"),
    ):
        rates, _ = book.rates(provider, model)
        assert rates is not None, (provider, model)
        assert (rates.model, rates.source) == (
            "anthropic/claude-opus-4-6",
            f"genai-prices {version}",
        )
        assert rates.cache_read is not None
        assert rates.cache_read.base < rates.input.base < rates.cache_write.base  # pyright: ignore
    assert book.rates("api", "vllm:qwen3")[0] is None
    deepseek, _ = book.rates("api", "deepseek-chat")
    assert deepseek is not None
    assert deepseek.cache_read is not None


OFFLINE = """
import sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {args}")

sys.addaudithook(refuse)
from paseo_nb.tracing.prices import Book
print(Book().rates("gemini", "gemini-2.5-pro")[0].model)
"""


def test_nothing_is_fetched() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True)
    assert done.stdout == "google/gemini-2.5-pro\n", done.stderr


def test_prices_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paseo_nb.toml").write_text('[prices."m*"]\ninput = 1.5\noutput = 3\n')
    assert config.settings(tmp_path).prices["m*"] == Price(input=1.5, output=3.0)
    book = Book({"*": Price(input=9.0, output=9.0), "mine": Price(input=1.0, output=1.0)})
    found, _ = book.rates("claude", "mine")
    assert found is not None
    assert found.input.base == 1.0, "a name goes before what fits anything"
    (tmp_path / "paseo_nb.toml").write_text("[prices.m]\ninpt = 1.5\n")
    with pytest.raises(paseo.UsageProblem, match="inpt"):
        config.settings(tmp_path)
