"""Contents by their SHA-256, brought and fetched in pieces; whole ones are the project's blobs.

A name that a client gives is never a path: what is brought has none. A piece that was lost is asked
for again by how much is there; a content whose sum is another one is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path

from ..errors import UsageProblem
from ..host.local import make_home, storage_problem
from ..journal import fsync_dir, private_dir

MOST = 4 << 30
ABANDONED_S = 86400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Kept:
    """One content, whole or on its way."""

    def __init__(self, home: Path, digest: str) -> None:
        if not _DIGEST.fullmatch(digest):
            raise UsageProblem("a content is named by its SHA-256, in 64 hexadecimal digits")
        self.home, self.digest = home, digest
        self.path = home / "blobs" / digest
        self.part = home / "incoming" / digest

    def read(self, offset: int, limit: int) -> tuple[bytes, int]:
        """A piece of it, and the size of the whole. UsageProblem where it is not here."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(min(offset, size))
                return file.read(limit), size
        except FileNotFoundError:
            raise UsageProblem(f"no content {self.digest[:12]}… here") from None

    def add(self, offset: int, size: int, data: bytes) -> int:
        """Take a piece where it fits on; how much is here then. UsageProblem, StorageProblem."""
        if self.path.exists():
            return self.path.stat().st_size
        if not 0 < size <= MOST:
            raise UsageProblem(f"a content has from 1 to {MOST} bytes, not {size}")
        if offset + len(data) > size:
            raise UsageProblem("there is more of it than its size says")
        try:
            make_home(self.home)
            self._tidy()
            fd = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "r+b") as file:
                have = os.fstat(file.fileno()).st_size
                if offset != have:
                    return have  # a piece that came twice, or one before it was lost
                file.seek(have)
                file.write(data)
                file.flush()
                have += len(data)
                if have == size:
                    os.fsync(file.fileno())
            return have if have < size else self._whole(size)
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def _whole(self, size: int) -> int:
        with self.part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.digest:
            self.part.unlink(missing_ok=True)
            raise UsageProblem("what was brought has another SHA-256 than its name: bring it again")
        os.replace(self.part, self.path)
        fsync_dir(self.path.parent)
        return size

    def _tidy(self) -> None:
        """What was begun and never ended goes after a day."""
        private_dir(self.part.parent)
        with os.scandir(self.part.parent) as found:
            for entry in found:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_S:
                    os.unlink(entry.path)
