"""A comparison as one file: HTML with everything in it, no script, nothing fetched. It reads the
same in any browser, light or dark, and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StorageProblem
from ..widgets.render.text import literal, one_line, prose
from ..widgets.render.units import duration, money

if TYPE_CHECKING:
    from .match import Match
    from .tournaments import Tournament

Frame = Any  # a DataFrame: what pandas says of its types is not all there
CSS = """
:root{color-scheme:light dark;--jp-ui-font-color1:CanvasText;--jp-border-color2:#8886}
body{font:15px/1.55 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1.2rem;
background:Canvas;color:CanvasText;font-variant-numeric:tabular-nums}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}p.note{opacity:.75;max-width:78ch}
table{border-collapse:collapse;font-size:14px}th,td{text-align:left;padding:4px 12px 4px 0;
border-bottom:1px solid #8884;vertical-align:top}td.n,th.n{text-align:right}
svg text{fill:CanvasText;font:13px system-ui,sans-serif}.scroll{overflow-x:auto}
"""
HEADS = {
    "rank": "Rank", "agent": "Agent", "trials": "Trials", "solve_rate": "Solved",
    "pass_at_k": "pass@k", "pass_hat_k": "pass^k", "win_rate": "Win rate", "cost_usd": "Cost",
    "took_s": "Time",
}  # fmt: skip


def save(path: str | Path, title: str, body: str) -> Path:
    """Write a report. StorageProblem."""
    target = Path(path).expanduser()
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv='
        "\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline';"
        ' img-src data:"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><h1>{prose(title)}</h1>"
        f"{body}</body></html>\n"
    )
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageProblem(f"{target} cannot be written: {error.strerror}") from error
    return target


def match_report(match: Match) -> str:
    """The body of a match's report."""
    from ..widgets.arena.page import Shown, page

    rows = match.verdicts()
    names = ("judge", "kind", "rule", "seat", "other", "choice", "score", "abstained")
    parts = [
        page(Shown(match)),
        "<h2>Verdicts</h2>",
        table(rows, dict(zip(names, names, strict=True))),
    ]
    parts += ["<h2>Checks</h2>", table(match.checks(), {n: n for n in match.checks().columns[1:]})]
    return "".join(parts)


def tournament_report(tournament: Tournament) -> str:
    """The body of a tournament's report: ranks and rates with intervals, pairs, every task."""
    trials: Frame = tournament.trials()
    board: Frame = tournament.leaderboard()
    pairs: Frame = tournament.comparisons()
    contest = tournament.contest
    over = int(trials["solved"].notna().sum())
    said = (
        f"{len(contest.tasks)} tasks, {len(contest.agents)} agents, {contest.trials} trials each:"
        f" {over} of {len(trials)} trials have a result. Intervals are 95%, over tasks; agents that"
        " are not told apart from the one above share its rank."
    )
    says = "".join(f"<li>{prose(str(one))}</li>" for one in pairs["says"])
    parts = [
        f'<p class="note">{prose(said)}</p>', table(board, HEADS), "<h2>Solve rates</h2>",
        rates_svg(board), "<h2>Pairs</h2>", f"<ul>{says}</ul>", "<h2>Tasks</h2>", _tasks(trials),
        "<h2>What could not be solved or tried</h2>", _failures(trials),
    ]  # fmt: skip
    return "".join(parts)


def table(frame: Frame, heads: dict[str, str]) -> str:
    """Some columns of a frame as a table."""
    names = [name for name in heads if name in frame.columns]
    head = "".join(f"<th>{escape(heads[name])}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(name, value)}</td>" for name, value in zip(names, row, strict=True)) + "</tr>"  # noqa: E501
        for row in frame[names].itertuples(index=False)
    )  # fmt: skip
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'  # noqa: E501


def _cell(name: str, value: Any) -> str:
    if value is None or str(value) in ("<NA>", "NaT", "nan"):
        return "–"
    if name == "cost_usd":
        return prose(money(float(value)))
    if name == "took_s":
        return duration(float(value))
    if name in ("solve_rate", "pass_at_k", "pass_hat_k", "win_rate", "score"):
        return f"{float(value):.1%}"
    return literal(one_line(str(value), 300))


def rates_svg(board: Frame) -> str:
    """Solve rates with their intervals, best first."""
    rows = list(board.itertuples())
    left, width, each = 240, 460, 28
    high = each * len(rows) + 34
    parts = [
        f'<svg width="{left + width + 60}" height="{high}" role="img" aria-label="Solve rates">'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * width
        parts.append(f'<line x1="{x}" x2="{x}" y1="4" y2="{high - 24}" stroke="#8885"/>')
        parts.append(f'<text x="{x}" y="{high - 8}" text-anchor="middle">{share:.0%}</text>')
    for at, one in enumerate(rows):
        y, name = 18 + at * each, literal(one_line(str(one.agent), 32))
        ends = (one.solve_low, one.solve_high, one.solve_rate)
        low, top, mid = (round(left + float(value) * width, 1) for value in ends)
        parts += [
            f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{name}</text>',
            f'<line x1="{low}" x2="{top}" y1="{y}" y2="{y}" stroke="CanvasText"/>',
            f'<circle cx="{mid}" cy="{y}" r="5" fill="CanvasText"/>',
        ]
    return f'<div class="scroll">{"".join(parts)}</svg></div>'


def _tasks(trials: Frame) -> str:
    agents: list[str] = list(dict.fromkeys(trials["agent"]))
    head = "".join(f"<th>{literal(name)}</th>" for name in ("task", *agents))
    rows: list[str] = []
    for task, group in trials.groupby("task", sort=False):
        cells = [literal(one_line(str(task), 60))]
        for agent in agents:
            own = group[(group["agent"] == agent) & group["solved"].notna()]
            cells.append(f"{int(own['solved'].sum())} of {len(own)}" if len(own) else "–")
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'  # noqa: E501


def _failures(trials: Frame) -> str:
    failed = trials[trials["cause"].notna()]
    names: Sequence[str] = ("task", "agent", "trial", "cause", "run_id")
    if not len(failed):
        return "<p>Every trial came to a result.</p>"
    return table(failed, {name: name for name in names})
