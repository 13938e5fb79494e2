"""A workflow run as one static HTML fragment: inline styles, `details` for a step's own, nothing
that needs a script. What agents and users wrote is hostile text here, too.

The order of steps is by phase and issue, never by end, so that a row stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ...engine import drawing, gates
from ...engine.story import DONE, StepRecord, Story
from ...engine.values import Payload
from ...model import short_id
from ..render import style
from ..render.as_html import toned
from ..render.states import Sign
from ..render.text import clean, literal, one_line, prose
from ..render.units import duration, money, plural, tokens
from .lanes import MOST_LANES, Bar, lanes

SIGNS: dict[str, Sign] = {
    "running": Sign("◔", "Running", "now"),
    "attached": Sign("∞", "Attached", "now"),
    "done": Sign("✓", "Done", "ok"),
    "cached": Sign("↺", "Cached", "quiet"),
    "failed": Sign("✗", "Failed", "bad"),
    "cancelled": Sign("■", "Cancelled", "quiet"),
    "stopped": Sign("■", "Stopped", "quiet"),
    "superseded": Sign("⇥", "Superseded", "quiet"),
    "unclaimed": Sign("–", "Left", "quiet"),
    "interrupted": Sign("↯", "Interrupted", "warn"),
    "waiting": Sign("◆", "Waiting", "warn"),
}
MOST_ROWS = 200
LOGS = 8
ROW = (
    "display:grid;grid-template-columns:6.6em minmax(6em,1.3fr) minmax(5em,1.2fr) minmax(0,1fr)"
    " 4.6em 5.6em;gap:0 8px;align-items:baseline;padding:4px 12px;font-size:12px"
)
CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0"
QUIET = style.TONES["quiet"]
CAP = f"font-size:11px;font-weight:600;{QUIET};margin:0 0 4px"
ACCENT = "var(--jp-brand-color1,#1976d2)"
BARS = {
    "running": f"background:{style.GROUNDS['now']};border:1px solid {ACCENT}",
    "failed": f"background:{style.GROUNDS['bad']};border:1px solid {style.EDGES['bad']}",
}


def page(
    story: Story,
    now_us: int,
    *,
    live: bool = False,
    opened: Mapping[str, str] | None = None,
) -> str:
    """The fragment. live: with what a browser may click; opened: HTML of the runs of the steps
    that somebody looks into, by step."""
    state = story.state
    parts = [
        _head(story, state, now_us, live),
        _sub(story),
        '<div style="display:flex;flex-wrap:wrap">',
        f'<div style="flex:3 1 440px;min-width:0;border-right:1px solid {style.HAIR}">',
        _steps(story, state, now_us, opened or {}),
        '</div><div style="flex:2 1 300px;min-width:0;padding:10px 14px 12px">',
        _lanes(story, state, now_us),
        _log(story),
        "</div></div>",
        _flow(story),
    ]
    css = style.ROOT.replace("padding:12px 14px;", "overflow:hidden;")
    run = literal(story.folder.id)
    return f'<div data-paseo-workflow="{run}" style="{css}">{"".join(parts)}</div>'


def shown_state(step: StepRecord, state: str) -> str:
    """A step's state as it is shown within a run of this state."""
    if step.state == "running":
        if state != "running":
            return "interrupted"
        return "attached" if step.attached else "running"
    return step.state


def _ended(step: StepRecord) -> bool:
    return step.state != "running"


def _clock(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%H:%M:%S")


def _mark(state: str, word: bool = True) -> str:
    sign = SIGNS.get(state, Sign("○", one_line(state, 20), "quiet"))
    glyph = f'<span aria-hidden="true">{sign.glyph}</span>'
    name = prose(sign.word)
    said = f" {name}" if word else f'<span title="{name}"></span>'
    return toned(sign.tone, f'<span style="white-space:nowrap">{glyph}{said}</span>')


# ------------------------------------------------------------ the head


def _head(story: Story, state: str, now_us: int, live: bool) -> str:
    steps = list(story.steps.values())
    over = sum(map(_ended, steps))
    count = f"{over} of {plural(len(steps), 'step')} ended" if over < len(steps) else (
        plural(len(steps), "step")
    )  # fmt: skip
    end = story.ended["t"] if story.ended is not None else now_us
    begun = story.engine.get("t", story.header["t"])
    facts = [f"<b>{duration((end - begun) / 1e6)}</b>"]
    if story.tokens:
        facts.append(f"<b>{tokens(story.tokens)}</b> tok")
    if any(step.costs for step in steps):
        facts.append(f"<b>{money(story.cost_usd)}</b>")
    stop = (
        '<button data-do="stop" style="font:500 12px/1 inherit;padding:5px 10px;cursor:pointer;'
        f"border:1px solid {style.LINE};border-radius:4px;background:none;{style.TONES['bad']}"
        '">■ Stop</button>'
        if live and state == "running"
        else ""
    )
    ident = f'<code style="{style.CODE};{QUIET}">{short_id(story.folder.id)}</code>'
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;'
        f'padding:9px 12px;border-bottom:1px solid {style.HAIR}">'
        f"<b>{prose(one_line(story.header['name'], 80))}</b>"
        f'<span style="{style.SMALL};{QUIET}">{count}</span>{_mark(state)}'
        f'<span style="flex:1 1 0"></span><span style="{style.SMALL};display:flex;gap:12px">'
        + "".join(f"<span>{one}</span>" for one in [*facts, ident])
        + f"</span>{stop}</div>"
    )


