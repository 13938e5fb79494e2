"""From a journal's bytes to event rows and to the fold: the one place where lines are read in bulk.

Most lines of a busy run are text chunks. They take the reading's shortest way, and the fold gets
them a row of chunks at a time: about 2 µs a line; `benchmarks/index_rows.py` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..drivers.beside import points_to_blob
from ..history import TEXT_KINDS
from ..journal import decode_line
from ..model import Line
from .arrow import pa
from .fold import Fold
from .mending import mend
from .rows import ARROW, EVENT_SCHEMA

_decoder = msgspec.json.Decoder(Line)


class Rows(msgspec.Struct):
    """What `events` has of some lines of one run."""

    run_id: str
    lines: list[Line]
    texts: list[str | None]
    calls: list[str | None]


class RunReader:
    """Reads one run's journal, in order, in pieces of any number of whole lines."""

    def __init__(self, run_id: str, fold: Fold) -> None:
        self.run_id, self.fold = run_id, fold

    def feed(self, data: bytes) -> Rows:
        """Take whole lines: their rows of `events`, the rest into the fold."""
        lines = _decoded(data)
        chunk_text = self.fold.reading.chunk_text
        texts: list[str | None] = []
        calls: list[str | None] = [None] * len(lines)
        add = texts.append
        kind, turn, begun = "", 0, 0  # of the row of chunks that goes on, where there is one
        for at, line in enumerate(lines):
            text = None
            if line.kind in TEXT_KINDS and line.dir == "in":
                text = chunk_text(line)
            if kind and (text is None or line.kind != kind or line.turn != turn):
                self._take_chunks(lines, texts, begun)
                kind = ""
            if text is None:
                text, calls[at] = self._long_way(line)
            elif not kind:
                kind, turn, begun = line.kind, line.turn, at
            add(text)
        if kind:
            self._take_chunks(lines, texts, begun)
        return Rows(self.run_id, lines, texts, calls)

    def _take_chunks(self, lines: list[Line], texts: list[str | None], begun: int) -> None:
        """Give the fold the row of chunks that ends with the last of the texts."""
        told = "".join([text for text in texts[begun:] if text is not None])
        self.fold.take_chunks(lines[begun], lines[len(texts) - 1], told)

    def _long_way(self, line: Line) -> tuple[str | None, str | None]:
        """Any line: its text and tool call id; the fold takes it."""
        fold = self.fold
        if line.seq < 0:  # damaged: it stands where it stood
            line.t, line.turn = fold.last_us, fold.turns[-1].turn if fold.turns else 0
        seen = fold.opened(line) if points_to_blob(line) else line
        event = fold.reading.event(seen)
        fold.take(seen)
        return event.text, event.tool_call_id


def events_table(parts: Sequence[Rows]) -> Any:
    """Rows of `events` as one Arrow table: one for many small parts is much cheaper than many."""
    text = ARROW["VARCHAR"]
    run_ids = [pa.repeat(part.run_id, len(part.lines)) for part in parts]
    lines = [line for part in parts for line in part.lines]
    columns = [
        pa.concat_arrays(run_ids) if run_ids else pa.array([], text),
        pa.array([line.seq for line in lines], ARROW["BIGINT"]),
        pa.array([line.t for line in lines], ARROW["TIMESTAMPTZ"]),
        pa.array([line.turn for line in lines], ARROW["BIGINT"]),
        pa.array([line.dir for line in lines], text),
        pa.array([line.kind for line in lines], text),
        pa.array([one for part in parts for one in part.texts], text),
        pa.array([one for part in parts for one in part.calls], text),
        # each line was seen to be UTF-8 when it was decoded: a view does not look again
        pa.ExtensionArray.from_storage(
            ARROW["JSON"], pa.array([bytes(line.raw) for line in lines], pa.binary()).view(text)
        ),
    ]
    return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)


def _decoded(data: bytes) -> list[Line]:
    """The lines; all of it is UTF-8."""
    try:
        if not data.isascii():
            data.decode()
        return _decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [decode_line(mend(part)) for part in data.split(b"\n") if part]
