"""The timeline of a run: static HTML and text, from rows of `timelines`. Pure.

Each turn has a bar as long as it took, beside the longest one; what it waited for a person is set
off. Forks stand indented after the turn that they begin at. Nothing but inline styles, so that it
looks the same in a saved notebook; a prompt is hostile text here, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...model import TURN_STATES, short_id
from ...timelines import Moment
from ..render import style
from ..render.as_html import toned
from ..render.states import Sign, sign
from ..render.text import one_line, prose
from ..render.units import duration, money, plural, tokens, when

WORDS = {
    "permission": ("◆", "asked"),
    "steer": ("↪", "told in mid-turn"),
    "resume": ("↻", "resumed"),
    "undo": ("↶", "undone"),
    "apply": ("⇥", "applied"),
    "archive": ("▣", "archived"),
    "fork": ("↳", "fork"),
}
KINDS = {
    "session": "the agent forked its session",
    "context": "the agent was told the conversation in short",
}
_EMPTY = "This run has had no turn yet."


def bundle(
    rows: Sequence[Moment], run_id: str, forked_from: tuple[str, int] | None
) -> dict[str, str]:
    """A mime bundle of a run's timeline."""
    head = f"Run {short_id(run_id)}"
    if forked_from is not None:
        head += f", forked off run {short_id(forked_from[0])} after its turn {forked_from[1]}"
    head = one_line(head)
    return {"text/html": _html(rows, head), "text/plain": _plain(rows, head)}


def _sign(row: Moment) -> Sign:
    if row.kind != "turn":
        glyph, word = WORDS.get(row.kind, ("·", one_line(row.kind, 20)))
        return Sign(glyph, word, "warn" if row.kind == "permission" else "quiet")
    if row.outcome is None:
        return sign("running")
    return sign(TURN_STATES.get(row.outcome, "idle"), row.outcome)


def _took_us(row: Moment) -> int | None:
    return None if row.finished_us is None else max(row.finished_us - row.started_us, 0)


def _facts(row: Moment) -> list[str]:
    """The numbers of a row, those that are known."""
    took = _took_us(row)
    facts = [] if took is None else [duration(took / 1e6)]
    if row.kind == "turn" and took is None:
        facts.append("goes on")
    if row.waited_us:
        facts.append(f"{duration(row.waited_us / 1e6)} of it waiting for you")
    if row.tokens is not None:
        facts.append(f"{tokens(row.tokens)} tokens")
    if row.cost_usd is not None:
        facts.append(money(row.cost_usd))
    if row.files_changed:
        facts.append(plural(row.files_changed, "file"))
    if row.kind == "permission":
        facts.append(one_line(row.outcome or "open", 20))
    return facts


def _name(row: Moment) -> str:
    if row.kind == "turn":
        return f"turn {row.turn}"
    return f"fork {short_id(row.run_id)}" if row.kind == "fork" else _sign(row).word


def _said(row: Moment, limit: int) -> str:
    if row.kind == "fork":
        how = KINDS.get(row.outcome or "", "not prompted yet")
        return one_line(f"{row.agent}, {row.text}: {how}", limit)
    return one_line(row.text, limit)


def _html(rows: Sequence[Moment], head: str) -> str:
    begun = f" · {when(rows[0].started_us)}" if rows else ""
    title = f'<p style="{style.P};font-weight:600">{prose(head)}'
    title += f'<span style="font-weight:400;{style.TONES["quiet"]}">{prose(begun)}</span></p>'
    longest = max((_took_us(row) or 0 for row in rows if row.kind == "turn"), default=0)
    body = "".join(_html_row(row, longest) for row in rows)
    body = body or f'<p style="{style.P}">{_EMPTY}</p>'
    return f'<div style="{style.ROOT};{style.WIDTH}">{title}{body}</div>'


def _html_row(row: Moment, longest: int) -> str:
    shown = _sign(row)
    edge = f"border-left:2px solid {style.LINE};" if row.depth or row.kind == "turn" else ""
    inset = 16 * min(row.depth, 6) + (0 if row.kind in ("turn", "fork") else 14)
    css = f"margin:0 0 0 {inset}px;padding:3px 0 3px 10px;{edge}"
    small = "" if row.kind in ("turn", "fork") else f"{style.SMALL};"
    mark = toned(shown.tone, f'<span title="{prose(shown.word)}">{shown.glyph}</span>')
    facts = " · ".join(_facts(row))
    line = (
        f'<div style="display:flex;flex-wrap:wrap;gap:0 8px;{small}">'
        f'<span style="white-space:nowrap">{mark} <b>{prose(_name(row))}</b></span>'
        f'<span style="flex:1 1 16ch;min-width:0">{prose(_said(row, 200))}</span>'
        f'<span style="{style.SMALL};{style.TONES["quiet"]}">{prose(facts)}</span></div>'
    )
    bar = _bar(row, longest) if row.kind == "turn" else ""
    return f'<div style="{css}">{line}{bar}</div>'


def _bar(row: Moment, longest: int) -> str:
    """As long as the turn took; its end part is what it waited for answers in."""
    took = _took_us(row)
    if took is None or not longest:
        return ""
    wide = max(took * 100 / longest, 0.5)
    waited = min((row.waited_us or 0) * 100 / took, 100) if took else 0
    part = "height:4px;display:block"
    ground = style.EDGES.get(_sign(row).tone, "var(--jp-brand-color1,#1976d2)")
    work = f'<span style="{part};flex:{100 - waited:.1f};background:{ground};opacity:.7"></span>'
    wait = (
        f'<span title="waiting for you" style="{part};flex:{waited:.1f};background:'
        f"repeating-linear-gradient(45deg,{style.EDGES['warn']} 0 3px,transparent 3px 5px)"
        '"></span>'
        if waited
        else ""
    )
    inner = work + wait
    return f'<div style="display:flex;width:{wide:.1f}%;margin:2px 0 0">{inner}</div>'


def _plain(rows: Sequence[Moment], head: str) -> str:
    lines = [head]
    for row in rows:
        pad = "  " * row.depth + ("" if row.kind in ("turn", "fork") else "  ")
        facts = " · ".join(_facts(row))
        said = _said(row, 80)
        lines.append(
            f"{pad}{_sign(row).glyph} {_name(row)}: {said}" + (f"  ({facts})" * bool(facts))
        )
    return "\n".join(lines if rows else [head, _EMPTY])
