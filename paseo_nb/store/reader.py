"""From a journal's bytes to event rows and to the fold: the one place where lines are read in bulk.

Most lines of a busy run are text chunks. They take the reading's shortest way, and the fold gets
them a row of chunks at a time: about 2 µs a line; `benchmarks/index_rows.py` measures it.
"""

from __future__ import annotations

from typing import Any

from ..history import TEXT_KINDS, points_to_blob, with_blob
from ..journal import decode_line
from ..model import Line
from .fold import Fold
from .mending import mend
from .rows import EVENT_SCHEMA, from_columns


class RunReader:
    """Reads one run's journal, in order, in pieces of any number of whole lines."""

    def __init__(self, run_id: str, fold: Fold) -> None:
        self.run_id, self.fold = run_id, fold

    def feed(self, data: bytes) -> Any:
        """Take whole lines: their rows of `events` as an Arrow table, the rest into the fold."""
        fold, chunk_text = self.fold, self.fold.reading.chunk_text
        lines: list[Line] = []
        texts: list[str | None] = []
        calls: list[str | None] = []
        chunks: list[str] = []
        first: Line | None = None
        sound = _is_utf8(data)
        for part in data.split(b"\n"):
            if not part:
                continue
            line = decode_line(part if sound else mend(part))
            if line.seq < 0:  # half a surrogate pair is the common damage
                line = decode_line(mend(part))
            lines.append(line)
            if line.dir == "in" and line.kind in TEXT_KINDS:
                text = chunk_text(line)
                if text is not None:
                    if first is None or line.kind != first.kind or line.turn != first.turn:
                        if first is not None:
                            fold.take_chunks(first, lines[-2], "".join(chunks))
                            chunks.clear()
                        first = line
                    chunks.append(text)
                    texts.append(text)
                    calls.append(None)
                    continue
            if first is not None:
                fold.take_chunks(first, lines[-2], "".join(chunks))
                chunks.clear()
                first = None
            if line.seq < 0:  # damaged: it stands where it stood
                line.t, line.turn = fold.last_us, fold.turns[-1].turn if fold.turns else 0
            text, call = self._long_way(line)
            texts.append(text)
            calls.append(call)
        if first is not None:
            fold.take_chunks(first, lines[-1], "".join(chunks))
        return self._table(lines, texts, calls)

    def _long_way(self, line: Line) -> tuple[str | None, str | None]:
        """Any line: its text and tool call id; the fold takes it."""
        fold = self.fold
        seen = line
        if fold.blobs is not None and points_to_blob(line):
            seen = with_blob(line, fold.blobs)
        event = fold.reading.event(seen)
        fold.feed((seen,))
        return event.text, event.tool_call_id

    def _table(self, lines: list[Line], texts: list[str | None], calls: list[str | None]) -> Any:
        return from_columns(
            EVENT_SCHEMA,
            [
                [self.run_id] * len(lines),
                [line.seq for line in lines],
                [line.t for line in lines],
                [line.turn for line in lines],
                [line.dir for line in lines],
                [line.kind for line in lines],
                texts,
                calls,
                [bytes(line.raw) for line in lines],
            ],
        )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
