"""What a run changed, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .git.values import DiffSummary

if TYPE_CHECKING:
    import pandas as pd


class RunDiff:
    """A diff to look at: rich in a notebook, the plain patch as text."""

    def __init__(self, summary: DiffSummary) -> None:
        self.summary = summary
        self.patch = summary.patch

    @property
    def more(self) -> dict[str, Any]:
        """What there is to tell beside the diff itself."""
        return {}

    @property
    def files(self) -> pd.DataFrame:
        """One row per file: path, added, removed (lines; NULL for a binary file), status."""
        import pandas as pd

        rows = [msgspec.to_builtins(change) for change in self.summary.files]
        frame = pd.DataFrame(rows, columns=["path", "added", "removed", "status"])
        for name in ("added", "removed"):
            counts = [row[name] for row in rows]
            frame[name] = pd.array(counts, dtype="Int64")
        return frame

    def __bool__(self) -> bool:
        return bool(self.summary.files)

    def __str__(self) -> str:
        return self.patch or "nothing changed"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .widgets.live import diff_bundle

        return diff_bundle(self.summary)
