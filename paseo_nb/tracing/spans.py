"""A run as a tree of spans, from its spec and its folded journal. Pure.

run > turn > model call, tool call, retry, compaction; `workflow` sets workflow > step above them. A
permission stands below the tool call that it is about, a sub-agent's tool calls below the call that
started it, a run that an agent started below the tool call, else the turn, that was going on then.
Old journals gain what is added here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict
from ..history import History, content_text_of
from ..model import Item, ModelCall, Permission, RunSpec, ToolCall, Turn, Usage
from .classes import error_class
from .tokens import call_tokens

MAX_NESTED = 64
NOTES = {"retry": "retry", "compaction": "compaction"}


class Span(msgspec.Struct, kw_only=True):
    """One row of a trace. Times in µs; `finished_us` None: it goes on, or its end is not known.
    `children` in order of time."""

    span_id: str
    run_id: str
    kind: str
    name: str
    started_us: int
    finished_us: int | None = None
    parent_id: str | None = None
    depth: int = 0
    turn: int = 0
    agent: str = ""
    detail: str = ""
    model: str | None = None
    tool_name: str | None = None
    tool_kind: str | None = None
    tool_call_id: str | None = None
    asked_by: str | None = None
    parallel: bool = False
    first_token_us: int | None = None
    timed: bool = True
    outcome: str | None = None
    error: str | None = None
    error_class: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    call_output_tokens: int | None = None
    result_tokens: int | None = None
    tokens_source: str | None = None
    paths: list[str] = []
    input: Any = None
    output: Any = None
    children: list[Span] = []

    @property
    def took_us(self) -> int | None:
        """How long it took; None where that is not known."""
        if self.finished_us is None or not self.timed:
            return None
        return max(self.finished_us - self.started_us, 0)

    @property
    def failed(self) -> bool:
        """Whether it went wrong."""
        return self.error_class is not None


class Seen(msgspec.Struct):
    """A run to be drawn: what it was started with, its story, and the runs that it started."""

    spec: RunSpec
    history: History
    children: list[Seen] = []


def run_span(seen: Seen) -> Span:
    """The tree of a run and of the runs below it."""
    root = _run(seen.spec, seen.history)
    for child in seen.children:
        _parent_of(root, child.spec.created_us).children.append(run_span(child))
    place(root)
    return root


def walk(span: Span) -> Iterator[Span]:
    """The span and all below it, parents first, in order of time."""
    yield span
    for child in span.children:
        yield from walk(child)


def kept(root: Span, wanted: Iterable[Span]) -> Span | None:
    """The tree cut to some spans and what is above them; None where none is wanted."""
    ids = {id(one) for one in wanted}

    def cut(span: Span) -> Span | None:
        below = [one for one in map(cut, span.children) if one is not None]
        if not below and id(span) not in ids:
            return None
        return msgspec.structs.replace(span, children=below)

    return cut(root)


# ------------------------------------------------------------ one run


def _run(spec: RunSpec, history: History) -> Span:
    turns = history.turns
    begun = min([spec.created_us, *(turn.started_us for turn in turns[:1])])
    ended = None if history.turn_open else turns[-1].finished_us if turns else None
    last = turns[-1] if turns else None
    root = Span(
        span_id=spec.run_id,
        run_id=spec.run_id,
        kind="run",
        name=spec.label or spec.title or history.title or spec.run_id[:10],
        agent=f"{spec.provider}/{spec.model}" if spec.model else spec.provider,
        started_us=begun,
        finished_us=ended,
        model=history.model_answered or spec.model,
        outcome=last.outcome if last is not None else None,
        error=history.error.message if history.error is not None else None,
        error_class=history.error.code if history.error is not None else None,
        usage=history.usage,
        children=[],
    )
    calls: dict[int, list[ModelCall]] = defaultdict(list)
    for call in history.model_calls.values():
        calls[call.turn].append(call)
    tools: dict[int, list[ToolCall]] = defaultdict(list)
    for tool in history.tool_calls.values():
        tools[tool.turn].append(tool)
    items: dict[int, list[Item]] = defaultdict(list)
    for item in history.items:
        items[item.turn].append(item)
    asked: dict[int, list[Permission]] = defaultdict(list)
    for permission in history.permissions.values():
        asked[permission.turn].append(permission)
    for turn in turns:
        at = turn.turn
        span = _turn(spec.run_id, turn, items[at])
        _fill(span, calls[at], tools[at], asked[at], items[at])
        root.children.append(span)
    for at in {*calls, *tools, *asked} - {turn.turn for turn in turns}:  # before the first turn
        _fill(root, calls[at], tools[at], asked[at], items[at])
    return root


def _turn(run_id: str, turn: Turn, items: Sequence[Item]) -> Span:
    said = (one for one in items if one.role == "agent" and one.started_us >= turn.started_us)
    first = next(said, None)
    failed = turn.outcome in ("error", "interrupted", "limit", "refused")
    return Span(
        span_id=f"{run_id}.{turn.turn}",
        run_id=run_id,
        kind="turn",
        name=f"Turn {turn.turn}",
        turn=turn.turn,
        detail=turn.prompt,
        started_us=turn.started_us,
        finished_us=turn.finished_us,
        first_token_us=None if first is None else first.started_us,
        outcome=turn.outcome,
        error=turn.error.message if turn.error is not None else None,
        error_class=(turn.error.code if turn.error is not None else turn.outcome)
        if failed
        else None,
        usage=turn.usage,
        input=turn.prompt,
        output=turn.text or None,
        children=[],
    )


def _fill(
    turn: Span,
    calls: Sequence[ModelCall],
    tools: Sequence[ToolCall],
    asked: Sequence[Permission],
    items: Sequence[Item],
) -> None:
    """Hang what happened in a turn below it."""
    base = turn.span_id
    for number, call in enumerate(sorted(calls, key=lambda one: one.started_us), 1):
        turn.children.append(_model_call(turn, call, number))
    spent = call_tokens(calls, tools)
    shared = _together(tools, spent)
    by_id: dict[str, Span] = {}
    for tool in tools:
        span = _tool_call(turn, tool, tool.tool_call_id in shared)
        told = spent[tool.tool_call_id]
        span.asked_by = None if told.asked_by is None else f"{base}.m{told.asked_by}"
        span.call_output_tokens, span.result_tokens = told.call_output, told.result
        span.tokens_source = told.source
        by_id[tool.tool_call_id] = span
    above = _above(tools)
    for tool in tools:
        parent = above[tool.tool_call_id]
        (turn if parent is None else by_id[parent]).children.append(by_id[tool.tool_call_id])
    for one in asked:
        above = by_id.get(one.tool_call_id or "", turn)
        above.children.append(_permission(turn, one))
    for item in items:
        if item.kind == "note" and item.title in NOTES:
            turn.children.append(
                Span(
                    span_id=f"{base}.n{item.seq}",
                    run_id=turn.run_id,
                    kind=NOTES[item.title],
                    name=item.title.capitalize(),
                    turn=turn.turn,
                    detail=item.text,
                    started_us=item.started_us,
                    finished_us=item.started_us,
                    children=[],
                )
            )


def _above(tools: Sequence[ToolCall]) -> dict[str, str | None]:
    """The call that each stands below. Agents may say anything: where that leads in a circle, or
    deeper than anything that is real, it stands below none."""
    told = {tool.tool_call_id: tool.parent for tool in tools}
    found: dict[str, str | None] = {}
    for ident, parent in told.items():
        above, depth = parent, 0
        while above in told and above != ident and depth < MAX_NESTED:
            above, depth = told[above], depth + 1
        found[ident] = parent if parent in told and above not in told else None
    return found


def _model_call(turn: Span, call: ModelCall, number: int) -> Span:
    return Span(
        span_id=f"{turn.span_id}.m{call.seq}" if call.seq else f"{turn.span_id}.{call.id}",
        run_id=turn.run_id,
        kind="model_call",
        name=f"Model call {number}",
        turn=turn.turn,
        detail=call.stop_reason or "",
        started_us=call.started_us,
        finished_us=call.finished_us,
        first_token_us=call.first_token_us,
        model=call.model,
        outcome="failed" if call.error else "completed" if call.finished_us else None,
        error=call.error,
        error_class=error_class(call.error) if call.error else None,
        usage=call.usage,
        children=[],
    )


def _tool_call(turn: Span, call: ToolCall, parallel: bool) -> Span:
    output = call.output if call.output is not None else (call.content or None)
    bad = call.outcome in ("failed", "interrupted", "cancelled")
    said = call.error or content_text_of(call.content)
    return Span(
        span_id=f"{turn.span_id}.t{call.seq}",
        run_id=turn.run_id,
        kind="tool_call",
        name=call.title or call.tool_name or call.tool_call_id,
        turn=turn.turn,
        started_us=call.started_us,
        finished_us=call.finished_us,
        timed=call.told_at_once,
        tool_name=call.tool_name,
        tool_kind=call.kind,
        tool_call_id=call.tool_call_id,
        parallel=parallel,
        outcome=call.outcome,
        error=call.error,
        error_class=(call.outcome if call.outcome != "failed" else error_class(said))
        if bad
        else None,
        paths=_paths(call),
        input=call.input,
        output=output,
        children=[],
    )


def _permission(turn: Span, asked: Permission) -> Span:
    by = asked.by or ""
    words = [asked.outcome or "waits", f"by {asked.rule or by}" if by else ""]
    return Span(
        span_id=f"{turn.span_id}.{asked.id}",
        run_id=turn.run_id,
        kind="permission",
        name="Waiting for permission" if by != "policy" else "Permission",
        turn=turn.turn,
        detail=" ".join(filter(None, words)),
        started_us=asked.asked_us,
        finished_us=asked.answered_us,
        tool_kind=asked.kind,
        tool_call_id=asked.tool_call_id,
        outcome=asked.outcome,
        error_class="denied" if asked.outcome == "denied" else None,
        children=[],
    )


def _paths(call: ToolCall) -> list[str]:
    given = as_dict(call.input)
    named = (given.get(key) for key in ("path", "file_path", "filePath", "abs_path"))
    return list(dict.fromkeys([*call.locations, *(one for one in named if isinstance(one, str))]))


def _together(tools: Sequence[ToolCall], spent: dict[str, Any]) -> set[str]:
    """The calls that were asked for by one answer of the model, or that went on at one time."""
    groups: dict[int, list[str]] = defaultdict(list)
    for tool in tools:
        at = spent[tool.tool_call_id].asked_by
        if at is not None:
            groups[at].append(tool.tool_call_id)
    found = {ident for group in groups.values() if len(group) > 1 for ident in group}
    timed = sorted((one for one in tools if one.told_at_once), key=lambda one: one.started_us)
    reach: dict[str | None, tuple[float, str]] = {}  # until when the longest goes on, by parent
    for tool in timed:
        until, longest = reach.get(tool.parent, (0.0, ""))
        if until > tool.started_us:
            found |= {tool.tool_call_id, longest}
        end = math.inf if tool.finished_us is None else tool.finished_us
        if end > until:
            reach[tool.parent] = (end, tool.tool_call_id)
    return found


# ------------------------------------------------------------ the tree


def _parent_of(root: Span, at_us: int) -> Span:
    """What a run was started from: the tool call that was going on then (one whose name says that
    it starts agents, where there are several), else the turn, else the run."""

    def covers(span: Span) -> bool:
        end = span.finished_us
        return span.started_us <= at_us and (end is None or at_us <= end)

    own = [span for span in walk(root) if span.run_id == root.run_id and covers(span)]
    tools = [span for span in own if span.kind == "tool_call"]
    named = [span for span in tools if "agent" in f"{span.tool_name} {span.name}".lower()]
    for group in (named, tools, [span for span in own if span.kind == "turn"]):
        if group:
            return group[-1]
    return root


def place(span: Span, parent: Span | None = None, depth: int = 0) -> None:
    """Tell each span below a root where it lies, in order of time."""
    span.parent_id = parent.span_id if parent is not None else None
    span.depth = depth
    span.agent = span.agent or (parent.agent if parent is not None else "")
    span.children.sort(key=lambda one: one.started_us)
    for child in span.children:
        place(child, span, depth + 1)
