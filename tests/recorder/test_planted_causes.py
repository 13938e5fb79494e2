"""Ten causes of a cache miss, planted in requests that really pass the recorder to an endpoint that
keeps prompts as the provider does: each is named where it can be planted, and none on clean ones."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from paseo_nb.tracing import shape
from paseo_nb.tracing.cache import CacheShape
from paseo_nb.tracing.prices import Book
from tests.modelserver import ModelServer, PrefixCache
from tests.tracing.conftest import Tale

from .conftest import Recorder
from .test_proxy import ask

WORDS = "lorem ipsum dolor sit amet consectetur "
MODELS = {
    "anthropic": ("claude-sonnet-4-5", "claude-opus-4-1"),
    "openai": ("gpt-5.4", "gpt-5.4-mini"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
PNG = base64.b64encode(b"png" * 2000).decode()
_cases = itertools.count()


class Session:
    """What an agent sends, grown by a message a request."""

    def __init__(self, vendor: str, size: int = 3) -> None:
        self.vendor, self.model = vendor, MODELS[vendor][0]
        self.other = MODELS[vendor][1]
        self.own = f"case {next(_cases)} "  # so that no two share a beginning
        self.system = f"{self.own}It is Sun Nov 22 2026, 14:06. " + WORDS * 100 * size
        self.tools = dict.fromkeys(("read", "edit", "bash"), self.own + WORDS * 20 * size)
        self.messages: list[str] = ["1: " + WORDS * 40 * size]
        self.picture = False
        self.gap_s = 20.0

    def grow(self) -> None:
        self.messages.append(f"{len(self.messages) + 1}: {WORDS * 12}")

    def request(self) -> tuple[str, dict[str, Any]]:
        """Path and body, in the provider's own API."""
        return getattr(self, f"_{self.vendor}")()

    def _anthropic(self) -> tuple[str, dict[str, Any]]:
        mark = {"cache_control": {"type": "ephemeral"}}
        said: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "text", "text": text}]} for text in self.messages
        ]
        if self.picture:
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
            said[0]["content"].insert(0, {"type": "image", "source": source})
        said[-1]["content"][-1] |= mark
        return "/v1/messages", {
            "model": self.model,
            "max_tokens": 100,
            "tools": [
                {"name": n, "description": d, "input_schema": {}} for n, d in self.tools.items()
            ],
            "system": [{"type": "text", "text": self.system, **mark}],
            "messages": said,
        }

    def _chat(self) -> tuple[str, dict[str, Any]]:
        said: list[dict[str, Any]] = [{"role": "user", "content": text} for text in self.messages]
        if self.picture:
            image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
            said[0]["content"] = [image, {"type": "text", "text": self.messages[0]}]
        tools = [
            {"type": "function", "function": {"name": n, "description": d, "parameters": {}}}
            for n, d in self.tools.items()
        ]
        first = {"role": "system", "content": self.system}
        return "/v1/chat/completions", {
            "model": self.model, "tools": tools, "messages": [first, *said]
        }  # fmt: skip

    _openai = _deepseek = _chat

    def _gemini(self) -> tuple[str, dict[str, Any]]:
        said: list[dict[str, Any]] = [
            {"role": "user", "parts": [{"text": text}]} for text in self.messages
        ]
        if self.picture:
            said[0]["parts"].insert(0, {"inlineData": {"mimeType": "image/png", "data": PNG}})
        tools = [{"name": n, "description": d, "parameters": {}} for n, d in self.tools.items()]
        return f"/v1beta/models/{self.model}:generateContent", {
            "systemInstruction": {"parts": [{"text": self.system}]},
            "tools": [{"functionDeclarations": tools}],
            "contents": said,
        }


def system(one: Session) -> None:
    one.system = one.system.replace("lorem", "another word", 1)


def stamp(one: Session) -> None:
    one.system = one.system.replace("Sun Nov 22 2026, 14:06", "Mon Nov 23 2026, 09:15")


def added(one: Session) -> None:
    one.tools = {**one.tools, "browser": WORDS * 5}


def reordered(one: Session) -> None:
    one.tools = dict(reversed(one.tools.items()))


def edited(one: Session) -> None:
    one.messages[0] = one.messages[0].replace("1:", "one:")


def switch(one: Session) -> None:
    one.model = one.other


def wait(one: Session) -> None:
    one.gap_s = 4000


def compact(one: Session) -> None:
    one.messages = ["Summary: " + WORDS * 3]


def attach(one: Session) -> None:
    one.picture = True


PLANTED: list[tuple[Callable[[Session], None], str]] = [
    (system, shape.SYSTEM), (stamp, shape.STAMP), (added, shape.ADDED), (reordered, shape.ORDER),
    (edited, shape.EDITED), (switch, shape.MODEL), (wait, shape.TTL), (compact, shape.COMPACTION),
    (attach, shape.ATTACHED),
]  # fmt: skip


class Path:
    """One endpoint, one recorder."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.cache = PrefixCache(vendor)
        self.server = ModelServer("well", cache=self.cache)
        self.recorder = Recorder()

    def causes(self, one: Session, plant: Callable[[Session], None] | None, rounds: int = 4) -> Any:
        """The causes of each request, the last of them with what is planted."""
        seen = len(self.recorder.told())
        tale = Tale(provider="x").begin(at=0).own("agent_started", recorded=True)
        for number in range(rounds + (plant is not None)):
            if number:
                one.grow()
            if number == rounds and plant is not None:
                plant(one)
            self.cache.now_s += one.gap_s
            path, body = one.request()
            status, _, _ = ask(self.recorder.through(self.server.url), body, path)
            assert status == 200
            fact = self.recorder.told()[seen + number]
            at = tale.spec.created_us + round(self.cache.now_s * 1e6)
            fact |= {"started_us": at, "finished_us": at + 1_000_000}
            tale.own("recorded", **fact)
        tale.end()
        told = CacheShape(tale.spec, tale.seen().history, Book())
        assert told.exact
        return [line.judged.cause for line in told.lines]


@pytest.fixture(scope="module", params=list(MODELS))
def path(request: Any) -> Iterator[Path]:
    made = Path(request.param)
    with made.server:
        yield made
        made.recorder.close()


@pytest.mark.parametrize(("plant", "cause"), PLANTED, ids=lambda x: getattr(x, "__name__", x))
def test_a_planted_cause_is_named(path: Path, plant: Any, cause: str) -> None:
    held = plant is wait and path.vendor == "deepseek"  # how long it keeps a prefix is not stated
    found = path.causes(Session(path.vendor), plant)
    assert found == [None] * 4 + [None if held else cause]


def test_below_the_minimum_nothing_is_kept(path: Path) -> None:
    one = Session(path.vendor, size=1)
    one.system, one.tools = one.own + WORDS, {"read": one.own + WORDS * 2}
    one.messages = [one.own + WORDS * 60]
    minimum = None if path.vendor == "deepseek" else shape.MINIMUM  # it has none
    assert path.causes(one, None, rounds=2) == [None, minimum]


def test_a_clean_session_has_no_cause(path: Path) -> None:
    assert set(path.causes(Session(path.vendor), None, rounds=8)) == {None}
