"""The recorder as its supervisor starts it, beside a model server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kit import SLACK

TOKEN = "a-token-of-the-tests"


class Recorder:
    """The program, and the lines that it has told."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port, fd = listener.getsockname()[1], listener.fileno()
        self.url = f"http://127.0.0.1:{port}/{TOKEN}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "paseo_nb.recorder", f"--listener={fd}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(fd,),
            env={**os.environ, "PASEO_NB_RECORDER_TOKEN": TOKEN, **environment},
        )
        listener.close()
        self.facts: list[dict[str, Any]] = []
        self._settled = threading.Semaphore(0)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip():
                self.facts.append(json.loads(line))
            else:
                self._settled.release()

    def through(self, url: str) -> str:
        """The address to give instead of one."""
        return f"{self.url}/{url.replace('://', '/')}"

    def told(self) -> list[dict[str, Any]]:
        """What it has told once it was asked whether that is all."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert self._settled.acquire(timeout=10 * SLACK), "the recorder does not answer"
        return self.facts

    def close(self) -> int:
        """End its input, which ends it; its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(10 * SLACK)
        self._reading.join(SLACK)
        self.process.stdout.close()
        return code


@pytest.fixture
def recorder() -> Iterator[Callable[..., Recorder]]:
    """Starts recorders; they are ended with the test."""
    made: list[Recorder] = []

    def start(*arguments: str, **environment: str) -> Recorder:
        made.append(Recorder(*arguments, **environment))
        return made[-1]

    yield start
    for one in made:
        assert one.close() == 0
