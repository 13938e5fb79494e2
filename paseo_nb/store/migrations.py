"""Named migrations of the index, run once each, in order, and recorded in `meta`.

Tables are made from the declared columns, so a migration for new ones calls
`schema.add_missing_columns` and, to have them filled, `read_again`: the journals are the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StorageProblem
from ..model import now_us
from . import schema
from .attach import IndexDamaged
from .columns import FRAMES

Migration = Callable[[Any], None]
MIGRATIONS: dict[str, Migration] = {}
_PREFIX = "migration:"


def migration(function: Migration) -> Migration:
    """Register a migration under its name; they run in the order of this file."""
    MIGRATIONS[function.__name__] = function
    return function


@migration
def m001_initial(con: Any) -> None:
    """The tables."""
    schema.create(con)


@migration
def m002_model_calls(con: Any) -> None:
    """The table `model_calls`."""
    schema.create(con)
    read_again(con)


@migration
def m003_usage_source_and_scope(con: Any) -> None:
    """Who told the tokens, and what they cover."""
    schema.add_missing_columns(con)
    read_again(con)


@migration
def m004_value(con: Any) -> None:
    """The structured answer of a turn."""
    schema.add_missing_columns(con)


@migration
def m005_cost_of_model_calls(con: Any) -> None:
    """What a model call cost, where that is told by the call."""
    schema.add_missing_columns(con)


@migration
def m006_edited(con: Any) -> None:
    """The input that a permission was given with."""
    schema.add_missing_columns(con)
    read_again(con)


@migration
def m007_source_of_model_calls(con: Any) -> None:
    """Who told the tokens of a model call."""
    schema.add_missing_columns(con)
    read_again(con)


@migration
def m008_snapshots(con: Any) -> None:
    """The files at both ends of a turn."""
    schema.add_missing_columns(con)
    read_again(con)


@migration
def m009_calls_told_late(con: Any) -> None:
    """Calls that were told of when they were over have no beginning."""
    read_again(con)


@migration
def m011_forks(con: Any) -> None:
    """Which run a run was forked off."""
    schema.add_missing_columns(con)


@migration
def m012_recorded(con: Any) -> None:
    """The tokens of tool calls; what a recorder saw of model calls."""
    schema.add_missing_columns(con)
    read_again(con)


# ------------------------------------------------------------ machinery


def read_again(con: Any) -> None:
    """Have every run indexed anew."""
    con.execute(f"UPDATE {schema.INDEX}.src SET reading = ''")


def missing(meta: dict[str, str]) -> list[str]:
    """The migrations that an index with this `meta` still needs.

    Raises StorageProblem where a newer paseo_nb made it.
    """
    done = {key.removeprefix(_PREFIX) for key in meta if key.startswith(_PREFIX)}
    if unknown := sorted(done - MIGRATIONS.keys()):
        raise StorageProblem(
            f"the index was written by a newer paseo_nb ({', '.join(unknown)}). Upgrade paseo_nb,"
            " or delete paseo.duckdb: it is rebuilt from the journals."
        )
    return [name for name in MIGRATIONS if name not in done]


def read_meta(con: Any) -> dict[str, str]:
    """What the index says about itself; {} where it is new."""
    try:
        return dict(con.execute(f"SELECT key, value FROM {schema.INDEX}.meta").fetchall())
    except duckdb.CatalogException:
        return {}


def write_meta(con: Any, key: str, value: str) -> None:
    """Say one thing about the index."""
    con.execute(f"DELETE FROM {schema.INDEX}.meta WHERE key = ?", [key])
    con.execute(f"INSERT INTO {schema.INDEX}.meta VALUES (?, ?)", [key, value])


def check_tables(con: Any, path: Path) -> None:
    """Raise IndexDamaged where an index that is up to date lacks a table or a column: somebody
    else's tool dropped it."""
    query = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ?"
    found = set(con.execute(query, [schema.INDEX]).fetchall())
    declared = {(name, column.name) for name, columns in FRAMES.items() for column in columns}
    if declared - found or ("src", "run_id") not in found:
        raise IndexDamaged(f"{path} lacks tables. Delete it: it is rebuilt from the journals.")


def migrate(con: Any) -> dict[str, str]:
    """Bring the attached index up to date, in one transaction; its `meta` afterwards. A new one's
    tables are made as they are declared: it is up to date without a migration."""
    meta = read_meta(con)
    todo = missing(meta)
    if todo:
        con.execute("BEGIN")
        con.execute(f"CREATE TABLE IF NOT EXISTS {schema.INDEX}.meta (key VARCHAR, value VARCHAR)")
        if not meta:
            schema.create(con)
        for name in todo:
            if meta:
                MIGRATIONS[name](con)
            write_meta(con, _PREFIX + name, str(now_us()))
        con.execute("COMMIT")
        meta = read_meta(con)
    return meta
