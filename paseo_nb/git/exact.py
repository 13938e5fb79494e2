"""A working tree's very bytes as a tree of git's, and back: without the conversions that git would
make by attributes and configuration (line ends, encodings, `ident`, filters, LFS)."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

from ..plain_git import PARALLEL
from .commands import Repository

# Wins over every .gitattributes. `-working-tree-encoding` is an error to git: unspecified it is.
_NONE = "* -text -eol -crlf -ident -filter !working-tree-encoding\n"
_CONFIG = "\n[core]\n\tautocrlf = false\n\tbare = false\n\tsparseCheckout = false\n"


def exact_tree(there: Repository, files: str) -> str:
    """The tree that has, for every path of the tree `files`, the bytes in the working tree."""
    with _unconverted(there) as (env, index):
        there.run("read-tree", files, index=index, env=env)
        there.run("add", "--update", "--", ".", index=index, env=env)  # nothing is known: all read
        return there.line("write-tree", index=index, env=env)


def write_exactly(there: Repository, tree: str) -> None:
    """Write its files as they are in git, over what is there."""
    with _unconverted(there) as (env, index):
        there.run("read-tree", tree, index=index, env=env)
        there.run(*PARALLEL, "checkout-index", "--all", "--force", index=index, env=env)


@contextlib.contextmanager
def _unconverted(there: Repository) -> Generator[tuple[dict[str, str], Path]]:
    """An environment in which git works with the same objects and files, and an index. The
    attributes that win are those of git's own folder: so it gets one for this."""
    with tempfile.TemporaryDirectory(prefix="paseo-git-") as name:
        folder = Path(name)
        for part in ("info", "refs", "objects"):
            (folder / part).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "info" / "attributes").write_text(_NONE)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(there.git_dir / "config.worktree", folder / "config.worktree")
            with (folder / "config.worktree").open("a") as file:
                file.write(_CONFIG)
        shutil.copyfile(there.common_dir / "config", folder / "config")
        with (folder / "config").open("a") as file:
            file.write(_CONFIG)
        env = {
            "GIT_DIR": name,
            "GIT_WORK_TREE": str(there.working_tree()),
            "GIT_OBJECT_DIRECTORY": str(there.common_dir / "objects"),
        }
        yield env, folder / "index"