def _sub(story: Story) -> str:
    """How it was resumed, what it may spend, why it ended badly."""
    lines: list[str] = []
    states = [step.state for step in story.steps.values()]
    cached = states.count("cached")
    attached = sum(step.attached for step in story.steps.values())
    told = [f"<b>{plural(cached, 'step')} from the cache</b>"] if cached else []
    told += [f"<b>{attached} attached</b> while still running"] if attached else []
    epoch = story.engine.get("epoch", 1)
    if epoch > 1:
        kept = sum(
            step.state == "done" and (step.ended_us or 0) < story.engine["t"]
            for step in story.steps.values()
        )
        told = [f"<b>{plural(kept, 'step')} kept</b>", *told] if kept else told
        lines.append(
            f"Resumed {_clock(story.engine['t'])} UTC: "
            + (", ".join(told) or "nothing had been finished")
            + ". No finished step ran again."
        )
    elif told:
        lines.append(", ".join(told) + ".")
    if story.state == "failed" and story.ended is not None:
        lines.append(toned("bad", prose(_cut(str(story.ended["message"]), 600))))
    for gate, told_of in gates.waiting(story).items():
        asked = one_line(str(told_of.get("question", "")), 300)
        how = f'paseo.approve("{short_id(story.folder.id)}", "{gate}")'
        mark = toned("warn", f"◆ <b>{prose(gate)}</b> waits for you")
        lines.append(f'{mark}: {prose(asked)} <code style="{style.CODE}">{prose(how)}</code>')
    body = "".join(f'<p style="margin:0 0 6px">{line}</p>' for line in lines) + _budget(story)
    css = f"padding:8px 12px 4px;font-size:13px;border-bottom:1px solid {style.HAIR}"
    css += f";background:{style.GROUNDS['']}"
    return f'<div style="{css}">{body}</div>' if body else ""


def _budget(story: Story) -> str:
    total, spent = story.engine.get("budget"), story.cost_usd
    saved = sum(one.end.saved_usd or 0.0 for one in story.steps.values() if one.end is not None)
    facts = [f"the cache saved {money(saved)}"] if saved else []
    if total:
        used = min(spent / total * 100, 100)
        over = len([s for s in story.steps.values() if s.state == "done"])
        going = len([s for s in story.steps.values() if s.state == "running"])
        more = min(spent / over * going / total * 100, 100 - used) if over and going else 0
        bar = (
            f'<span role="meter" aria-label="Budget used" aria-valuenow="{used:.0f}" style="'
            "display:inline-flex;flex:1 1 120px;max-width:420px;height:8px;border-radius:2px;"
            'overflow:hidden;background:rgba(128,128,128,.2)">'
            f'<i style="width:{used:.1f}%;background:{ACCENT}"></i>'
            f'<i style="width:{more:.1f}%;background:repeating-linear-gradient(135deg,{ACCENT} 0'
            ' 1.5px,transparent 1.5px 5px)"></i></span>'
        )
        facts = [f"<b>{money(spent)}</b> of {money(total)}", *facts]
        label = f'<span style="{CAP};margin:0">Budget</span>'
    else:
        bar, label = "", ""
    if not facts:
        return ""
    told = "".join(f'<span style="white-space:nowrap">{one}</span>' for one in facts)
    css = (
        "display:flex;flex-wrap:wrap;gap:4px 14px;align-items:center;font-size:12px;padding:0 0 4px"
    )
    return f'<div style="{css}">{label}{bar}{told}</div>'


# ------------------------------------------------------------ the steps


