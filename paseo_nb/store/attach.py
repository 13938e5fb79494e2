"""The index file: attached for as long as one query or one advance, then let go.

Two locks guard it. Ours, `db.lock`, orders paseo_nb's own processes: shared for a query, exclusive
while an advance writes what it has read. DuckDB's own keeps others out while the file is open, and
tells who has it: a foreign tool that holds it is reported with its process id, never waited for
longer than 300 ms.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StorageProblem
from ..locks import HeldLock
from .schema import INDEX

STORAGE_VERSION = "v1.5.0"  # DuckDB 1.5 and 2.0 both open it
ROW_GROUP = 10_240  # small: an advance rewrites the last one, a look at one run reads few
FOREIGN_WAIT_S = 0.3
GIVE_UP_S = 1.0
POLITE_S = 0.25
READ_ONLY_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS}


# What DuckDB says of a file that is damaged, on opening it or on reading it.
_DAMAGE = (
    "not a valid DuckDB database file",
    "Could not read enough bytes",
    "Corrupt database file",
    "database has been invalidated",
)


class IndexHeld(StorageProblem):
    """A foreign tool has the index file open; `holder` names it."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"the index {path} is held by {holder}. Close it there (a DuckDB connection, a database"
            " tool), or ask for single runs, which are answered from their journals. Nothing is"
            " lost: runs go on and are indexed afterwards."
        )
        self.holder = holder


class IndexDamaged(StorageProblem):
    """The file is no index of ours any more."""


class IndexFull(StorageProblem):
    """There is no space to write the index; the journals answer meanwhile."""


def database(home: Path) -> Path:
    """Where the index lies."""
    return home / "paseo.duckdb"


def lock_path(home: Path) -> Path:
    """Where our lock on the index lies."""
    return home / "db.lock"


def connection(home: Path) -> Any:
    """An in-memory DuckDB that fetches no extension, speaks UTC, and would spill into `home`."""
    con = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # SQL sees tables, not our variables
            "temp_directory": str(home / ".spill"),
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    if duckdb.__version__.startswith("1."):  # it pushes joins into Arrow scans, which then fail
        con.execute("SET disabled_optimizers = 'join_filter_pushdown'")
    return con


@contextlib.contextmanager
def shared_lock(home: Path, wait_s: float) -> Generator[None]:
    """Hold `db.lock` shared. Where it neither exists nor can be made (a read-only project), nobody
    can write the index either, and there is nothing to lock. TimeoutError after `wait_s`."""
    try:
        fd = _open_lock(lock_path(home))
    except OSError as error:
        if error.errno not in READ_ONLY_ERRORS:
            raise
        yield
        return
    with HeldLock(fd):
        _let_a_writer_in(home)
        if not _flock(fd, fcntl.LOCK_SH, wait_s):
            raise TimeoutError
        yield


@contextlib.contextmanager
def writers_turn(home: Path, wait_s: float) -> Generator[bool]:
    """Be the one process that prepares and writes; False where another one is. Queries go on until
    it takes the `exclusive_lock`. It is held on the folder `runs/`."""
    with HeldLock(os.open(home / "runs", os.O_RDONLY | os.O_CLOEXEC)) as turn:
        yield _flock(turn.fd, fcntl.LOCK_EX, wait_s)


@contextlib.contextmanager
def exclusive_lock(home: Path) -> Generator[None]:
    """Hold `db.lock` exclusively, in one's `writers_turn`. Who wants to write holds the folder
    `live/` first: readers that come then wait, else a few busy kernels would never let anybody
    write. TimeoutError where somebody reads for longer than `GIVE_UP_S`."""
    with HeldLock(os.open(home / "live", os.O_RDONLY | os.O_CLOEXEC)) as wish:
        fd = os.open(lock_path(home), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with HeldLock(fd):
            wished = _flock(wish.fd, fcntl.LOCK_EX, GIVE_UP_S)
            if not wished or not _flock(fd, fcntl.LOCK_EX, GIVE_UP_S):
                raise TimeoutError
            yield


def _let_a_writer_in(home: Path) -> None:
    """Wait for a process that is about to write, for `POLITE_S` at most."""
    try:
        fd = os.open(home / "live", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with HeldLock(fd):
        _flock(fd, fcntl.LOCK_SH, POLITE_S)


def _flock(fd: int, how: int, wait_s: float) -> bool:
    """Take a lock, or not within `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def attached(con: Any, path: Path, *, write: bool) -> Generator[None]:
    """Attach the index file to a connection for the length of the block. Hold `db.lock`.

    Raises IndexHeld, IndexDamaged, FileNotFoundError, or StorageProblem for what else DuckDB says.
    """
    made_so = f"STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP}"
    options = made_so if write else "READ_ONLY"
    deadline = time.monotonic() + FOREIGN_WAIT_S
    while True:
        try:
            con.execute(f"ATTACH {literal(str(path))} AS {INDEX} ({options})")
            break
        except duckdb.Error as error:
            problem = explain(error, path)
            if not isinstance(problem, IndexHeld) or time.monotonic() > deadline:
                raise problem from error
            time.sleep(0.02)
    try:
        if write:
            path.chmod(0o600)
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            con.execute(f"DETACH {INDEX}")
        raise
    try:
        con.execute(f"DETACH {INDEX}")
    except duckdb.Error as error:  # it writes what is in the log, which may meet a full disk
        raise explain(error, path) from error


def explain(error: duckdb.Error, path: Path) -> OSError:
    """DuckDB's refusal, as an error of ours (or FileNotFoundError)."""
    said = str(error)
    if os.strerror(errno.ENOSPC) in said or os.strerror(errno.EDQUOT) in said:
        return IndexFull(
            f"there is no space left to write the index {path}. Free some, then try again. Nothing"
            " is lost: the journals hold it all."
        )
    if "Conflicting lock" in said or "Could not set lock" in said:
        pid = re.search(r"PID (\d+)", said)
        return IndexHeld(path, f"PID {pid[1]}" if pid else "another process")
    if "Unique file handle conflict" in said:
        return IndexHeld(path, f"this process (PID {os.getpid()})")
    if "database does not exist" in said:
        return FileNotFoundError(errno.ENOENT, said, str(path))
    if "cannot initialize database with storage version" in said:  # another tool made it
        return IndexDamaged(f"{path} was made by another tool. Delete it: it is rebuilt.")
    broken = (duckdb.SerializationException, duckdb.FatalException)
    if isinstance(error, broken) or any(sign in said for sign in _DAMAGE):
        return IndexDamaged(f"{path} is damaged. Delete it: it is rebuilt from the journals.")
    return StorageProblem(f"the index {path} cannot be used: {said}")


def literal(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
