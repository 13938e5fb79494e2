"""The prompts of the patterns: files here, each of which a project may put its own in place of.

A project's own is `paseo_prompts/NAME.md` beside its `paseo_nb.toml`. `{{field}}` in it is filled
in; what else is in braces stays as it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import UsageProblem

OWN = "paseo_prompts"
_FIELD = re.compile(r"\{\{(\w+)\}\}")
_FOLDER = Path(__file__).with_name("prompts")
_FOLDERS = (_FOLDER, Path(__file__).parents[1] / "engine" / "catalog" / "prompts")


def names() -> list[str]:
    """The names of all prompts: those of the catalog lie in one folder with these in a project."""
    return sorted(path.stem for folder in _FOLDERS for path in folder.glob("*.md"))


def filled(name: str, project: Path, **fields: str) -> str:
    """A prompt of the patterns with its fields filled in: see `filled_from`."""
    return filled_from(_FOLDER, name, project, **fields)


def filled_from(folder: Path, name: str, project: Path, **fields: str) -> str:
    """A prompt of a folder with its fields filled in. UsageProblem for a project's own that names a
    field that there is not, or leaves out one without which it makes no sense (the first of ours).
    """
    ours = (folder / f"{name}.md").read_text(encoding="utf-8")
    own = project / OWN / f"{name}.md"
    if strange := sorted({path.stem for path in own.parent.glob("*.md")} - set(names())):
        raise UsageProblem(
            f"{own.parent / strange[0]}.md is no prompt of ours; there are {', '.join(names())}"
        )
    text = _read(own) if own.is_file() else ours
    used = set(_FIELD.findall(text))
    if unknown := sorted(used - fields.keys()):
        raise UsageProblem(
            f"{own} names {{{{{unknown[0]}}}}}; there are {', '.join(sorted(fields))}"
        )
    needed = _FIELD.search(ours)
    if needed is not None and needed[1] not in used:
        raise UsageProblem(
            f"{own} does not name {{{{{needed[1]}}}}}, so the agent would not know it"
        )
    return _FIELD.sub(lambda match: fields[match[1]], text).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} cannot be read: {error}") from error
