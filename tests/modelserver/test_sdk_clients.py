"""Every dialect, read by the official SDK of its API over loopback."""

from __future__ import annotations

import threading
import time
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tests.modelserver import ModelServer, Reply, Usage, behaviours, nth_usage
from tests.modelserver.sdk_clients import ASKS, ERRORS, PNG, STOPS, status_of

every = pytest.mark.parametrize("dialect", list(ASKS))
streamed = pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])


def numbers(usage: Usage, dialect: str) -> tuple[int | None, ...]:
    """What the SDK has to report of `usage`."""
    written = None if dialect == "gemini" else usage.cache_write_tokens
    return (
        usage.input_tokens,
        usage.cached_tokens,
        written,
        usage.output_tokens,
        usage.reasoning_tokens,
    )


@every
@streamed
def test_reasoning_text_and_usage(dialect: str, stream: bool) -> None:
    usage = Usage(100, 60, 7, 30, 10)
    with ModelServer() as server:
        server.enqueue(Reply("a text of several pieces", reasoning="first think", usage=usage))
        found = ASKS[dialect](server.url, ["hi"], stream=stream)
        [row] = server.ledger()
    assert found.text == "a text of several pieces"
    assert found.reasoning.endswith("first think")
    assert found.usage == numbers(usage, dialect)
    assert found.stop == STOPS[dialect][0]
    assert (row.dialect, row.outcome, row.usage) == (dialect, "complete", usage)
    assert row.conversation
    assert row.conversation.stream == stream
    assert row.conversation.tools[0].name == "write_file"


@every
@streamed
def test_a_tool_call_by_intent(dialect: str, stream: bool) -> None:
    content = "line\n" * 40
    with ModelServer() as server:
        server.enqueue(behaviours.write("/w/a.txt", content, text="I write."))
        found = ASKS[dialect](server.url, ["hi"], stream=stream)
    assert found.text == "I write."
    assert found.calls == [("write_file", {"path": "/w/a.txt", "content": content})]
    assert found.stop == STOPS[dialect][1]


@every
def test_an_image_reaches_the_ledger(dialect: str) -> None:
    with ModelServer() as server:
        ASKS[dialect](server.url, ["one", "look"], stream=True, image=True)
        [conversation] = server.conversations
    assert [(i.media_type, i.data) for i in conversation.images] == [("image/png", PNG)]
    assert conversation.user_texts == ("one", "look")


@every
@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_http_errors_are_the_sdks_own_for_so_many_times(dialect: str, status: int) -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.error(status, "not today", times=2), "back again")
        for _ in range(2):
            with pytest.raises(ERRORS[dialect], match="not today") as caught:
                ASKS[dialect](server.url, ["hi"], stream=True)
            assert status_of(caught.value) == status
        assert ASKS[dialect](server.url, ["hi"], stream=True).text == "back again"
        assert [r.status for r in server.ledger()] == [status, status, 200]
        assert [r.usage is None for r in server.ledger()] == [True, True, False]


@every
def test_a_full_context_is_said_in_each_apis_words(dialect: str) -> None:
    words = {
        "chat_completions": "maximum context length",
        "responses": "exceeds the context window",
        "anthropic": "prompt is too long",
        "gemini": "exceeds the maximum number of tokens",
    }
    with ModelServer() as server:
        server.enqueue(behaviours.overflow())
        with pytest.raises(ERRORS[dialect], match=words[dialect]) as caught:
            ASKS[dialect](server.url, ["hi"], stream=False)
    assert status_of(caught.value) == 400
    if isinstance(caught.value, openai.APIStatusError):
        assert caught.value.code == "context_length_exceeded"


@every
def test_a_stream_cut_off_is_not_taken_for_a_whole_answer(dialect: str) -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.cut(after=8))
        with pytest.raises(Exception) as caught:  # noqa: PT011 (each SDK lets its HTTP client's out)
            ASKS[dialect](server.url, ["hi"], stream=True)
        row = server.wait_for(lambda r: r.outcome != "open")
    assert "Assert" not in type(caught.value).__name__
    assert (row.outcome, row.events_sent) == ("cut", 8)
    told = None if dialect != "anthropic" else (Usage().input_tokens, 1)
    assert (row.usage and (row.usage.input_tokens, row.usage.output_tokens)) == told


@every
def test_a_stream_that_hangs_hangs_until_the_client_leaves(dialect: str) -> None:
    with ModelServer() as server:
        server.enqueue(behaviours.hang(after=5))
        thread = threading.Thread(target=_ignoring, args=(dialect, server.url), daemon=True)
        thread.start()
        row = server.wait_for(lambda r: r.events_sent == 5)
        time.sleep(0.3)
        assert (row.outcome, row.events_sent, row.usage and row.usage.output_tokens) in (
            ("open", 5, None),
            ("open", 5, 1),
        )
    thread.join(15)
    assert row.outcome == "closed"


def _ignoring(dialect: str, url: str) -> None:
    try:
        ASKS[dialect](url, ["hi"], stream=True)
    except Exception:
        return


@every
def test_every_call_has_its_own_numbers_and_the_ledger_adds_them_up(dialect: str) -> None:
    with ModelServer(usage=nth_usage) as server:
        told = [ASKS[dialect](server.url, ["hi"], stream=bool(n % 2)).usage for n in range(4)]
        assert told == [numbers(nth_usage(n), dialect) for n in (1, 2, 3, 4)]
        assert len({t[0] for t in told}) == 4
        assert server.spent().input_tokens == sum(t[0] or 0 for t in told)
        assert server.spent().output_tokens == sum(t[3] or 0 for t in told)


@every
def test_tags_have_queues_and_ledgers_of_their_own(dialect: str) -> None:
    with ModelServer() as server:
        server.enqueue("for a", tag="a")
        server.enqueue("for b", tag="b")
        assert ASKS[dialect](server.url_for("b"), ["hi"], stream=True).text == "for b"
        assert ASKS[dialect](server.url_for("a"), ["hi"], stream=True).text == "for a"
        assert "last: hi" in ASKS[dialect](server.url_for("a"), ["hi"], stream=True).text
        assert [len(server.ledger(tag=t)) for t in ("a", "b", "c")] == [2, 1, 0]


def test_models_and_counts_are_asides() -> None:
    with ModelServer(models=("a", "b")) as server:
        ours = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        assert [m.id for m in ours.models.list()] == ["a", "b"]
        theirs = anthropic.Anthropic(base_url=server.url, api_key="none")
        assert [m.id for m in theirs.models.list()] == ["a", "b"]
        said: Any = [{"role": "user", "content": "x" * 400}]
        assert theirs.messages.count_tokens(model="a", messages=said).input_tokens >= 100
        google = genai.Client(api_key="none", http_options={"base_url": server.url})
        assert google.models.count_tokens(model="a", contents="x" * 400).total_tokens >= 100
        assert len(server.ledger("aside")) == 4
        assert server.ledger() == []
