"""`paseo.trace(run)`: a run, or a workflow run, as a tree: to look at, to ask, as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..errors import UsageProblem
from ..model import now_us
from . import questions
from .spans import Span, kept, walk

if TYPE_CHECKING:
    import pandas as pd

    from .seen import Traced


class Trace:
    """The spans of a run, or a workflow run, and of the runs that it started, as they were when it
    was asked for."""

    def __init__(
        self,
        root: Span,
        shown: Span | None = None,
        at_us: int | None = None,
        source: Traced | None = None,
    ) -> None:
        self.root, self._source = root, source
        self.at_us = at_us or (now_us() if source is None else source.host.now_us())
        self._shown = root if shown is None else shown
        self._filtered = shown is not None

    @property
    def run_id(self) -> str:
        """The run, or workflow run, that it is of."""
        return self.root.run_id

    @property
    def spans(self) -> list[Span]:
        """All that the filter lets through, with what is above it; parents first."""
        return list(walk(self._shown))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per span, parents first; columns in docs/frames.md."""
        from .rows import span_row

        return _frame("trace", [span_row(span) for span in self.spans])

    def filter(
        self,
        tool: str | None = None,
        errors: bool | None = None,
        slower_than: float | None = None,
        search: str | None = None,
    ) -> Trace:
        """Only the spans that fit all of it, and what is above them.

        tool: a tool's name or kind
        errors: True: what failed; False: what did not
        slower_than: seconds
        search: a text in name, input, output or error, in any case

        UsageProblem for a value of another kind.
        """
        if (tool, errors, slower_than, search) == (None, None, None, None):
            return self
        for name, given in (("tool", tool), ("search", search)):
            if given is not None and not isinstance(cast(Any, given), str):
                raise UsageProblem(f"{name}={given!r}: give a text")
        if slower_than is not None and not isinstance(cast(Any, slower_than), (int, float)):
            raise UsageProblem(f"slower_than={slower_than!r}: give seconds, as a number")
        wanted = questions.matching(self.spans, tool, errors, slower_than, search)
        nothing = Span(span_id=self.root.span_id, run_id=self.run_id, kind=self.root.kind,
                       name=self.root.name, started_us=self.root.started_us,
                       finished_us=self.root.finished_us, agent=self.root.agent)  # fmt: skip
        return Trace(self.root, kept(self._shown, wanted) or nothing, self.at_us)

    # ------------------------------------------------------------ questions

    def slowest_tools(self) -> pd.DataFrame:
        """Which tools took the time: tool_name, calls, total_ms, median_ms, max_ms, share."""
        return _frame("slowest_tools", questions.slowest_tools(self.spans))

    def error_rates(self) -> pd.DataFrame:
        """Which tools fail: tool_name, calls, failed, rate, error_class (the most frequent)."""
        return _frame("error_rates", questions.error_rates(self.spans))

    def time_spent(self) -> pd.DataFrame:
        """Where the time of the whole run went: what, seconds, share."""
        return _frame("time_spent", questions.time_spent(self.root, self.at_us))

    def retries(self) -> pd.DataFrame:
        """Model calls that were tried again: run_id, turn, time, text."""
        return _frame("retries", questions.retries(self.spans))

    def repeated_steps(self) -> pd.DataFrame:
        """The same tool with the same input: run_id, tool_name, input, times, failed."""
        return _frame("repeated_steps", questions.repeated_steps(self.spans))

    def files_read(self) -> pd.DataFrame:
        """The files that were read most: path, reads, result_tokens."""
        return _frame("files_read", questions.files_read(self.spans))

    def first_tokens(self) -> pd.DataFrame:
        """How long each turn was silent: run_id, turn, agent, first_token_ms."""
        return _frame("first_tokens", questions.first_tokens(self.spans))

    # ------------------------------------------------------------ showing

    def to_json(self, **how: Any) -> str:
        """The frame as JSON, for the terminal."""
        frame: Any = self.frame
        return str(frame.to_json(**how))

    def _ipython_display_(self) -> None:
        """Live where a browser shows widgets and nothing is filtered, else as it stood."""
        from .. import cells

        if self._source is None or self._filtered or not cells.shows_widgets():
            raise NotImplementedError  # IPython's word for: show it the other way
        from ..widgets.trace.widget import TraceWidget

        TraceWidget(self._source, self.root, self.at_us).show()

    def __str__(self) -> str:
        from ..widgets.trace import plain

        return plain(self._shown, self.root, self.at_us)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from ..widgets.trace import html, plain

        return {
            "text/html": html(self._shown, self.root, self.at_us, filtered=self._filtered),
            "text/plain": plain(self._shown, self.root, self.at_us),
        }


def trace_of(source: Traced) -> Trace:
    """The trace of a run or a workflow run, true now."""
    return Trace(source.read()[0], source=source)


def _frame(name: str, rows: list[Any]) -> pd.DataFrame:
    from .rows import listed

    return listed(name, rows)
