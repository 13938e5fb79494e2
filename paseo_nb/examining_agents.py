"""What there is to know of each agent on this machine: found, version, signed in, able to do what.

From the provider's own file and a look at the disk; `ask` starts the agent for what only it can
tell (`asking_agents`). Called by the doctor and by `providers()`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from .asking_agents import ASK_S
from .asking_agents import ask as ask_agent
from .drivers import registry
from .drivers.differing import differences_of, home_of
from .drivers.jsonrpc import RequestError
from .drivers.provider import Provider, place
from .errors import PaseoError, UsageProblem
from .installing import bin_folder
from .pinned import AGENTS, version_in
from .preparing import environment
from .recorder.pointing import KNOWN, why_not

VERSION_S = 5.0


class AgentFacts(msgspec.Struct, kw_only=True):
    """One row of `providers()`. None: not known, or not looked at."""

    provider: str
    source: str
    found: str | None = None
    version: str | None = None
    tested: bool | None = None
    signed_in: str | None = None
    problem: str | None = None
    modes: list[str] | None = None
    models: list[str] | None = None
    commands: list[str] | None = None
    returns: str | None = None
    steer: bool | None = None
    images: bool | None = None
    mcp: str | None = None
    asks: bool | None = None
    permissions: str | None = None
    effort: bool | None = None
    usage: str | None = None
    sessions: str | None = None
    record: str | None = None
    notes: str = ""
    next_step: str = ""


def look(
    project: Path, names: Sequence[str] = (), *, ask: bool = False
) -> list[tuple[Provider, AgentFacts]]:
    """The providers (all, or those named) and what was found out about each, side by side.
    UsageProblem for a name that there is not."""
    known = registry.providers(project)
    for name in names:
        if name not in known:
            raise UsageProblem(registry.unknown_provider(name, known))
    wanted = [known[name] for name in names] if names else list(known.values())
    with ThreadPoolExecutor(max(len(wanted), 1)) as pool:

        def facts(provider: Provider) -> AgentFacts:
            return _facts(provider, project, ask or bool(names))

        found = list(pool.map(facts, wanted))
    return list(zip(wanted, found, strict=True))


def _facts(provider: Provider, project: Path, ask: bool) -> AgentFacts:
    can = provider.capabilities
    facts = AgentFacts(
        provider=provider.name,
        source=provider.source,
        models=list(provider.models) or None,
        returns=can.returns,
        steer=can.steer,
        images=can.images,
        mcp=None if can.mcp is None else " ".join(can.mcp) or "none",
        asks=can.asks,
        permissions=None if can.permissions is None else " ".join(can.permissions) or "none",
        effort=can.effort,
        usage=can.usage or None,
        sessions=_shown(provider.sessions, os.environ),
        notes=provider.notes,
    )
    if not provider.trusted:
        facts.problem = "from a project file that is not trusted; not looked at"
        return facts
    facts.found = registry.find_program(provider, project)
    if facts.found is None:
        facts.problem = "not installed"
        facts.next_step = (
            provider.install or f"install {provider.command[0]!r}, or mend its command"
        )
        return facts
    try:
        resolved = registry.resolve(provider.name, project)
    except PaseoError as error:
        facts.problem = str(error)
        return facts
    env = {**os.environ, **resolved.env}
    facts.sessions = _shown(provider.sessions, env)
    allows = differences_of(provider.extends).allows
    if allows is not None and (listed := allows(Path.cwd(), env)):
        facts.notes += f"; here there is such a file: {listed}"
    if provider.extends in KNOWN:
        facts.record = why_not(provider.extends, env, Path.cwd()) or "yes"
    if not provider.scripted:
        _look_at_version(facts, provider, env)
        facts.signed_in = _signed_in(provider, env)
    if ask and facts.problem is None:
        _ask(facts, provider, resolved)
    if facts.problem is None and not facts.signed_in:
        _tell_to_sign_in(facts, provider)
    return facts


def _tell_to_sign_in(facts: AgentFacts, provider: Provider) -> None:
    step = f"sign in: {provider.sign_in}"
    if provider.sign_in and step not in facts.next_step:
        facts.next_step = "; ".join(one for one in (step, facts.next_step) if one)


def _look_at_version(facts: AgentFacts, provider: Provider, env: Mapping[str, str]) -> None:
    program = str(facts.found)
    pin = AGENTS.get(provider.extends)
    if pin is None:  # a program of the user's own: it may not know --version
        return
    if provider.version_of is not None:
        folders = [os.path.dirname(program), env.get("PATH", os.defpath), str(bin_folder())]
        program = shutil.which(provider.version_of, path=os.pathsep.join(folders)) or program
    begun = time.monotonic()
    facts.version = told_version([program], env)
    if facts.version is None:
        facts.next_step = f"try it in a terminal: {program} --version"
        if time.monotonic() - begun < VERSION_S:
            facts.problem = f"{program} does not tell its version"
        else:  # a machine that is busy, or an agent that is started for the first time
            facts.notes = f"did not tell its version in {VERSION_S:g} s; {facts.notes}"
        return
    facts.tested = version_in(facts.version) == pin.version
    if not facts.tested:
        facts.next_step = (
            f"{pin.version} is the version that is tested: paseo-nb install {provider.extends}"
        )


def _signed_in(provider: Provider, env: Mapping[str, str]) -> str | None:
    """Which key or file lets it work; whether it still does is not tried."""
    for name in provider.keys:
        if env.get(name):
            return name
    for told, pattern in provider.signed_in:
        shown = place(told, env)
        with contextlib.suppress(OSError):
            if re.search(pattern.encode(), _path(shown, env).read_bytes()):
                return shown
    return None


def _shown(told: str | None, env: Mapping[str, str]) -> str | None:
    if told is None:
        return None
    shown = place(told, env)
    return shown if _path(shown, env).exists() else f"{shown} (not made yet)"


def _path(shown: str, env: Mapping[str, str]) -> Path:
    """What `~` stands for is the agent's home, which its provider may have set."""
    return home_of(env) / shown[2:] if shown.startswith("~/") else Path(shown)


