"""The cache's shape: ten planted causes are named, by four providers' rules, and none on clean
sessions. The provider is simulated: it keeps prefixes as its pages say."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paseo_nb.model import Segment
from paseo_nb.programs.common.segments import segment, since
from paseo_nb.tracing import shape
from paseo_nb.tracing.caching import Caching, caching_of
from paseo_nb.tracing.shape import Request, hit_rates, judge

MODELS = {
    "anthropic": ("claude-sonnet-4-5", "claude-opus-4-1"),
    "openai": ("gpt-5.4", "gpt-5.4-mini"),
    "deepseek": ("deepseek-chat", "deepseek-reasoner"),
    "gemini": ("gemini-2.5-pro", "gemini-2.5-flash"),
}
VENDORS = list(MODELS)
WORDS = "lorem ipsum dolor sit amet consectetur "


class Session:
    """An agent's requests to a simulated provider, 4 bytes a token."""

    def __init__(self, vendor: str, factor: int = 1) -> None:
        self.vendor = vendor
        self.caching = caching_of(MODELS[vendor][0])
        self.model = MODELS[vendor][0]
        self.system = WORDS * (100 * factor)
        self.tools = {name: f"{name}: {WORDS * 20 * factor}" for name in ("read", "edit", "bash")}
        self.messages = [f"1: {WORDS * 40 * factor}"]
        self.attached: dict[int, bytes] = {}
        self.now_s = 0.0
        self.kept: dict[tuple[str, tuple[str, ...]], float] = {}
        self.requests: list[Request] = []

    def segments(self) -> list[Segment]:
        told = [segment("tool", name, text) for name, text in self.tools.items()]
        system = [segment("system", "instructions", self.system)]
        told = [*told, *system] if self.vendor == "anthropic" else [*system, *told]
        for at, text in enumerate(self.messages):
            if at in self.attached:
                told.append(
                    segment("attachment", f"message {at + 1} (image/png)", self.attached[at])
                )
            told.append(segment("message", f"message {at + 1}", text))
        return [Segment(**one) for one in told]

    def ask(self, seen: bool = True, compacted: bool = False, later_s: float = 20.0) -> Session:
        self.now_s += later_s
        segments = self.segments()
        into = sum(one.size for one in segments) // 4
        read = self._read(segments)
        self._keep(segments)
        self.requests.append(
            Request(
                ident=f"m{len(self.requests) + 1}",
                model=self.model,
                at_us=int(self.now_s * 1e6),
                ended_us=int((self.now_s + 5) * 1e6),
                input_tokens=into,
                read=read,
                output_tokens=50,
                segments=segments if seen else None,
                compacted=compacted,
            )
        )
        self.now_s += 5
        return self

    def grow(self, rounds: int = 1, seen: bool = True) -> Session:
        for _ in range(rounds):
            if self.requests:
                self.messages.append(f"{len(self.messages) + 1}: {WORDS * 12}")
            self.ask(seen)
        return self

    def _keys(self, segments: list[Segment]) -> list[tuple[str, ...]]:
        hashes = [f"{one.kind}{one.hash}" for one in segments]
        return [tuple(hashes[: at + 1]) for at in range(len(hashes))]

    def _read(self, segments: list[Segment]) -> int:
        read = 0
        for at, key in enumerate(self._keys(segments)):
            until = self.kept.get((self.model, key))
            tokens = sum(one.size for one in segments[: at + 1]) // 4
            if until is not None and until >= self.now_s and tokens >= self.caching.minimum:
                read = tokens
        images = [one for one in segments if one.kind == "attachment"]
        if self.caching.images_break and images and images[-1].hash not in self._images():
            fixed = [one for one in segments if one.kind in ("tool", "system")]
            read = min(read, sum(one.size for one in fixed) // 4)
        return read // self.caching.block * self.caching.block

    def _images(self) -> set[str]:
        before = self.requests[-1].segments if self.requests else None
        return {one.hash for one in before or () if one.kind == "attachment"}

    def _keep(self, segments: list[Segment]) -> None:
        until = self.now_s + (self.caching.ttl_s or 10**9)
        for key in self._keys(segments):
            self.kept[self.model, key] = until

    def causes(self) -> list[str | None]:
        return [one.cause for one in judge(self.requests)]


def system(one: Session) -> None:
    one.system = "Another role. " + one.system


def stamp(one: Session) -> None:
    one.system = (
        f"It is Sat Nov {len(one.requests):02} 2026, 14:0{len(one.requests)}. " + WORDS * 300
    )


def added(one: Session) -> None:
    one.tools = {"browser": f"browser: {WORDS * 5}", **one.tools}


def appended(one: Session) -> None:
    one.tools = {**one.tools, "browser": f"browser: {WORDS * 5}"}


def reordered(one: Session) -> None:
    one.tools = dict(reversed(one.tools.items()))


def described(one: Session) -> None:
    one.tools["read"] += " and more"


def edited(one: Session) -> None:
    one.messages[0] = one.messages[0].replace("1:", "one:")


def switch(one: Session) -> None:
    one.model = MODELS[one.vendor][1]


def wait(one: Session) -> None:
    one.now_s += (one.caching.ttl_s or 0) + 60


def compact(one: Session) -> None:
    one.messages = ["Summary: " + WORDS * 3]


def attach(one: Session) -> None:
    one.attached[0] = b"png" * 2000


PLANTED: list[tuple[Callable[[Session], None], str]] = [
    (system, shape.SYSTEM),
    (stamp, shape.STAMP),
    (added, shape.ADDED),
    (appended, shape.ADDED),
    (reordered, shape.ORDER),
    (described, shape.TOOL),
    (edited, shape.EDITED),
    (switch, shape.MODEL),
    (wait, shape.TTL),
    (compact, shape.COMPACTION),
    (attach, shape.ATTACHED),
]


CASES = [
    (vendor, plant, cause)
    for vendor in VENDORS
    for plant, cause in PLANTED
    if not (vendor == "deepseek" and plant is wait)  # how long it keeps a prefix is not stated
]


@pytest.mark.parametrize(
    ("vendor", "plant", "cause"), CASES, ids=lambda x: getattr(x, "__name__", x)
)
def test_a_planted_cause_is_named(
    vendor: str, plant: Callable[[Session], None], cause: str
) -> None:
    one = Session(vendor, factor=3)
    if plant is stamp:
        plant(one)
    one.grow(4)
    plant(one)
    one.grow()
    assert one.causes() == [None] * 4 + [cause]
    judged = judge(one.requests)[-1]
    assert judged.lost > 0 or plant is compact  # what is cut away is billed no more
    assert judged.reason
    assert judged.exact


@pytest.mark.parametrize("vendor", ["anthropic", "openai", "gemini"])
def test_below_the_minimum_nothing_is_kept(vendor: str) -> None:
    one = Session(vendor)
    one.system, one.tools = WORDS, {"read": WORDS * 2}
    one.messages = [WORDS * 60]
    one.ask().ask()
    size = one.requests[0].input_tokens or 0
    assert 256 < size < one.caching.minimum
    assert one.causes() == [None, shape.MINIMUM]


def test_an_image_at_the_end_loses_the_messages_at_anthropic_only() -> None:
    for vendor in VENDORS:
        one = Session(vendor, factor=3).grow(4)
        one.attached[len(one.messages)] = b"png" * 500
        one.grow()
        wanted = shape.ATTACHED if vendor == "anthropic" else None
        assert one.causes()[-1] == wanted, vendor


def test_a_provider_that_forgets_is_named_where_nothing_else_explains_it() -> None:
    one = Session("openai", factor=3).grow(4)
    one.kept.clear()
    assert one.grow().causes()[-1] == shape.PROVIDER


def test_a_change_late_in_the_prompt_does_not_hide_a_lifetime_that_passed() -> None:
    one = Session("anthropic", factor=3).grow(6)
    one.messages[-1] += "edited " * 500
    wait(one)
    assert one.grow().causes()[-1] == shape.TTL


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 3000), min_size=2, max_size=12), gap=st.floats(1, 250))
def test_no_false_cause_on_clean_sessions(vendor: str, sizes: list[int], gap: float) -> None:
    for seen in (True, False):
        one = Session(vendor, factor=5)
        for size in sizes:
            one.messages.append("w" * size)
            one.ask(seen, later_s=gap)
        assert set(one.causes()) == {None}


