"""Sessions that agents keep by themselves, brought over as finished runs with their turns, tool
calls and usage; `send` and `resume` go on with them by the agent's own session.

Called by the verbs `sessions`, `import_session` and `import_sessions`. Starts nothing itself:
files are read, or the agent is asked (`acp_sessions`).
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import msgspec

from . import __version__
from .acp_sessions import AcpSessions
from .drivers import registry
from .drivers.provider import Provider
from .drivers.sessions import CannotList, Session, Told, kept_in_files
from .drivers.transport import BLOB_BYTES, LongLine
from .errors import NotTrusted, StorageProblem, UsageProblem
from .host.local import LocalHost, storage_problem
from .journal import RunFolder, encode, write_file_once
from .model import RunSpec, new_run_id, now_us
from .preparing import environment
from .supervisor.masking import Masker, secrets_in

Json = dict[str, str]
LOCK_S = 60.0


class Source:
    """One provider's own sessions. UsageProblem where they cannot be had."""

    def __init__(self, agent: str, project: Path) -> None:
        self.provider = agent.strip().partition("/")[0]
        known = registry.providers(project)
        if self.provider not in known:
            raise UsageProblem(registry.unknown_provider(self.provider, known))
        provider = known[self.provider]
        files = kept_in_files(provider.extends)
        try:
            self.resolved = registry.resolve(agent, project)
        except (UsageProblem, NotTrusted):
            if files is None:
                raise
            self.resolved = _unresolved(provider)  # no program: its files are read all the same
        self.environment = environment(self.resolved.env)
        self.sessions = files or AcpSessions(self.resolved, Path.cwd())

    def listed(self, since_us: int | None = None) -> list[Session]:
        """The sessions, the latest first; since_us: those that went on after it, or may have."""
        kept = [
            msgspec.structs.replace(one, provider=self.provider)
            for one in self.sessions.found(self.environment)
            if since_us is None or one.finished_us is None or one.finished_us >= since_us
        ]
        return sorted(kept, key=lambda one: one.finished_us or 0, reverse=True)

    def find(self, session_id: str) -> Session:
        """The session with that id, or an unambiguous beginning of it. UsageProblem."""
        wanted, name = session_id.strip().lower(), self.provider
        if not wanted:
            raise UsageProblem(f"no session named: see sessions({name!r})")
        try:
            listed = self.listed()
        except CannotList:
            unlisted = self.sessions.unlisted(session_id.strip())
            if unlisted is None:
                raise
            return unlisted
        found = [one for one in listed if one.session_id.lower().startswith(wanted)]
        exact = [one for one in found if one.session_id == session_id.strip()]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise UsageProblem(f"{session_id!r} fits {len(found)} sessions: write more of it")
        raise UsageProblem(
            f"{session_id!r} is none of the sessions of {name}: see sessions({name!r})"
        )

    def bring_over(self, host: LocalHost, session: Session, after: str) -> tuple[str, int]:
        """A finished run of a session: its id, and how many turns it has. after: a run id; where a
        run was made of the session since, by somebody else, it is that one. UsageProblem where the
        agent does not tell it, StorageProblem."""
        told = list(self.sessions.told(session, self.environment))
        turns = sum(one.prompt is not None and not one.steers for one in told)
        if not turns:
            raise UsageProblem(f"nothing was said in session {session.session_id}")
        if session.started_us is None:
            session = msgspec.structs.replace(session, started_us=told[0].t_us)
        with host.holding("import.lock", LOCK_S):
            return _made_since(host, session, after) or self._write(host, session, told), turns

    def _write(self, host: LocalHost, session: Session, told: list[Told]) -> str:
        """The journal is written before the spec, so that nobody meets half of it."""
        spec = _spec(session, self.resolved)
        folder = host.folder(spec.run_id)
        try:
            folder.path.mkdir(parents=True, mode=0o700)
            lines = _Lines(folder, Masker(secrets_in(self.environment)))
            lines.write(session, told)
            if not write_file_once(folder.journal, b"".join(lines.parts)):
                raise StorageProblem(f"{folder.journal} is there already")
        except OSError as error:
            raise storage_problem(error, host.home) from error
        host.make(spec)
        return spec.run_id


def installed(project: Path) -> list[str]:
    """The providers whose program is here, or that keep files; the scripted one left out."""
    names: list[str] = []
    for name, provider in registry.providers(project).items():
        with contextlib.suppress(UsageProblem, NotTrusted):
            if not provider.scripted:
                if kept_in_files(provider.extends) is None:
                    registry.resolve(name, project)
                names.append(name)
    return names


def look(name: str, project: Path, since_us: int | None) -> tuple[list[Session], list[Json]]:
    """One provider's sessions among others; where they cannot be had, a row that says so."""
    try:
        return Source(name, project).listed(since_us), []
    except (UsageProblem, NotTrusted) as problem:
        return [], [{"provider": name, "problem": str(problem)}]


def _made_since(host: LocalHost, session: Session, after: str) -> str | None:
    """The run that another process has made of a session just now."""
    for run_id in reversed(host.list()):
        if run_id < after:
            break
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if host.folder(run_id).read_spec().load_session_id == session.session_id:
                return run_id
    return None


def _unresolved(provider: Provider) -> registry.Resolved:
    return registry.Resolved(
        agent=provider.name,
        provider=provider.name,
        model=None,
        command=[*provider.command, *provider.args],
        env={},
        env_names=[],
        dialect=provider.dialect,
        old_session=provider.old_session,
        model_by=provider.model_by,
        extends=provider.extends,
    )


def _spec(session: Session, resolved: registry.Resolved) -> RunSpec:
    return RunSpec(
        run_id=new_run_id(),
        created_us=session.started_us or now_us(),
        provider=resolved.provider,
        command=resolved.launched(session.session_id),
        cwd=session.cwd,
        dialect=resolved.dialect,
        model=session.model,
        model_by=resolved.model_by,
        auth_method=resolved.auth_method,
        extends=resolved.extends,
        tested=resolved.tested,
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
        at = session.started_us or now_us()
        self._own(
            at,
            "run_started",
            run_id=self.folder.run_id,
            host=socket.gethostname(),
            versions={"paseo_nb": __version__},
            imported=str(session.path or session.session_id),
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
            elif self.turn or line.head:
                ended = line if line.outcome or line.facts or line.model else ended
                self._line(at, "in", line.kind, self._short(self.masker(line.raw)))
        if self.turn:
            self._turn_end(at, ended)
        self._own(at, "state", state="idle")
        self._own(at, "run_ended", reason="imported", state="idle")

    def _turn_end(self, at: int, ended: Told | None) -> None:
        outcome = ended and ended.outcome
        problem = ended and ended.problem
        for kind, told in ended.facts if ended else ():
            self._own(at, kind, **told)
        if ended and ended.model is not None:
            self._own(at, "model", answered=ended.model)
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
