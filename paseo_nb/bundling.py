"""Runs as one file, to be taken elsewhere: `bundle` writes it, `open_bundle` brings its runs over.

A bundle is a zip of journals, specs, the blobs that they name, a patch for each turn that changed
files, and the versions of what was at work. Opened, its runs are runs of the project: the same
frames, traces and answers of `PASEO_NB_REPLAY`, without any agent. A bundle comes from elsewhere:
names in it are checked, blobs are held against their hashes, and its runs can be looked at but
never be gone on with; what their specs would start is taken out.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import re
import sys
import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import __version__
from .errors import GitProblem, PaseoError, StorageProblem, UsageProblem
from .host.local import LocalHost, make_home, storage_problem
from .host.states import broke_off, journal_state
from .journal import Journal, encode, private_dir, read_lines, write_file_once
from .model import RunSpec, now_us
from .runview import RunView

if TYPE_CHECKING:
    import pandas as pd

    from .engine.journal import WorkflowFolder

FORMAT = 1
HEAD = "bundle.json"
MAX_BLOB = 1 << 30
_RUN = re.compile(r"runs/([0-9A-HJKMNP-TV-Z]{26})/(spec\.json|journal\.jsonl)")
# Of workflows only tournaments that are done: what others left is taken by later calls of them.
_WORKFLOW = re.compile(r"workflows/([0-9A-HJKMNP-TV-Z]{26})/(journal\.jsonl|results/[0-9a-f]{64})")
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_DIGEST = re.compile(rb"\b[0-9a-f]{64}\b")
_PART = 8 << 20
_PACKAGES = ("duckdb", "pandas", "msgspec", "ipykernel")


class Bundled(msgspec.Struct, frozen=True):
    """What a bundle says of itself. `agents`: by run, provider/model and the agent's version."""

    format: int
    made_us: int
    runs: list[str]
    versions: dict[str, str]
    agents: dict[str, list[str | None]] = {}