def test_where_requests_are_not_seen_what_is_known_is_told_and_the_rest_is_left_open() -> None:
    for plant, cause in (
        (switch, shape.MODEL),
        (wait, shape.TTL),
        (system, shape.UNSEEN),
    ):
        one = Session("anthropic", factor=3).grow(4, seen=False)
        plant(one)
        one.grow(seen=False)
        assert one.causes() == [None] * 4 + [cause]
        assert not judge(one.requests)[-1].exact
    told = Session("anthropic", factor=3).grow(4, seen=False)
    compact(told)
    told.messages += [WORDS * 100]
    assert told.ask(seen=False, compacted=True).causes()[-1] == shape.COMPACTION


def test_helpers_and_sub_agents_are_conversations_of_their_own() -> None:
    one = Session("anthropic", factor=3).grow(3)
    small = Request(ident="t", model="claude-haiku-4-5", at_us=one.requests[-1].at_us + 1,
                    input_tokens=300, read=0)  # fmt: skip
    inner = Request(ident="s", model=one.model, at_us=one.requests[-1].at_us + 2,
                    input_tokens=5000, read=0, conversation="task")  # fmt: skip
    one.grow(2)
    assert {x.cause for x in judge([*one.requests, small, inner])} == {None}


def test_hit_rates_are_weighted_by_tokens() -> None:
    requests = [
        Request(ident=str(at), model="x", at_us=at, input_tokens=into, read=read)
        for at, (into, read) in enumerate([(1000, 0), (3000, 3000), (10, None)])
    ]
    judged = judge(requests, Caching("", None, 0))
    assert [one.hit_rate for one in judged] == [0.0, 1.0, None]
    assert hit_rates(judged) == [0.0, 0.75, 0.75]


def test_segments_are_told_in_short_and_without_content() -> None:
    first = [segment("system", "s", "at 10:15, Mon"), segment("message", "m1", "secret words")]
    second = [*first, segment("message", "m2", ["x", {"a": 1}])]
    told = since(first, second)
    assert told == {"same": 2, "segments": second[2:]}
    assert "secret" not in str(second)
    assert segment("system", "s", "at 11:40, Tue")["steady"] == first[0]["steady"]
    assert all(a["hash"] != b["hash"] for a, b in itertools.pairwise(second))
