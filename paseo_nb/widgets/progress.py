"""`progress`: many runs as one line, as tqdm shows a loop; each is given when its turn ends."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ..errors import UsageProblem
from ..hints import ipython
from ..model import BUSY_STATES, now_us
from ..runview import RunView
from .render import style
from .render.as_html import toned
from .render.states import sign
from .render.text import one_line, prose
from .render.units import duration, money, plural

if TYPE_CHECKING:
    from .._sync import Run

TICK_S = 0.1
SHOW_S = 0.5
WIDTH = 20


def progress(runs: Iterable[Run | str]) -> Iterator[Run]:
    """The runs as their turns end, the first to end first, with one line that shows how far they
    are: `for run in paseo.progress(runs): …`.

    runs: handles or ids. None is waited for that is done already; one that fails is given as well
    (`run.state`, `run.error`), and nothing is raised for it.
    """
    from .. import _sync  # pyright: ignore[reportPrivateUsage]

    wanted = [_sync.attach(one) if isinstance(one, str) else one for one in runs]
    if any(not isinstance(cast(object, run), RunView) for run in wanted):
        raise UsageProblem("progress() takes runs: their handles or ids")
    return _given(wanted)


def _given(runs: list[Run]) -> Iterator[Run]:
    line, states = _Line(), {run.id: run.state for run in runs}
    left = {run.id: run for run in runs}
    begun = time.monotonic()
    try:
        while left:
            for ident, run in list(left.items()):
                states[ident] = run.state
                if states[ident] not in BUSY_STATES:
                    del left[ident]
                    line.show(runs, states, begun)
                    yield run
            line.show(runs, states, begun)
            if left:
                time.sleep(TICK_S)
    finally:
        line.show(runs, states, begun, last=True)


def summary(runs: list[Any], states: dict[str, str], took_s: float) -> tuple[int, str]:
    """How many are over, and what is told of all."""
    over = [run for run in runs if states[run.id] not in BUSY_STATES]
    counts = Counter(_word(run, states[run.id]) for run in runs)
    parts = [f"{len(over)} of {plural(len(runs), 'run')}"]
    parts += [f"{count} {word}" for word, count in counts.items()]
    costs = [run.cost_usd for run in runs if run.cost_usd is not None]
    parts += [money(sum(costs))] if costs else []
    return len(over), ", ".join([*parts, duration(took_s)])


def _word(run: Any, state: str) -> str:
    turn = run.history().turn
    return sign(state, turn.outcome if turn else None).word.lower()


class _Line:
    """One display in a notebook, one line on a terminal's standard error; none elsewhere."""

    def __init__(self) -> None:
        self._shown = 0.0
        self._handle: Any = None
        self._notebook = hasattr(ipython(), "kernel")

    def show(
        self, runs: list[Any], states: dict[str, str], begun: float, last: bool = False
    ) -> None:
        """Show how it stands, if it is time."""
        now = time.monotonic()
        if not last and now - self._shown < SHOW_S:
            return
        self._shown = now
        over, said = summary(runs, states, now - begun)
        part = over / len(runs) if runs else 1.0
        bar = "█" * round(WIDTH * part) + "░" * (WIDTH - round(WIDTH * part))
        if self._notebook:
            self._display({"text/html": _html(part, said), "text/plain": f"{bar} {said}"})
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{bar} {one_line(said, 90)}" + "\n" * last)
            sys.stderr.flush()

    def _display(self, content: dict[str, str]) -> None:
        if self._handle is None:
            from IPython import display as shown

            show = cast(Any, shown).display
            self._handle = show(content, raw=True, display_id=f"paseo-progress-{now_us()}")
        else:
            self._handle.update(content, raw=True)


def _html(part: float, said: str) -> str:
    track = "display:inline-block;width:160px;height:6px;border-radius:3px;vertical-align:1px"
    fill = "display:block;height:6px;border-radius:3px;background:var(--jp-brand-color1,#1976d2)"
    return (
        f'<div style="{style.SMALL}"><span style="{track};background:{style.HAIR}">'
        f'<span style="{fill};width:{100 * part:.0f}%"></span></span>'
        f" {toned('quiet', prose(said))}</div>"
    )
