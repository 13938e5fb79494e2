"""What a run elsewhere leaves here: its commits in a repository, its journal in a project."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import opening
from .errors import GitProblem
from .git.commands import Repository
from .journal import write_file_once
from .model import short_id

if TYPE_CHECKING:
    from .distant import FarRun
    from .host.cluster import DaskHost
    from .host.local import LocalHost

Json = dict[str, Any]
_DIGEST = re.compile(rb"\b[0-9a-f]{64}\b")


def fetch_result(run: FarRun, repository: Repository) -> Json:
    """Fetch what a run did into a repository here: `after` and `base`, commits. GitProblem."""
    ends = repository.run("for-each-ref", "--format=%(objectname)", "--count=400", "refs/heads")
    have = list(dict.fromkeys([*ends.decode().split(), *([run.base] if run.base else [])]))
    told = run.host.ask("POST", f"/runs/{run.id}/result", {"have": have}).json
    after = str(told["after"])
    if told["bundle"] is not None:
        with tempfile.TemporaryDirectory(prefix="paseo-bundle-") as folder:
            bundle = Path(folder) / "result.bundle"
            bundle.write_bytes(run.host.content(str(told["bundle"]), run.id))
            repository.run("fetch", "-q", "--no-tags", "--no-write-fetch-head", str(bundle),
                           f"+refs/paseo/{run.id}/result:refs/paseo/{run.id}/result")  # fmt: skip
    if repository.commit(after) != after:
        raise GitProblem(f"what run {short_id(run.id)} did could not be brought here")
    return told


def carry_home(on: DaskHost, run_id: str, home: LocalHost) -> None:
    """Have a run of a cluster among the project's own, to be looked at: its whole journal, what
    that points to, and its spec, which tells where it was and at which attempt."""
    on.events(run_id)  # its spec and its newest lines come with that
    placed = on.placement(run_id)
    folder = on.folder(run_id)
    data = folder.journal.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    spec_bytes = folder.spec.read_bytes()
    for found in {one.decode() for one in _DIGEST.findall(data + spec_bytes)}:
        with contextlib.suppress(FileNotFoundError):
            blob = (on.home / "blobs" / found).read_bytes()
            write_file_once(home.home / "blobs" / found, blob)
    spec = on.spec(run_id)
    labels = {**spec.labels, "host": on.name, "attempt": str(placed.attempt)}
    opening.take(home, msgspec.structs.replace(spec, labels=labels), data)
