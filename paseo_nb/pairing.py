"""Tokens of a project for other devices: each for some runs and some rights, until it expires.

Only sums of them are kept (`.paseo_nb/tokens.json`, 0600): what `pair` shows is shown once. They
open the routes of paseo_nb that they are for, and nothing else of the Jupyter Server. The sums take
a key in the user's own folder: a `.paseo_nb` that came with somebody's repository lets nobody in.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from . import cells
from .errors import StorageProblem, UsageProblem
from .host.local import LocalHost, storage_problem
from .journal import private_dir, write_file_once
from .trusting import user_folder

PREFIX = "paseo_"
Right = Literal["read", "answer", "send"]
RIGHTS: tuple[Right, ...] = ("read", "answer", "send")  # each with those before it
FILE = "tokens.json"
KEY = "pairing.key"
CAME = "paired"  # a file for each whose device was there
_noted: set[str] = set()
LONGEST_S = 366 * 86400.0


class Grant(msgspec.Struct, forbid_unknown_fields=True):
    """What one token is good for. sha256: its HMAC-SHA256 by the user's key; runs: ids; None: all
    of the project."""

    name: str
    sha256: str
    rights: list[Right]
    runs: list[str] | None
    expires: float

    def allows(self, right: str | None, run: str | None) -> bool:
        """Whether it is good for this now."""
        meant = run is None or self.runs is None or run in self.runs
        return right in self.rights and meant and time.time() < self.expires


class Pairing(msgspec.Struct):
    """A token that was made: shown once. url: of the page that takes it, where one is known; notes:
    what to know of that."""

    name: str
    token: str
    rights: list[Right]
    runs: list[str] | None
    expires: float
    url: str | None = None
    notes: list[str] = []
    mark: str | None = None  # the file that is there once its device came

    @property
    def address(self) -> str:
        """The page's address with the token in it, as the QR code has it."""
        return f"{self.url or ''}#{self.token}"

    def __str__(self) -> str:
        from .widgets.qr import as_text

        return as_text(self, in_window=sys.stdout.isatty())

    def __repr__(self) -> str:
        """In a notebook without the token, as that would be saved."""
        return self._repr_mimebundle_()["text/plain"] if cells.in_kernel() else str(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        from .widgets.qr import bundle

        return bundle(self)

    def _ipython_display_(self) -> None:
        if cells.in_kernel():
            from .widgets.pairing import show

            show(self)
        else:
            print(self)

    def came(self) -> bool:
        """Whether a device was there with this token."""
        return self.mark is not None and Path(self.mark).exists()


def make(
    host: LocalHost, name: str, rights: Sequence[str], runs: list[str] | None, for_s: float
) -> Pairing:
    """A new token; one of the same name is good for nothing from now on. UsageProblem."""
    wanted: list[Right] = [
        right for at, right in enumerate(RIGHTS) if set(RIGHTS[at:]) & set(rights)
    ]
    if not wanted or set(rights) - set(RIGHTS):
        raise UsageProblem(f"rights={list(rights)!r}: there are {', '.join(RIGHTS)}")
    given: tuple[Any, Any] = (name, for_s)  # of whoever calls from Python
    if not (isinstance(given[0], str) and isinstance(given[1], (int, float))):
        raise UsageProblem("a pairing has a name that is text, and seconds that are a number")
    if not (name.strip() and name.isprintable() and len(name) <= 80):
        raise UsageProblem("a pairing has a name of up to 80 characters")
    if not 0 < for_s <= LONGEST_S:
        raise UsageProblem("a pairing ends after more than 0 s, and a year at most")
    token, key = PREFIX + secrets.token_urlsafe(32), _made_key()
    expires = time.time() + for_s
    with host.holding("tokens.lock", 10.0):
        kept = [one for one in granted(host.home) if one.name != name]
        mine = Grant(name, _sum(token, key), wanted, runs, expires)
        _write(host.home, [*kept, mine])
    return Pairing(name, token, wanted, runs, expires, mark=str(_mark(host.home, mine)))


def revoke(host: LocalHost, name: str) -> None:
    """Its token is good for nothing from now on. UsageProblem where there is none of that name."""
    with host.holding("tokens.lock", 10.0):
        before = granted(host.home)
        after = [one for one in before if one.name != name]
        if len(after) == len(before):
            there = ", ".join(one.name for one in before) or "none"
            raise UsageProblem(f"nothing is paired by the name {name!r}; there is: {there}")
        _write(host.home, after)


def granted(home: Path) -> list[Grant]:
    """The tokens that are good for something now. A file that cannot be read grants nothing."""
    try:
        found = msgspec.json.decode((home / FILE).read_bytes(), type=list[Grant])
    except (OSError, msgspec.MsgspecError):
        return []
    return [one for one in found if time.time() < one.expires]


def grant_of(home: Path, token: str) -> Grant | None:
    """What a token is good for now; None for one that is unknown, revoked or expired."""
    key = _key()
    if key is None:
        return None
    told = _sum(token, key)
    found = [one for one in granted(home) if secrets.compare_digest(one.sha256, told)]
    return found[0] if found else None


def note(home: Path, grant: Grant) -> None:
    """Note that a device came with its token: who paired it need not see the code any more."""
    if grant.sha256 not in _noted:
        _noted.add(grant.sha256)
        with contextlib.suppress(OSError):
            private_dir(home / CAME)
            _mark(home, grant).touch(0o600)


def _mark(home: Path, grant: Grant) -> Path:
    return home / CAME / grant.sha256[:16]


def _sum(token: str, key: bytes) -> str:
    return hmac.new(key, token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _key() -> bytes | None:
    """The user's key; None where nothing was ever paired by this user on this machine."""
    try:
        key = (user_folder() / KEY).read_bytes()
    except OSError:
        return None
    return key if len(key) >= 32 else None


def _made_key() -> bytes:
    """The user's key, made where there is none. StorageProblem."""
    try:
        write_file_once(private_dir(user_folder()) / KEY, secrets.token_bytes(32))
        key = _key()
    except OSError as error:
        raise storage_problem(error, user_folder()) from error
    if key is None:
        raise StorageProblem(f"{user_folder() / KEY} is no key of ours: remove it, then pair again")
    return key


def _write(home: Path, grants: list[Grant]) -> None:
    new = home / f".{FILE}.{os.getpid()}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(grants))
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, home / FILE)
    known = {one.sha256[:16] for one in grants}
    with contextlib.suppress(FileNotFoundError):
        for path in (home / CAME).iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)
