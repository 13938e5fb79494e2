"""Runs on another machine: two homes, two projects and a line between them that can break."""

from __future__ import annotations

import contextlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cutting import Line
from kit import SLACK, Project, git
from serving import TOKEN, Serving, serving, unreadable

import paseo_nb as paseo
from paseo_nb import cli, connecting
from paseo_nb.host import requests
from paseo_nb.host.requests import Server
from paseo_nb.packing import opened
from paseo_nb.programs.demo import copy_sample


class Far:
    """The other machine, and the line to it."""

    def __init__(self, room: Path) -> None:
        self.root = room / "far" / "workshop"
        self.root.mkdir(parents=True)
        self.serving = Serving(self.root, "/hub/").start()
        self.line = Line(self.serving.port)
        self.url = f"http://127.0.0.1:{self.line.port}/hub/"

    def connect(self, **more: Any) -> Any:
        return paseo.connect(self.url, TOKEN, name="far", **more)

    def journal(self, run: str) -> bytes:
        file = opened(self.root / ".paseo_nb" / "runs" / run / "journal.jsonl")
        try:
            return file.pread(file.size, 0)
        finally:
            file.close()

    def close(self) -> None:
        self.line.close()
        self.serving.kill()
        project = Project(self.root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    made = Far(tmp_path_factory.mktemp("machines"))
    yield made
    made.close()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository that is worked in here."""
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    git(path, "config", "user.name", "t")
    git(path, "config", "user.email", "t@example.com")
    return path


def test_a_run_there_works_in_the_repository_from_here_and_its_work_comes_back(
    far: Far, here: Path
) -> None:
    host = far.connect()
    run = paseo.run("demo/fixer", "The tests fail. Fix the code.", host=host)
    assert run.state == "idle"
    assert "13 tests pass" in run.text
    assert Path(run.spec.repo or "").is_relative_to(far.root / ".paseo_nb" / "repositories")
    assert "tidelog/offsets.py" in {one.path for one in run.diff().summary.files}
    assert git(here, "status", "--porcelain") == ""
    done = run.apply()
    assert done.onto == "main" or done.onto == "master"
    assert git(here, "show", "--stat", "HEAD").count("offsets.py") == 1
    assert git(here, "branch", "--list", "paseo/far/*").strip()
    assert "ljust" in git(here, "show", "HEAD:tidelog/offsets.py")
    (branch,) = git(here, "branch", "--list", "paseo/far/*").split()
    brought = git(here, "rev-parse", branch)
    (Path(run.spec.cwd) / "more.txt").write_text("more")  # by somebody at that machine
    git(here, "switch", "-q", branch)
    with pytest.raises(paseo.GitProblem, match="is checked out in"):
        run.apply("main" if done.onto == "main" else "master", dry_run=True)
    git(here, "commit", "-q", "--allow-empty", "-m", "mine")
    git(here, "switch", "-q", "-")
    with pytest.raises(paseo.GitProblem, match="not as it was brought"):
        run.apply(dry_run=True)
    assert git(here, "log", "-1", "--format=%s", branch).strip() == "mine"
    git(here, "branch", "-m", branch, "mine")
    for _ in range(2):
        run.apply(dry_run=True)
        assert git(here, "rev-parse", branch) != brought
    second = paseo.start("demo/echo", "once more", host=host)  # the repository is there now
    second.wait()
    assert second.spec.git_base == git(here, "rev-parse", "HEAD").strip()
    folders = list((far.root / ".paseo_nb" / "repositories").iterdir())
    assert len(folders) == 1
    assert paseo.ls() == []  # nothing of it is a run of this project


def test_a_question_there_is_answered_from_here(far: Far, here: Path) -> None:
    run = paseo.start("demo/asker", "may I?", mode="ask", host=far.connect())
    deadline = time.monotonic() + 12 * SLACK
    while not run.pending() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.state == "waiting"
    run.allow()
    assert run.wait().state == "idle"
    run.send("and again", when="queue")
    run.wait(on_permission=lambda question: True)
    assert len(run.history().turns) == 2
    assert run.permissions()["answered_by"].tolist() == ["user", "callback"]


def test_frames_and_lists_say_which_machine(far: Far, here: Path, tmp_path: Path) -> None:
    far.connect()
    mine = paseo.run("demo/echo", "here")
    there = paseo.run("demo/echo", "there", host="far", attach={"note": "a text that goes along"})
    frame = paseo.runs(host="far")
    assert set(frame["host"]) == {"far"}
    assert there.id in set(frame["run_id"])
    assert str(frame["created_at"].dtype).startswith("datetime64")
    both = paseo.ls(host="all")
    assert {mine.id, there.id} <= {one.id for one in both}
    turns = paseo.turns(host="all")
    assert {"far", "local"} <= set(turns["host"])
    assert paseo.logs(there.id[:20], host="far").count("there")
    assert paseo.attach(there.id, host="far").text == there.text
    assert paseo.inspect(there)["run_id"] == there.id  # a handle knows where it is
    assert "a text that goes along" in str(there.spec.prompt)
    paseo.archive(there)
    assert there.state == "archived"
    with pytest.raises(paseo.UsageProblem, match="lists and frames"):
        paseo.diff(there.id, host="all")


def test_two_hosts_on_one_machine_have_two_names_and_none_takes_the_others(
    far: Far, here: Path, tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    with serving(tmp_path / "second") as second:
        one, two = paseo.connect(far.url, TOKEN), paseo.connect(second.url, TOKEN)
        assert two.name == f"{one.name}-{second.port}"
        assert [paseo.connect(far.url, TOKEN), paseo.connect(second.url, TOKEN)] == [one, two]
        other_way = f"http://localhost:{far.serving.port}/hub/"
        assert paseo.connect(other_way, TOKEN).name == one.name  # the same runs by another address
        run = paseo.run("demo/echo", "hello", host=two)
        frame = paseo.runs(host="all")
        assert frame[frame["run_id"] == run.id]["host"].tolist() == [two.name]
        with pytest.raises(paseo.UsageProblem, match=r"give another name.*close\(\)"):
            paseo.connect(second.url, TOKEN, name=one.name)
        two.close()
        assert paseo.connect(far.url, TOKEN, name=two.name).name == two.name
        connecting._connected.pop(two.name).close()
    project = Project(second.root)
    project.runs = [run.id]
    project.close()


def test_named_hosts_and_the_terminal(
    far: Far, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path.home() / ".config" / "paseo_nb"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        f'[hosts.shed]\nurl = "{far.url}"\ntoken = "${{SHED_TOKEN}}"\n'
    )
    monkeypatch.setenv("SHED_TOKEN", TOKEN)
    assert cli.run(["run", "demo/echo", "from the terminal", "--host", "shed"]) == 0
    assert "from the terminal" in capsys.readouterr().out
    assert cli.run(["ls", "--host", "shed"]) == 0
    assert "demo/echo" in capsys.readouterr().out
    assert cli.run(["ls", "--host", "attic"]) == 2
    assert "shed" in capsys.readouterr().err


def test_what_cannot_be_reached_is_said(far: Far, here: Path) -> None:
    with pytest.raises(paseo.Unreachable, match="does not let us in"):
        paseo.connect(far.url, "wrong")
    with pytest.raises(paseo.Unreachable, match="does not answer"):
        paseo.connect("http://127.0.0.1:1/", "x")
    with pytest.raises(paseo.UsageProblem, match="no address"):
        paseo.connect("ftp://x", "x")
    with pytest.raises(paseo.Unreachable, match="no paseo_nb"):
        paseo.connect(far.url + "nowhere/", TOKEN)
    host = far.connect()
    for words in ({"prompt": ""}, {"prompt": "x", "agent": "demo/nothing"}):
        with pytest.raises(paseo.UsageProblem):
            paseo.start(**{"agent": "demo/echo", **words}, host=host)
    with pytest.raises(paseo.UsageProblem, match="no run"):
        paseo.logs("01ZZZ", host=host)


def test_what_is_no_address_no_name_and_no_server_of_ours_is_said(far: Far, here: Path) -> None:
    for url in (
        "http://h:99999/", "http://h:port/", "http://[::1/", "http://a b/", "http://h/a b/",
        "http://h/\u00fc/", f"http://{'a' * 300}/", "http://h/\r\nX: y", "",
    ):  # fmt: skip
        with pytest.raises(paseo.UsageProblem, match="is no address"):
            paseo.connect(url, "x")
    wrong: Any = 5
    with pytest.raises(paseo.UsageProblem, match="no token has"):
        paseo.connect(far.url, wrong)
    for name in ("all", "", "my shed", "../../heads/main", "a..b", "a.lock", "a\0b", wrong):
        with pytest.raises(paseo.UsageProblem, match="no name for a host"):
            paseo.connect(far.url, TOKEN, name=name)
    for status, more, body in (
        (200, {}, b"<html>hello"),
        (200, {}, b"[1]"),
        (200, {}, b'{"protocol": 1}'),
        (302, {"Location": "https://elsewhere.example/"}, b""),
    ):
        said = pytest.raises(paseo.Unreachable, match=r"not paseo_nb|elsewhere\.example")
        with another_server(status, more, body) as url, said:
            paseo.connect(url, "x")
    body = b'{"name": "paseo_nb", "protocol": 1, "host": "small", "home": "/x"}'
    with another_server(200, {"paseo-born": "small"}, body) as url:  # as behind a JupyterHub
        small = paseo.connect(url, "x")
        assert (small.name, small.server.born) == ("small", "small")
        connecting._connected.pop("small").close()


def test_who_does_not_take_up_the_line_is_not_waited_for_as_for_an_answer(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(paseo.Unreachable, match="does not answer"):
            paseo.connect(f"https://127.0.0.1:{silent.getsockname()[1]}/", "x")
        assert time.monotonic() - begun < 20


@contextlib.contextmanager
def another_server(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """A server that is none of ours."""

    class Says(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_why_a_server_refuses_is_said_where_it_is_not_the_token(
    far: Far, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with far.serving.at_home() as env:
        shown = subprocess.run(
            [sys.executable, "-m", "paseo_nb.cli", "pair", "laptop"],
            cwd=far.root, env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
    laptop = paseo.connect(far.url, shown.stdout.split()[0], name="laptop")
    with pytest.raises(paseo.Unreachable, match="this token is not for that"):
        paseo.start("demo/echo", "x", host=laptop)
    named = {**laptop.server.headers, "Host": "workstation.example"}
    monkeypatch.setattr(Server, "headers", named)
    with pytest.raises(paseo.Unreachable, match="allow_remote_access"):
        far.connect()


def test_workflows_are_of_here_and_contests_are_held_there_as_a_whole(far: Far, here: Path) -> None:
    host = far.connect()

    @paseo.workflow
    async def doubled(number: int) -> int:
        return 2 * number

    with pytest.raises(paseo.UsageProblem, match="workflow"):
        doubled.options(host=host)
    with pytest.raises(paseo.UsageProblem, match="options"):
        doubled(4, host=host)
    with pytest.raises(paseo.UsageProblem, match="host"):
        doubled(4, host="nowhere")
    assert doubled(4) == 8

    agents = ["demo/novice", "demo/master"]
    there = str(copy_sample(far.root / "tidelog"))
    tasks = [{"id": "one", "prompt": "Add 1 and 1.", "expect": "2"}]
    paseo.tournament(tasks, agents, repo=there, host=host)
    deadline = time.monotonic() + 12 * SLACK
    while time.monotonic() < deadline:
        frame = paseo.runs(host=host)
        done = frame[frame["model_asked"].isin(["novice", "master"]) & (frame["state"] == "idle")]
        if len(done) == 2:
            break
        time.sleep(0.2)
    assert sorted(done["model_asked"]) == ["master", "novice"]
    assert paseo.ls() == []  # nothing of it is here


def test_a_journal_that_the_server_cannot_read_is_said_and_read_when_it_can(
    far: Far, here: Path
) -> None:
    run = paseo.start("demo/slow", "seconds=4", host=far.connect())
    path = far.root / ".paseo_nb" / "runs" / run.id / "journal.jsonl"
    deadline = time.monotonic() + 12 * SLACK
    while run.history().seq < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    aside = unreadable(path)
    with pytest.raises(paseo.StorageProblem, match="cannot be read or written"):
        run.wait()
    aside.replace(path)
    assert run.wait().state == "idle"
    assert run.host.folder(run.id).journal.read_bytes() == far.journal(run.id)


@pytest.mark.crash
def test_a_line_that_breaks_three_times_in_mid_turn_loses_and_doubles_nothing(
    far: Far, here: Path
) -> None:
    run = paseo.start("demo/slow", "seconds=6", host=far.connect())
    seqs: list[int] = []
    cuts = 0
    for event in run.stream():
        seqs.append(event.seq)
        if len(seqs) in (12, 24, 36):
            far.line.cut()
            cuts += 1
            time.sleep(0.4)
            far.line.mend()
    assert cuts == 3
    assert run.wait().state == "idle"
    assert seqs == list(range(1, len(seqs) + 1))
    whole = far.journal(run.id)
    assert run.host.folder(run.id).journal.read_bytes() == whole
    far.line.cut()  # a command over a broken line: asked again, done once
    threading.Timer(1.0, far.line.mend).start()
    run.send("seconds=0")
    run.wait()
    assert len(run.history().turns) == 2


@pytest.mark.crash
def test_a_server_that_is_killed_in_mid_turn_takes_no_run_with_it(far: Far, here: Path) -> None:
    run = paseo.start("demo/slow", "seconds=4", host=far.connect())
    deadline = time.monotonic() + 12 * SLACK
    while run.history().seq < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    done = paseo.run("demo/echo", "x", host=far.connect())
    assert done.state == "idle"
    far.serving.kill()
    begun = time.monotonic()
    for ask in (lambda: paseo.ls(host="far"), lambda: done.state):
        with pytest.raises(paseo.Unreachable, match=r"nobody listens there.*paseo-nb serve"):
            ask()
    assert time.monotonic() - begun < 25 < requests.PATIENCE_S
    assert run.state == "running"  # what was last heard: a wait for it goes on
    far.serving.start()
    run.wait()
    assert run.state == "idle"
    assert run.host.folder(run.id).journal.read_bytes() == far.journal(run.id)
    assert run.id in {one.id for one in paseo.ls(host=run.host)}
