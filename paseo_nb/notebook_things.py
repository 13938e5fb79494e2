"""`--attach` in a notebook: words to things. Names first, then what a notebook has besides names (a
cell, the last traceback), runs, and files.

`Cells` remembers which execution of this session belongs to which cell id, and the last error;
sources and outputs are those of IPython's own history (printed text, results, errors; it keeps no
displays).
"""

from __future__ import annotations

import difflib
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from IPython.core.error import UsageError

from .attaching import RUN, run_of
from .describing import cut
from .errors import UsageProblem
from .host.local import LocalHost
from .interpolation import is_expression, look_up

CELL, TRACEBACK = "cell:", "tb"
SHOWN_NAMES = 8
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Cells:
    """Cell ids and what executing them was counted as, from when the magics were loaded on."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.counts: dict[str, int] = {}
        self.error: BaseException | None = getattr(sys, "last_value", None)

    def note(self, result: Any) -> None:
        """IPython's `post_run_cell`. Wrong words in a magic's line are no error to look into."""
        cell_id: str | None = getattr(result.info, "cell_id", None)
        if cell_id and result.execution_count:
            self.counts[cell_id] = result.execution_count
        error = result.error_before_exec or result.error_in_exec
        if error is not None and not isinstance(error, UsageError):
            self.error = error

    def text(self, which: str) -> str:
        """The source of a cell, by execution count or cell id, and its output, as Markdown.
        UsageProblem."""
        count = int(which) if which.isdigit() else self.counts.get(which)
        history = self.shell.history_manager
        sources: list[str] = history.input_hist_raw
        last = len(sources) - 2  # before this one
        if count is None or not 0 < count <= last:
            known = f"cells 1 to {last} were executed" if last else "no cell was executed"
            raise UsageProblem(
                f"attach: no {CELL}{which}; {known} in this session. The number is the one in the"
                " brackets before the cell"
            )
        parts = [f"Cell [{count}]:\n{_fenced(cut(sources[count]), 'python')}"]
        output = "".join(_outputs(history, count))
        if output.strip():
            parts.append(f"Its output:\n{_fenced(cut(output))}")
        return "\n\n".join(parts)


def _outputs(history: Any, count: int) -> Iterable[str]:
    kept: dict[int, list[Any]] = getattr(history, "outputs", {})
    for output in kept.get(count, ()):
        bundle: dict[str, Any] = output.bundle
        text = bundle.get("stream", bundle.get("text/plain", ""))
        yield "".join(cast(list[str], text)) + ("" if "stream" in bundle else "\n")
    failed: dict[str, Any] = getattr(history, "exceptions", {}).get(count) or {}
    yield _ESCAPES.sub("", "\n".join(failed.get("traceback", ())))


def _fenced(text: str, language: str = "") -> str:
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def things(words: Iterable[str], cells: Cells, host: LocalHost) -> dict[str, Any]:
    """What `--attach` words stand for, by name; a word may be several, with commas between.
    UsageProblem for one that is nothing."""
    found: dict[str, Any] = {}
    for word in words:
        # A file or an index may have a comma in its name.
        parts = [word] if Path(word).expanduser().is_file() else re.split(r",(?![^\[]*\])", word)
        for part in filter(None, (part.strip() for part in parts)):
            found[part] = _thing(part, cells, host)
    return found


def _thing(word: str, cells: Cells, host: LocalHost) -> Any:
    names: dict[str, Any] = cells.shell.user_ns
    if is_expression(word):
        try:
            return _given(word, look_up(word, names))
        except NameError:
            pass
        except Exception as error:  # whatever the value's own code raises
            if not Path(word).is_file():
                raise UsageProblem(f"attach: {word}: {type(error).__name__}: {error}") from None
    if word == TRACEBACK:
        return _last_traceback(cells.error)
    if word.startswith(CELL):
        return cells.text(word.removeprefix(CELL))
    if word.startswith(RUN):
        return run_of(word, host)
    path = Path(word).expanduser()
    if path.is_file():
        return path
    raise UsageProblem(f"attach: {word!r} is neither a name nor a file; {_there_is(word, names)}")


def _given(word: str, value: Any) -> Any:
    """A name's value. `_` is empty text as long as there was no result."""
    if word == "_" and isinstance(value, str) and value == "":
        raise UsageProblem("attach: there is no result yet for _")
    return value


def _last_traceback(error: BaseException | None) -> str:
    if error is None:
        raise UsageProblem(f"attach: no error was raised yet, so there is no {TRACEBACK}")
    trace = error.__traceback__
    while trace is not None and "/IPython/" in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    return cut("".join(traceback.format_exception(type(error), error, trace)))


def _there_is(word: str, names: dict[str, Any]) -> str:
    known = own_names(names)
    near = difflib.get_close_matches(word, known, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    some = [*known[-SHOWN_NAMES:], "_", f"{CELL}N", TRACEBACK, f"{RUN}ID"]
    return f"there are {', '.join(some)}, and paths of files"


def own_names(names: dict[str, Any]) -> list[str]:
    """The names that somebody gave in a notebook, oldest first; no modules."""
    hidden = {"In", "Out", "exit", "quit", "open", "get_ipython"}
    return [
        name
        for name, value in names.items()
        if name[:1] != "_" and name not in hidden and type(value).__name__ != "module"
    ]
