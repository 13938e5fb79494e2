"""Runs one of these notebooks headless, then prints what it left: the runs, the diffs, the file.

Used by the README's first command. The executed copy and the sample repository land in
`notebooks/executed/`, afresh each time.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import paseo_nb as paseo

HERE = Path(__file__).resolve().parent


def main(name: str) -> int:
    """Execute, then report."""
    source = HERE / name
    if not source.exists():
        known = ", ".join(sorted(path.name for path in HERE.glob("*.ipynb")))
        print(f"no notebook {name!r}; there are {known}", file=sys.stderr)
        return 2
    work = HERE / "executed" / source.stem
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(work)}},
        extra_arguments=[
            "--IPKernelApp.log_level=ERROR"
        ],  # its note on loopback TCP is for servers
    )
    out = work / source.name
    code = 0
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        code = 1
    nbformat.write(notebook, out)
    repository = next(iter(sorted(path.parent for path in work.glob("*/.paseo_nb"))), None)
    if repository is not None:
        os.chdir(repository)
        report()
    print(f"\nThe executed notebook: {out}")
    return code


def report() -> None:
    """The table of runs, and each run's diff."""
    found = paseo.ls()
    print(found)
    for run in reversed(found):
        if run.spec.worktree:
            print(f"\nWhat {run.agent} changed on branch {run.branch}:\n{run.diff()}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "01_quickstart.ipynb"))
