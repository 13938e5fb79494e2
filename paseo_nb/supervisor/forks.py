"""A forked run's first session: the agent's own fork where that can be had, else its conversation
is told in short with the first prompt."""

from __future__ import annotations

from ..journal import RunFolder, last_own
from ..model import Fork, RunSpec
from .recorder import Recorder


class Forks:
    """How one run is forked off another one, if it is."""

    def __init__(self, folder: RunFolder, spec: RunSpec, recorder: Recorder) -> None:
        self._folder, self._fork, self._recorder = folder, spec.fork, recorder
        self._failed = False

    @property
    def point(self) -> Fork | None:
        """What the agent is to fork by itself; None: it cannot."""
        fork = self._fork
        if fork is None or fork.session_id is None or self._failed:
            return None
        return None if fork.at is None and self._went_on(fork) else fork

    def _went_on(self, fork: Fork) -> bool:
        """Whether more was said in the session, whose end alone could be forked."""
        whence = self._folder.path.with_name(fork.run_id) / "journal.jsonl"
        try:
            last = last_own(whence, "turn_start")
        except OSError:
            return False
        return last is not None and last.turn > fork.turn

    def give_up(self) -> bool:
        """The agent did not come up with the fork: whether to try without."""
        if self.point is None:
            return False
        self._failed = True
        return True

    def note(self, forked: bool) -> list[str]:
        """Journal how it was forked; what the agent is to hear with its first prompt."""
        if self._fork is None:
            return []
        how = "session" if forked else "context"
        self._recorder.own("forked", how=how, run_id=self._fork.run_id, turn=self._fork.turn)
        return [] if forked else [self._fork.context]
