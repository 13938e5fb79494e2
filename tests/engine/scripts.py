"""Scripts in Claude Code's format, run on agents that a function plays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.conftest import echo, prompts
from paseo_nb.engine.javascript.bodies import script
from paseo_nb.engine.javascript.process import Limits
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.workflows import Workflow

META = "export const meta = { name: 'lab', description: 'A test' }\n"
QUICK = Limits(slice_s=15, cpu_s=20, heap_mb=64, data_mb=256, lines=100)


class Lab:
    """Runs bodies of scripts; `place` is where the last one's agents were, `log` what it told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.place = SimulatedPlace(echo)
        self.run: Any = None

    def workflow(self, body: str, answers: Any = echo, **options: Any) -> Workflow:
        self.place = SimulatedPlace(answers)
        made = script(META + body, "lab", QUICK)
        return (made.options(**options) if options else made).at(lambda: self.place)

    def value(self, body: str, answers: Any = echo, args: Any = None, **options: Any) -> Any:
        self.run = self.workflow(body, answers, **options).start(args)
        return self.run.wait()

    @property
    def asked(self) -> list[str]:
        return prompts(self.place)

    @property
    def log(self) -> list[str]:
        return [line["text"] for line in self.run.story().logs]


def children() -> set[int]:
    """The processes of scripts that this one has."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            told = (task / "children").read_text().split()
        except OSError:
            continue
        found |= {int(pid) for pid in told if _is_script(int(pid))}
    return found


def _is_script(pid: int) -> bool:
    try:
        return b"engine/javascript/child.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def put(folder: Path, name: str, text: str) -> Path:
    """A file of a workflow."""
    os.makedirs(folder, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


Check = Callable[[Lab], None]
