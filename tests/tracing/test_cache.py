"""The cache's shape of a run, from its journal: labelled, priced, drawn."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paseo_nb.config import Price
from paseo_nb.programs.common.segments import segment, since
from paseo_nb.tracing.cache import CacheShape
from paseo_nb.tracing.prices import Book

BOOK = Book({"*": Price(input=10.0, output=1.0, cache_read=1.0, cache_write=12.0)})
TOOLS = [segment("tool", name, name * 2000) for name in ("read", "edit")]
SYSTEM = segment("system", "instructions", "be good " * 1000)


def told(tale: Any, ordered: list[Any]) -> Any:
    """A run of the api agent that tells what it sent; the tools' order differs in the last one."""
    one = tale(provider="api", model="gpt-5.4").begin(at=0)
    before: list[Any] = []
    for number, tools in enumerate(ordered):
        chat = [segment("message", f"message {at}", f"m{at}" * 1500) for at in range(number + 1)]
        now = [SYSTEM, *tools, *chat]
        ident, into = f"m{number}", 4000 + 700 * number
        one.extension("model_call", number * 10, messageId=ident)
        one.extension("model_request", messageId=ident, **since(before, now))
        same = not before or tools == ordered[number - 1]
        read = 0 if not before else into - 900 if same else 1900
        counts = {"inputTokens": into - read, "outputTokens": 9, "cachedReadTokens": read}
        one.extension("model_call", number * 10 + 5, messageId=ident, model="gpt-5.4", usage=counts)
        before = now
    return one.end(at=99)


def test_what_the_agent_tells_of_its_requests_is_judged_exactly(tale: Any) -> None:
    one = told(tale, [TOOLS, TOOLS, TOOLS, TOOLS[::-1]])
    shape = CacheShape(one.spec, one.seen().history, BOOK)
    assert shape.exact
    frame = shape.frame
    assert list(frame["cause"].fillna("")) == ["", "", "", "tool order"]
    assert set(frame["seen"]) == {"exact"}
    assert frame["shared_tokens"][3] == pytest.approx(6100 * 8 / 36, abs=50)  # the system prompt
    assert frame["lost_tokens"][3] == 5400 - 1900
    assert frame["lost_usd"][3] == pytest.approx(3500 * 9e-6)
    assert frame["segments"].str.contains("tool").all()
    assert "m0m0" not in shape.to_json(date_format="iso")
    assert len(shape.misses) == 1
    assert list(shape.turns()["requests"]) == [4]
    html = shape._repr_mimebundle_()["text/html"]
    assert "tool order" in html
    assert "exact" in html
    for kind in ("system", "tools", "messages"):
        assert f"</span> {kind}" in html, "the legend"
    bars = re.findall(r"inset:0;background:([^\"]*)", html)
    shades = [set(re.findall(r"currentColor (\d+)%", bar)) for bar in bars]
    assert shades == [set(), {"52", "40", "24"}, {"52", "40", "24"}, {"52", "40"}], "reused"
    # after the system prompt, the first tool, the second one, and each message but the last
    assert [bar.count("1px") for bar in bars] == [3, 4, 5, 6]
    assert "Without a cache" in html
    assert "Turn 1" not in html, "of one turn it is the whole"


def test_where_nothing_is_told_of_requests_the_label_says_estimated(tale: Any) -> None:
    one = tale(model="claude-sonnet-4-5").begin(at=0)
    one.model("a", 0, 1, 9000, 10, model="claude-sonnet-4-5")
    one.model("b", 2, 3, 9500, 10, read=9000, model="claude-sonnet-4-5")
    one.model("c", 900, 901, 9900, 10, model="claude-sonnet-4-5")
    one.update("context_compacted", 902).end(at=903)
    shape = CacheShape(one.spec, one.seen().history, BOOK)
    assert not shape.exact
    assert list(shape.misses["cause"]) == ["ttl"]
    assert "estimated" in str(shape)
    assert shape.frame["cumulative_hit_rate"].iloc[-1] == pytest.approx(9000 / 28400)
    assert shape.frame["saved_so_far_usd"].iloc[-1] == pytest.approx(9000 * 9e-6)


