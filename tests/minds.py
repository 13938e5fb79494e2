"""Agents that think with functions of a test's own (`minded_agent.py`), registered by name."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import paseo_nb as paseo

AGENT = Path(__file__).with_name("minded_agent.py")


class Minds:
    """The agents of a test."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "minds.py"
        self.file.write_text("import json, os, re, subprocess, time\n")

    def has(self, code: str) -> None:
        """More functions; each becomes a provider of its name."""
        before = set(self.names())
        with self.file.open("a") as file:
            file.write("\n\n" + textwrap.dedent(code))
        for name in self.names():
            if name not in before:
                command = [sys.executable, str(AGENT), str(self.file), name]
                paseo.register_provider(name, command=command)

    def names(self) -> list[str]:
        lines = self.file.read_text().splitlines()
        return [line[4:].partition("(")[0] for line in lines if line.startswith("def ")]

    def asked(self, who: str | None = None) -> list[str]:
        """What they were asked, in order."""
        log = Path(f"{self.file}.log")
        lines = log.read_text().splitlines() if log.exists() else []
        told = [json.loads(line) for line in lines]
        return [one["prompt"] for one in told if who is None or one["who"] == who]
