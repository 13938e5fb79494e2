"""The demo agent: scripted, without a model, yet it really reads, runs and edits in a repository.

Here live its ACP side (`agent`, `wire`, `sessions`), what a script can say (`steps`), the scenarios
it offers as models (`scenarios`) and a sample repository to work in. Nothing here knows of runs,
journals or notebooks. The `demo` provider starts it with `python -m paseo_nb.programs.demo`.
"""

from pathlib import Path

from .sample_repo import copy_sample

__all__ = ["copy_sample", "sample_sessions"]


def sample_sessions() -> Path:
    """A bundle of four made-up sessions, to be opened with `open_bundle`."""
    return Path(__file__).with_name("synthetic_sessions.paseo.zip")
