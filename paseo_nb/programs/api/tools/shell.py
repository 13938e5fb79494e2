"""The shell tool: one command line, in a process group that a cancel or a time-out ends whole."""

from __future__ import annotations

import os
import shutil
import time
from typing import Annotated, ClassVar

from msgspec import Meta

from ...common import process
from ...common.content import text_content
from .base import Done, Tool, ToolFailed, Work, cut

_CHARACTERS = 30_000
_SHOWN = 8_000
_REFRESH_S = 0.25
_LONGEST_S = 3_600
# Nothing asks or pages: there is nobody at a terminal.
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Shell(Tool):
    """Run a command line in the working directory; gives its output and exit code. There is no
    terminal and no input. It is killed after timeout_s seconds."""

    NAME: ClassVar[str] = "shell"
    KIND: ClassVar[str] = "execute"

    command: str
    timeout_s: Annotated[float, Meta(description="Seconds, 120 by default.")] = 120

    def title(self) -> str:
        """See Tool."""
        first, _, more = self.command.strip().partition("\n")
        return first[:200] + (" …" if more or len(first) > 200 else "")

    def subject(self) -> str:
        """See Tool."""
        return self.command

    async def run(self, work: Work) -> Done:
        """See Tool."""
        if "\0" in self.command:
            raise ToolFailed("A command cannot have a NUL in it.")
        told = 0.0

        def show(output: str) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _REFRESH_S:
                told = now
                work.show(output[-_SHOWN:])

        limit = min(max(self.timeout_s, 0.1), _LONGEST_S)
        argv = [shutil.which("bash") or "/bin/sh", "-c", self.command]
        env = os.environ | _QUIET
        try:
            done = await process.run(argv, work.cwd, on_output=show, timeout_s=limit, env=env)
        except OSError as error:
            raise ToolFailed(f"The command could not be started: {error}") from error
        output = cut(done.output, _CHARACTERS).rstrip("\n")
        if done.code is None:
            ended = f"[killed after {limit:g} s]"
        elif done.code < 0:
            ended = f"[killed by signal {-done.code}]"
        else:
            ended = f"[exit code {done.code}]" if done.code else ""
        text = "\n".join(part for part in (output or "[no output]", ended) if part)
        raw = {"exitCode": done.code, "output": output}
        return Done(text, [text_content(text)], raw, failed=done.code != 0)
