"""What one asks of a trace: spans in, rows out, in the order of `store.columns.QUESTIONS`. Pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from .spans import Span, walk

Row = tuple[Any, ...]
_READING = {"read", "search"}


def slowest_tools(spans: Iterable[Span]) -> list[Row]:
    """tool_name, calls, total_ms, median_ms, max_ms, share of the time of all tools; the slowest
    first. Time that a call waited for a permission counts, as its user waited too."""
    took: dict[str, list[float]] = defaultdict(list)
    for span in _tools(spans):
        if span.took_us is not None:
            took[_name(span)].append(span.took_us / 1000)
    whole = sum(map(sum, took.values())) or 1.0
    rows = [
        (name, len(ms), sum(ms), statistics.median(ms), max(ms), sum(ms) / whole)
        for name, ms in took.items()
    ]
    return sorted(rows, key=lambda row: -row[2])


def error_rates(spans: Iterable[Span]) -> list[Row]:
    """tool_name, calls, failed, rate, the most frequent error class; the worst first."""
    calls: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for span in _tools(spans):
        calls[_name(span)] += 1
        if span.error_class is not None:
            classes[_name(span)][span.error_class] += 1
    rows: list[Row] = []
    for name, count in calls.items():
        failed = sum(classes[name].values())
        common = classes[name].most_common(1)
        rows.append((name, count, failed, failed / count, common[0][0] if common else None))
    return sorted(rows, key=lambda row: (-row[3], -row[2], row[0]))


def time_spent(root: Span, now_us: int | None = None) -> list[Row]:
    """what, seconds, share: where the time of a run went, each moment counted once. `waiting` for a
    person's answer goes over `sub-agents`, those over `tools`, those over `model` (the rest of a
    turn); `between turns` is the rest. `now_us` ends what goes on."""
    end = max(_end(one, now_us) for one in walk(root))
    order = ["waiting", "sub-agents", "tools", "model"]
    marks: list[tuple[int, int, str]] = []
    own = {root.run_id}
    if root.kind == "workflow":  # the runs of its steps do its work
        own |= {run.run_id for step in root.children for run in (step, *step.children)}
    for span in walk(root):
        what = _what(own, span)
        if what is not None and span.timed:
            start, stop = max(span.started_us, root.started_us), _end(span, now_us)
            if stop > start:
                marks += [(start, 1, what), (stop, -1, what)]
    marks.sort()
    going: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    at = root.started_us
    for when, step, what in marks:
        now = next((one for one in order if going[one]), "between turns")
        spent[now] += when - at
        going[what] += step
        at = when
    spent["between turns"] += max(end - at, 0)
    whole = max(sum(spent.values()), 1)
    return [(one, spent[one] / 1e6, spent[one] / whole) for one in [*order, "between turns"]]


def retries(spans: Iterable[Span]) -> list[Row]:
    """run_id, turn, when (µs), what was said: the model calls that agents tried again."""
    return [
        (span.run_id, span.turn, span.started_us, span.detail)
        for span in spans
        if span.kind == "retry"
    ]


def repeated_steps(spans: Iterable[Span]) -> list[Row]:
    """tool_name, input (JSON), times, failed: tool calls of one run with the very same input, made
    more than once; the most frequent first."""
    groups: dict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for span in _tools(spans):
        if span.input is not None:
            told = msgspec.json.encode(span.input, order="deterministic").decode()
            groups[span.run_id, _name(span), told].append(span)
    rows = [
        (run_id, name, told, len(group), sum(one.failed for one in group))
        for (run_id, name, told), group in groups.items()
        if len(group) > 1
    ]
    return sorted(rows, key=lambda row: -row[3])


def files_read(spans: Iterable[Span]) -> list[Row]:
    """path, reads, result_tokens: the files that tool calls of kind read and search name, the most
    read first. Tokens of a call are split over the files that it names."""
    reads: Counter[str] = Counter()
    tokens: dict[str, list[float]] = defaultdict(list)
    for span in _tools(spans):
        if span.tool_kind not in _READING and (span.tool_name or "").lower() != "read":
            continue
        for path in span.paths:
            reads[path] += 1
            if span.result_tokens is not None:
                tokens[path].append(span.result_tokens / len(span.paths))
    return [
        (path, count, round(sum(tokens[path])) if tokens[path] else None)
        for path, count in reads.most_common()
    ]


def first_tokens(spans: Iterable[Span]) -> list[Row]:
    """run_id, turn, agent, first_token_ms: from a turn's start to its first text, thought or tool
    call. No shorter span is known where the model calls of an agent are not seen."""
    return [
        (one.run_id, one.turn, one.agent, (one.first_token_us - one.started_us) / 1000)
        for one in spans
        if one.kind == "turn" and one.first_token_us is not None
    ]


def matching(
    spans: Sequence[Span],
    tool: str | None = None,
    errors: bool | None = None,
    slower_than: float | None = None,
    search: str | None = None,
) -> list[Span]:
    """The spans that a filter of `trace` wants: a tool's name or kind, those that failed (False:
    that did not), that took more than so many seconds, that have a text in their name, input,
    output or error."""

    def fits(span: Span) -> bool:
        if tool is not None and tool.lower() not in (
            (span.tool_name or "").lower(),
            (span.tool_kind or "").lower(),
        ):
            return False
        if errors is not None and span.failed != errors:
            return False
        if slower_than is not None and (span.took_us or 0) <= slower_than * 1e6:
            return False
        return search is None or search.lower() in searched(span)

    return [span for span in spans if fits(span)]


def searched(span: Span) -> str:
    """All that is found in a span, in lower case."""
    parts = [span.name, span.detail, span.tool_name or "", span.error or "", span.span_id]
    parts += span.paths
    for value in (span.input, span.output):
        if isinstance(value, str):
            parts.append(value)
        elif value is not None:
            parts.append(msgspec.json.encode(value).decode())
    return "\n".join(parts).lower()


def _tools(spans: Iterable[Span]) -> Iterable[Span]:
    return (span for span in spans if span.kind == "tool_call")


def _name(span: Span) -> str:
    return span.tool_name or span.tool_kind or span.name


def _end(span: Span, now_us: int | None) -> int:
    if span.finished_us is not None:
        return span.finished_us
    going_on = span.outcome is None and span.kind not in ("model_call",)
    return max(now_us or span.started_us, span.started_us) if going_on else span.started_us


def _what(own: set[str], span: Span) -> str | None:
    if span.run_id not in own:
        return "sub-agents" if span.kind == "turn" else "waiting" if _waits(span) else None
    if span.kind == "permission":
        return "waiting" if _waits(span) else None
    if span.kind == "tool_call":
        return (
            "sub-agents" if any(c.kind in ("tool_call", "run") for c in span.children) else "tools"
        )
    return "model" if span.kind == "turn" else None


def _waits(span: Span) -> bool:
    return span.kind == "permission" and span.name.startswith("Waiting")
