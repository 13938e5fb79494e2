"""The agent CLIs that we test with: their packages at exact versions, and what each needs to run.

The one table of pins: `installing` gets them, `examination` holds what a machine has against them.
"""

from __future__ import annotations

import re

import msgspec

_VERSION = re.compile(r"\d+(?:\.\d+)+(?:-[\w.]+)?")


class Package(msgspec.Struct, frozen=True):
    """One package of npm at an exact version. npm must never choose by a range or by `engines`:
    without an exact version it silently takes the newest *older* release that fits the Node at
    hand. `setup`: the package's own install script, the only one that is run (npm is told to run
    none: what they do depends on npm's version and settings, and most build optional add-ons).
    """

    name: str
    version: str
    setup: str | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one agent's commands. `version_of` tells its version; `node`: the oldest Node that
    its commands run under, None where they are native (the installation takes any Node then);
    `native`: where the launcher's own binary lies, to be called without the launcher; `wheel`: a
    PyPI package that holds the same binary, for machines without Node (name, version, path)."""

    packages: tuple[Package, ...]
    commands: tuple[str, ...]
    version_of: str
    megabytes: int
    node: tuple[int, int] | None = None
    native: str | None = None
    wheel: tuple[str, str, str] | None = None

    @property
    def version(self) -> str:
        """The version of the agent itself."""
        return self.packages[0].version

    @property
    def told(self) -> str:
        """The version that it tells when a run starts it: of what speaks to us, an adapter say."""
        return self.packages[-1].version

    @property
    def folder(self) -> str:
        """What its folder's name ends with: the versions of all its packages."""
        return "-".join(package.version for package in self.packages)


AGENTS: dict[str, Agent] = {
    "claude": Agent(
        packages=(Package("@anthropic-ai/claude-code", "2.1.329", setup="install.cjs"),),
        commands=("claude",),
        version_of="claude",
        megabytes=361,
        wheel=("claude-agent-sdk", "0.2.186", "claude_agent_sdk/_bundled/claude"),
    ),
    "codex": Agent(
        packages=(Package("@openai/codex", "0.169.0"),),
        commands=("codex",),
        version_of="codex",
        megabytes=404,
        native="@openai/codex-*/vendor/*/bin/codex",  # saves a Node process of 50 MB
    ),
    "copilot": Agent(
        packages=(Package("@github/copilot", "1.0.102"),),
        commands=("copilot",),
        version_of="copilot",
        megabytes=189,
        native="@github/copilot-*/copilot",  # saves a Node process of 55 MB
    ),
    "opencode": Agent(  # setup: links the binary for this processor and libc to bin/opencode.exe
        packages=(Package("opencode-ai", "1.18.33", setup="postinstall.mjs"),),
        commands=("opencode",),
        version_of="opencode",
        megabytes=354,
    ),
    "pi": Agent(  # pi-acp starts the `pi` that it finds on PATH
        packages=(
            Package("@earendil-works/pi-coding-agent", "0.87.1"),
            Package("pi-acp", "0.0.34"),
        ),
        commands=("pi-acp", "pi"),
        version_of="pi",
        megabytes=167,
        node=(22, 19),
    ),
    "gemini": Agent(
        packages=(Package("@google/gemini-cli", "0.61.0"),),
        commands=("gemini",),
        version_of="gemini",
        megabytes=100,
        node=(20, 0),
    ),
}


def version_in(text: str) -> str | None:
    """The version number in what a CLI's `--version` prints."""
    found = _VERSION.search(text)
    return found[0].rstrip(".") if found else None
