"""A bundle: one file that gives the same tables elsewhere, serves replay, and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another checkout of the project, as on another machine."""
    path = Path(copy_sample(tmp_path / "elsewhere"))
    monkeypatch.chdir(path)
    return path


def facts(frame: Any) -> list[Any]:
    return json.loads(
        frame.drop(columns=["state"], errors="ignore").to_json(orient="records", date_format="iso")
    )


def test_the_same_tables_elsewhere(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = paseo.run("demo/fixer", "fix the bug", mode="auto")
    second = paseo.run("demo/echo", "hello")
    for run in (first, second):
        run.stop()
    names = ("runs", "turns", "tool_traces", "events", "permissions", "model_calls")
    before = {name: facts(getattr(paseo, name)()) for name in names}
    trace = str(paseo.trace(first))
    patch = first.diff().patch
    where = paseo.bundle(str(tmp_path / "two.paseo.zip"))
    assert Path(where).stat().st_mode & 0o077 == 0
    elsewhere(tmp_path, monkeypatch)
    opened = paseo.open_bundle(where)
    assert opened.runs == [first.id, second.id] == opened.new
    assert {name: facts(getattr(paseo, name)()) for name in names} == before
    assert {name: facts(opened.frame(name)) for name in names} == before
    assert str(paseo.trace(first.id)) == trace
    assert patch
    assert opened.patch(first.id) == patch == opened.patch(first.id, 1)
    assert opened.versions["paseo_nb"] == paseo.__version__
    assert paseo.open_bundle(where).new == []


def test_its_runs_serve_replay_where_there_is_no_agent(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "paseo_nb.programs.demo", "--model", "echo"]
    paseo.register_provider("mine", command=command)
    run = paseo.run("mine", "hello there")
    run.stop()
    text = run.text
    where = paseo.bundle(str(tmp_path / "one.zip"), runs=[run])
    elsewhere(tmp_path, monkeypatch)
    paseo.register_provider("mine", command=["/nowhere/agent"], env={"KEY": "${NOT_SET_HERE}"})
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    with pytest.raises(paseo.ReplayMiss):
        paseo.run("mine", "something else")
    paseo.open_bundle(where)
    again = paseo.run("mine", "hello there")
    assert (again.id, again.text, again.cached) == (run.id, text, True)


def test_a_bundled_run_is_not_gone_on_with_and_its_original_is_left_alone(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = paseo.run("demo/echo", "hello")  # its processes idle on
    where = paseo.bundle(str(tmp_path / "one.zip"), runs=run)
    alive = run.inspect()["processes"]
    assert alive
    elsewhere(tmp_path, monkeypatch)
    paseo.open_bundle(where)
    copy = paseo.attach(run.id)
    assert copy.state == "idle"
    assert copy.spec.command == ["bundled"]
    for go_on in (lambda: copy.send("more"), copy.resume):
        with pytest.raises(paseo.UsageProblem, match="came here in a bundle"):
            go_on()
    copy.stop()
    copy.archive()
    monkeypatch.chdir(repo)
    assert run.inspect()["processes"] == alive


def test_what_is_no_bundle_is_refused(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(paseo.UsageProblem, match="no run"):
        paseo.bundle(str(tmp_path / "none.zip"))
    run = paseo.run("demo/echo", "hello")
    run.stop()
    where = Path(paseo.bundle(str(tmp_path / "one.zip"), runs=run.id[:12]))
    with pytest.raises(paseo.UsageProblem, match="already"):
        paseo.bundle(str(where))
    other = elsewhere(tmp_path, monkeypatch)
    (tmp_path / "text.zip").write_text("hello")
    for path in (tmp_path / "text.zip", tmp_path / "nowhere.zip"):
        with pytest.raises(paseo.UsageProblem):
            paseo.open_bundle(str(path))
    with zipfile.ZipFile(where) as good:
        parts = {name: good.read(name) for name in good.namelist()}
    head = json.loads(parts["bundle.json"])

    def made(changes: dict[str, bytes]) -> str:
        bad = tmp_path / "bad.zip"
        with zipfile.ZipFile(bad, "w") as file:
            for name, data in {**parts, **changes}.items():
                file.writestr(name, data)
        return str(bad)

    evil = {**head, "runs": ["../../../evil"]}
    with pytest.raises(paseo.UsageProblem):
        paseo.open_bundle(made({"bundle.json": json.dumps(evil).encode()}))
    with pytest.raises(paseo.UsageProblem, match="not what its name says"):
        paseo.open_bundle(made({f"blobs/{'0' * 64}": b"x"}))
    paseo.open_bundle(made({"../evil.txt": b"x", "runs/../../evil.txt": b"x"}))
    assert not list(tmp_path.rglob("evil*"))
    assert (other / ".paseo_nb" / "runs" / run.id).is_dir()


def test_what_is_damaged_is_refused_in_our_words_and_leaves_nothing(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        paseo.run("demo/echo", f"hello {number}").stop()
    where = Path(paseo.bundle(str(tmp_path / "two.zip")))
    whole = where.read_bytes()
    with zipfile.ZipFile(where) as good:
        infos = good.infolist()
        parts = {info.filename: good.read(info) for info in infos}
    last = max((one for one in infos if "journal" in one.filename), key=lambda one: one.filename)
    other = elsewhere(tmp_path, monkeypatch)

    def refused(data: bytes, words: str) -> None:
        (tmp_path / "bad.zip").write_bytes(data)
        with pytest.raises(paseo.UsageProblem, match=words):
            paseo.open_bundle(str(tmp_path / "bad.zip"))
        assert not list((other / ".paseo_nb").glob("runs/*")), "nothing of it is kept"

    def with_member(name: str, data: bytes) -> bytes:
        made = tmp_path / "made.zip"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
            for known, told in {**parts, name: data}.items():
                file.writestr(known, told)
        return made.read_bytes()

    begin = last.header_offset + 30 + len(last.filename)
    refused(whole[:begin] + b"\xff" * 40 + whole[begin + 40 :], "damaged")
    refused(whole[: len(whole) // 2], "no bundle")
    marked = bytearray(whole)  # encrypted, and packed in a way that nobody knows
    for at in (i for i in range(len(whole)) if whole[i : i + 4] == b"PK\1\2"):
        marked[at + 10] = 99
    refused(bytes(marked), "damaged")
    for at in (i for i in range(len(whole)) if whole[i : i + 4] == b"PK\1\2"):
        marked[at + 8] |= 1
    refused(bytes(marked), "encrypted")
    for journal in (b"", b"/etc/passwd"):
        refused(with_member(last.filename, journal), "tells nothing")
    refused(with_member("bundle.json", b'{"format": 2, "contents": []}'), "later version")
    refused(with_member("bundle.json", b" " * (65 << 20)), "too long")
    flow = f"workflows/{last.filename.split('/')[1]}/journal.jsonl"
    refused(with_member(flow, b'{"kind": "workflow_started"}\n'), "no workflow run")
    with pytest.raises(paseo.UsageProblem, match="no path"):
        paseo.bundle("a\0b")


def test_two_that_write_one_bundle_do_not_meet(repo: Path, tmp_path: Path) -> None:
    run = paseo.run("demo/echo", "hello")
    run.stop()

    def write(_: int) -> bool:
        try:
            paseo.bundle(str(tmp_path / "one.zip"), runs=[run])
        except paseo.UsageProblem as error:
            assert "there already" in str(error)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(8))) == 1
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        assert file.testzip() is None
    assert [one.name for one in tmp_path.glob("*.zip*")] == ["one.zip"]


def test_a_workflow_comes_along_answers_replay_and_gives_later_calls_nothing(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @paseo.workflow
    async def flow(names: list[str]) -> Any:
        say = [lambda n=n: paseo.agent(f"say {n}", agent="demo/echo") for n in names]
        return await paseo.parallel(say)

    said = [str(one) for one in flow(["a", "b"])]
    for run_id in paseo.runs()["run_id"]:
        paseo.stop(run_id)
    tables = ("workflow_runs", "steps", "turns")
    before = {name: facts(getattr(paseo, name)()) for name in tables}
    ident = before["workflow_runs"][0]["workflow_run_id"]
    tree = str(paseo.trace(ident))
    one = paseo.bundle(str(tmp_path / "one.zip"), runs=ident[:12])
    where = paseo.bundle(str(tmp_path / "all.zip"))
    with zipfile.ZipFile(one) as few, zipfile.ZipFile(where) as every:
        assert set(few.namelist()) == set(every.namelist())
    elsewhere(tmp_path, monkeypatch)
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    with pytest.raises(paseo.ReplayMiss, match="no finished run of the workflow 'flow'"):
        flow(["a", "b"])
    paseo.open_bundle(where)
    assert flow(["a", "b"]) == said
    with pytest.raises(paseo.ReplayMiss):
        flow(["c"])
    with pytest.raises(paseo.ReplayMiss):
        paseo.attach(before["turns"][0]["run_id"]).fork()
    assert {name: facts(getattr(paseo, name)()) for name in tables} == before
    assert str(paseo.trace(ident)) == tree
    monkeypatch.delenv("PASEO_NB_REPLAY")
    assert [str(one) for one in flow(["a", "b"])] == said
    assert list(paseo.workflow_runs()["cached"]) == [0, 0], "a bundle's results are not taken"


def test_on_a_terminal(repo: Path, tmp_path: Path) -> None:
    run = paseo.run("demo/echo", "hello")
    run.stop()
    for verb in ("bundle", "open_bundle"):
        subprocess.run(
            [sys.executable, "-m", "paseo_nb.cli", verb, str(tmp_path / "one.zip")],
            check=True, capture_output=True, timeout=100,
        )  # fmt: skip
