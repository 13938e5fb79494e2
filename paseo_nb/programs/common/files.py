"""Session files: where they lie, one line appended at a time, read back after `kill -9`.

One JSON-lines file per session, 0600 in a folder that is the user's alone. What a line says is the
program's business.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class LineFile:
    """One session's file. A full or read-only disk costs the history only, and stderr says so."""

    def __init__(self, path: Path, program: str) -> None:
        self.path = path
        self._program = program
        self._fd: int | None = None

    def append(self, line: bytes) -> None:
        """Write a line; a torn one that a killed process left is cut first."""
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
                _cut_torn_tail(self._fd)
            os.write(self._fd, line + b"\n")
        except OSError as error:
            print(f"{self._program}: the session could not be saved: {error}", file=sys.stderr)

    def lines(self) -> Iterator[bytes]:
        """Every line, the torn one too; none where there is no file."""
        with contextlib.suppress(OSError), self.path.open("rb") as lines:
            yield from lines

    def close(self) -> None:
        """Close the file; it can be appended to again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def new_name(prefix: str) -> str:
    """A session id: names sort by the time they were made."""
    return f"{prefix}_{time.time_ns() // 1_000_000:x}{os.urandom(4).hex()}"


def session_path(folder: Path, name: str) -> Path | None:
    """The file of a session id; None for an id that could name something else."""
    return folder / f"{name}.jsonl" if _SAFE_ID.fullmatch(name) else None


def fork(folder: Path, session_id: str, prefix: str, cwd: str, prompts: int | None) -> str | None:
    """The id of a new session that begins as another one: with all of it, or what belongs to its
    first so many prompts. None where there is no such session."""
    path = session_path(folder, session_id)
    name = new_name(prefix)
    if path is None or not path.exists():
        return None
    made = LineFile(folder / f"{name}.jsonl", prefix)
    asked = 0
    for number, line in enumerate(LineFile(path, prefix).lines()):
        asked += line.startswith(b'{"k":"asked"')
        if prompts is not None and asked > prompts:
            break
        if number == 0:
            line = msgspec.json.encode({**msgspec.json.decode(line), "id": name, "cwd": cwd})
        if number == 0 or line.endswith(b"\n"):  # not a torn one
            made.append(line.rstrip(b"\n"))
    made.close()
    return name


def newest_first(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every session's file, and when it last changed as ISO 8601."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    for changed, path in sorted(found, key=lambda pair: pair[0], reverse=True):
        yield path, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed))


def sessions_folder(program: str) -> Path:
    """Where a program's sessions lie: `<PROGRAM>_HOME`, or the user's state folder; a temporary
    folder, the same for every process, if that is read-only."""
    user = "" if os.environ.get("HOME") == "" else os.path.expanduser("~")
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(user, ".local", "state")
    home = Path(os.environ.get(f"{program.upper()}_HOME") or os.path.join(state, program))
    spare = Path(os.environ.get("TMPDIR") or "/tmp") / f"{program}-{os.getuid()}"
    for folder in (home, spare):
        if folder.is_absolute() and _usable(folder, shared_place=folder == spare):
            return folder / "sessions"
    import tempfile  # slow to import, and needed only here

    return Path(tempfile.mkdtemp(prefix=f"{program}-"))


def _cut_torn_tail(fd: int) -> None:
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)


def _usable(home: Path, *, shared_place: bool) -> bool:
    """Makes `home/sessions`, ours alone. In /tmp another user may have planted `home`: refused."""
    sessions = home / "sessions"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shared_place and (home.is_symlink() or home.stat().st_uid != os.getuid()):
            return False
        sessions.mkdir(mode=0o700, exist_ok=True)
        return os.access(sessions, os.W_OK | os.X_OK)
    except OSError:
        return False
