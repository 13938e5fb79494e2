"""Sessions that agents keep by themselves, brought over as finished runs with their turns, tool
calls and usage; `send` and `resume` go on with them by the agent's own session.

Called by the verbs `sessions`, `import_session` and `import_sessions`. Starts nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from . import __version__
from .drivers import registry
from .drivers.sessions import Session, Told, sessions_of
from .drivers.transport import BLOB_BYTES, LongLine
from .errors import NotTrusted, StorageProblem, UsageProblem
from .host.local import LocalHost, storage_problem
from .journal import RunFolder, encode, write_file_once
from .model import RunSpec, new_run_id
from .supervisor.masking import Masker, secrets_in


def listed(provider: str, since_us: int | None, environment: Mapping[str, str]) -> list[Session]:
    """A provider's sessions, the latest first; since_us: those that went on after it."""
    sessions = sessions_of(provider).found(environment)
    kept = [one for one in sessions if since_us is None or one.finished_us >= since_us]
    return sorted(kept, key=lambda one: one.finished_us, reverse=True)


def find(provider: str, session_id: str, environment: Mapping[str, str]) -> Session:
    """The session with that id, or an unambiguous beginning of it. UsageProblem."""
    wanted = session_id.strip().lower()
    found = [
        one for one in sessions_of(provider).found(environment) if one.session_id.startswith(wanted)
    ]
    if wanted and len(found) == 1:
        return found[0]
    fits = f"fits {len(found)} sessions: write more of it" if wanted and found else "is none of"
    hint = "" if found and wanted else f" the sessions of {provider}: see sessions({provider!r})"
    raise UsageProblem(f"{session_id!r} {fits}{hint}")


def bring_over(host: LocalHost, session: Session, project: Path) -> str:
    """A finished run of a session; its id. The journal is written before the spec, so that nobody
    meets half of it. StorageProblem."""
    spec = _spec(session, project)
    folder = host.folder(spec.run_id)
    masker = Masker(secrets_in(os.environ))
    try:
        folder.path.mkdir(parents=True, mode=0o700)
        lines = _Lines(folder, masker)
        lines.write(session, sessions_of(session.provider).told(session))
        if not write_file_once(folder.journal, b"".join(lines.parts)):
            raise StorageProblem(f"{folder.journal} is there already")
    except OSError as error:
        raise storage_problem(error, host.home) from error
    host.make(spec)
    return spec.run_id


def _spec(session: Session, project: Path) -> RunSpec:
    try:
        resolved = registry.resolve(session.provider, project)
    except (UsageProblem, NotTrusted):  # the program is not here: it can be read all the same
        provider = registry.providers(project)[session.provider]
        resolved = registry.Resolved(
            agent=session.provider,
            provider=session.provider,
            model=None,
            command=[*provider.command, *provider.args],
            env={},
            env_names=[],
            dialect=provider.dialect,
            old_session=provider.old_session,
            model_by=provider.model_by,
            extends=provider.extends,
        )
    return RunSpec(
        run_id=new_run_id(),
        created_us=session.started_us,
        provider=resolved.provider,
        command=resolved.launched(session.session_id),
        cwd=session.cwd,
        dialect=resolved.dialect,
        model=session.model,
        model_by=resolved.model_by,
        title=session.title,
        env_names=sorted(resolved.env),
        write_roots=[session.cwd],
        load_session_id=session.session_id,
    )


class _Lines:
    """The lines of the journal that is being made."""

    def __init__(self, folder: RunFolder, masker: Masker) -> None:
        self.folder, self.masker = folder, masker
        self.parts: list[bytes] = []
        self.turn = 0

    def write(self, session: Session, told: Any) -> None:
        """All of a session."""
        at = session.started_us
        self._own(
            at,
            "run_started",
            run_id=self.folder.run_id,
            host=socket.gethostname(),
            versions={"paseo_nb": __version__},
            imported=str(session.path),
        )
        self._own(at, "session", session_id=session.session_id, how="imported")
        ended: Told | None = None
        for one in told:
            line: Told = one
            at = max(at, line.t_us)
            prompt = [{"type": "text", "text": line.prompt}]
            if line.prompt is not None and line.steers and self.turn:
                self._own(at, "steered", prompt=prompt, command_id=None)
            elif line.prompt is not None:
                if self.turn:
                    self._turn_end(at, ended)
                self.turn += 1
                ended = None
                self._own(at, "turn_start", origin="user", prompt=prompt, command_id=None)
            elif self.turn:
                ended = line if line.outcome else ended
                self._line(at, "in", line.kind, self._short(self.masker(line.raw)))
        if self.turn:
            self._turn_end(at, ended)
        self._own(at, "state", state="idle")
        self._own(at, "run_ended", reason="imported", state="idle")

    def _turn_end(self, at: int, ended: Told | None) -> None:
        outcome = ended and ended.outcome
        problem = ended and ended.problem
        facts = {} if problem is None else {"error": msgspec.to_builtins(problem)}
        self._own(at, "turn_end", outcome=outcome or "end_turn", stop_reason=None, **facts)

    def _own(self, at: int, kind: str, **facts: Any) -> None:
        self._line(at, "own", kind, self.masker(encode(facts)))

    def _line(self, at: int, direction: str, kind: str, raw: bytes) -> None:
        head = {"seq": len(self.parts) + 1, "t": at, "mono": 0, "turn": self.turn}
        whole = {**head, "dir": direction, "kind": kind, "raw": msgspec.Raw(raw)}
        self.parts.append(encode(whole) + b"\n")

    def _short(self, raw: bytes) -> bytes:
        """The line, or what points to it where it is long."""
        if len(raw) <= BLOB_BYTES:
            return raw
        long = LongLine(self.folder.blobs, self.masker)
        long.write(raw)
        digest, size, head, _, _ = long.finish()
        pointer = {"$blob": digest, "bytes": size, "head": head[:512].decode("utf-8", "replace")}
        return encode(pointer)