def _steps(story: Story, state: str, now_us: int, opened: Mapping[str, str]) -> str:
    groups: dict[str, list[StepRecord]] = {}
    for line in story.phases:  # a phase stands where it was named, before it has a step
        groups.setdefault(_title(line.get("part"), line.get("title")), [])
    for step in story.steps.values():
        groups.setdefault(_title(step.part, step.phase), []).append(step)
    left = MOST_ROWS
    out: list[str] = []
    for title, steps in groups.items():
        over = sum(map(_ended, steps))
        count = f"{over} of {len(steps)} ended" if over < len(steps) else ""
        if title:
            css = f"padding:8px 12px 3px;font-size:12px;border-top:1px solid {style.HAIR}"
            mark = _mark(_phase_state(steps, state), word=False)
            out.append(
                f'<div style="{css}">{mark} <b>{prose(one_line(title, 80))}</b>'
                f' <span style="{QUIET}">{count}</span></div>'
            )
        shown, hidden = _shown(steps, left)
        left -= len(shown)
        out += [_step(story, one, state, now_us, opened.get(one.step)) for one in shown]
        if hidden:
            out.append(
                f'<div style="{style.SMALL};{QUIET};padding:3px 12px">… {hidden} more that ended'
                " well: paseo.steps() has them all</div>"
            )
    if not out:
        out.append(f'<div style="padding:10px 12px;{QUIET}">No step has begun yet.</div>')
    return "".join(out)


def _title(part: str | None, phase: str | None) -> str:
    return " / ".join(one for one in (part, phase) if one)


def _phase_state(steps: list[StepRecord], state: str) -> str:
    states = {shown_state(step, state) for step in steps}
    for one in ("running", "attached", "failed", "interrupted", "cancelled"):
        if one in states:
            return "running" if one == "attached" else one
    return "done" if states & DONE else "not begun"


def _shown(steps: list[StepRecord], room: int) -> tuple[list[StepRecord], int]:
    """Those that there is room for: what is not finished well always, else the first ones."""
    if len(steps) <= room:
        return steps, 0
    urgent = [step for step in steps if step.state not in DONE]
    kept = {id(step) for step in [*urgent[:MOST_ROWS], *steps[: max(room - len(urgent), 0)]]}
    shown = [step for step in steps if id(step) in kept]
    return shown, len(steps) - len(shown)


def _step(story: Story, step: StepRecord, state: str, now_us: int, run: str | None) -> str:
    told = shown_state(step, state)
    costs = step.costs
    saved = step.end and step.end.saved_usd
    cost = f"saved {money(saved)}" if saved else money(sum(costs)) if costs else ""
    took = (step.ended_us or now_us) - step.issued_us
    time = "" if step.state == "cached" or told == "interrupted" else duration(took / 1e6)
    agent = step.agent or step.given.get("agent", {}).get("agent", "")
    note = _note(story, step)
    cells = (
        _mark(told),
        f'<b style="{CUT}">{prose(one_line(step.label or step.step, 80))}</b>',
        f'<span style="{CUT};{QUIET}">{prose(one_line(str(agent), 60))}</span>',
        f'<span style="{CUT};{QUIET}">{prose(note)}</span>',
        f'<span style="text-align:right;{QUIET}">{time}</span>',
        f'<span style="text-align:right;{QUIET}">{cost}</span>',
    )
    ground = f";background:{style.GROUNDS['bad']};box-shadow:inset 3px 0 {style.EDGES['bad']}"
    css = ground if step.state == "failed" else ""
    return (
        f'<details data-step="{literal(step.step)}" data-run="{literal(step.run_id or "")}"'
        f' style="margin:0{css}"><summary style="{ROW};cursor:pointer;list-style:none">'
        f"{''.join(cells)}</summary>{_inside(story, step, run)}</details>"
    )


def _note(story: Story, step: StepRecord) -> str:
    if step.message and step.state not in DONE:
        return one_line(step.message, 120)
    if step.attempt > 1:
        return f"{step.attempt} attempts"
    payload = _gave(story, step)
    return one_line(payload.text, 120) if payload is not None else ""


def _gave(story: Story, step: StepRecord) -> Payload | None:
    """What a step gave, where that is short enough to lie in the journal."""
    end = step.end
    return story.folder.payload(end) if end is not None and end.result else None


def _inside(story: Story, step: StepRecord, run: str | None) -> str:
    css = f"padding:2px 12px 10px 28px;{style.SMALL}"
    parts: list[str] = []
    if step.message:
        parts.append(f'<p style="{style.P}">{toned("bad", prose(_cut(step.message, 600)))}</p>')
    prompt = step.given.get("prompt")
    if isinstance(prompt, str):
        parts.append(_text("Asked", prompt))
    payload = _gave(story, step)
    if payload is not None and run is None:
        parts.append(_text("Gave", payload.text or repr(payload.value)))
    if step.run_id:
        name = short_id(step.run_id)
        facts = [f"run {name}: `%paseo attach {name}`", step.step]
        facts += [f"branch {step.end.branch}"] if step.end and step.end.branch else []
        facts += [f"from {short_id(step.origin)}"] if step.origin else []
        parts.append(f'<p style="{style.P};{QUIET}">{prose(" · ".join(facts))}</p>')
    return f'<div style="{css}">{"".join(parts)}{run or ""}</div>'


