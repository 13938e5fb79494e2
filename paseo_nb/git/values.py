"""What a diff is, as values: made by this room, shown by the renderers and the frames."""

from __future__ import annotations

import msgspec


class FileChange(msgspec.Struct, frozen=True):
    """One changed file. Line counts are None for a binary file; status is git's letter
    (A, M, D, R, C, T) or `?` for an untracked file."""

    path: str
    added: int | None
    removed: int | None
    status: str = "M"


class DiffSummary(msgspec.Struct, frozen=True):
    """What a run changed against `base` (a commit): every file, and the unified patch."""

    files: list[FileChange]
    patch: str
    base: str

    @property
    def added(self) -> int:
        """Lines added in all text files."""
        return sum(change.added or 0 for change in self.files)

    @property
    def removed(self) -> int:
        """Lines removed in all text files."""
        return sum(change.removed or 0 for change in self.files)
