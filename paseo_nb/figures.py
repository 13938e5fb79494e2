"""Figures of what runs cost, used and took: a frame in, a plotly figure out.

Each looks right on a light and on a dark page (no ground of its own, greys between both), and
carries its numbers as a small table for viewers that do not know plotly. What agents wrote is
hostile text here too: plotly reads labels as HTML and TeX.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (plotly says no types)

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, cast

import plotly.graph_objects as go

from .errors import UsageProblem
from .model import short_id
from .store.columns import NOTE
from .widgets.render.text import one_line
from .widgets.render.units import money, tokens

if TYPE_CHECKING:
    import pandas as pd

MOST_LANES = 30
MOST_AGENTS = 8
_TEXT, _GRID = "#7a7a7a", "rgba(128,128,128,.22)"
_COLOURS = (
    "#3f8fd2", "#c8812a", "#4c9f70", "#b8577f", "#8571c9", "#2f9aa0", "#a5863a", "#9a6a52",
    "#8a8f98",
)  # fmt: skip
_OUTCOMES = {
    "end_turn": ("Done", "#4c9f70"),
    "cancelled": ("Cancelled", "#8a8f98"),
    "limit": ("Stopped at a limit", "#c8812a"),
    "refused": ("Refused", "#b8577f"),
    "interrupted": ("Interrupted", "#c8812a"),
    "error": ("Failed", "#cf4a44"),
    "": ("Goes on", "#3f8fd2"),
}
_MIMES = {"plotly_mimetype", "jupyterlab", "nteract", "vscode"}


class Figure(go.Figure):
    """A plotly figure that also displays as a table of its numbers, where plotly is not known."""

    _numbers: Any = None

    def telling(self, numbers: Any) -> Figure:
        """This figure, with the frame to show in its place."""
        self._numbers = numbers
        return self

    def _ipython_display_(self) -> None:
        import plotly.io
        from IPython import display as shown

        renderers: Any = plotly.io.renderers
        if self._numbers is None or not _MIMES & set(str(renderers.default).split("+")):
            super()._ipython_display_()
            return
        from .widgets import frame_view

        content = {
            "application/vnd.plotly.v1+json": self.to_plotly_json(),
            "text/html": frame_view.as_html(self._numbers),
            "text/markdown": frame_view.as_markdown(self._numbers),
            "text/plain": frame_view.as_plain(self._numbers, 120),
        }
        cast(Any, shown).display(content, raw=True)


def plot_cost(runs: pd.DataFrame | None = None) -> Figure:
    """What agents have cost: US dollars summed over time, one line per agent.

    runs: a `paseo.runs()` frame, filtered as you like (default: all runs of the project)

    A run counts when its last turn ended. Runs whose agent told no cost are not in it, and counted
    in the title. Raises UsageProblem where a column is missing.
    """
    frame = _given(runs, "runs", "provider", "model_asked", "created_at", "finished_at", "cost_usd")
    known = frame[frame["cost_usd"].notna()].copy()
    if not len(known):
        return _nothing("Cost", "No run here has told what it cost.", len(frame))
    known["agent"] = _agents(known)
    known["at"] = known["finished_at"].fillna(known["created_at"])
    known = known.sort_values("at")
    figure = Figure()
    numbers: list[dict[str, Any]] = []
    for number, (agent, part) in enumerate(_by_agent(known, "cost_usd")):
        figure.add_scatter(
            x=[part["created_at"].min(), *part["at"].tolist()],
            y=[0.0, *part["cost_usd"].cumsum().tolist()],
            name=_label(agent),
            mode="lines+markers",
            line={"shape": "hv", "width": 2, "color": _colour(number)},
            marker={"size": 5},
            hovertemplate="$%{y:,.4f} after %{x}<extra>%{fullData.name}</extra>",
        )
        spent = float(part["cost_usd"].sum())
        numbers.append({"agent": agent, "runs": len(part), "cost_usd": spent})
    total = money(float(known["cost_usd"].sum()))
    silent = len(frame) - len(known)
    untold = f", {silent} told no cost" if silent else ""
    title = f"{total} in {len(known)} of {len(frame)} runs{untold}"
    figure.update_yaxes(tickprefix="$", rangemode="tozero")
    return _finished(figure, title, 320, numbers)


def plot_tokens(runs: pd.DataFrame | None = None) -> Figure:
    """What runs have used: tokens in from the cache, other tokens in, tokens out; a bar per run.

    runs: a `paseo.runs()` frame, filtered as you like (default: all runs of the project)

    The newest 30 that told their tokens are shown. Raises UsageProblem where a column is missing.
    """
    frame = _given(
        runs, "runs", "run_id", "provider", "model_asked", "created_at",
        "input_tokens", "cache_read_tokens", "output_tokens",
    )  # fmt: skip
    told = frame["input_tokens"].notna() | frame["output_tokens"].notna()
    known = frame[told].sort_values("created_at").tail(MOST_LANES)
    if not len(known):
        return _nothing("Tokens", "No run here has told its tokens.", len(frame))
    tokens_in, out = known["input_tokens"].fillna(0), known["output_tokens"].fillna(0)
    cached = known["cache_read_tokens"].fillna(0).clip(upper=tokens_in)
    parts = (
        ("In, from the cache", cached, "#8a8f98"),
        ("In", tokens_in - cached, "#3f8fd2"),
        ("Out", out, "#c8812a"),
    )
    idents, agents = known["run_id"].tolist(), _agents(known)
    lanes = [_lane(ident, agent) for ident, agent in zip(idents, agents, strict=True)]
    figure = Figure()
    for name, values, colour in parts:
        counts = [int(value) for value in values]
        figure.add_bar(
            y=lanes, x=counts, name=name, orientation="h", marker={"color": colour},
            text=[tokens(count) if count else "" for count in counts], textposition="none",
            hovertemplate="%{text} tokens, %{y}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.35)
    numbers = [
        {"run_id": ident, "agent": agent, **{f"{n}_tokens": int(v) for n, v in counted.items()}}
        for ident, agent, *values in zip(idents, agents, *(p[1] for p in parts), strict=True)
        for counted in [dict(zip(("cached", "input", "output"), values, strict=True))]
    ]
    everything = tokens(int(tokens_in.sum() + out.sum()))
    title = f"{everything} tokens in {_of(len(known), len(frame))}"
    return _finished(figure, title, 130 + 26 * len(known), numbers)


def plot_time(turns: pd.DataFrame | None = None) -> Figure:
    """When agents were at work: every turn from its prompt to its end, a lane per run.

    turns: a `paseo.turns()` frame, filtered as you like (default: all turns of the project)

    The 30 runs that worked last are shown; a turn that goes on is drawn up to now. Raises
    UsageProblem where a column is missing.
    """
    import pandas

    pd: Any = pandas
    frame = _given(turns, "turns", "run_id", "turn", "outcome", "started_at", "finished_at")
    known = frame[frame["started_at"].notna()].copy()
    if not len(known):
        return _nothing("Time", "No turn here has begun.", len(frame))
    known["until"] = known["finished_at"].fillna(pd.Timestamp.now("UTC"))
    last = known.groupby("run_id")["until"].max().sort_values().tail(MOST_LANES)
    runs = known["run_id"].nunique()
    known = known[known["run_id"].isin(last.index)].sort_values("started_at")
    known["took"] = (known["until"] - known["started_at"]).dt.total_seconds().clip(lower=0)
    known["lane"] = [short_id(str(ident)) for ident in known["run_id"]]
    known["ended"] = known["outcome"].fillna("").astype(str)
    figure = Figure()
    for outcome, part in known.groupby("ended", sort=False):
        name, colour = _OUTCOMES.get(str(outcome), (_label(str(outcome)), _TEXT))
        figure.add_bar(
            y=part["lane"].tolist(), base=part["started_at"].tolist(),
            x=[1000 * took for took in part["took"]], name=name, orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            customdata=[[int(n), t] for n, t in zip(part["turn"], part["took"], strict=True)],
            hovertemplate="turn %{customdata[0]}, %{customdata[1]:.1f} s, from %{base}"
            "<extra>%{y}, %{fullData.name}</extra>",
        )  # fmt: skip
    lanes = list(dict.fromkeys(known["lane"]))
    figure.update_layout(barmode="overlay", bargap=0.35)
    figure.update_xaxes(type="date")
    figure.update_yaxes(categoryorder="array", categoryarray=lanes[::-1])
    numbers = [
        {"run_id": row["run_id"], "turn": int(row["turn"]), "outcome": row["ended"],
         "started_at": row["started_at"], "duration_ms": 1000 * row["took"]}
        for row in known.to_dict("records")
    ]  # fmt: skip
    title = f"{len(known)} turns of {_of(len(lanes), runs)}"
    return _finished(figure, title, 130 + 26 * len(lanes), numbers)


# ------------------------------------------------------------ how


def _given(frame: Any, name: str, *needed: str) -> Any:
    """The frame to draw: the user's, else all of the project."""
    if frame is None:
        from . import _sync  # pyright: ignore[reportPrivateUsage]

        return getattr(_sync, name)(columns=needed)
    columns = getattr(frame, "columns", None)
    if columns is None:
        raise UsageProblem(f"a figure takes a DataFrame, as paseo.{name}() gives, not {frame!r}")
    missing = [column for column in needed if column not in columns]
    if missing:
        raise UsageProblem(
            f"the frame has no column {', '.join(missing)}; give it paseo.{name}() with its"
            " columns, rows filtered as you like"
        )
    return frame


