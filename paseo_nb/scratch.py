"""A folder for what an agent's program unpacks for itself and never deletes: one in the run's own
folder, gone with the pair. A recorded agent may have a copy of its settings there (`mirrored`).

Light: the warden imports it before anything else.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping

WANTED = "{scratch}"  # the value of a variable that is to name such a folder
RECORDER = "{recorder}"  # in a value: the address of the run's recorder
MIRROR = "{mirror}"  # before a folder: one with the same in it, but for the files of MIRRORED
MIRRORED = "PASEO_NB_MIRRORED"  # the contents of those, as JSON
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


def mirrored(
    environment: Mapping[str, str], beside: str | os.PathLike[str], recorder: str
) -> dict[str, str]:
    """The environment with the recorder's address, and with a folder in `beside` for the one that
    is to be mirrored: links to what is in it, and the files that differ."""
    filled = {name: value.replace(RECORDER, recorder) for name, value in environment.items()}
    files = json.loads(filled.pop(MIRRORED, "{}"))
    for name, value in filled.items():
        if not value.startswith(MIRROR):
            continue
        real, folder = value.removeprefix(MIRROR), os.path.join(beside, _NAME, "mirror")
        os.makedirs(folder, 0o700, exist_ok=True)
        for entry in os.listdir(real):
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.join(real, entry), os.path.join(folder, entry))
        for entry, content in files.items():
            path = os.path.join(folder, entry)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with open(path, "x", encoding="utf-8") as file:
                json.dump(content, file)
        filled[name] = folder
    return filled


def remove(beside: str | os.PathLike[str]) -> None:
    """Remove the folder in `beside`, where there is one and as far as it can be."""
    folder = os.path.join(beside, _NAME)
    if os.path.isdir(folder):
        import shutil  # 1 MB that few runs need, and none before its end

        shutil.rmtree(folder, ignore_errors=True)
