"""What a repository has that a snapshot does not keep as it is: told before a run starts."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .commands import Repository

_FILTER = re.compile(rb"^[^#\s].*?\sfilter=(\S+)", re.M)
_ATTRIBUTES = ":(top,glob)**/.gitattributes"


def not_kept(path: Path) -> list[str]:
    """In words, one each: submodules, git LFS, other filters. GitProblem outside a repository."""
    here = Repository(path)
    top = here.working_tree()
    said: list[str] = []
    if (top / ".gitmodules").exists():
        said.append("what changes inside its submodules is in no snapshot, and no undo")
    names = here.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", _ATTRIBUTES)
    files = [top / os.fsdecode(name) for name in names.split(b"\0")[:-1]]
    filters: set[str] = set()
    for file in (*files, here.common_dir / "info" / "attributes"):
        if file.is_file() and not file.is_symlink():
            filters |= {
                found.decode("utf-8", "replace") for found in _FILTER.findall(file.read_bytes())
            }
    if "lfs" in filters:
        said.append(
            "a snapshot has the pointers of git LFS's files; their content is in LFS's store"
        )
    if others := sorted(filters - {"lfs"}):
        said.append(f"files with a filter ({', '.join(others)}) are kept as the filter makes them")
    return said
