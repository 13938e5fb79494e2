"""Contents by their SHA-256, brought and fetched in pieces; whole ones are the project's blobs.

A name that a client gives is never a path: what is brought has none. A piece that was lost is asked
for again by how much is there; a content whose sum is another one is thrown away.
How much may be brought is bounded, for each paired device and in all (`device_mb`, `brought_mb`):
`brought.json` tells who began which content, of what size; it counts for as long as it lies here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

import msgspec

from .. import config
from ..errors import UsageProblem
from ..host.local import LocalHost, make_home, storage_problem
from ..journal import fsync_dir, private_dir
from .refused import Refused

MOST = 4 << 30
ABANDONED_S = 86400.0
MB = 1 << 20
SPARE = 64 * MB  # left to the runs, which write here, too
LEAST = 64 << 10  # what a content counts at least, however small it is
LEDGER = "brought.json"
WAIT_S = 10.0
FREE_SOME = (
    "put runs away there and let go what they kept (archive, then prune), or raise {} in the"
    " project's settings"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Brought(msgspec.Struct, forbid_unknown_fields=True):
    """A content that somebody brought, or began to. who: a paired device; None: who has the
    server's own token."""

    who: str | None
    size: int


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

    def add(self, offset: int, size: int, data: bytes, who: str | None = None) -> int:
        """Take a piece where it fits on; how much is here then. who: the paired device that brings
        it. UsageProblem, StorageProblem; Refused where there is no room for it."""
        if self.path.exists():
            return self.path.stat().st_size
        if not 0 < size <= MOST:
            raise UsageProblem(f"a content has from 1 to {MOST} bytes, not {size}")
        if offset + len(data) > size:
            raise UsageProblem("there is more of it than its size says")
        try:
            make_home(self.home)
            self._tidy()
            if not self.part.exists():
                self._begin(size, who)
            fd = os.open(self.part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            with os.fdopen(fd, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # two may bring the same
                have = os.fstat(file.fileno()).st_size
                if offset != have:
                    return have  # a piece that came twice, or one before it was lost
                self._check_begun(size)
                if shutil.disk_usage(self.part).free - len(data) < SPARE:
                    raise Refused(507, self._no_space, "StorageProblem")
                file.seek(have)
                file.write(data)
                file.flush()
                have += len(data)
                if have == size:
                    os.fsync(file.fileno())
            return have if have < size else self._whole(size)
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def _begin(self, size: int, who: str | None) -> None:
        """Make room for a content, where there may be so much. Refused."""
        settings = config.settings(config.project_root())
        with LocalHost(self.home).holding("brought.lock", WAIT_S):
            here = {name: one for name, one in self._brought().items() if self._lies(name)}
            here.pop(self.digest, None)
            counted = [(one.who, max(one.size, LEAST)) for one in here.values()]
            mine = sum(bytes_ for of, bytes_ in counted if of == who)
            for used, most, of, what in (
                (mine, settings.device_mb, who, "device_mb"),
                (sum(bytes_ for _, bytes_ in counted), settings.brought_mb, "", "brought_mb"),
            ):
                if of is None or used + max(size, LEAST) <= most * MB:
                    continue
                told = f"this content has {size / MB:.1f} MB, and "
                if size > most * MB:
                    told += f"{most} MB may be brought here at most: send less, or raise {what}"
                    raise Refused(413, f"{told} in the settings of the project")
                told += f"{used / MB:.1f} MB of {most} that may be brought here are taken"
                told += f" by {'this device' if of else 'devices and other machines'}: "
                raise Refused(507, told + FREE_SOME.format(what), "StorageProblem")
            if shutil.disk_usage(self.home).free - size < SPARE:
                raise Refused(507, self._no_space, "StorageProblem")
            here[self.digest] = Brought(who, size)
            self._write(here)
            os.close(os.open(self.part, os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def _check_begun(self, size: int) -> None:
        """A content has the size that it was begun with, for which there is room."""
        begun = self._brought().get(self.digest)
        if begun is None or begun.size != size:
            self.part.unlink(missing_ok=True)
            raise UsageProblem("it was begun with another size: bring it again from the beginning")

    def _brought(self) -> dict[str, Brought]:
        try:
            found = (self.home / LEDGER).read_bytes()
            return msgspec.json.decode(found, type=dict[str, Brought])
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}

    def _write(self, here: dict[str, Brought]) -> None:
        new = self.home / f".{LEDGER}.{os.getpid()}"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(here))
        os.replace(new, self.home / LEDGER)

    def _lies(self, digest: str) -> bool:
        return any((self.home / folder / digest).exists() for folder in ("blobs", "incoming"))

    @property
    def _no_space(self) -> str:
        return (
            "too little space is left on the disk of the project, where its runs write, too: free"
            " some there (archive runs, then prune), and bring it again"
        )

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
                with contextlib.suppress(FileNotFoundError):  # another one tidies, too
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_S:
                        os.unlink(entry.path)
