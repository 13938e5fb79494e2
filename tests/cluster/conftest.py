"""A Dask cluster of three worker processes on this machine, with two places each."""

from __future__ import annotations

import contextlib
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


class Cluster:
    """The cluster, and what a test does to it."""

    def __init__(self, room: Path) -> None:
        home = room / "workers-home"
        home.mkdir()
        self.env = {
            **os.environ, "HOME": str(home), "PASEO_NB_IDLE": "20",
            "PASEO_NB_PERMISSION_TIMEOUT": "60", "PASEO_DEMO_HOME": str(home / "demo"),
            "XDG_DATA_HOME": str(home / "data"),
        }  # fmt: skip
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
        command = [
            sys.executable, "-m", "distributed.cli.dask_worker", self.cluster.scheduler_address,
            "--no-nanny", "--nthreads", "1", "--resources", "agents=2", "--name", name,
            "--local-directory", str(self.room), "--no-dashboard",
        ]  # fmt: skip
        with (self.room / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                command, env=self.env, cwd=self.room, stdout=log, stderr=log
            )

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
        from paseo_nb.server.worker import _clear

        for folder in self.room.glob("dask-scratch-space/paseo_nb/*"):
            if folder.is_dir():
                _clear(folder)


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
