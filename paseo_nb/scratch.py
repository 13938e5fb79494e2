"""A folder for what an agent's program unpacks for itself and never deletes: one in the run's own
folder, gone with the pair.

Light: the warden imports it before anything else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

WANTED = "{scratch}"  # the value of a variable that is to name such a folder
_NAME = "scratch"


def given(environment: Mapping[str, str], beside: str | os.PathLike[str]) -> dict[str, str]:
    """The environment with a folder, made in `beside`, for each variable that wants one; without
    the variable where none can be made."""
    wanting = [name for name, value in environment.items() if value == WANTED]
    filled = dict(environment)
    folder = os.path.join(beside, _NAME)
    for name in wanting:
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            filled[name] = folder
        except OSError:
            del filled[name]
    return filled


def remove(beside: str | os.PathLike[str]) -> None:
    """Remove the folder in `beside`, where there is one and as far as it can be."""
    folder = os.path.join(beside, _NAME)
    if os.path.isdir(folder):
        import shutil  # 1 MB that few runs need, and none before its end

        shutil.rmtree(folder, ignore_errors=True)
