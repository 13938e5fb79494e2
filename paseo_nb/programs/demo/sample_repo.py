"""The sample repository `tidelog`: a small library with thirteen tests, two of which really fail.

Its files lie in `sample/` with `.txt` after their names, so that no tool of ours takes them for
code; `copy_sample` writes them out as they should be.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_FILES = Path(__file__).parent / "sample"
_WHO = {"NAME": "Tide Gate", "EMAIL": "tide@example.invalid", "DATE": "2026-01-01T00:00:00Z"}


def copy_sample(dest: str | os.PathLike[str]) -> Path:
    """Write the sample repository to `dest` (new or empty) with one commit, whose id is always the
    same, and return its path; where `dest` is such a repository already, to `dest-2` and so on.
    Raises FileExistsError; needs `git`, but neither its configuration nor a HOME."""
    first = root = Path(dest).resolve()
    number = 1
    while (root / "tidelog").is_dir() and (root / ".git").is_dir():
        number += 1
        root = first.with_name(f"{first.name}-{number}")
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(
            f"{root} is not empty; the sample repository needs a folder of its own"
        )
    for source in sorted(_FILES.rglob("*.txt")):
        target = root / source.relative_to(_FILES).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-q", "-m", "Read the log of the tide gate"],
    ):
        subprocess.run(
            ["git", *command], cwd=root, env=_environment(), check=True, capture_output=True
        )
    return root


def _environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_{part}": value for part, value in _WHO.items()}
    return env
