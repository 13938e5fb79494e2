"""One contestant as it is shown: a line of text, a column beside the others, a row among the names.

A live column has tabs, of which the widget's script shows one; a static one has `details`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...contests.values import Verdict
from ...git.values import DiffSummary
from ..render import style
from ..render.as_html import toned
from ..render.diffs import diff_html
from ..render.messages import message_html
from ..render.states import Sign, sign
from ..render.steps import step_of
from ..render.text import literal, one_line, prose
from ..render.units import changes, duration, money, plural

if TYPE_CHECKING:
    from ...contests.match import Contestant
    from .page import Shown

CALLS = 6
LIVE_CALLS = 100
TEXT = 1500
PATCH_LINES = 120
PASSED = 8
NOT_RUN = (126, 127)  # of a shell: no such command, or it may not be run
QUIET = style.TONES["quiet"]
CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0"
BADGE = (
    f"display:inline-block;min-width:20px;text-align:center;border:1px solid {style.LINE};"
    "border-radius:4px;font-weight:600;font-size:12px;line-height:20px"
)
ROW = "display:flex;gap:8px;align-items:baseline;font-size:12px;line-height:22px"
CODE = f"{style.CODE};{CUT};flex:1;line-height:inherit"
CELL = style.CELL.replace("vertical-align:top", "vertical-align:middle")
PANEL = "height:236px;overflow:auto;padding:6px 12px"
_STATES = {"queued": Sign("◌", "Queued", "quiet"), "done": sign("idle"), "failed": sign("error")}


class Seat:
    """One contestant as it is shown."""

    def __init__(self, shown: Shown, one: Contestant, change: DiffSummary | None) -> None:
        self.shown, self.one, self.change = shown, one, change
        self.sign = _STATES.get(one.state) or sign(one.state)
        mine = (v for v in shown.verdicts if v.kind == "tests" and v.seat == one.seat)
        self.tests: Verdict | None = next(mine, None)

    # ------------------------------------------------------------ facts

    @property
    def took(self) -> str:
        """How long it took; nothing while that is hidden."""
        took = self.one.took_s if self.shown.match.costs_shown else None
        return "" if took is None else duration(took)

    @property
    def cost(self) -> str:
        """What it cost; nothing while that is hidden."""
        return money(self.one.usage.cost_usd) if self.shown.match.costs_shown else ""

    @property
    def tested(self) -> str:
        """What the tests say of it, in words."""
        if self.tests is None:
            return ""
        told = self.tests.evidence
        if told.get("exit_code") is None:
            return f"the tests did not end within {duration(told.get('took_s') or 0)}"
        if told["exit_code"] in NOT_RUN:
            return f"the tests could not be run (exit code {told['exit_code']})"
        ran = sum(told.get(name, 0) for name in ("passed", "failed", "error"))
        if not ran:
            return "the tests pass" if self.tests.score == 1 else "the tests fail"
        kind = "hidden test" if self.shown.hidden else "test"
        return f"{told['passed']} of {plural(ran, kind)}"

    @property
    def tested_html(self) -> str:
        """The same, with a sign."""
        if self.tests is None:
            return ""
        good = self.tests.score == 1
        return toned("ok" if good else "bad", "✓ " if good else "✗ ") + prose(self.tested)

    @property
    def changed(self) -> str:
        """How much it changed, in words."""
        if self.change is None:
            return ""
        files = self.change.files
        if not files:
            return "no change"
        counted = changes(sum(f.added or 0 for f in files), sum(f.removed or 0 for f in files))
        return f"{plural(len(files), 'file')} {counted}"

    @property
    def failure(self) -> str:
        """Why it did not end well, if so."""
        ended = self.one.ended
        return ended.message if ended is not None and ended.cause is not None else ""

    @property
    def said(self) -> str:
        """Its last text, or why it failed."""
        ended, run = self.one.ended, self.one.run
        if self.failure:
            return self.failure
        return ended.text if ended is not None else ("" if run is None else run.text)

    # ------------------------------------------------------------ forms

    def text(self) -> str:
        """On one line."""
        name = f"{self.one.seat}, {self.one.name}" if self.one.name else self.one.seat
        facts = " · ".join(x for x in (self.took, self.cost, self.tested, self.changed) if x)
        why = f": {one_line(self.shown.told(self.failure))}" if self.failure else ""
        return f"  {self.sign.glyph} {name}: {self.sign.word}, {facts}{why}"

    def row(self, heads: list[str], selected: str | None, *, live: bool) -> str:
        """Its row among the names: a cell for each of the heads."""
        mine = self.one.seat == selected
        name = f"<b>{literal(self.one.name or '')}</b>"
        if self.sign.tone != "ok":
            name += f" {toned(self.sign.tone, self.sign.word)}"
        cells = {
            "Seat": f'<span style="{BADGE}">{self.one.seat}</span>'
            + (toned("ok", " ✓ selected") if mine else ""),
            "Agent": name, "You": prose(self.shown.vote_for(self.one.seat)),
            "Tests": self.tested_html, "Change": self.changed, "Time": self.took,
            "Cost": prose(self.cost),
        }  # fmt: skip
        row = "".join(f'<td style="{CELL}">{cells.get(h) or self._rubric(h)}</td>' for h in heads)
        if live:
            row += f'<td style="{CELL}">{self._compare(selected)}</td>'
        ground = f' style="background:{style.GROUNDS["ok"]}"' if mine else ""
        return f"<tr{ground}>{row}</tr>"

    def _rubric(self, head: str) -> str:
        judge = head.removeprefix("Rubric by ")
        if judge == head:
            return ""
        return prose(self.shown.judged_by(judge, self.one.seat))

    def _compare(self, selected: str | None) -> str:
        against = selected or self.shown.seats[0].one.seat
        if self.one.seat == against or self.one.run is None:
            return ""
        word = f"Compare with {against}"
        return f'<button class="bn" data-do="compare {against}{self.one.seat}">{word}</button>'

    def html(self, *, live: bool) -> str:
        """Its column."""
        state = toned(self.sign.tone, f"{self.sign.glyph} {self.sign.word}")
        numbers = " &nbsp; ".join(x for x in (self.took, prose(self.cost)) if x)
        line = f'<span style="{CUT}">{self.tested_html}</span>' if self.tests else ""
        if not self.tests and self.shown.header.asked.tests and not self.failure:
            line = f'<span style="{CUT};{QUIET}">◌ tests run when all have ended</span>'
        name = f"Contestant {self.one.seat}" + (f", {self.one.name}" if self.one.name else "")
        named = f'<span style="font-size:12px;{CUT}">{literal(self.one.name or "")}</span>'
        return (
            f'<div role="group" aria-label="{literal(name)}" style="min-width:0;'
            f'border:solid {style.LINE};border-width:1px 0 0 1px;margin:-1px 0 0 -1px">'
            f'<div style="display:flex;gap:8px;align-items:baseline;padding:8px 12px 0">'
            f'<span style="{BADGE}">{self.one.seat}</span>{named}'
            f'<span style="font-size:12px;font-weight:500;white-space:nowrap">{state}</span>'
            '<span style="flex:1"></span>'
            f'<span style="font-size:12px;white-space:nowrap">{numbers}</span></div>'
            f'<div style="display:flex;gap:8px;font-size:12px;min-height:22px;padding:2px 12px;'
            f'{QUIET}">{line}<span style="flex:1"></span>'
            f'<span style="white-space:nowrap">{prose(self.changed)}</span></div>'
            f"{self._tabs() if live else self._unfolding()}</div>"
        )

    def _tabs(self) -> str:
        seat = self.one.seat
        shown = {
            "Stream": self._stream(LIVE_CALLS, going=True),
            "Diff": self._diff() or self._nothing("It has changed nothing."),
            "Tests": self._cases() or self._nothing("Tests are run when all have ended."),
        }
        if self.shown.header.asked.tests is None:
            del shown["Tests"]
        heads = "".join(
            f'<button role="tab" class="tb" data-tab="{seat} {name.lower()}">{name}</button>'
            for name in shown
        )
        panels = "".join(
            f'<div role="tabpanel" tabindex="0" aria-label="{seat}: {name}"'
            f' data-panel="{seat} {name.lower()}" style="{PANEL}">{inner}</div>'
            for name, inner in shown.items()
        )
        bar = f"display:flex;padding:0 8px;border-bottom:1px solid {style.LINE}"
        return f'<div role="tablist" style="{bar}">{heads}</div>{panels}'

    def _nothing(self, said: str) -> str:
        return f'<p style="font-size:12px;{QUIET}">{said}</p>'

    def _unfolding(self) -> str:
        parts = (
            f'<div style="min-height:60px;margin:6px 0">{self._stream(CALLS, going=False)}</div>'
        )
        for title, inner in (("Diff", self._diff()), ("Tests", self._cases())):
            if inner:
                summary = f"{style.SUMMARY};font-size:12px;padding:3px 0"
                parts += f'<details><summary style="{summary}">{title}</summary>{inner}</details>'
        return f'<div style="padding:0 12px 8px">{parts}</div>'

    def _stream(self, most: int, *, going: bool) -> str:
        rows: list[str] = []
        run = self.one.run
        if run is not None:
            calls = list(run.history().tool_calls.values())
            now_us = time.time_ns() // 1000
            going = going and self.one.ended is None
            if len(calls) > most:
                earlier = plural(len(calls) - most, "earlier step")
                rows.append(f'<div style="font-size:12px;{QUIET}">{earlier}</div>')
            for call in calls[-most:]:
                step = step_of(call, cwd=run.spec.cwd, now_us=now_us, live=going)
                target = literal(self.shown.told(step.target))
                result = toned(step.tone, prose(self.shown.told(step.result)))
                rows.append(
                    f'<div style="{ROW}">'
                    f'<b style="font-weight:600">{step.word}</b>'
                    f'<code style="{CODE}">{target}</code>'
                    f'<span style="{QUIET}">{result}</span></div>'
                )
        text = self.shown.told(self.said.strip())
        if len(text) > TEXT:
            text = "… " + text[-TEXT:]
        tone = style.TONES["bad"] if self.failure else ""
        said = f'<div style="font-size:13px;{tone}">{message_html(text)}</div>' if text else ""
        return "".join(rows) + said

    def _diff(self) -> str:
        if self.change is None or not self.change.files:
            return ""
        return diff_html(self.shown.told(self.change.patch), max_lines=PATCH_LINES)

    def _cases(self) -> str:
        if self.tests is None:
            return ""
        told = self.tests.evidence
        good: list[str] = told.get("passes") or []
        bad: list[list[str]] = told.get("failures") or []
        rows = [self._case("bad", "✗", name, "failed") for name, _ in bad]
        rows += [self._case("ok", "✓", name, "") for name in good[:PASSED]]
        more = told.get("passed", 0) - len(good[:PASSED])
        if more > 0:
            rows.append(f'<div style="font-size:12px;{QUIET}">{more} more passed</div>')
        touched: list[str] = told.get("touched") or []
        if touched:
            said = f"It changed {', '.join(touched)}, by which tests are run."
            rows.append(f'<p style="font-size:12px">{prose(self.shown.told(said))}</p>')
        end = self.shown.told(str(told.get("output", ""))[-2000:])
        output = f'<pre style="{style.PRE}">{literal(end)}</pre>' if end else ""
        return "".join(rows) + output

    def _case(self, tone: str, glyph: str, name: str, word: str) -> str:
        tag = toned("ok" if tone == "ok" else "bad", glyph)
        shown = literal(one_line(self.shown.told(name)))
        return (
            f'<div style="{ROW}">{tag}'
            f'<code style="{CODE}">{shown}</code>'
            f'<span style="{QUIET}">{word}</span></div>'
        )
