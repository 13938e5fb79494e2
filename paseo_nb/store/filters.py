"""What the filters of every frame accept: `run=`, `since=`, `until=`, `limit=`, `columns=`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

from ..errors import UsageProblem
from . import disk
from .columns import Column, names

Moment = datetime | date | timedelta | str
Runs = str | Sequence[str]

_ID_LENGTH = 26
_AGO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\w*\s*(?:ago)?\s*", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(value: Moment, name: str) -> datetime:
    """A point in time, UTC. A timedelta, or a text like "2h", is that long ago; a date is its
    first moment; what has no time zone is local time. UsageProblem for anything else."""
    try:
        return _moment(value)
    except (ValueError, TypeError, OverflowError):
        raise UsageProblem(
            f'{name}={value!r}: write a time ("2026-11-21", "2026-11-21T10:00"), or how long'
            ' ago ("30m", "2h", "7d")'
        ) from None


def _moment(value: Moment) -> datetime:
    if isinstance(value, str):
        ago = _AGO.fullmatch(value)
        if ago is None:
            value = datetime.fromisoformat(value.strip())
        else:
            value = timedelta(seconds=float(ago[1]) * _SECONDS[ago[2].lower()])
    if isinstance(value, timedelta):
        return datetime.now(UTC) - value
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.astimezone(UTC)


def run_ids(home: Path, run: Any) -> list[str]:
    """Whole run ids of one or several ids, unambiguous prefixes, or run handles."""
    given = [run] if isinstance(run, str) or hasattr(run, "id") else list(run)
    known: list[str] | None = None
    found: list[str] = []
    for one in given:
        text = str(getattr(one, "id", one)).strip()
        if len(text) < _ID_LENGTH:
            known = disk.run_ids(home) if known is None else known
            text = _complete(text, known)
        found.append(text)
    return list(dict.fromkeys(found))


def _complete(prefix: str, known: list[str]) -> str:
    fits = [run_id for run_id in known if prefix and run_id.startswith(prefix.upper())]
    if prefix in known:
        return prefix
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise UsageProblem(f"no run begins with {prefix!r}")
    raise UsageProblem(f"{prefix!r} fits {len(fits)} runs: {', '.join(fits[:4])}, …")


def chosen(wanted: Sequence[str] | str | None, columns: list[Column], frame: str) -> list[str]:
    """The names of the wanted columns, in the wanted order; all of them for None."""
    known = names(columns)
    if wanted is None:
        return known
    asked = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}."
            raise UsageProblem(f"{frame} has no column {name!r}: {hint}")
    if not asked:
        raise UsageProblem(f"{frame}: columns=[] leaves nothing to show")
    return asked


def row_limit(limit: Any) -> int | None:
    """How many rows at most."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise UsageProblem(f"limit={cast(object, limit)!r}: give a number of rows")
    return limit
