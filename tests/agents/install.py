"""Installs the pinned agent CLIs into `.tools/agents/` of this checkout; tests find them here.

    python tests/agents/install.py                      all, then asks each for its version
    python tests/agents/install.py gemini               one
    python tests/agents/install.py --print-path gemini  where it is, installed if it was not

The work is the package's own (`paseo_nb.installing`), with a place of the checkout's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))  # as a program it is started without it

from paseo_nb import installing  # noqa: E402
from paseo_nb.errors import PaseoError  # noqa: E402
from paseo_nb.pinned import AGENTS  # noqa: E402

TOOLS = CHECKOUT / ".tools" / "agents"


class AgentMissing(RuntimeError):
    """A CLI is not there; the message says what to do."""


def executable(name: str) -> Path:
    """The command of an installed CLI; raises AgentMissing. Starts nothing."""
    path = installing.command_path(name, TOOLS)
    if not path.exists():
        raise AgentMissing(
            f"{name} {AGENTS[name].version} is not installed in {TOOLS}. "
            f"Run: python tests/agents/install.py {name}"
        )
    return path


def install(name: str) -> Path:
    """Like `executable`, but installs the CLI first if it is missing."""
    made = installing.install(name, TOOLS, lambda text: print(text, file=sys.stderr, flush=True))
    return Path(made.path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(AGENTS)}")
    parser.add_argument("--print-path", choices=list(AGENTS), metavar="NAME")
    options = parser.parse_args()
    try:
        if options.print_path:
            print(install(options.print_path))
            return 0
        names = options.names or list(AGENTS)
        installing.check_names(names)
        for name in names:
            path = install(name)
            installing.verify(name, TOOLS)
            print(f"{name} {AGENTS[name].version}: {path}")
    except PaseoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
