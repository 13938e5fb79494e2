"""One small tree of errors. A message says what happened, why, and what to do.

Every front end shows `str(error)`; the terminal turns `exit_code` into its exit status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runview import RunView


class PaseoError(Exception):
    """The root: catch this to catch everything that paseo_nb raises on purpose."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message, without a page of frames."""
        return [f"{type(self).__name__}: {self}"]


class UsageProblem(PaseoError, ValueError):
    """Wrong arguments: unknown agent, empty prompt, an id that fits two runs or none."""

    exit_code = 2


class NotTrusted(PaseoError):
    """A project file names commands and has not been trusted yet."""

    exit_code = 2


class StorageProblem(PaseoError, OSError):
    """The project folder cannot be read or written: read-only, full, or another user's."""

    exit_code = 1


class InstallProblem(PaseoError):
    """An agent could not be installed: no network, no Node, no space, or another version came."""

    exit_code = 1


class Unreachable(PaseoError):
    """The run's processes are alive but do not answer, or live on another host."""

    exit_code = 1


class GitProblem(PaseoError):
    """git is missing, there is no repository, or it refused what was asked."""

    exit_code = 2


class ReplayMiss(PaseoError):
    """PASEO_NB_REPLAY=1 and no finished run with this content is in the store."""

    exit_code = 2


class WorkflowError(PaseoError):
    """A workflow did not come to its end; `workflow_run` is its id. What was finished is kept: the
    same call goes on from there."""

    exit_code = 3

    def __init__(self, message: str, workflow_run: str | None = None) -> None:
        super().__init__(message)
        self.workflow_run = workflow_run


class WorkflowFatal(WorkflowError):
    """What no further step could get over. cause: auth, balance, budget, cap or usage."""

    def __init__(self, cause: str, message: str, workflow_run: str | None = None) -> None:
        super().__init__(message, workflow_run)
        self.cause = cause


class WorkflowBusy(WorkflowError):
    """The same workflow is at work with these arguments, from other source or to another end."""

    exit_code = 2


class TreeChanged(WorkflowError):
    """The files are not as the last finished step left them."""

    exit_code = 2


class RunError(PaseoError):
    """A turn that did not end well; `run` is the handle, everything it did is kept."""

    def __init__(self, message: str, run: RunView) -> None:
        super().__init__(message)
        self.run = run


class RunFailed(RunError):
    """The turn ended with an error, a refusal or a limit."""

    exit_code = 3


class RunCancelled(RunError):
    """The turn was cancelled; the run stays and takes further prompts."""

    exit_code = 130


class RunTimeout(RunError, TimeoutError):
    """`wait(timeout=…)` ran out; the run itself goes on."""

    exit_code = 4


class PermissionNeeded(RunError):
    """The agent asks for something its mode does not allow by itself."""

    exit_code = 5


class RunInterrupted(RunError):
    """The run's processes died in mid-turn; `resume()` goes on in the agent's own session."""

    exit_code = 6
