"""From a journal's bytes to event rows and to the fold: the one place where lines are read in bulk.

Most lines of a busy run are text chunks. They take the reading's shortest way, and the fold gets
them a row of chunks at a time: about 2 µs a line; `benchmarks/index_rows.py` measures it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..history import TEXT_KINDS, points_to_blob, with_blob
from ..journal import decode_line
from ..model import Line
from .arrow import pa
from .fold import Fold
from .mending import mend
from .rows import ARROW, EVENT_SCHEMA

_decoder = msgspec.json.Decoder(Line)


class RunReader:
    """Reads one run's journal, in order, in pieces of any number of whole lines."""

    def __init__(self, run_id: str, fold: Fold) -> None:
        self.run_id, self.fold = run_id, fold

    def feed(self, data: bytes) -> Any:
        """Take whole lines: their rows of `events` as an Arrow table, the rest into the fold."""
        lines, raws = _decoded(data)
        fold, chunk_text = self.fold, self.fold.reading.chunk_text
        texts: list[str | None] = []
        calls: list[str | None] = []
        chunks: list[str] = []
        first = last = None
        for line in lines:
            if line.kind in TEXT_KINDS and line.dir == "in":
                text = chunk_text(line)
                if text is not None:
                    if first is None or line.kind != first.kind or line.turn != first.turn:
                        if first is not None and last is not None:
                            fold.take_chunks(first, last, "".join(chunks))
                            chunks.clear()
                        first = line
                    last = line
                    chunks.append(text)
                    texts.append(text)
                    calls.append(None)
                    continue
            if first is not None and last is not None:
                fold.take_chunks(first, last, "".join(chunks))
                chunks.clear()
                first = None
            text, call = self._long_way(line)
            texts.append(text)
            calls.append(call)
        if first is not None and last is not None:
            fold.take_chunks(first, last, "".join(chunks))
        return self._table(lines, texts, calls, raws)

    def _long_way(self, line: Line) -> tuple[str | None, str | None]:
        """Any line: its text and tool call id; the fold takes it."""
        fold = self.fold
        if line.seq < 0:  # damaged: it stands where it stood
            line.t, line.turn = fold.last_us, fold.turns[-1].turn if fold.turns else 0
        seen = line
        if fold.blobs is not None and points_to_blob(line):
            seen = with_blob(line, fold.blobs)
        event = fold.reading.event(seen)
        fold.feed((seen,))
        return event.text, event.tool_call_id

    def _table(
        self, lines: list[Line], texts: list[str | None], calls: list[str | None], raws: Any
    ) -> Any:
        text = ARROW["VARCHAR"]
        columns = [
            pa.repeat(self.run_id, len(lines)),
            pa.array([line.seq for line in lines], ARROW["BIGINT"]),
            pa.array([line.t for line in lines], ARROW["TIMESTAMPTZ"]),
            pa.array([line.turn for line in lines], ARROW["BIGINT"]),
            pa.array([line.dir for line in lines], text),
            pa.array([line.kind for line in lines], text),
            pa.array(texts, text),
            pa.array(calls, text),
            pa.ExtensionArray.from_storage(ARROW["JSON"], raws),
        ]
        return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)


def _decoded(data: bytes) -> tuple[list[Line], Any]:
    """The lines, and their messages as an Arrow array of text, checked to be UTF-8."""
    try:
        lines = _decoder.decode_lines(data)
        return lines, _messages(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, pa.ArrowInvalid):
        lines = [decode_line(mend(part)) for part in data.split(b"\n") if part]
        return lines, _messages(lines)


def _messages(lines: list[Line]) -> Any:
    return pa.array([bytes(line.raw) for line in lines], pa.binary()).cast(pa.string())
