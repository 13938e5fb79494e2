"""Why an agent did not come up, in words."""

from __future__ import annotations

import os

from ..model import Problem, RunSpec


class EarlyExit(Exception):
    """The agent ended before its session was ready."""

    def __init__(self, code: int, stderr: bytes) -> None:
        super().__init__(code)
        self.code = code
        self.stderr = stderr.decode("utf-8", "replace").strip()


def unmet(spec: RunSpec, problem: Problem) -> Problem:
    """The problem of an agent that may have told no version: with the one that is tested."""
    if spec.tested is None or problem.code not in ("start_timeout", "agent_exit"):
        return problem
    name = spec.at_heart
    said = f"{name} {spec.tested} is the version that is tested: paseo-nb install {name}"
    hint = f"{problem.hint} {said}" if problem.hint else said
    return Problem(problem.code, problem.message, hint)


def early_exit(command: list[str], error: EarlyExit) -> Problem:
    """The agent ended before it was ready."""
    said = f": {error.stderr[-1500:]}" if error.stderr else ""
    return Problem(
        "agent_exit",
        f"the agent ended with exit code {error.code} before it was ready{said}",
        f"Run it by hand to see why: {' '.join(command)}",
    )


def cannot_launch(spec: RunSpec, error: OSError) -> Problem:
    """The agent's program could not be started."""
    command = spec.command
    if not os.path.isdir(spec.cwd):
        return Problem(
            "folder_gone",
            f"the folder that the run works in is gone: {spec.cwd}",
            "Bring it back (`git worktree add` for a worktree), or start a new run.",
        )
    return Problem(
        "not_installed" if isinstance(error, FileNotFoundError) else "launch",
        f"cannot start {command[0]!r}: {error.strerror or error}",
        "Install the agent or correct its command; the verb `doctor` shows what is found.",
    )
