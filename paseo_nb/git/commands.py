"""Running git in one repository: GitPython finds the repository and starts git, here is said in
which surroundings.

Always without hooks, prompts and the file system monitor, and without the caller's GIT_DIR and the
like (a kernel or an agent that a git hook started has them, and they mean another repository).
Everything here is for the other files of this room.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GitProblem
from ..plain_git import NOT_PASSED_ON, OPTIONS, QUIET, staging

if TYPE_CHECKING:
    from git import Repo


LOCK_S = 10.0
# What git says where it could not begin, as another git holds a lock that it does not wait for.
_LOCKED = re.compile(r"Unable to create '.*\.lock': File exists|could not lock config file")


class Repository:
    """The git repository that a folder lies in. GitProblem where there is none, or no git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._repo = _open(folder)
        top = self._repo.working_tree_dir
        self.top = None if top is None else Path(top)
        self.git_dir = Path(self._repo.git_dir)
        self.common_dir = Path(os.path.realpath(self._repo.common_dir))
        # GitPython expands `$NAME` in the folder that it runs git in, and takes the process's own
        # where there is none: another repository. So git itself is told where.
        self._where = os.path.abspath(top or self.common_dir)

    def run(
        self,
        *arguments: str,
        index: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        fine: tuple[int, ...] = (0,),
    ) -> bytes:
        """git's standard output. GitProblem with git's own words where it exits otherwise."""
        import git

        told = {**QUIET, **(env or {})}
        if index is not None:
            told["GIT_INDEX_FILE"] = str(index)
        deadline = time.monotonic() + LOCK_S
        drop = [name for name in NOT_PASSED_ON if name in os.environ and name not in told]
        prefix = ["env", *(part for name in drop for part in ("-u", name))] if drop else []
        while True:
            try:
                with open(stdin or os.devnull, "rb") as given:
                    status, out, said = self._repo.git.execute(
                        [*prefix, "git", "-C", self._where, *OPTIONS, *arguments],
                        istream=given,
                        env=told,
                        with_extended_output=True,
                        with_exceptions=False,
                        stdout_as_string=False,
                        strip_newline_in_stdout=False,
                    )
            except git.GitCommandNotFound:
                raise _missing() from None
            if status in fine or not _LOCKED.search(said) or time.monotonic() > deadline:
                break
            time.sleep(0.05)  # somebody else's git is at it: it has done nothing yet
        if status not in fine:
            raise GitProblem(f"git {_verb(arguments)} failed in {self.folder}: {_reason(said)}")
        return out

    def line(self, *arguments: str, **surroundings: Any) -> str:
        """The same, for commands that print one line."""
        return self.run(*arguments, **surroundings).decode("utf-8", "replace").rstrip("\n")

    def commit(self, name: str) -> str | None:
        """The full id of a commit; None where it names none."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self.line(*arguments, fine=(0, 1, 128)) or None

    def worktrees(self) -> list[dict[str, str]]:
        """Each worktree as git lists it: `worktree` (its path), `HEAD`, `branch`, `locked`, …"""
        listed = os.fsdecode(self.run("worktree", "list", "--porcelain", "-z"))
        blocks = (block.split("\0") for block in listed.split("\0\0") if block)
        return [
            {name: value for name, _, value in (line.partition(" ") for line in block)}
            for block in blocks
        ]

    @contextlib.contextmanager
    def temporary_index(self) -> Generator[Path, None, None]:
        """A copy of the index, so that the user's own stays as it is. With its time stamp: git
        takes from it which files it must look into again."""
        with tempfile.TemporaryDirectory(prefix="paseo-index-") as folder:
            index = Path(folder) / "index"
            try:
                shutil.copy2(self.git_dir / "index", index)
            except FileNotFoundError:
                if self.commit("HEAD"):
                    self.run("read-tree", "HEAD", index=index)
            yield index

    def stage(self, index: Path, *options: str, all_of_it: bool = False) -> set[bytes]:
        """`git add` for the whole working tree (see `plain_git.staging`); returns the untracked
        files among it."""
        steps = staging(os.fsencode(self.working_tree()), *options, all_of_it=all_of_it)
        listed = index.with_name("given")
        try:
            step = next(steps)
            while True:
                listed.write_bytes(step.given)
                step = steps.send(self.run(*step.words, index=index, stdin=listed, fine=step.fine))
        except StopIteration as done:
            return done.value[0]

    def working_tree(self) -> Path:
        """The top of the working tree. GitProblem in a bare repository."""
        if self.top is None:
            raise GitProblem(f"{self.folder} is a bare repository: it has no files to look at")
        return self.top


def _open(folder: Path) -> Repo:
    try:
        import git
    except ImportError as error:
        if "git executable" not in str(error):
            raise
        raise _missing() from None
    try:
        return git.Repo(folder, search_parent_directories=True, expand_vars=False)
    except git.NoSuchPathError:
        raise GitProblem(f"there is no folder {folder} (any more)") from None
    except git.InvalidGitRepositoryError:
        raise GitProblem(
            f"{folder} lies in no git repository. Make one there (git init, then a first commit),"
            " name another with repo=…, or work without a worktree."
        ) from None


def _verb(arguments: tuple[str, ...]) -> str:
    """The command's name, options before it left out."""
    given = iter(arguments)
    return next((word for word in given if word != "-c" or not next(given, "")), "")


def _missing() -> GitProblem:
    return GitProblem("there is no program `git` on PATH: install git, then try again")


def _reason(said: str) -> str:
    """The telling lines of git's standard error."""
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    words = " ".join(telling[:3]) or "it gave no reason"
    if "dubious ownership" in words:
        return words + " Trust it: git config --global --add safe.directory FOLDER"
    return words
