"""A server of ours in a process of its own, and a plain client of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kit import SLACK
from tornado import httpclient, websocket

from paseo_nb import pairing
from paseo_nb.host.local import LocalHost

TOKEN = "a-token-of-the-tests"
HEAD = {"Authorization": f"token {TOKEN}"}


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def unreadable(path: Path) -> Path:
    """Make a file one that nobody can read, root neither; where it is now, to be put back."""
    aside, loop = path.with_name("aside"), path.with_name("loop")
    os.link(path, aside)
    loop.symlink_to(path.name)
    loop.replace(path)
    return aside


class Answer:
    """What a server answered."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Serving:
    """`paseo-nb serve` about a project; `within`: what it is started by, at an address there."""

    def __init__(
        self,
        root: Path,
        base: str = "/",
        port: int | None = None,
        within: tuple[str, ...] = (),
        address: str = "127.0.0.1",
        options: tuple[str, ...] = (),
    ) -> None:
        self.root, self.port, self.base = root, port or free_port(), base
        self.within, self.address, self.options = within, address, options
        self.url = f"http://{address}:{self.port}{base}"
        self.log = root.parent / f"serve-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The HOME of whoever serves: tokens are made under it, too."""
        home = self.root.parent / "server-home"
        home.mkdir(exist_ok=True)
        return home

    @contextlib.contextmanager
    def at_home(self) -> Iterator[dict[str, str]]:
        """As the user who serves: with the same HOME, also what is started with this environment."""
        before = os.environ["HOME"]
        os.environ["HOME"] = str(self.home)
        try:
            yield dict(os.environ)
        finally:
            os.environ["HOME"] = before

    def start(self, env: dict[str, str] | None = None) -> Serving:
        """Start it, and wait until it answers."""
        home = self.home
        told = {
            **{key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")},
            "HOME": str(home), "PASEO_NB_IDLE": "20", "PASEO_NB_PERMISSION_TIMEOUT": "60",
            "PASEO_DEMO_HOME": str(home / "demo"), **(env or {}),
        }  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.within, sys.executable, "-m", "paseo_nb.cli", "serve", "--port", str(self.port),
                    "--token", TOKEN, "--ip", self.address, f"--ServerApp.base_url={self.base}",
                    "--ServerApp.allow_root=True", "--ServerApp.port_retries=0",
                    *self.options,
                ],
                cwd=self.root, env=told, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 12 * SLACK
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError):
                if self.ask("GET", "", at="paseo/").status == 200:
                    return self
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        at: str = "paseo/api",
    ) -> Answer:
        """One request."""
        told = {"Authorization": f"token {token}"} if token is not None else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.address, self.port, timeout=60)
        try:
            target = urlsplit(self.url).path + at + path
            connection.request(method, target, data, {**told, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """What the server takes of the machine's memory now."""
        assert self.process is not None
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(told.partition("VmRSS:")[2].split()[0]) / 1024

    def paired(
        self, name: str, *rights: str, runs: list[str] | None = None, for_s: float = 3600
    ) -> str:
        """A new token for a device, made by the user who serves."""
        with self.at_home():
            host = LocalHost(self.root / ".paseo_nb")
            return pairing.make(host, name, rights, runs, for_s).token

    def verb(self, name: str, **arguments: Any) -> Any:
        """A verb's result."""
        answer = self.ask("POST", f"/verbs/{name}", arguments)
        assert answer.status == 200, answer.body
        return answer.json

    def settled(self, run: str, over: bool = False) -> dict[str, Any]:
        """A run's facts once it is not at work; over: once its turn has ended."""
        deadline = time.monotonic() + 12 * SLACK
        while time.monotonic() < deadline:
            facts = self.ask("GET", f"/runs/{run}").json["run"]
            if facts["state"] not in ("starting", "running") and (facts["outcome"] or not over):
                return facts
            time.sleep(0.05)
        raise AssertionError(facts)

    def drained(self, run: str, turns: int) -> None:
        """Wait until a run has had so many turns."""
        deadline = time.monotonic() + 12 * SLACK
        while (facts := self.settled(run, over=True))["turns"] < turns or not facts["outcome"]:
            assert time.monotonic() < deadline, facts
            time.sleep(0.05)


@contextlib.contextmanager
def serving(
    root: Path, base: str = "/", within: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> Iterator[Serving]:
    """One, and its end."""
    tests = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    made = Serving(root, base, within=within, options=options).start(tests if options else None)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                made.process.wait(30)
            made.kill()


async def watched(
    served: Serving, offsets: dict[str, int], enough: int, *, slow: float = 0
) -> dict[str, bytes]:
    """What a watcher gets of runs, until it has so many bytes of each."""
    url = served.url.replace("http", "ws") + "paseo/api/stream"
    line = await websocket.websocket_connect(httpclient.HTTPRequest(url, headers=HEAD))
    got = dict.fromkeys(offsets, b"")
    await line.write_message(json.dumps({"watch": offsets}))
    while any(len(one) < enough for one in got.values()):
        message = await asyncio.wait_for(line.read_message(), 60)
        assert isinstance(message, bytes), message
        head, _, data = message.partition(b"\n")
        told = json.loads(head)
        assert told["offset"] == offsets[told["run"]] + len(got[told["run"]])
        got[told["run"]] += data
        assert told["after"] == told["offset"] + len(data)
        await asyncio.sleep(slow)
    line.close()
    return got