def test_writing_more_than_is_read_shows_a_loss(tale: Any) -> None:
    one = tale(model="m").begin(at=0)
    one.extension("model_call", 0, messageId="a")
    counts = {"inputTokens": 0, "outputTokens": 1, "cachedReadTokens": 0, "cachedWriteTokens": 5000}
    one.extension("model_call", 1, messageId="a", model="m", usage=counts).end(at=2)
    shape = CacheShape(one.spec, one.seen().history, BOOK)
    assert shape.frame["saved_usd"][0] == pytest.approx(-0.01)
    assert "−$0.01" in str(shape)


def test_a_run_without_model_calls_says_so_and_hostile_names_are_harmless(tale: Any) -> None:
    one = tale(provider="x", model="<script>").begin(at=0).end(at=1)
    bundle = CacheShape(one.spec, one.seen().history, BOOK)._repr_mimebundle_()
    assert "No model call" in bundle["text/plain"]
    assert "<script" not in bundle["text/html"]


def test_an_agent_may_say_anything_of_its_segments(tale: Any) -> None:
    one = tale(provider="api").begin(at=0).extension("model_call", 0, messageId="a")
    for odd in ({"same": 7}, {"segments": [{"kind": 3}]}, {"segments": "x"}, {"same": -1}):
        one.extension("model_request", messageId="a", **odd)
    call = next(iter(one.seen().history.model_calls.values()))
    assert not call.segments


def recorded(one: Any, ident: str, at: float, segments: list[Any], read: int, into: int) -> None:
    """A model call that a recorder saw."""
    us = one.spec.created_us
    usage = {"input_tokens": into, "output_tokens": 9, "cache_read_tokens": read}
    one.own(
        "recorded", at + 2, id=ident, status=200, attempt=1, model="claude-sonnet-4-5", usage=usage,
        started_us=us + round(at * 1e6), finished_us=us + round((at + 1) * 1e6),
        first_token_us=us + round((at + 0.5) * 1e6), same=0, segments=segments,
    )  # fmt: skip


def test_what_a_recorder_saw_is_exact_and_shows_what_changed(tale: Any) -> None:
    words = [f"rule {n}" for n in range(900)]
    marked = {"mark": True}

    def sent(system: str, *chat: str) -> list[Any]:
        told = [segment("message", f"message {n}", text * 400) for n, text in enumerate(chat)]
        return [*TOOLS, segment("system", "system 1", system) | {"text": system}, *told[:-1],
                told[-1] | marked]  # fmt: skip

    first, second = "\n".join(words), "\n".join([*words[:10], "another rule", *words[11:]])
    one = tale(provider="claude").begin(at=0).own("agent_started", recorded=True)
    aside = [segment("message", "message 1", "name this session")]
    recorded(one, "title", 1, aside, 0, 200)
    recorded(one, "a", 2, sent(first, "m0"), 0, 6000)
    recorded(one, "b", 6, sent(first, "m0", "m1"), 6000, 6400)
    recorded(one, "title2", 8, aside, 0, 200)
    recorded(one, "c", 10, sent(second, "m0", "m1", "m2"), 2000, 6800)
    one.end(at=20)
    history = one.seen().history
    assert [call.status for call in history.model_calls.values()] == [200] * 5
    assert history.turns[0].usage.input_tokens == 200 * 2 + 6000 + 6400 + 6800
    shape = CacheShape(one.spec, history, BOOK)
    assert shape.exact
    assert list(shape.frame["cause"].fillna("")) == ["", "", "", "", "system prompt"]
    (diff,) = list(shape.misses["diff"])
    assert "-rule 10" in diff
    assert "+another rule" in diff
    assert len(diff.splitlines()) < 12
    html = shape._repr_mimebundle_()["text/html"]
    assert html.count("What changed") == 1
    assert "+another rule" in html


def test_what_the_agent_tells_of_a_recorded_call_is_added_and_counts_no_second_time(
    tale: Any,
) -> None:
    one = tale(provider="claude").begin(at=0).own("agent_started", recorded=True)
    one.extension("model_call", 1, messageId="a", model="m", usage={"inputTokens": 1})
    one.extension("model_call", 1, messageId="nobody's", usage={"inputTokens": 5})
    recorded(one, "a", 2, [SYSTEM], 0, 6000)
    one.end(at=9)
    (call,) = one.seen().history.model_calls.values()
    assert call.usage.input_tokens == 6000
    assert call.usage.source == "recorder"
    assert call.segments
