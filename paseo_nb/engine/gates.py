"""Gates of a flow: a person, a command or a judge lets it go on, or does not.

A person's answer is a file beside the journal, so that any front end can give it, before or while
somebody waits, and a killed flow has it when it goes on. A gate for a person takes no other answer:
not of a command, not of a process that an agent started, unless it was declared `automatic`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec

from ..errors import UsageProblem
from ..journal import write_file_once
from ..model import short_id
from .conductor import Conductor
from .journal import Facts, WorkflowFolder
from .story import Story

LOOK_S = 0.2
COMMAND_S = 600.0
JUDGED = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved", "reason"],
    "additionalProperties": False,
}


class Approval(msgspec.Struct, frozen=True):
    """How a gate was answered; false where it was denied. by: person, command, judge, automatic."""

    gate: str
    approved: bool
    by: str
    reason: str = ""

    def __bool__(self) -> bool:
        return self.approved

    def __str__(self) -> str:
        said = f": {self.reason}" if self.reason else ""
        return f"{'approved' if self.approved else 'denied'} by {self.by}{said}"


def _path(folder: WorkflowFolder, gate: str) -> Path:
    return folder.path / f"gate-{hashlib.sha256(gate.encode()).hexdigest()[:16]}.json"


def waiting(story: Story) -> dict[str, Facts]:
    """The gates that wait for a person, by name."""
    open_: dict[str, Facts] = {}
    for line in story.gates:
        if line["kind"] == "gate_waits":
            open_[line["gate"]] = line
        else:
            open_.pop(line["gate"], None)
    return {name: line for name, line in open_.items() if not _path(story.folder, name).exists()}


def answer(folder: WorkflowFolder, gate: str, approved: bool, reason: str = "") -> None:
    """A person's answer, given once. UsageProblem where none is waited for."""
    open_ = waiting(Story(folder))
    if gate not in open_:
        known = ", ".join(open_) or "none"
        raise UsageProblem(
            f"no gate {gate!r} waits in workflow run {short_id(folder.id)}; there waits: {known}"
        )
    if os.environ.get("PASEO_RUN") and not open_[gate].get("automatic"):
        raise UsageProblem(
            f"gate {gate!r} is for a person: an agent's process may not answer it. A flow that is"
            " to go on by itself declares it so: gate(…, automatic=True)."
        )
    told = msgspec.json.encode(Approval(gate, approved, "person", reason))
    if not write_file_once(_path(folder, gate), told):
        raise UsageProblem(f"gate {gate!r} was answered before")


async def by_person(conductor: Conductor, gate: str, question: str, automatic: bool) -> Approval:
    """Wait until a person has answered."""
    path = _path(conductor.folder, gate)
    if not path.exists():
        await conductor.journal.keep(
            "gate_waits", gate=gate, question=question, automatic=automatic
        )
        while not path.exists():
            await asyncio.sleep(LOOK_S)
    told = msgspec.json.decode(path.read_bytes(), type=Approval)
    await conductor.journal.keep("gate_answered", **msgspec.to_builtins(told))
    return told


async def by_command(conductor: Conductor, gate: str, command: str) -> Approval:
    """Let pass where a command succeeds, in the folder that the flow works in."""
    from ..patterns.checking import checked

    folder = Path(conductor.place.repository or Path.cwd())
    result = await checked(command, folder, COMMAND_S, f"gate-{conductor.folder.id}")
    told = Approval(gate, result.passed, "command", str(result))
    await conductor.journal.keep("gate_answered", **msgspec.to_builtins(told))
    return told
