"""Very much output before a slow reader costs the demo agent no memory and loses nothing."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Launch

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_flood_waits_for_a_slow_reader_and_keeps_its_order(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "flood")
    demo.start(repo)
    demo.stop_reading()
    number = demo.ask("count=200_000")
    time.sleep(1)
    assert resident_mb(demo.process.pid) < 60
    demo.go_on_reading()
    assert demo.result(number)["result"]["stopReason"] == "end_turn"
    chunks = [u["content"]["text"] for u in demo.updates("agent_message_chunk")]
    assert [int(text) for text in chunks[:-1]] == list(range(200_000))


@linux
def test_a_big_line_is_whole_and_costs_no_memory(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "bigline")
    demo.start(repo)
    demo.stop_reading()
    number = demo.ask("bytes=30MB")
    time.sleep(0.5)
    demo.post("session/list", {})  # its answer must wait for the end of the line
    assert resident_mb(demo.process.pid) < 60
    demo.go_on_reading()
    demo.result(number)
    assert demo.bad_lines == []
    assert len(demo.updates("agent_message_chunk")[0]["content"]["text"]) == 30_000_000
    assert peak_mb(demo.process.pid) < 60


def resident_mb(pid: int) -> float:
    return _status(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    return _status(pid, "VmHWM")


def _status(pid: int, field: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+)", text)[0]) / 1024