def told_version(command: list[str], env: Mapping[str, str]) -> str | None:
    """The first line of `--version`, printable characters only; None where there is none in 5 s."""
    try:
        process = subprocess.Popen(
            [*command, "--version"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None
    with process:
        try:
            out, _ = process.communicate(timeout=VERSION_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None
    lines = out.decode("utf-8", "replace").strip().splitlines()
    said = "".join(c for c in lines[0] if c.isprintable())[:80] if lines else ""
    return said if process.returncode == 0 and said else None


# ---------------------------------------------------------------- asking the agent


def _ask(facts: AgentFacts, provider: Provider, resolved: registry.Resolved) -> None:
    """Take what the agent says of itself; what was measured of it stands where that says more: an
    agent may announce what it then does not do."""
    try:
        opens = not provider.wants_model or resolved.model is not None
        told = ask_agent(resolved, environment(resolved.env), opens=opens)
    except TimeoutError:
        facts.problem = f"no answer in {ASK_S:g} s"
        return
    except (OSError, EOFError, RequestError) as error:
        facts.problem = f"cannot be asked: {error}"
        return
    for name in ("images", "returns"):
        if getattr(facts, name) is None:
            setattr(facts, name, getattr(told, name))
    if facts.mcp is None and told.mcp is not None:
        facts.mcp = " ".join(told.mcp)
    facts.modes, facts.commands = told.modes, told.commands
    facts.models = told.models or facts.models
    registry.told_models[provider.name] = facts.models or []
    facts.effort = told.effort or facts.effort
    if told.signed_in is not None:
        facts.signed_in = told.signed_in or None
        if not told.signed_in:
            _tell_to_sign_in(facts, provider)
    if told.problem is not None:
        facts.problem, facts.next_step = told.problem, told.hint or facts.next_step
