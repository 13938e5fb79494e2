"""From a call to what it is found again by: what makes a step what it is, and nothing else."""

from __future__ import annotations

from typing import Any

from ..errors import UsageProblem
from ..typed import json_schema
from .journal import Facts
from .keys import VERSION, plain
from .place import Base, Place
from .values import Call, Result


class Asking:
    """What the calls of one workflow run are made into. moved: names in prompts that differ each
    time, as worktrees' folders, and what stands for them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._identities: dict[str | None, Facts] = {}
        self._schemas: dict[int, tuple[Any, Any]] = {}
        self.moved: dict[str, str] = {}

    def given(self, call: Call, tip: Base | None) -> Facts:
        """What a call is found again by; its mode is settled here. tip: the files as the last step
        left them. UsageProblem where there is something wrong with it."""
        identity = self._identities.get(call.agent)
        if identity is None:
            identity = self._identities[call.agent] = self._place.identity(call.agent)
        call.mode = call.mode or identity.get("mode") or ("edit" if call.isolation else "read")
        if call.isolation not in (None, "worktree", "clone"):
            raise UsageProblem(
                f"isolation={call.isolation!r}: there is 'worktree', 'clone', or none"
            )
        if call.effects not in ("none", "tree", "outward"):
            raise UsageProblem(f"effects={call.effects!r}: none, tree or outward")
        prompt = call.prompt
        if not prompt or prompt.isspace():
            raise UsageProblem("the prompt is empty: write what the agent should do")
        for name, instead in self.moved.items():
            prompt = prompt.replace(name, instead)
        given: Facts = {"v": VERSION, "prompt": prompt, "agent": identity}
        if call.schema is not None:
            given["schema"] = self._schema(call.schema)
        tip = call.at or tip
        if call.reads and tip is not None:
            given["base"] = self._files_of(call, tip)
        if call.mode != "read":
            given["mode"] = call.mode
        for name, value in (
            ("isolation", call.isolation),
            ("effort", call.effort),
            ("agent_mode", call.agent_mode),
            ("mcp", call.mcp),
            ("allow", call.allow),
            ("deny", call.deny),
            ("key", call.key),
        ):
            if value is not None:
                given[name] = plain(value, f"agent({name}=…)")
        if call.attach is not None:
            given["attach"] = self._place.attached(call.attach)
        return given

    def _files_of(self, call: Call, tip: Base) -> str:
        """The tree that a call begins with: of the step it needs, else as the last one left it."""
        needed = self.needed(call)
        if needed is not None and needed.tree is not None:
            return needed.tree
        assert tip is not None
        return tip.tree

    def needed(self, call: Call) -> Result | None:
        """The result whose files a call begins with. UsageProblem for several."""
        with_files = [one for one in call.needs if isinstance(one, Result) and one.tree]
        if len(with_files) > 1 or (with_files and call.isolation is None):
            raise UsageProblem(
                "needs= names one step whose files a step begins with, and takes"
                " isolation='worktree' or 'clone': join several by a step of its own first"
            )
        return with_files[0] if with_files else None

    def _schema(self, wanted: Any) -> Any:
        known = self._schemas.get(id(wanted))
        if known is None:
            known = self._schemas[id(wanted)] = (wanted, json_schema(wanted))
        return known[1]
