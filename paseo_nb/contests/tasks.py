"""Tasks of a tournament: from a DataFrame, from dictionaries, or from a folder of files."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any, cast

import msgspec

from ..errors import GitProblem, UsageProblem
from ..git.commands import Repository


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task: what is asked for, of which files, and how one sees that it is done: by a command
    (`tests`, with `hidden` files laid over first), or by a text that the answer has (`expect`)."""

    id: str
    prompt: str
    repo: str | None = None
    base: str | None = None
    tests: str | None = None
    hidden: str | None = None
    expect: str | None = None
    timeout: float | None = None
    tree: str | None = None
    hidden_sum: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What it is, wherever it lies: the files of its base and its hidden tests by content."""
        told = msgspec.structs.asdict(self)
        return {name: told[name] for name in told if name not in ("repo", "base", "hidden")}


FIELDS = tuple(name for name in Task.__struct_fields__ if name not in ("tree", "hidden_sum"))


def tasks_of(given: Any, here: Path) -> list[Task]:
    """The tasks, each with its repository and its base's commit. UsageProblem names what is wrong.

    given: a DataFrame or dictionaries with the fields of `Task` (`id` may be missing: 1, 2, …); or
    a folder, in which each `*.toml`, or `task.toml` of a subfolder, is one (paths in it are
    relative to it, its id is its name, and `hidden/` beside `task.toml` are its hidden tests).
    here: the repository of tasks that name none.
    """
    rows = _from_folder(Path(given)) if isinstance(given, (str, Path)) else _rows(given)
    commits: dict[tuple[str, str], tuple[str, str]] = {}
    found = [_task(row, number, here, commits) for number, row in enumerate(rows, 1)]
    if not found:
        raise UsageProblem("there are no tasks")
    ids = [task.id for task in found]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise UsageProblem(f"two tasks have the id {twice[0]!r}")
    return found


def _rows(given: Any) -> list[dict[str, Any]]:
    if hasattr(given, "to_dict"):
        told = cast(list[dict[str, Any]], given.to_dict("records"))
        return [
            {k: v for k, v in row.items() if v is not None and v == v and str(v) != "<NA>"}
            for row in told
        ]
    return [{k: v for k, v in row.items() if v is not None} for row in given]


def _from_folder(folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise UsageProblem(f"tasks={str(folder)!r} is no folder")
    files = sorted([*folder.glob("*.toml"), *folder.glob("*/task.toml")])
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            row = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageProblem(f"{file}: {error}") from None
        own = file.parent
        row.setdefault("id", own.name if file.name == "task.toml" else file.stem)
        if file.name == "task.toml" and (own / "hidden").is_dir():
            row.setdefault("hidden", "hidden")
        for name in ("repo", "hidden"):
            if name in row:
                row[name] = str((own / str(row[name])).resolve())
        rows.append(row)
    return rows


def _task(
    row: dict[str, Any], number: int, here: Path, commits: dict[tuple[str, str], tuple[str, str]]
) -> Task:
    row = {"id": str(number), **row}
    row["id"] = str(row["id"])
    try:
        task = msgspec.convert(row, Task, strict=False)
    except msgspec.ValidationError as error:
        raise UsageProblem(f"task {row['id']}: {error}; fields are {', '.join(FIELDS)}") from None
    if task.tests is None and task.expect is None:
        said = "tests= (a command) or expect= (a text) says if it is done"
        raise UsageProblem(f"task {task.id}: {said}")
    repo = str(Path(task.repo or here).expanduser().resolve())
    asked = (repo, task.base or "HEAD")
    try:
        if asked not in commits:
            repository = Repository(Path(repo))
            commit = repository.commit(asked[1])
            if commit is None:
                raise UsageProblem(f"task {task.id}: base {asked[1]!r} is no commit of {repo}")
            tree = repository.line("rev-parse", f"{commit}^{{tree}}")
            commits[asked] = commit, tree
    except GitProblem as problem:
        raise UsageProblem(f"task {task.id}: {problem}") from None
    hidden = None if task.hidden is None else str(Path(task.hidden).expanduser().resolve())
    if hidden is not None and not Path(hidden).is_dir():
        raise UsageProblem(f"task {task.id}: hidden={task.hidden!r} is no folder")
    commit, tree = commits[asked]
    content = None if hidden is None else _sum(Path(hidden))
    return msgspec.structs.replace(
        task, repo=repo, base=commit, hidden=hidden, tree=tree, hidden_sum=content
    )


def _sum(folder: Path) -> str:
    """SHA-256 over a folder's files, by name and content."""
    found = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        found.update(f"{file.relative_to(folder)}\0{len(data)}\0".encode() + data)
    return found.hexdigest()
