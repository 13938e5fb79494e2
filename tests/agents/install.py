"""Installs the pinned agent CLIs into `.tools/agents/` of this checkout; tests find them here.

    python tests/agents/install.py                      all, then asks each for its version
    python tests/agents/install.py gemini               one
    python tests/agents/install.py --print-path gemini  where it is, installed if it was not

Needs node and npm, nothing else of ours. Each CLI has a folder of its own, named after its
version, that appears only when the CLI in it has run and told the pinned version: a folder that is
there is good, and an interrupted installation leaves none behind.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TOOLS = CHECKOUT / ".tools" / "agents"


@dataclass(frozen=True)
class Cli:
    """One pinned npm package.

    `node` is the lowest major version of its `engines`. npm must never choose by it: without an
    exact version it silently takes the newest *older* release that fits the node at hand.
    `setup` is the package's own install script, the only one that is run (npm is told to run
    none: what they do depends on npm's version and settings, and most build optional add-ons).
    """

    package: str
    version: str
    command: str
    node: int
    setup: str | None = None


CLIS: dict[str, Cli] = {
    # setup: links the binary for this processor and libc to bin/opencode.exe
    "opencode": Cli("opencode-ai", "1.18.33", "opencode", node=18, setup="postinstall.mjs"),
    "gemini": Cli("@google/gemini-cli", "0.61.0", "gemini", node=20),
}


class AgentMissing(RuntimeError):
    """A CLI is not there or is not what it should be; the message says what to do."""


def executable(name: str) -> Path:
    """The command of an installed CLI; raises AgentMissing. Starts nothing."""
    path = _command_in(_folder(name), name)
    if not path.exists():
        raise AgentMissing(
            f"{name} {CLIS[name].version} is not installed in {TOOLS}. "
            f"Run: python tests/agents/install.py {name}"
        )
    return path


def install(name: str) -> Path:
    """Like `executable`, but installs the CLI first if it is missing."""
    with _locked():
        if not _command_in(_folder(name), name).exists():
            _install(name)
    return executable(name)


def verify(name: str, folder: Path | None = None) -> None:
    """Runs the CLI's `--version`; raises AgentMissing unless it tells the pinned one."""
    cli, folder = CLIS[name], folder or _folder(name)
    with tempfile.TemporaryDirectory() as home:
        told = _run([str(_command_in(folder, name)), "--version"], env=os.environ | {"HOME": home})
    if told.strip().splitlines()[-1:] != [cli.version]:
        raise AgentMissing(
            f"{name} should be {cli.version}, but `--version` says {told.strip()!r}. "
            f"Remove {folder} and run: python tests/agents/install.py {name}"
        )


def _install(name: str) -> None:
    cli = CLIS[name]
    _require_node(cli)
    part = TOOLS / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    wanted = f"{cli.package}@{cli.version}"
    # fmt: off
    _run(["npm", "install", "--prefix", str(part), "--ignore-scripts", "--save-exact",
          "--no-audit", "--no-fund", "--loglevel=error", wanted])
    # fmt: on
    if cli.setup:
        package = part / "node_modules" / cli.package
        _run(["node", cli.setup], cwd=package)
    verify(name, part)
    part.rename(_folder(name))


def _require_node(cli: Cli) -> None:
    advice = f"{cli.package} needs Node.js {cli.node} or newer with npm on PATH: https://nodejs.org"
    if not shutil.which("npm") or not shutil.which("node"):
        raise AgentMissing(advice)
    found = re.match(r"v(\d+)", _run(["node", "--version"]))
    if not found or int(found[1]) < cli.node:
        raise AgentMissing(f"{advice} (found {found[0] if found else 'an unknown version'})")


def _run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentMissing(f"could not run {' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise AgentMissing(
            f"{' '.join(command)} failed with status {done.returncode}. "
            f"(Installing needs npm's registry, once.) It said:\n{done.stderr or done.stdout}"
        )
    return done.stdout


def _folder(name: str) -> Path:
    return TOOLS / f"{name}-{CLIS[name].version}"


def _command_in(folder: Path, name: str) -> Path:
    return folder / "node_modules" / ".bin" / CLIS[name].command


@contextmanager
def _locked() -> Iterator[None]:
    """One installation at a time, also between processes (pytest-xdist, two terminals)."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CLIS)}")
    parser.add_argument("--print-path", choices=list(CLIS), metavar="NAME")
    options = parser.parse_args()
    if unknown := set(options.names) - set(CLIS):
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(CLIS)}")
    try:
        if options.print_path:
            print(install(options.print_path))
            return 0
        for name in options.names or CLIS:
            path = install(name)
            verify(name)
            print(f"{name} {CLIS[name].version}: {path}")
    except AgentMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
