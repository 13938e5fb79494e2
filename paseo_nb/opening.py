"""A bundle from elsewhere, brought into a project: `open_bundle`. `bundling` has what is in one.

It is hostile: names in it are checked, blobs are held against their hashes, and all of it is read
through before a byte of it is kept. Its runs can be looked at but never be gone on with; what their
specs would start is taken out. Its workflow runs are marked: they answer `PASEO_NB_REPLAY`, and no
later call takes results from them; tournaments that are done are given back as one's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .bundling import DAMAGED, FORMAT, HEAD, TOURNAMENT, Bundle, Bundled, is_header
from .errors import PaseoError, UsageProblem
from .host.local import LocalHost, make_home, storage_problem
from .host.states import broke_off, journal_state
from .journal import Journal, decode_lines, fsync_dir, private_dir, write_file_once
from .model import RunSpec

MAX_BLOB = 1 << 30
MAX_SHORT = 64 << 20  # of a head, a spec, or a workflow run's journal
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200  # together: what no journals pack to
_RUN = re.compile(r"runs/([0-9A-HJKMNP-TV-Z]{26})/(spec\.json|journal\.jsonl)")
_WORKFLOW = re.compile(r"workflows/([0-9A-HJKMNP-TV-Z]{26})/(journal\.jsonl|results/[0-9a-f]{64})")
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_PART = 1 << 20
HOLD_S = 300.0


class _Format(msgspec.Struct):
    format: int
    versions: Any = None


def open_file(host: LocalHost, path: Path) -> Bundle:
    """Bring the runs of a bundle over into a project; those that are there stay as they are.
    UsageProblem for a file that is none or is damaged: nothing of it is kept then."""
    try:
        with zipfile.ZipFile(path) as file:
            opened = _Opened(file, path, host)
            opened.check()
            new = opened.take()
    except DAMAGED as error:
        raise UsageProblem(f"{path} is no bundle, or a damaged one: {error}") from error
    except FileNotFoundError:
        raise UsageProblem(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UsageProblem(f"{path} is a folder, no bundle") from None
    except OSError as error:
        if isinstance(error, PaseoError):
            raise
        raise storage_problem(error, host.home) from error
    return Bundle(path, host, opened.head, new)


def take(host: LocalHost, spec: RunSpec, journal_bytes: bytes) -> None:
    """Have a run from elsewhere among those of a project, to be looked at only."""
    folder = host.folder(spec.run_id)
    private_dir(folder.path)
    write_file_once(folder.journal, journal_bytes)
    _placed(host, spec)


def harmless(spec: RunSpec) -> RunSpec:
    """The spec without all that would be started or written to."""
    return msgspec.structs.replace(
        spec, command=["bundled"], env_names=[], mcp=[], write_roots=[], setup=None, receivers=[],
        conduct=None, auth_method=None, bundled=True,
    )  # fmt: skip


def _placed(host: LocalHost, spec: RunSpec) -> None:
    """The spec comes after the journal, so that nobody meets half of a run."""
    folder = host.folder(spec.run_id)
    if broke_off(folder):  # else somebody would look for its processes, and end the original's
        with contextlib.closing(Journal(folder)) as journal:
            journal.own("run_ended", reason="bundled", state=journal_state(folder))
    host.make(harmless(spec))


class _Opened:
    """A bundle's file: first read through, then taken from."""

    def __init__(self, file: zipfile.ZipFile, path: Path, host: LocalHost) -> None:
        self.file, self.path, self.host = file, path, host
        self.infos = {one.filename: one for one in file.infolist()}
        self.head = self._head()
        self.flows: dict[str, list[str]] = {}
        for name in self.infos:
            if found := _WORKFLOW.fullmatch(name):
                self.flows.setdefault(found[1], []).append(found[2])

    def _head(self) -> Bundled:
        data = self._short(HEAD)
        told = msgspec.json.decode(data, type=_Format)
        if told.format > FORMAT:
            raise UsageProblem(f"{self.path} is of a later version of paseo_nb: {told.versions}")
        head = msgspec.json.decode(data, type=Bundled)
        return msgspec.structs.replace(head, runs=list(dict.fromkeys(head.runs)))

    def _damaged(self, said: str) -> UsageProblem:
        return UsageProblem(f"{self.path} is damaged: {said}")

    # ------------------------------------------------------------ reading through

    def check(self) -> None:
        """UsageProblem for anything that is not as it should be, before anything is kept."""
        for run_id in self.head.runs:
            for part in ("spec.json", "journal.jsonl"):
                name = f"runs/{run_id}/{part}"
                if _RUN.fullmatch(name) is None or name not in self.infos:
                    raise self._damaged(f"it has no {name}")
        self._fits()
        for name in self.infos:
            if found := _BLOB.fullmatch(name):
                self._check_blob(name, found[1])
        for run_id in self.head.runs:
            self._spec(run_id)
            if not self._tells(f"runs/{run_id}/journal.jsonl"):
                raise self._damaged(f"the journal of {run_id} tells nothing")
        for ident, names in self.flows.items():
            self._header(ident)
            for name in names:
                self._all(f"workflows/{ident}/{name}")

    def _fits(self) -> None:
        """Whether what it unpacks to can be what it says, and has room here."""
        size = sum(one.file_size for one in self.infos.values())
        if size > BOMB_BYTES and size > BOMB_RATIO * self.path.stat().st_size:
            raise self._damaged(f"it would unpack to {size >> 20:,} MB")
        place = self.host.home
        while not place.exists():
            place = place.parent
        if size > (free := shutil.disk_usage(place).free):
            raise UsageProblem(
                f"{self.path} unpacks to {size >> 20:,} MB, and {free >> 20:,} MB are free here"
            )

    def _check_blob(self, name: str, digest: str) -> None:
        if self.infos[name].file_size > MAX_BLOB:
            raise UsageProblem(f"{name} is larger than a run's messages are")
        told = hashlib.sha256()
        for part in self._parts(name):
            told.update(part)
        if told.hexdigest() != digest:
            raise UsageProblem(f"{name} is not what its name says: the bundle is damaged")

    def _tells(self, name: str) -> bool:
        """Whether a journal, all of which can be read, has any line."""
        found, held = False, b""
        for part in self._parts(name):
            *lines, held = (held + part).split(b"\n")
            whole = b"".join(line + b"\n" for line in lines)
            found = found or any(line.kind != "damaged" for line in decode_lines(whole))
        return found

    def _spec(self, run_id: str) -> RunSpec:
        spec = msgspec.json.decode(self._short(f"runs/{run_id}/spec.json"), type=RunSpec)
        if spec.run_id != run_id:
            raise self._damaged(f"the spec of {run_id} is another run's")
        return spec

    def _header(self, ident: str) -> dict[str, Any]:
        """The first line of a workflow run, with what all who read it rest on."""
        first, _, rest = self._short(f"workflows/{ident}/journal.jsonl").partition(b"\n")
        header = msgspec.json.decode(first, type=dict[str, Any])
        if not is_header(header, ident):
            raise self._damaged(f"{ident} is no workflow run")
        if header["name"] == TOURNAMENT:
            last = rest.splitlines()[-1:] or [b"{}"]
            if msgspec.json.decode(last[0], type=dict[str, Any]).get("kind") != "workflow_done":
                raise self._damaged(f"{ident} is no tournament that is done")
        return header

    def _all(self, name: str) -> None:
        if name.endswith("journal.jsonl"):
            return
        if self.infos[name].file_size > MAX_BLOB:
            raise UsageProblem(f"{name} is larger than a result is")
        for _ in self._parts(name):
            pass

    def _short(self, name: str) -> bytes:
        if name in self.infos and self.infos[name].file_size > MAX_SHORT:
            raise self._damaged(f"{name} is too long")
        return b"".join(self._parts(name))

    def _parts(self, name: str) -> Iterator[bytes]:
        if self.infos[name].flag_bits & 1:
            raise self._damaged(f"{name} is encrypted")
        with self.file.open(name) as file:
            while part := file.read(_PART):
                yield part

    # ------------------------------------------------------------ taking

    def take(self) -> list[str]:
        """Bring over what is not here yet; the runs that are new."""
        host = self.host
        make_home(host.home)
        with host.holding("bundles.lock", HOLD_S):
            return self._take()

    def _take(self) -> list[str]:
        host = self.host
        new = [one for one in self.head.runs if not host.folder(one).spec.exists()]
        for name in self.infos:
            if found := _BLOB.fullmatch(name):
                self._copy(name, host.home / "blobs" / found[1])
        for run_id in new:
            self._copy(f"runs/{run_id}/journal.jsonl", host.folder(run_id).journal)
            _placed(host, self._spec(run_id))
        for ident, names in self.flows.items():
            self._take_workflow(ident, names)
        return new

    def _take_workflow(self, ident: str, names: list[str]) -> None:
        target = self.host.home / "workflow_runs" / ident
        if target.exists():
            return
        aside = target.with_name(f".{ident}.{secrets.token_hex(4)}")
        try:
            for name in names:
                self._copy(f"workflows/{ident}/{name}", aside / name)
            header = self._header(ident)
            if header["name"] != TOURNAMENT:
                rest = (aside / "journal.jsonl").read_bytes().partition(b"\n")[2]
                first = msgspec.json.encode({**header, "bundled": True})
                (aside / "journal.jsonl").write_bytes(first + b"\n" + rest)
            _check_readable(aside, self._damaged(f"{ident} cannot be read"))
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                os.rename(aside, target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _copy(self, name: str, target: Path) -> None:
        """Write a part of it whole and durably, in pieces; one that is there stays."""
        if target.exists():
            return
        private_dir(target.parent)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for data in self._parts(name):
                    out.write(data)
                out.flush()
                os.fsync(out.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(part, target)
        finally:
            part.unlink(missing_ok=True)
        fsync_dir(target.parent)


def _check_readable(path: Path, problem: UsageProblem) -> None:
    """That everything which reads all workflow runs of a project can read this one."""
    from .contests.tournaments import Contest
    from .engine.frames import as_frames
    from .engine.journal import WorkflowFolder
    from .engine.story import Story

    try:
        story = Story(WorkflowFolder(path))
        as_frames([story])
        if story.header["name"] == TOURNAMENT:
            msgspec.convert(story.header["args"]["asked"], Contest)
    except Exception as error:
        raise problem from error
