"""Trust: which project files that name commands the user has let count.

A project file comes with a clone, so what it tells us to execute waits until the user says yes to
this very content: `trust` records path and SHA-256 in the user's own folder, and a changed file is
untrusted again. Called by `config` and `registry` when they read, by the verb `trust` when told.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
from collections.abc import Generator
from pathlib import Path

import msgspec

from .errors import NotTrusted, StorageProblem, UsageProblem
from .hints import command
from .journal import private_dir, write_all
from .locks import take_lock

PROJECT_FILE = "paseo_nb.toml"
VARIABLE = "PASEO_NB_TRUST"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Trusted(msgspec.Struct, frozen=True):
    """A file that counts as long as its content has this SHA-256."""

    path: Path
    sha256: str


def user_folder() -> Path:
    """The user's own configuration folder: `$XDG_CONFIG_HOME/paseo_nb` or `~/.config/paseo_nb`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "paseo_nb"


def trust(path: str | os.PathLike[str]) -> Trusted:
    """Let a file count as it is now; a folder stands for its `paseo_nb.toml`.

    UsageProblem where it cannot be read, StorageProblem where the record cannot be written.
    """
    file = Path(path).expanduser()
    file = file / PROJECT_FILE if file.is_dir() else file
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{file} cannot be trusted: {error.strerror}") from None
    given = Trusted(file.resolve(), digest(content))
    try:
        _record(given)
    except OSError as error:
        raise StorageProblem(
            f"the trust in {file} cannot be kept in {user_folder()}: {error.strerror}."
            f" Set {VARIABLE}={given.sha256} instead."
        ) from error
    return given


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether the user has let this file with this content count, by `trust` or PASEO_NB_TRUST."""
    real, found = path.resolve(), digest(content)
    if _records().get(str(real)) == found:
        return True
    for entry in os.environ.get(VARIABLE, "").split(os.pathsep):
        if _SHA256.fullmatch(entry):
            if entry.lower() == found:
                return True
        elif entry and Path(entry).expanduser().resolve() == real:
            return True
    return False


def not_trusted(path: Path, what: str) -> NotTrusted:
    """The error for something in an untrusted project file, naming the verb that trusts it."""
    return NotTrusted(
        f"{path} {what}, and you have not trusted it as it is now. Read the file, then trust it:"
        f" {command(f'trust {shlex.quote(str(path))}')}."
    )


def digest(content: bytes) -> str:
    """What PASEO_NB_TRUST takes for a content."""
    return hashlib.sha256(content).hexdigest()


def _records_file() -> Path:
    return user_folder() / "trusted.json"


def _records() -> dict[str, str]:
    """Path -> SHA-256. A missing or damaged record trusts nothing."""
    try:
        return msgspec.json.decode(_records_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _record(given: Trusted) -> None:
    private_dir(user_folder())
    with _one_writer():
        records = {**_records(), str(given.path): given.sha256}
        file = _records_file()
        temp = file.with_name(f".{file.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            temp.unlink()
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, msgspec.json.format(msgspec.json.encode(records), indent=2))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temp, file)


@contextlib.contextmanager
def _one_writer() -> Generator[None, None, None]:
    """Two terminals that trust at once must not lose each other's record."""
    lock = take_lock(user_folder() / "trusted.lock", wait_s=10.0)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
