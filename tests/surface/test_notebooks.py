"""The notebooks of this project run headless, and what they promise holds; so does Binder's set-up."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from analysis import analysed
from kernels import Kernel

import paseo_nb as paseo

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SAYS = {
    "01_quickstart": ("13 tests pass", "seconds=1"),
    "02_several_at_once": ("3 of 3 runs, 3 done", "1 to review, 2 done", "Ran 13 tests"),
    "03_permissions_and_steering": ("git push: denied", "callback", "idle · 6 turns"),
    "05_patterns": (
        "Loop succeeded after 1 iteration",
        "The committee agrees",
        "limit of iterations",
    ),
    "06_time_money_cache": ("fails most: WebFetch", "timestamp: $", "(genai-prices"),
    "07_workflows": (
        "5 steps, 5 from before",
        "prompt: the prompt",
        "Hello Bo",
        "approved by command",
        "20 of 20 courses",
    ),
    "08_compare_models": (
        "60 of 60 trials",
        "demo/master is ahead of demo/novice",
        "Not separable yet. demo/master against demo/senior",
        "Selected: A, demo/writer",
        "the same results: True",
    ),
    "04_fork_and_compare": ("(13, 'OK')", "session", "Paseo-Run:", "archived"),
}


def test_every_notebook_is_tested_and_holds_no_outputs() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SAYS)
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), path.name


@pytest.mark.parametrize("name", SAYS)
def test_it_runs_headless_on_the_demo_agents(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "notebooks", tmp_path / "nb", ignore=shutil.ignore_patterns("executed"))
    done = subprocess.run(
        [sys.executable, "run.py", f"{name}.ipynb"], cwd=tmp_path / "nb",
        env={**os.environ, "PASEO_NB_IDLE": "5"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    executed = (tmp_path / "nb" / "executed" / name / f"{name}.ipynb").read_text()
    for words in SAYS[name]:
        assert words in executed, words


def test_the_analysis_of_ones_own_runs(repo: Path) -> None:
    """Where there are none, each figure says so; runs of one title are not thrown together, and a
    title is text, whatever it holds."""
    _, said = analysed()
    assert all(words.startswith("No ") for words in said.values()), said
    for agent in ("demo/fixer", "demo/echo"):
        paseo.run(agent, "Find <i>out</i>", mode="auto")
    left, said = analysed()
    first, second = left["NAMES"].values()
    assert first != second
    assert first.startswith("Find &lt;i&gt;out&lt;/i&gt; · ")
    assert said["Where the time went"] == said["Which tool fails"] == ""
    assert said["What it cost"] == "No session has tokens with a price."
    assert float(left["rates"]["failed"].iloc[0]) == 1.0, "of the tests that it ran"
    assert set(left["spent"]["session"]) == {first, second}


def test_the_quickstarts_run_outlives_its_kernel(tmp_path: Path) -> None:
    """As its button does: kill -9, then the attaching cell in a new kernel."""
    cells = json.loads((ROOT / "notebooks" / "01_quickstart.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    [start] = [at for at, text in enumerate(code) if "demo/slow" in text]
    [button] = [text for text in code if "button.on_click" in text]
    [attach] = [text for text in code if "paseo.attach(" in text]
    assert "signal.SIGKILL" in button
    first = Kernel(tmp_path)
    try:
        first.run(code[0])
        first.run("import paseo_nb as paseo")
        assert first.run(code[start].replace("seconds=8", "seconds=60")).error is None
        assert first.run(button).error is None
    finally:
        first.kill()
        first.close()
    second = Kernel(tmp_path)
    try:
        found = second.run(attach)
        assert found.error is None
        assert found.text.startswith("('running',")
        assert second.run("slow.stop(); print(slow.state)").streams.strip() == "stopped"
    finally:
        second.close()


@pytest.mark.load
@pytest.mark.timeout(1500)
def test_binders_set_up_builds_in_a_fresh_environment(tmp_path: Path) -> None:
    """As far as it goes without the service: its files in its order, then a notebook. Takes some
    minutes and the package registry, so it is among the slow ones."""
    checkout, made = tmp_path / "checkout", tmp_path / "env"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    venv.create(made, with_pip=True)
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))},
        "PATH": f"{made}/bin:{os.environ['PATH']}",
        "HOME": pwd.getpwuid(os.getuid()).pw_dir,  # pip's settings
    }

    def run(*command: str, **more: str) -> str:
        done = subprocess.run(
            command, cwd=checkout, env={**env, **more}, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    assert (checkout / "binder" / "apt.txt").read_text().split() == ["git"]
    run("python", "-m", "pip", "install", "--quiet", "-r", "binder/requirements.txt")
    run("binder/postBuild")
    home = {"HOME": str(tmp_path / "empty")}
    (tmp_path / "empty").mkdir()
    assert "3 of 3 runs" not in run("binder/start", "jupyter", "lab", "--version", **home)
    told = run("binder/start", "python", "notebooks/run.py", "02_several_at_once.ipynb", **home)
    assert "What demo/writer changed on branch notes" in told
    where = run("binder/start", "python", "-c", "import paseo_nb; print(paseo_nb.__file__)", **home)
    assert str(made) in run(
        "binder/start", "sh", "-c", "cd / && python -c 'import paseo_nb; print(paseo_nb.__file__)'"
    ), where
    assert (checkout / "binder" / "start").read_text().rstrip().endswith('exec "$@"')
