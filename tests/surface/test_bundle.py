"""A bundle: one file that gives the same tables elsewhere, serves replay, and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
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


def test_on_a_terminal(repo: Path, tmp_path: Path) -> None:
    run = paseo.run("demo/echo", "hello")
    run.stop()
    for verb in ("bundle", "open_bundle"):
        subprocess.run(
            [sys.executable, "-m", "paseo_nb.cli", verb, str(tmp_path / "one.zip")],
            check=True, capture_output=True, timeout=100,
        )  # fmt: skip
