"""A Dask cluster of three worker processes on this machine, with two places each."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from kit import SLACK, git, kill_9

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample


def worker(
    scheduler: str, name: str, room: Path, env: dict[str, str], agents: int = 2
) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-nanny", "--nthreads",
        "1", "--resources", f"agents={agents}", "--name", name, "--local-directory", str(room),
        "--no-dashboard",
    ]  # fmt: skip
    with (room / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, env=env, cwd=room, stdout=log, stderr=log)


def workers_env(home: Path) -> dict[str, str]:
    home.mkdir()
    return {
        **os.environ, "HOME": str(home), "PASEO_NB_IDLE": "20", "PASEO_NB_PERMISSION_TIMEOUT": "60",
        "PASEO_DEMO_HOME": str(home / "demo"), "XDG_DATA_HOME": str(home / "data"),
    }  # fmt: skip


class Scheduled:
    """A cluster of one worker whose scheduler is a process that can be killed; it has no
    paseo_nb, as it needs none."""

    def __init__(self, room: Path) -> None:
        room.mkdir()
        self.room, file = room, room / "scheduler.json"
        command = [
            sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
            "0", "--no-dashboard", "--scheduler-file", str(file),
        ]  # fmt: skip
        without = {**os.environ, "PYTHONPATH": str(without_us(room / "bare"))}
        with (room / "scheduler.log").open("ab") as log:
            self.scheduler = subprocess.Popen(
                command, cwd=room, env=without, stdout=log, stderr=log
            )
        with within(30) as until:
            until(lambda: file.exists() and file.read_text().strip().endswith("}"))
        self.address = str(json.loads(file.read_text())["address"])
        self.worker = worker(self.address, "only", room, workers_env(room / "home"))

    def close(self) -> None:
        for process in (self.scheduler, self.worker):
            process.kill()
            process.wait()
        clear(self.room)


def without_us(folder: Path) -> Path:
    """A folder for PYTHONPATH with which a Python has no paseo_nb."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['paseo_nb'] = None\n")
    return folder


def clear(room: Path) -> None:
    """End what workers that are gone left at work."""
    from paseo_nb.server.worker import _clear

    for folder in room.glob("dask-scratch-space/paseo_nb/*"):
        if folder.is_dir():
            _clear(folder)


class Cluster:
    """The cluster, and what a test does to it."""

    def __init__(self, room: Path) -> None:
        self.env = workers_env(room / "workers-home")
        self.room, self.workers = room, dict[str, subprocess.Popen[bytes]]()
        self.cluster = LocalCluster(
            n_workers=0, protocol="tcp://", dashboard_address=None, silence_logs=50
        )
        for name in ("one", "two", "three"):
            self.start(name)
        self.client = Client(self.cluster)
        self.client.wait_for_workers(3, timeout=30 * SLACK)

    def start(self, name: str) -> None:
        """A worker, as one starts it at a terminal."""
        self.workers[name] = worker(self.cluster.scheduler_address, name, self.room, self.env)

    def connect(self) -> Any:
        return paseo.connect(self.client, name="shed")

    def name_at(self, address: str) -> str:
        """The name of the worker at an address."""
        return str(self.client.scheduler_info()["workers"][address]["name"])

    def kill(self, name: str) -> None:
        """kill -9 of a worker; another one of its name takes its place."""
        kill_9(self.workers[name].pid)
        self.workers[name].wait()
        self.start(name)

    def give_up(self, address: str) -> None:
        """What the scheduler does about a worker that it has not heard of for too long."""
        remove = self.cluster.scheduler.remove_worker
        self.cluster.sync(remove, address, stimulus_id="unheard", close=False)

    def replaced(self, pid: int) -> bool:
        """Whether a worker has ended; another one of its name takes its place."""
        [name] = [name for name, one in self.workers.items() if one.pid == pid] or [""]
        if name and self.workers[name].poll() is None:
            return False
        if name:
            self.start(name)
        return True

    def holding(self) -> set[str]:
        """The names of workers that have a place held."""
        workers = self.client.scheduler_info()["workers"]
        held = self.client.processing()
        return {str(told["name"]) for address, told in workers.items() if held.get(address)}

    def busy(self) -> int:
        """How many places are held."""
        found = self.client.processing()
        return sum(len(tasks) for tasks in found.values())

    def close(self) -> None:
        self.client.close()
        for worker in self.workers.values():
            worker.kill()
            worker.wait()
        self.cluster.close()
        clear(self.room)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository that is worked in here."""
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    git(path, "config", "user.name", "t")
    git(path, "config", "user.email", "t@example.com")
    monkeypatch.setenv("PASEO_NB_IDLE", "20")
    return path


@contextlib.contextmanager
def within(seconds: float) -> Iterator[Any]:
    """`until(what)` waits for what is true, that long."""
    deadline = time.monotonic() + seconds * SLACK

    def until(what: Any) -> None:
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    yield until
