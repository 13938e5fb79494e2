"""The tools that find: glob by name, grep by content. The work is git's or grep's, in a process
that can be killed: a model's regular expression could keep Python busy for ever."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Annotated, ClassVar

from msgspec import Meta

from ...common import process
from .base import Done, Tool, ToolFailed, Work, cut

_FOUND = 500
_LINE = 400
_CHARACTERS = 30_000
_SECONDS = 60.0
_LISTING = 64 << 20
Folder = Annotated[str, Meta(description="Where to look; the working directory by default.")]


class Glob(Tool):
    """List files by a pattern such as `**/*.py` or `src/*.ts`; git-ignored ones are left out."""

    NAME: ClassVar[str] = "glob"
    KIND: ClassVar[str] = "search"

    pattern: str
    path: Folder = "."

    def title(self) -> str:
        """See Tool."""
        return f"Find {self.pattern}" + ("" if self.path == "." else f" in {self.path}")

    def paths(self) -> list[str]:
        """See Tool."""
        return [self.path]

    def subject(self) -> str:
        """See Tool."""
        return self.path

    async def run(self, work: Work) -> Done:
        """See Tool."""
        folder = _folder(work, self.path)
        wanted = re.compile(_regex(self.pattern.removeprefix("./")))
        names = [name for name in await _files(folder) if wanted.fullmatch(name)]
        if not names:
            return Done("No files found.")
        shown = sorted(names)[:_FOUND]
        prefix = "" if folder == work.cwd else work.shown(folder) + "/"
        text = "\n".join(prefix + name for name in shown)
        more = len(names) - len(shown)
        return Done(text + (f"\n[{more} more; use a narrower pattern]" if more else ""))


class Grep(Tool):
    """Search file contents by a regular expression; gives path:line:text."""

    NAME: ClassVar[str] = "grep"
    KIND: ClassVar[str] = "search"

    pattern: str
    path: Folder = "."
    include: Annotated[str, Meta(description="Only files like this, as in *.py.")] = ""
    ignore_case: bool = False

    def title(self) -> str:
        """See Tool."""
        return f"Search {self.pattern!r}" + ("" if self.path == "." else f" in {self.path}")

    def paths(self) -> list[str]:
        """See Tool."""
        return [self.path]

    def subject(self) -> str:
        """See Tool."""
        return self.path

    async def run(self, work: Work) -> Done:
        """See Tool."""
        place = work.path(self.path)
        if not os.path.exists(place):
            raise ToolFailed(f"{self.path} does not exist.")
        name = work.shown(place)
        case = ["-i"] if self.ignore_case else []
        kind = "-E" if sys.platform == "darwin" else "-P"
        if await _in_git(work.cwd):
            spec = f":(glob){name}/**/{self.include}" if os.path.isdir(place) else name
            spec = spec.removeprefix("./").replace(":(glob)./", ":(glob)")
            if not self.include:
                spec = name
            argv = ["git", "grep", "-nI", "--untracked", "--no-color", kind, *case]
            argv += ["-e", self.pattern, "--", spec]
        else:
            include = [f"--include={self.include}"] if self.include else []
            argv = ["grep", "-rnI", "--exclude-dir=.git", kind, *case, *include]
            argv += ["-e", self.pattern, "--", name]
        done = await process.run(argv, work.cwd, timeout_s=_SECONDS)
        if done.code is None:
            raise ToolFailed(f"The search took more than {_SECONDS:g} s. Narrow it.")
        if done.code > 1:
            raise ToolFailed(cut(done.output.strip(), 2_000) or f"grep failed ({done.code}).")
        lines = done.output.splitlines()
        if not lines:
            return Done("No matches found.")
        shown = [line[:_LINE].removeprefix("./") for line in lines[:_FOUND]]
        more = len(lines) - len(shown)
        text = cut("\n".join(shown), _CHARACTERS)
        return Done(text + (f"\n[{more} more matches; narrow the search]" if more else ""))


def _folder(work: Work, name: str) -> str:
    folder = work.path(name)
    if not os.path.isdir(folder):
        raise ToolFailed(f"{name} is no folder.")
    return folder


async def _in_git(folder: str) -> bool:
    if shutil.which("git") is None:
        return False
    done = await process.run(["git", "rev-parse", "--is-inside-work-tree"], folder, timeout_s=10)
    return done.code == 0 and done.output.strip() == "true"


async def _files(folder: str) -> list[str]:
    """Every file's path in the folder, as git sees it where it does."""
    if await _in_git(folder):
        argv = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    else:
        argv = ["find", ".", "-name", ".git", "-prune", "-o", "-type", "f", "-print0"]
    done = await process.run(argv, folder, timeout_s=_SECONDS, keep=_LISTING)
    if done.code is None:
        raise ToolFailed(f"Listing the files took more than {_SECONDS:g} s. Narrow it.")
    names = {name.removeprefix("./") for name in done.output.split("\0")}
    return [name for name in names if name and os.path.lexists(os.path.join(folder, name))]


def _regex(pattern: str) -> str:
    """A glob as a regular expression: `*` and `?` stay in a folder, `**/` is any number of them."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out, at = out + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "?":
            out, at = out + "[^/]", at + 1
        elif pattern[at] == "{" and (end := pattern.find("}", at)) > 0:
            ways = pattern[at + 1 : end].split(",")
            out, at = out + f"(?:{'|'.join(map(_regex, ways))})", end + 1
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return out
