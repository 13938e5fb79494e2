"""An undo changes no byte of a line that the turn did not change, whatever git converts."""

from __future__ import annotations

from pathlib import Path

import pytest

from paseo_nb.git.snapshots import snapshot
from paseo_nb.git.undoing import Change, put_back


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\nc\n", None),
        (b"a\nb\n", b"a\nb\nc\n", None),  # on the disk as git would not write it
        (b"a\r\nb\nc\r\n", b"a\r\nb\nc\r\nd\r\n", None),
        (b"a\r\nb\r\nc", b"a\r\nc", None),  # a line that was gone, as most are
        (b"a\r\n", b"x\n", b"a\n"),  # nothing of it is left that could tell
    ],
)
@pytest.mark.parametrize("attributes", ["* text=auto", "*.txt text eol=crlf", "*.txt text"])
def test_lines_keep_their_ends(
    repo: Path, before: bytes, after: bytes, wanted: bytes | None, attributes: str
) -> None:
    (repo / ".gitattributes").write_text(attributes + "\n")
    file = repo / "win.txt"
    file.write_bytes(before)
    start = snapshot(repo)
    file.write_bytes(after)
    put_back(repo, [Change(start, snapshot(repo), ours=True)], ref="refs/paseo/R/undo-1-kept")
    assert file.read_bytes() == (before if wanted is None else wanted)


def test_without_conversions_bytes_are_as_they_were(repo: Path) -> None:
    file = repo / "win.txt"
    file.write_bytes(b"a\nb\n")
    start = snapshot(repo)
    file.write_bytes(b"a\r\nb\r\n")
    put_back(repo, [Change(start, snapshot(repo), ours=True)], ref="refs/paseo/R/undo-1-kept")
    assert file.read_bytes() == b"a\nb\n"
