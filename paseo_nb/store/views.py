"""The views that queries see: what the index has, and what the tails have beyond it."""

from __future__ import annotations

from typing import Any

from .attach import literal
from .columns import FRAMES, names
from .schema import INDEX
from .tails import StateOf, Tails


def make_views(
    con: Any,
    tails: Tails,
    has_index: bool,
    made: dict[str, str],
    wanted: list[str],
    state_of: StateOf,
) -> None:
    """Make the wanted views (`runs`, …) on a connection; `made` remembers what they say."""
    for name in wanted:
        con.register(f"tail_{name}", tails.table(name, state_of))
        text = _view(name, tails, has_index)
        if made.get(name) != text:
            con.execute(text)
            made[name] = text


def _view(name: str, tails: Tails, has_index: bool) -> str:
    columns = ", ".join(f'"{column}"' for column in names(FRAMES[name]))
    tail = f"SELECT {columns} FROM tail_{name}"
    if not has_index:
        return f"CREATE OR REPLACE TEMP VIEW {name} AS {tail}"
    hidden = [_run_in(tails.run_ids() if name == "runs" else tails.replaced())]
    if name == "turns":
        hidden += [
            f"(run_id = {literal(run_id)} AND turn >= {turn})"
            for run_id, turn in tails.changed_turns()
        ]
    seen = " AND ".join(f"NOT {one}" for one in hidden if one)
    where = f" WHERE {seen}" if seen else ""
    both = f"SELECT {columns} FROM {INDEX}.{name}{where} UNION ALL {tail}"
    return f"CREATE OR REPLACE TEMP VIEW {name} AS {both}"


def _run_in(run_ids: list[str]) -> str:
    return f"run_id IN ({', '.join(map(literal, run_ids))})" if run_ids else ""
