"""Two machines as network namespaces: the other one has a network of its own behind a cable, which
is pulled in mid-turn. Nobody is told of that as of a broken connection: packets only stop."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit import SLACK, Project, git
from serving import TOKEN, Serving

import paseo_nb as paseo
from paseo_nb.packing import opened
from paseo_nb.programs.demo import copy_sample

pytestmark = pytest.mark.crash
CUTS = ("here", "there", "here")  # at which end the cable is pulled


class Machine:
    """A namespace, the cable to it, and a server of ours there."""

    def __init__(self, root: Path) -> None:
        self.name = f"paseo{os.getpid()}"
        self.near, self.far = f"pn{os.getpid() % 10**7}", f"pf{os.getpid() % 10**7}"
        net = f"198.{18 + os.getpid() % 2}.{os.getpid() // 2 % 256}"  # RFC 2544: nobody's
        self.root, self.address = root, f"{net}.2"
        self.serving: Serving | None = None
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        try:
            self._wire(net)
        except BaseException:
            self.close()
            raise

    def _wire(self, net: str) -> None:
        self.ip("link", "add", self.near, "type", "veth", "peer", self.far, "netns", self.name)
        self.ip("addr", "add", f"{net}.1/30", "dev", self.near)
        self.ip("addr", "add", f"{net}.2/30", "dev", self.far, there=True)
        self.ip("link", "set", "lo", "up", there=True)
        self.plug("here")
        self.plug("there")
        within = ("ip", "netns", "exec", self.name)
        self.serving = Serving(self.root, within=within, address=self.address)
        self.serving.start()

    def ip(self, *words: str, there: bool = False) -> None:
        where = ["-n", self.name] if there else []
        subprocess.run(["ip", *where, *words], check=True, capture_output=True)

    def plug(self, end: str, how: str = "up") -> None:
        """Plug the cable in at one end, or (`down`) pull it."""
        there = end == "there"
        self.ip("link", "set", self.far if there else self.near, how, there=there)

    def journal(self, run: str) -> bytes:
        file = opened(self.root / ".paseo_nb" / "runs" / run / "journal.jsonl")
        try:
            return file.pread(file.size, 0)
        finally:
            file.close()

    @property
    def url(self) -> str:
        """The server's address."""
        assert self.serving is not None
        return self.serving.url

    def answers(self) -> bool:
        """Whether a connection can be had now."""
        try:
            socket.create_connection(
                (self.address, urlsplit(self.url).port or 0), timeout=0.3
            ).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self.serving is not None and self.serving.process is not None:
            self.serving.kill()
        subprocess.run(["ip", "netns", "del", self.name], check=False)
        project = Project(self.root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Machine]:
    if not shutil.which("ip") or os.getuid():
        pytest.skip("network namespaces need iproute2 and root")
    root = tmp_path / "far" / "workshop"
    root.mkdir(parents=True)
    machine = Machine(root)
    yield machine
    machine.close()


def test_work_on_a_machine_whose_cable_is_pulled_three_times(
    far: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = copy_sample(tmp_path / "tidelog")
    monkeypatch.chdir(here)
    git(here, "config", "user.name", "t")
    git(here, "config", "user.email", "t@example.com")
    host = paseo.connect(far.url, TOKEN, name="across")

    # start and stream, over a cable that is pulled for a second, three times
    run = paseo.start("demo/slow", "seconds=5", host=host)
    seqs: list[int] = []
    pulled: list[str] = []
    for event in run.stream():
        seqs.append(event.seq)
        if len(seqs) >= 10 * (len(pulled) + 1) and len(pulled) < len(CUTS):
            assert run.history().state == "running"
            end = CUTS[len(pulled)]
            far.plug(end, "down")
            pulled.append(end)
            assert not far.answers()
            threading.Timer(1.0, far.plug, (end,)).start()
    assert pulled == list(CUTS)
    assert run.wait().state == "idle"
    assert seqs == list(range(1, len(seqs) + 1))
    assert run.host.folder(run.id).journal.read_bytes() == far.journal(run.id)

    # a prompt that is sent while it is out counts once
    far.plug("here", "down")
    threading.Timer(0.7, far.plug, ("here",)).start()
    run.send("seconds=0")
    assert run.wait().state == "idle"
    assert len(run.history().turns) == 2

    # a question, and what was done comes back
    asks = paseo.start("demo/asker", "run: echo yes", mode="ask", host=host)
    deadline = time.monotonic() + 12 * SLACK
    while not asks.pending() and time.monotonic() < deadline:
        time.sleep(0.05)
    asks.allow()
    assert asks.wait().permissions()["outcome"].tolist() == ["allowed"]
    fixer = paseo.run("demo/fixer", "The tests fail. Fix the code.", host=host)
    assert "tidelog/offsets.py" in {one.path for one in fixer.diff().summary.files}
    fixer.apply()
    assert "ljust" in git(here, "show", "HEAD:tidelog/offsets.py")
    assert {one.id for one in paseo.ls(host=host)} == {run.id, asks.id, fixer.id}