def _text(what: str, text: str) -> str:
    shown = literal(_cut(text, 1200))
    pre = f"{style.PRE};white-space:pre-wrap;max-height:14em"
    return f'<div style="{CAP}">{what}</div><pre style="{pre}">{shown}</pre>'


# ------------------------------------------------------------ over time


def _lanes(story: Story, state: str, now_us: int) -> str:
    begin = story.engine.get("t", story.header["t"])
    end = story.ended["t"] if story.ended is not None else now_us
    if state == "interrupted":
        end = max((step.ended_us or step.issued_us for step in story.steps.values()), default=begin)
    bars = lanes(story.steps.values(), begin, max(end, begin + 1))
    if not bars:
        return ""
    count = max(bar.lane for bar in bars) + 1
    first = bars[0].start_us if len(bars) < len(story.steps) and story.ended is None else begin
    span = max(end - first, 1)
    rows = [[bar for bar in bars if bar.lane == lane] for lane in range(min(count, MOST_LANES))]
    body = "".join(
        '<div style="position:relative;height:24px;margin:0 0 6px">'
        + "".join(_bar(bar, first, span, state) for bar in row)
        + "</div>"
        for row in rows
    )
    hidden = f" ({count - MOST_LANES} more not shown)" if count > MOST_LANES else ""
    ticks = "".join(
        f"<span>{duration(span * part / 4 / 1e6)}</span>" for part in range(5)
    )  # fmt: skip
    axis = f"display:flex;justify-content:space-between;font-size:11px;{QUIET};margin:0 0 4px"
    return (
        f'<div style="{CAP}">Lanes, {count} at once{hidden}</div><div style="{axis}">{ticks}</div>'
        f'<div role="img" aria-label="{count} lanes over {duration(span / 1e6)}">{body}</div>'
    )


def _bar(bar: Bar, first: int, span: int, state: str) -> str:
    told = shown_state(bar.step, state)
    left = max(bar.start_us - first, 0) / span * 100
    wide = max((bar.end_us - max(bar.start_us, first)) / span * 100, 0.4)
    look = BARS.get("running" if told in ("running", "attached") else told) or (
        "background:rgba(128,128,128,.16);border:1px solid rgba(128,128,128,.5)"
    )
    torn = ";border-left-style:dashed" if bar.torn else ""
    name = one_line(bar.step.label or bar.step.step, 60)
    sign = SIGNS.get(told)
    glyph = f"{sign.glyph} " if sign is not None else ""
    return (
        f'<span title="{prose(name)}" style="position:absolute;left:{left:.2f}%;width:{wide:.2f}%;'
        "top:0;bottom:0;box-sizing:border-box;border-radius:2px;padding:0 6px;font-size:11px;"
        f'line-height:22px;{CUT};{look}{torn}">{glyph}{prose(name)}</span>'
    )


def _log(story: Story) -> str:
    lines = [(line["t"], str(line["text"])) for line in story.logs]
    for step in story.steps.values():
        name = step.label or step.step
        if step.state == "failed" and step.ended_us is not None:
            lines.append((step.ended_us, f"{name} failed: {step.message}"))
        elif step.attached:
            lines.append(
                (story.engine["t"], f"Attached to {name}, run {short_id(step.run_id or '')}.")
            )
    if not lines:
        return ""
    body = "".join(
        f'<div style="display:grid;grid-template-columns:5em 1fr;font-size:12px;padding:1px 0">'
        f'<span style="{QUIET}">{_clock(at)}</span><span>{prose(one_line(text, 240))}</span></div>'
        for at, text in sorted(lines)[-LOGS:]
    )
    more = f" (the last {LOGS} of {len(lines)})" if len(lines) > LOGS else ""
    return f'<div style="{CAP};margin-top:14px">Log, UTC{more}</div>{body}'


def _flow(story: Story) -> str:
    if not story.flow:
        return ""
    states = drawing.states([name for name, _, _ in story.flow], story)
    drawn = drawing.bundle(story.header["name"], story.flow, states)["text/html"]
    css = f"border-top:1px solid {style.HAIR};padding:10px 14px 12px;overflow-x:auto"
    return f'<div style="{css}"><div style="{CAP}">Flow</div>{drawn}</div>'


def _cut(text: str, limit: int) -> str:
    text = clean(text)
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text):,} characters in all)"
