"""Runs as one file, to be taken elsewhere: `bundle` writes it; `opening` brings its runs over.

A bundle is a zip of journals, specs, the blobs that they name, a patch for each turn that changed
files, the workflow runs that they are the steps of, and the versions of what was at work. Opened,
its runs are runs of the project: the same frames, traces and answers of `PASEO_NB_REPLAY`, without
any agent.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import __version__
from .engine.journal import WorkflowFolder, folders
from .errors import GitProblem, StorageProblem, UsageProblem
from .host.local import LocalHost
from .journal import decode_lines, encode, read_lines
from .model import now_us
from .runview import RunView

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
HEAD = "bundle.json"
TOURNAMENT = "tournament"
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, UnicodeDecodeError, NotImplementedError,
    msgspec.MsgspecError,
)  # fmt: skip
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
        """What a run changed, in all or in one turn, as a patch; "" where nothing is kept.
        UsageProblem where the file is damaged."""
        name = f"diffs/{run}/{'run' if turn is None else f'turn-{turn}'}.patch"
        try:
            with zipfile.ZipFile(self.path) as file:
                return file.read(name).decode("utf-8", "replace")
        except KeyError:
            return ""
        except (*DAMAGED, RuntimeError, OSError) as error:
            raise UsageProblem(f"{self.path} is damaged, or gone: {error}") from error

    def __repr__(self) -> str:
        new = f", {len(self.new)} new here" if self.new else ", all here before"
        return f"<Bundle {self.path.name}: {len(self.runs)} runs{new}>"


def write(
    host: LocalHost,
    path: Path,
    ids: Iterable[str],
    workflows: Iterable[WorkflowFolder] = (),
) -> Path:
    """Write runs, and those that they started, into one file; with some workflow runs, and those
    all of whose runs go along. UsageProblem where something of it is at work or the file is there,
    StorageProblem where it cannot be written."""
    wanted = [one for one in _with_children(host, ids) if _tells(host, one)]
    flows = _workflows(host, wanted, workflows)
    if not wanted and not flows:
        raise UsageProblem("there is no run to bundle")
    for run_id in wanted:
        if RunView(host, run_id).history().turn_open:
            raise UsageProblem(f"run {run_id[:10]} is at work: wait for it, or cancel it")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # another one may write it, too
    try:
        if path.exists():
            raise UsageProblem(f"{path} is there already")
        with zipfile.ZipFile(part, "x", zipfile.ZIP_DEFLATED) as file:
            part.chmod(0o600)
            _write(file, host, wanted)
            for one in flows:
                _write_workflow(file, one)
        _into_place(part, path)
    except FileExistsError:
        raise UsageProblem(f"{path} is there already") from None
    except OSError as error:
        raise StorageProblem(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _into_place(part: Path, path: Path) -> None:
    """Give it its name, unless another one has that by now. FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        part.rename(path)


# ------------------------------------------------------------ writing


def _with_children(host: LocalHost, ids: Iterable[str]) -> list[str]:
    wanted = set(ids)
    for run_id in host.list():  # oldest first: a child is younger than who started it
        with contextlib.suppress(UsageProblem):
            if host.spec(run_id).parent_run_id in wanted:
                wanted.add(run_id)
    return sorted(wanted)


def is_header(header: Mapping[str, Any], ident: str) -> bool:
    """Whether a workflow run's first line has what all who read it rest on."""
    kinds = {"name": str, "args_hash": str, "args": dict, "t": int, "epoch": int}
    named = (header.get("kind"), header.get("id")) == ("workflow_started", ident)
    return named and all(isinstance(header.get(name), kind) for name, kind in kinds.items())


def _tells(host: LocalHost, run_id: str) -> bool:
    """Whether a run's journal has any line: a kill, or a damaged disk, may have left none."""
    data, _ = read_lines(host.folder(run_id).journal, 0, 1 << 20)
    return any(line.kind != "damaged" for line in decode_lines(data))


def _workflows(
    host: LocalHost, ids: Sequence[str], asked: Iterable[WorkflowFolder]
) -> list[WorkflowFolder]:
    """The workflow runs that go along; of tournaments only those that are done."""
    from .engine.story import known_story

    named = {one.id for one in asked}
    theirs: dict[str, set[str]] = {}
    for run_id in host.list():
        with contextlib.suppress(UsageProblem):
            theirs.setdefault(host.spec(run_id).workflow_run_id or "", set()).add(run_id)
    found: list[WorkflowFolder] = []
    for folder in folders(host.home):
        mine = theirs.get(folder.id, set())
        if folder.id not in named and not (mine and mine <= set(ids)):
            continue
        header = folder.header() or {}
        if folder.held and folder.id in named:
            raise UsageProblem(f"workflow run {folder.id[:10]} is at work: wait, or stop it")
        if folder.held or not is_header(header, folder.id):  # a kill, a damaged disk
            continue
        if header["name"] != TOURNAMENT or known_story(folder).state == "done":
            found.append(folder)
    return found


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


def _write_workflow(file: zipfile.ZipFile, folder: WorkflowFolder) -> None:
    file.write(folder.journal, f"workflows/{folder.id}/journal.jsonl")
    for result in sorted(folder.results.glob("*")) if folder.results.is_dir() else ():
        file.write(result, f"workflows/{folder.id}/results/{result.name}")
