"""Traces as a Parquet file: the columns of `trace`, one row per span."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import StorageProblem
from ..store.arrow import pa
from ..store.columns import TRACED
from ..store.rows import schema, table
from .rows import span_row
from .spans import Span, walk


def write(path: Path, roots: Iterable[Span]) -> int:
    """Write the spans of some traces, one row group for each; how many. A file that is there is
    replaced once the new one is whole. StorageProblem where it cannot be written."""
    from pyarrow.parquet import ParquetWriter  # pyright: ignore

    shape = _plain(schema(TRACED["trace"]))
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # another one may write it, too
    count = 0
    try:
        made: Any = ParquetWriter(part, shape, compression="zstd")
        with made as writer:
            for root in roots:
                rows = [span_row(span) for span in walk(root)]
                told: Any = table(schema(TRACED["trace"]), rows).cast(shape)
                writer.write_table(told)
                count += len(rows)
        part.replace(path)
    except OSError as error:
        raise StorageProblem(f"{path} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _plain(shape: Any) -> Any:
    """JSON as text: few readers know the type."""
    text = pa.string()
    kinds = ((one.name, one.type) for one in shape)
    return pa.schema(
        [pa.field(name, text if isinstance(kind, pa.BaseExtensionType) else kind)
         for name, kind in kinds]
    )  # fmt: skip