class Bundle:
    """An opened bundle: its runs, their frames, its patches."""

    def __init__(self, path: Path, host: LocalHost, head: Bundled, new: Sequence[str]) -> None:
        self.path = path
        self.host = host
        self.head = head
        self.new = list(new)

    @property
    def runs(self) -> list[str]:
        """The ids of its runs, oldest first."""
        return self.head.runs

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what was at work where it was made."""
        return self.head.versions

    def frame(self, name: str = "runs", **filters: Any) -> pd.DataFrame:
        """The frame of that name (runs, turns, events, tool_traces, permissions, model_calls), of
        its runs only. UsageProblem for another name."""
        from .store import frames
        from .store.columns import FRAMES

        if name not in FRAMES:
            raise UsageProblem(f"no frame {name!r}; there are {', '.join(FRAMES)}")
        return getattr(frames, name)(self.host.home, run=self.runs, **filters)

    def patch(self, run: str, turn: int | None = None) -> str:
        """What a run changed, in all or in one turn, as a patch; "" where nothing is kept."""
        name = f"diffs/{run}/{'run' if turn is None else f'turn-{turn}'}.patch"
        with zipfile.ZipFile(self.path) as file, contextlib.suppress(KeyError):
            return file.read(name).decode("utf-8", "replace")
        return ""

    def __repr__(self) -> str:
        new = f", {len(self.new)} new here" if self.new else ", all here before"
        return f"<Bundle {self.path.name}: {len(self.runs)} runs{new}>"


def write(
    host: LocalHost, path: Path, ids: Iterable[str], tournaments: Sequence[WorkflowFolder] = ()
) -> Path:
    """Write runs, and those that they started, into one file; with the tournaments that they are
    of. UsageProblem where a run has a turn open or the file is there, StorageProblem where it
    cannot be written."""
    wanted = _with_children(host, ids)
    if not wanted:
        raise UsageProblem("there is no run to bundle")
    for run_id in wanted:
        if RunView(host, run_id).history().turn_open:
            raise UsageProblem(f"run {run_id[:10]} is at work: wait for it, or cancel it")
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists():
            raise UsageProblem(f"{path} is there already")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            _write(file, host, wanted)
            for one in tournaments:
                _write_tournament(file, one)
        part.chmod(0o600)
        part.rename(path)
    except OSError as error:
        raise StorageProblem(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def open_file(host: LocalHost, path: Path) -> Bundle:
    """Bring the runs of a bundle over into a project; those that are there stay as they are.
    UsageProblem for a file that is none or is damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            head = _head(file, path)
            make_home(host.home)
            new = [run_id for run_id in head.runs if not host.folder(run_id).spec.exists()]
            names = set(file.namelist())
            for name in sorted(names):
                if _BLOB.fullmatch(name):
                    _take_blob(file, name, host)
            for run_id in new:
                _take_run(file, run_id, host, path)
            _take_tournaments(file, host, path)
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as error:
        raise UsageProblem(f"{path} is no bundle, or a damaged one: {error}") from error
    except FileNotFoundError:
        raise UsageProblem(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UsageProblem(f"{path} is a folder, no bundle") from None
    except OSError as error:
        if isinstance(error, PaseoError):
            raise
        raise storage_problem(error, host.home) from error
    return Bundle(path, host, head, new)


# ------------------------------------------------------------ writing


def _with_children(host: LocalHost, ids: Iterable[str]) -> list[str]:
    wanted = set(ids)
    for run_id in host.list():  # oldest first: a child is younger than who started it
        with contextlib.suppress(UsageProblem):
            if host.spec(run_id).parent_run_id in wanted:
                wanted.add(run_id)
    return sorted(wanted)


def _write(file: zipfile.ZipFile, host: LocalHost, ids: Sequence[str]) -> None:
    blobs: set[str] = set()
    agents: dict[str, list[str | None]] = {}
    for run_id in ids:
        run, folder = RunView(host, run_id), host.folder(run_id)
        agents[run_id] = [run.agent, run.history().agent_version]
        spec = folder.spec.read_bytes()
        file.writestr(f"runs/{run_id}/spec.json", spec)
        blobs |= {found.decode() for found in _DIGEST.findall(spec)}
        with file.open(f"runs/{run_id}/journal.jsonl", "w", force_zip64=True) as out:
            offset = 0
            while True:
                data, after = read_lines(folder.journal, offset, _PART)
                if not data:
                    break
                out.write(data)
                blobs |= {found.decode() for found in _DIGEST.findall(data)}
                offset = after
        for name, patch in _patches(run):
            file.writestr(f"diffs/{run_id}/{name}.patch", patch)
    for digest in sorted(blobs):
        with contextlib.suppress(FileNotFoundError):
            file.write(host.home / "blobs" / digest, f"blobs/{digest}")
    head = Bundled(FORMAT, now_us(), list(ids), versions(), agents)
    file.writestr(HEAD, msgspec.json.format(encode(head)))


def _patches(run: RunView) -> Iterable[tuple[str, str]]:
    turns: list[int | None] = [None, *(turn.turn for turn in run.history().turns)]
    for turn in turns:
        with contextlib.suppress(GitProblem, UsageProblem, OSError):
            patch = run.diff_summary(turn).patch
            if patch:
                yield ("run" if turn is None else f"turn-{turn}"), patch


def versions() -> dict[str, str]:
    """The versions of what is at work here."""
    found = {"paseo_nb": __version__, "python": platform.python_version(), "system": sys.platform}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


# ------------------------------------------------------------ opening


def _head(file: zipfile.ZipFile, path: Path) -> Bundled:
    head = msgspec.json.decode(file.read(HEAD), type=Bundled)
    if head.format > FORMAT:
        raise UsageProblem(f"{path} is of a later version of paseo_nb: {head.versions}")
    names = set(file.namelist())
    for run_id in head.runs:
        for part in ("spec.json", "journal.jsonl"):
            name = f"runs/{run_id}/{part}"
            if _RUN.fullmatch(name) is None or name not in names:
                raise UsageProblem(f"{path} is damaged: it has no {name}")
    return head


def _take_blob(file: zipfile.ZipFile, name: str, host: LocalHost) -> None:
    digest = name.removeprefix("blobs/")
    target = host.home / "blobs" / digest
    if target.exists():
        return
    if file.getinfo(name).file_size > MAX_BLOB:
        raise UsageProblem(f"{name} is larger than a run's messages are")
    data = file.read(name)
    if hashlib.sha256(data).hexdigest() != digest:
        raise UsageProblem(f"{name} is not what its name says: the bundle is damaged")
    private_dir(target.parent)
    write_file_once(target, data)


def _take_run(file: zipfile.ZipFile, run_id: str, host: LocalHost, path: Path) -> None:
    """The journal is written before the spec, so that nobody meets half of it."""
    spec = msgspec.json.decode(file.read(f"runs/{run_id}/spec.json"), type=RunSpec)
    if spec.run_id != run_id:
        raise UsageProblem(f"{path} is damaged: the spec of {run_id} is another run's")
    take(host, spec, file.read(f"runs/{run_id}/journal.jsonl"))


def take(host: LocalHost, spec: RunSpec, journal_bytes: bytes) -> None:
    """Have a run from elsewhere among those of a project, to be looked at only."""
    folder = host.folder(spec.run_id)
    private_dir(folder.path)
    write_file_once(folder.journal, journal_bytes)
    if broke_off(folder):  # else somebody would look for its processes, and end the original's
        with contextlib.closing(Journal(folder)) as journal:
            journal.own("run_ended", reason="bundled", state=journal_state(folder))
    host.make(harmless(spec))


def _write_tournament(file: zipfile.ZipFile, folder: WorkflowFolder) -> None:
    file.write(folder.journal, f"workflows/{folder.id}/journal.jsonl")
    for result in sorted(folder.results.glob("*")) if folder.results.is_dir() else ():
        file.write(result, f"workflows/{folder.id}/results/{result.name}")


def _take_tournaments(file: zipfile.ZipFile, host: LocalHost, path: Path) -> None:
    """Those that are done and not here yet; the journal comes last, so that nobody meets half."""
    parts: dict[str, list[str]] = {}
    for name in file.namelist():
        if found := _WORKFLOW.fullmatch(name):
            parts.setdefault(found[1], []).append(found[2])
    for ident, names in parts.items():
        target = host.home / "workflow_runs" / ident
        if target.exists():
            continue
        data = file.read(f"workflows/{ident}/journal.jsonl")
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in data.splitlines()]
        whole = lines and lines[-1].get("kind") == "workflow_done"
        if not whole or (lines[0].get("name"), lines[0].get("id")) != ("tournament", ident):
            raise UsageProblem(f"{path} is damaged: {ident} is no tournament that is done")
        private_dir(target / "results")
        for name in names:
            if name.startswith("results/"):
                if file.getinfo(f"workflows/{ident}/{name}").file_size > MAX_BLOB:
                    raise UsageProblem(f"{name} is larger than a result is")
                write_file_once(target / name, file.read(f"workflows/{ident}/{name}"))
        write_file_once(target / "journal.jsonl", data)


def harmless(spec: RunSpec) -> RunSpec:
    """The spec without all that would be started or written to."""
    return msgspec.structs.replace(
        spec, command=["bundled"], env_names=[], mcp=[], write_roots=[], setup=None, receivers=[],
        conduct=None, auth_method=None, bundled=True,
    )  # fmt: skip
