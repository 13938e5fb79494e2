"""The shape of a run's prompt cache as static HTML and text. Pure; nothing but inline styles.

A bar for each request: what the provider read from its cache, what is new, and what had been sent
before and was billed again, with its segments (the system prompt, each tool, each message) where
they are known; a mark where the prefix shared with the last request ends; below a miss its reason
in words, and what changed where that was kept. Above each turn its hit rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...model import short_id
from ..render import style
from ..render.text import literal, one_line, prose
from ..render.units import money, plural, tokens, when

if TYPE_CHECKING:
    from ...tracing.cache import CacheShape, Line

MAX_LINES = 300
MAX_PIECES = 60  # of a bar: what is shorter is drawn as one with its neighbour of the same kind
HIT = "color-mix(in srgb,currentColor 30%,transparent)"
SHADES = {"system": 52, "tool": 40, "message": 24, "attachment": 32}  # of the text's colour
WORDS = {"system": "system", "tool": "tools", "message": "messages", "attachment": "attachments"}
NEW = "var(--jp-brand-color1,#1976d2)"
LOST = f"repeating-linear-gradient(45deg,{style.EDGES['bad']} 0 3px,transparent 3px 5px)"
_GRID = (
    "display:grid;grid-template-columns:4ch minmax(80px,1fr) 6ch 6ch 7ch 8ch 8ch 9ch;gap:0 8px;"
    "align-items:center"
)
_NUMBER = f"text-align:right;white-space:nowrap;{style.SMALL}"
_EMPTY = "No model call of this run is told with its tokens."


def html(shape: CacheShape) -> str:
    """The whole picture."""
    label = "exact: requests were seen" if shape.exact else "estimated: requests are not seen"
    title = (
        f'<p style="{style.P};font-weight:600">Cache shape '
        f'<span style="font-weight:400;{style.TONES["quiet"]}">{prose(_head(shape))}</span> '
        f'<span style="{style.PILL};font-weight:400">{label}</span></p>'
    )
    if not shape.lines:
        return f'<div style="{style.ROOT}">{title}<p style="{style.P}">{_EMPTY}</p></div>'
    facts = "".join(
        f'<span><span style="{style.SMALL};{style.TONES["quiet"]}">{name}</span><br>'
        f"<b>{prose(value)}</b></span>"
        for name, value in _facts(shape)
    )
    legend = " · ".join(
        f'<span style="display:inline-block;width:9px;height:9px;background:{ground}"></span>'
        f" {name}"
        for name, ground in (
            *_cached(shape), ("new", NEW), ("sent before, billed again", LOST),
        )
    )  # fmt: skip
    heads = ["", "Input", "Hit", "So far", "Tokens", "Cost", "Uncached", "Saved so far"]
    head = "".join(
        f'<span style="{_NUMBER if at > 1 else style.SMALL};{style.TONES["quiet"]}">{name}</span>'
        for at, name in enumerate(heads)
    )
    widest = max(line.judged.request.input_tokens or 0 for line in shape.lines) or 1
    turns = {line.judged.request.turn for line in shape.lines}
    said = dict(_turns(shape.lines)) if len(turns) > 1 else {}
    rows = "".join(
        said.get(at, "") + _line(line, widest) for at, line in enumerate(shape.lines[:MAX_LINES])
    )
    left = len(shape.lines) - MAX_LINES
    more = f'<p style="{style.P}">{plural(left, "further request")}.</p>' if left > 0 else ""
    return (
        f'<div style="{style.ROOT};font-size:13px">{title}'
        f'<div style="display:flex;flex-wrap:wrap;gap:6px 28px;margin:0 0 10px">{facts}</div>'
        f'<p style="{style.P};{style.SMALL}">{legend} · <b>|</b> end of what both share</p>'
        f'<div style="{_GRID}">{head}</div>{rows}{more}</div>'
    )


def plain(shape: CacheShape) -> str:
    """The same as text."""
    label = "exact" if shape.exact else "estimated"
    of = "" if shape.title else "of "
    lines = [f"Cache shape {of}{_head(shape)} ({label})"]
    if not shape.lines:
        return f"{lines[0]}\n{_EMPTY}"
    lines.append(" · ".join(f"{name} {value}" for name, value in _facts(shape)))
    for line in shape.lines[:MAX_LINES]:
        one = line.judged
        said = f"  {one.cause}: {one.reason}" if one.cause else ""
        into = tokens(one.request.input_tokens)
        lines.append(f"{line.number:>4}  {_rate(one.hit_rate):>4} of {into:>6}{said}")
    return "\n".join(lines)


def _head(shape: CacheShape) -> str:
    said = f"{one_line(shape.agent, 60)}, run {short_id(shape.run_id)}"
    if shape.title:
        said = f"of {one_line(shape.title, 60)}, {said}"
    if shape.lines:
        said += f", {when(shape.lines[0].judged.request.at_us)}"
    return f"{said}, {plural(len(shape.lines), 'model request')}"


def _facts(shape: CacheShape) -> list[tuple[str, str]]:
    lines = shape.lines
    misses = [line for line in lines if line.judged.lost]
    paid = [line.priced.input_usd for line in lines if line.priced is not None]
    lost = [line.lost_usd for line in misses if line.lost_usd is not None]
    facts = [
        ("Hit rate", _rate(lines[-1].cumulative)),
        ("Input", tokens(sum(line.judged.request.input_tokens or 0 for line in lines))),
        ("Paid for input", money(sum(paid)) if len(paid) == len(lines) else ""),
        ("Without a cache",
         money(sum(paid) + (lines[-1].saved_so_far or 0)) if len(paid) == len(lines) else ""),
        ("Saved by the cache", money(lines[-1].saved_so_far)),
        (f"Lost to {plural(len(misses), 'miss')[:-1] + 'es' if len(misses) != 1 else '1 miss'}",
         money(sum(lost)) if lost else tokens(sum(x.judged.lost for x in misses)) + " tokens"),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value and (misses or "Lost" not in name)]


def _line(line: Line, widest: int) -> str:
    one, request = line.judged, line.judged.request
    into = request.input_tokens or 0
    read = min(request.read or 0, into)
    lost = min(one.lost, into - read)
    parts = "".join(
        f'<span style="flex:{count};background:{ground}"></span>'
        for count, ground in (
            (read, "none" if request.segments else HIT), (lost, LOST), (into - read - lost, NEW),
        )
        if count
    )  # fmt: skip
    mark = ""
    if one.shared is not None and into:
        at = min(one.shared * 100 / into, 100)
        mark = (
            f'<span style="position:absolute;left:{at:.1f}%;top:-2px;bottom:-2px;width:2px;'
            f'background:currentColor"></span>'
        )
    bar = (
        f'<span style="position:relative;display:flex;height:12px;width:{into * 100 / widest:.1f}%;'
        f'min-width:2px">{parts}{_segments(line, read)}{mark}</span>'
    )
    paid = line.priced
    cost = money(paid.input_usd) if paid else ""
    without = money(paid.input_usd + paid.saved_usd) if paid else ""
    numbers = [
        _rate(one.hit_rate), _rate(line.cumulative), tokens(into), cost, without,
        money(line.saved_so_far),
    ]  # fmt: skip
    cells = "".join(f'<span style="{_NUMBER}">{prose(text)}</span>' for text in numbers)
    ground = f";background:{style.GROUNDS['bad']}" if one.cause else ""
    why = ""
    if one.cause:
        why = (
            f'<div style="{style.SMALL};padding-left:6ch{ground}"><b>{prose(one.cause)}</b>: '
            f"{prose(one_line(one.reason, 300))}"
            + (f" {tokens(one.lost)} tokens billed again." if one.lost else "")
            + _diff(one.diff)
            + "</div>"
        )
    return (
        f'<div style="{_GRID};padding:1px 0{ground}"><span style="{_NUMBER}">{line.number}</span>'
        f"{bar}{cells}</div>{why}"
    )


def _turns(lines: Sequence[Line]) -> Iterator[tuple[int, str]]:
    """Before which line a turn begins, and what its hit rate is."""
    begun = [at for at, line in enumerate(lines) if not at or _turn(line) != _turn(lines[at - 1])]
    for at, after in zip(begun, [*begun[1:], len(lines)], strict=True):
        mine = lines[at:after]
        known = [one.judged.request for one in mine if one.judged.request.read is not None]
        into = sum(one.input_tokens or 0 for one in known)
        rate = sum(one.read or 0 for one in known) / into if into else None
        said = f"{_rate(rate)} from the cache, {_rate(mine[-1].cumulative)} so far" if known else ""
        yield (
            at,
            (
                f'<div style="{style.SMALL};{style.TONES["quiet"]};padding:3px 0 0">'
                f"<b>Turn {_turn(lines[at])}</b> {said}</div>"
            ),
        )


def _turn(line: Line) -> int:
    return line.judged.request.turn


def _cached(shape: CacheShape) -> list[tuple[str, str]]:
    """The legend of what came from the cache: by kinds of segments, where they are known."""
    told = [one.kind for line in shape.lines for one in line.judged.request.segments or ()]
    kinds = [kind for kind in SHADES if kind in set(told)]
    return [(WORDS[kind], _shade(kind)) for kind in kinds] or [("from the cache", HIT)]


def _shade(kind: str) -> str:
    return f"color-mix(in srgb,currentColor {SHADES.get(kind, 24)}%,transparent)"


def _segments(line: Line, read: int) -> str:
    """The segments of a request over its bar: shades as far as it came from the cache, and a gap
    between each two. Two gradients, as a request may have hundreds."""
    request = line.judged.request
    whole = sum(one.size for one in request.segments or ())
    if whole <= 0:
        return ""
    pieces: list[tuple[str, int]] = []
    for one in request.segments or ():
        kind, size = pieces[-1] if pieces else ("", 0)
        if kind == one.kind and size < whole / MAX_PIECES:
            pieces[-1] = (kind, size + one.size)
        else:
            pieces.append((one.kind, one.size))
    until = read * 100 / (request.input_tokens or 1)
    shades: list[str] = []
    gaps: list[str] = []
    at = 0.0
    for kind, size in pieces[: 2 * MAX_PIECES]:
        end = at + size * 100 / whole
        if at < until:
            shades.append(f"{_shade(kind)} {at:.2f}% {min(end, until):.2f}%")
        if end < 99.9:
            ground = "var(--jp-layout-color0,#fff)"
            gaps.append(f"transparent 0 {end:.2f}%,{ground} {end:.2f}% calc({end:.2f}% + 1px)")
        at = end
    shades.append(f"transparent {until:.2f}%")
    layers = [f"linear-gradient(90deg,{gap},transparent 0)" for gap in gaps]
    layers.append(f"linear-gradient(90deg,{','.join(shades)})")
    return f'<span style="position:absolute;inset:0;background:{",".join(layers)}"></span>'


def _diff(diff: str | None) -> str:
    if not diff:
        return ""
    return (
        '<details><summary style="cursor:pointer">What changed</summary>'
        f'<pre style="{style.PRE}">{literal(diff)}</pre></details>'
    )


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.0%}"
