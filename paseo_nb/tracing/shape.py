"""The shape of the prompt cache: what each request shared with the one before it, what the provider
says it reused, and why the two differ. Pure: requests in, judged requests out.

A request is held against the one before it in its own conversation (sub-agents and small helper
calls have their own). A miss is what had been sent before and was billed anew. Its cause is looked
for in what was sent; where that is not known (`segments` None), in what is: model, times, sizes,
compaction. Then the judgement is an estimate.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence

import msgspec

from ..model import Segment
from .caching import Caching, caching_of

SLACK = 0.1  # of the last request: a tail that is not kept, and tokens counted from bytes
SLACK_TOKENS = 256
SHRUNK = 0.6  # a context of less than this share of the last one's was cut
DIFF_LINES = 60
HELPER = 0.5  # a call of another model with less than this share of the input is a helper's

COMPACTION, MODEL, TTL, MINIMUM = "compaction", "model switch", "ttl", "below minimum"
PROVIDER, UNSEEN, MARK = "provider", "unseen change", "no breakpoint"
SYSTEM, STAMP, ADDED, REMOVED = "system prompt", "timestamp", "tool added", "tool removed"
TOOL, ORDER, ATTACHED, EDITED = "tool changed", "tool order", "new attachment", "message edited"


class Request(msgspec.Struct, kw_only=True):
    """One model request and its usage. Times in µs; `input_tokens` with cached ones;
    `compacted`: the agent told that it cut its context since the last one."""

    ident: str
    model: str | None
    at_us: int
    ended_us: int | None = None
    turn: int = 0
    input_tokens: int | None = None
    read: int | None = None
    written: int | None = None
    output_tokens: int | None = None
    segments: Sequence[Segment] | None = None
    compacted: bool = False
    conversation: str | None = None


class Judged(msgspec.Struct, kw_only=True):
    """A request with what is to say of it. Tokens of segments are counted from their bytes.

    shared: how many tokens lead the last request too (None: not seen); reusable: how many could
    have come from the cache, had nothing been in the way; lost: of these, those billed anew.
    """

    request: Request
    before: Request | None = None
    shared_segments: int = 0
    shared: int | None = None
    reusable: int = 0
    lost: int = 0
    cause: str | None = None
    reason: str = ""
    changed: str | None = None
    diff: str | None = None  # of the segment that was changed, where its text was kept

    @property
    def exact(self) -> bool:
        """Whether the requests themselves were seen."""
        seen = self.request.segments is not None
        return seen and (self.before is None or self.before.segments is not None)

    @property
    def hit_rate(self) -> float | None:
        """Of its input."""
        into, read = self.request.input_tokens, self.request.read
        return None if not into or read is None else read / into


def judge(requests: Sequence[Request], caching: Caching | None = None) -> list[Judged]:
    """Each request, in order of time, held against the one before it. `caching`: what is known of
    the provider's cache (default: by each model's name)."""
    ordered = sorted(requests, key=lambda one: one.at_us)
    last: dict[str, Request] = {}
    found: list[Judged] = []
    for at, now in enumerate(ordered):
        name = now.conversation or ""
        before = last.get(name)
        if before is not None and _helps(now, before, ordered[at + 1 :]):
            name = f"{name}/{now.model}"
            before = last.get(name)
        last[name] = now
        one = Judged(request=now, before=before)
        if before is not None:
            _compare(one, before, caching or caching_of(now.model))
        found.append(one)
    return found


def hit_rates(judged: Sequence[Judged]) -> list[float | None]:
    """The hit rate up to and with each request, weighted by tokens."""
    read = into = 0
    rates: list[float | None] = []
    for one in judged:
        if one.request.input_tokens is not None and one.request.read is not None:
            read += one.request.read
            into += one.request.input_tokens
        rates.append(read / into if into else None)
    return rates


# ------------------------------------------------------------ one request


def _helps(now: Request, before: Request, later: Sequence[Request]) -> bool:
    """Whether a call of another model is a small one in between (a title, a check)."""
    if now.model == before.model or None in (now.input_tokens, before.input_tokens):
        return False
    small = (now.input_tokens or 0) < HELPER * (before.input_tokens or 0)
    return small and any(one.model == before.model for one in later)


def _compare(one: Judged, before: Request, caching: Caching) -> None:
    now = one.request
    size = before.input_tokens
    if now.segments is not None and before.segments is not None:
        one.shared_segments = _shared(before.segments, now.segments)
        one.shared = _tokens(now, one.shared_segments)
    if now.read is None or now.input_tokens is None or size is None:
        return
    one.reusable = _reusable(before, now, caching)
    lost = max(one.reusable - now.read, 0)
    if lost <= max(SLACK_TOKENS, caching.block * 2, SLACK * size):
        cut = _changed(one, before, caching)  # it is worth telling though it saves tokens
        if cut is not None and cut[0] == COMPACTION:
            one.cause, one.reason = cut
        return
    one.lost = lost
    one.cause, one.reason = _cause(one, before, caching)


def _reusable(before: Request, now: Request, caching: Caching) -> int:
    """Of what was sent before: all, or up to the last mark where a cache keeps only that. A context
    that was cut can bring back no more than it has."""
    size = before.input_tokens or 0
    marks = [at for at, one in enumerate(before.segments or ()) if one.mark]
    if caching.marked and marks:
        size = _tokens(before, marks[-1] + 1)
    return min(size, now.input_tokens or size)


def _shared(before: Sequence[Segment], now: Sequence[Segment]) -> int:
    same = 0
    for old, new in zip(before, now, strict=False):
        if (old.kind, old.hash) != (new.kind, new.hash):
            break
        same += 1
    return same


def _tokens(request: Request, count: int) -> int:
    """The tokens of its first segments, in proportion to their bytes."""
    segments = request.segments or ()
    whole = sum(one.size for one in segments)
    part = sum(one.size for one in segments[:count])
    return round((request.input_tokens or 0) * part / whole) if whole else 0


def _cause(one: Judged, before: Request, caching: Caching) -> tuple[str, str]:
    """The first that explains it. What was changed explains a miss as far as it reaches: where the
    provider reused less than what was shared, something else struck as well, and is named."""
    now = one.request
    size, read = before.input_tokens or 0, now.read or 0
    if size < caching.minimum:
        return MINIMUM, (
            f"the last request had {size:,} tokens: below {caching.minimum:,} nothing is kept"
        )
    if now.model != before.model and now.model and before.model:
        return (
            MODEL,
            f"the model changed from {before.model} to {now.model}: each has its own cache",
        )
    gap_s = max(now.at_us - (before.ended_us or before.at_us), 0) / 1e6
    old = caching.ttl_s is not None and gap_s > caching.ttl_s
    changed = _changed(one, before, caching)
    if changed is not None:
        shared = one.shared or 0
        short = read < shared - max(SLACK_TOKENS, caching.block, SLACK * shared)
        if not (old and short and shared > caching.minimum):
            return changed
    if old:
        kept = _minutes(caching.ttl_s or 0)
        return (
            TTL,
            f"{_minutes(gap_s)} after the last request; a prefix is kept for {kept} of no use",
        )
    if (
        caching.marked
        and before.segments
        and not any(s.mark for s in before.segments)
        and read == 0
    ):
        return MARK, "the last request asked the provider to keep nothing (no cache breakpoint)"
    if now.segments is None:
        shrunk = (now.input_tokens or 0) < SHRUNK * size
        if shrunk:
            return COMPACTION, "the context is much shorter than before: it was cut"
        return UNSEEN, (
            "its requests are not seen: something before the end was changed, or the provider had"
            " dropped it"
        )
    return PROVIDER, "nothing that was sent before was changed: the provider had it no more"


def _changed(one: Judged, before: Request, caching: Caching) -> tuple[str, str] | None:
    """What was changed in what had been sent before, if that is known."""
    now = one.request
    if now.compacted:
        return COMPACTION, "the agent cut its context"
    if now.segments is None or before.segments is None:
        return None
    old, new, at = before.segments, now.segments, one.shared_segments
    if at == len(old):
        return _image(one, before, caching)
    was, now_is = old[at], new[at] if at < len(new) else None
    one.changed = was.name
    if "tool" in (was.kind, now_is.kind if now_is else ""):
        return _tools(one, old, new)
    one.diff = _diff(was, now_is)
    if was.kind == "system" or (now_is is not None and now_is.kind == "system"):
        if now_is is not None and was.steady is not None and was.steady == now_is.steady:
            return STAMP, f"a time, date or number in the system prompt changed ({was.name})"
        return SYSTEM, f"the system prompt changed ({was.name})"
    whole, left = (sum(s.size for s in some if s.kind == "message") for some in (old, new))
    if left < SHRUNK * whole or len(new) < len(old) - 1:
        return COMPACTION, "most of the conversation was cut or replaced"
    if now_is is not None and now_is.kind == "attachment" and now_is not in old:
        one.changed = now_is.name
        return ATTACHED, f"an attachment came into what had been sent before: {now_is.name}"
    return EDITED, f"{was.name} is not what it was"


def _diff(was: Segment, now: Segment | None) -> str | None:
    """What changed in a segment, line by line; None where their texts were not kept."""
    if was.text is None or now is None or now.text is None:
        return None
    texts = was.text.splitlines(), now.text.splitlines()
    lines = difflib.unified_diff(*texts, was.name, now.name, n=1, lineterm="")
    return "\n".join(line[:400] for line in itertools.islice(lines, DIFF_LINES)) or None


def _image(one: Judged, before: Request, caching: Caching) -> tuple[str, str] | None:
    """All of the last request leads this one; an image at its end may still lose the messages."""
    seen = {s.hash for s in before.segments or () if s.kind == "attachment"}
    fresh = [s for s in one.request.segments or () if s.kind == "attachment" and s.hash not in seen]
    if fresh and not seen and caching.images_break:
        one.changed = fresh[0].name
        return ATTACHED, f"the first attachment ({fresh[0].name}) loses the messages before it"
    return None


def _tools(one: Judged, old: Sequence[Segment], new: Sequence[Segment]) -> tuple[str, str]:
    was = {s.name: s for s in old if s.kind == "tool"}
    now = {s.name: s for s in new if s.kind == "tool"}
    added = [name for name in now if name not in was]
    removed = [name for name in was if name not in now]
    differ = [name for name in was if name in now and was[name].hash != now[name].hash]
    for cause, names, said in (
        (ADDED, added, "the tool {} was added"),
        (REMOVED, removed, "the tool {} was taken away"),
        (TOOL, differ, "the tool {} is described otherwise"),
    ):
        if names:
            one.changed = names[0]
            one.diff = _diff(was[names[0]], now[names[0]]) if cause == TOOL else None
            text = said.format(", ".join(names[:5]))
            stamped = cause == TOOL and was[names[0]].steady == now[names[0]].steady
            return cause, text + (": a time, date or number in it" if stamped else "")
    return ORDER, "the tools are in another order"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
