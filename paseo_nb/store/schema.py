"""The index's tables: the frames' own, and what the index needs to know about itself.

`src` says how far each run's journal is indexed; `meta` which migrations ran, whether every run
folder has been looked at (`complete`), and a `generation` that changes with every commit. There
are no keys: rows are written once, in order, and one transaction holds rows and offset.
"""

from __future__ import annotations

from typing import Any

from .columns import FRAMES, Column

INDEX = "paseo_index"
"""The name under which the file is attached."""

# What agents say repeats itself: zstd makes it many times smaller and halves the time to write.
_LONG_TEXT = {("events", "text"), ("turns", "text"), ("turns", "prompt")}


def table_ddl(name: str, columns: list[Column]) -> str:
    """The statement that makes one table."""
    told = ", ".join(f'"{c.name}" {_stored(name, c)}' for c in columns)
    return f"CREATE TABLE IF NOT EXISTS {INDEX}.{name} ({told})"


def _stored(table: str, column: Column) -> str:
    if column.type == "JSON" or (table, column.name) in _LONG_TEXT:
        return f"{column.type} USING COMPRESSION zstd"
    return column.type


def create(con: Any) -> None:
    """Make every table."""
    for name, columns in FRAMES.items():
        con.execute(table_ddl(name, columns))
    con.execute(
        f"CREATE TABLE IF NOT EXISTS {INDEX}.src (run_id VARCHAR, identity VARCHAR, off BIGINT,"
        " seq BIGINT, reading VARCHAR, carry VARCHAR)"
    )


def add_missing_columns(con: Any) -> None:
    """For migrations: give older tables the columns that were declared since."""
    for name, columns in FRAMES.items():
        for column in columns:
            con.execute(
                f'ALTER TABLE {INDEX}.{name} ADD COLUMN IF NOT EXISTS "{column.name}" {column.type}'
            )