def _agents(frame: Any) -> list[str]:
    pairs = zip(frame["provider"].tolist(), frame["model_asked"].tolist(), strict=True)
    return [f"{one}/{model}" if isinstance(model, str) else str(one) for one, model in pairs]


def _by_agent(frame: Any, value: str) -> list[tuple[str, Any]]:
    """The rows of each agent, the largest sum first; small ones together at the end."""
    order = frame.groupby("agent")[value].sum().sort_values(ascending=False).index.tolist()
    found = [(agent, frame[frame["agent"] == agent]) for agent in order[:MOST_AGENTS]]
    rest = order[MOST_AGENTS:]
    if rest:
        found.append((f"{len(rest)} more", frame[frame["agent"].isin(rest)]))
    return found


def _of(shown: int, there: int) -> str:
    plural = "run" if there == 1 else "runs"
    return f"{there} {plural}" if shown == there else f"{shown} of {there} {plural}"


def _lane(ident: str, agent: str) -> str:
    return f"{short_id(ident)}  {_label(agent)}"


def _label(text: str) -> str:
    """Text that plotly shows as it is: neither HTML nor TeX."""
    return escape(one_line(text, 40)).replace("$", "&#36;")


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _nothing(what: str, why: str, rows: int) -> Figure:
    figure = Figure()
    said = why if rows else "The frame has no rows."
    figure.add_annotation(
        text=said, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14}
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _finished(figure, what, 160, [{what.lower(): said}])


def _finished(figure: Figure, title: str, height: int, numbers: list[dict[str, Any]]) -> Figure:
    import pandas

    figure.update_layout(
        template="none",
        title={"text": _label(title), "x": 0.01, "y": 0.98, "yanchor": "top", "font": {"size": 15}},
        height=height,
        margin={"l": 8, "r": 16, "t": 64, "b": 36},
        font={"family": "system-ui, sans-serif", "size": 12, "color": _TEXT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    figure.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID, automargin=True, ticklabelstandoff=6)
    table: Any = pandas.DataFrame(numbers)
    table.attrs[NOTE] = "figure"
    return figure.telling(table)
