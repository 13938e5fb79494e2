"""Completion of `%paseo` and `%%paseo` lines, as a front end asks a real kernel for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel
from kit import SLACK, Project

import paseo_nb as paseo
from paseo_nb.verbs import VERBS


class Completer:
    """One kernel, and what it completes: the whole lines that would stand there."""

    def __init__(self, repo: Path) -> None:
        self.kernel = Kernel(repo)
        self.kernel.run("%load_ext paseo_nb")

    def __call__(self, code: str) -> list[str]:
        content = self.asked(code)
        before, after = code[: content["cursor_start"]], code[content["cursor_end"] :]
        return [f"{before}{match}{after}" for match in content["matches"]]

    def asked(self, code: str) -> dict[str, Any]:
        reply = self.kernel.client.complete(code, reply=True, timeout=30)
        return reply["content"]


@pytest.fixture
def complete(repo: Path) -> Iterator[Completer]:
    made = Completer(repo)
    yield made
    made.kernel.close()


def test_verbs_options_and_their_values(complete: Completer, repo: Path) -> None:
    assert complete("%paseo at") == ["%paseo attach"]
    assert set(complete("%paseo ")) == {f"%paseo {name}" for name in [*VERBS, "workflow", "help"]}
    assert complete("x = %paseo tool_") == ["x = %paseo tool_traces"]
    assert complete("import os\n  %paseo unar") == ["import os\n  %paseo unarchive"]
    assert complete("%paseo help cance") == ["%paseo help cancel"]
    assert complete("%%paseo demo/echo --work") == ["%%paseo demo/echo --worktree"]
    assert complete("%%paseo demo/echo --worktree x --fi") == [
        "%%paseo demo/echo --worktree x --fill"
    ]
    assert complete("%%paseo --mode a\nhello") == []
    assert [c.split()[-1] for c in complete("%%paseo demo/echo --mode a")] == ["ask", "auto"]
    assert complete("%%paseo demo/echo --mode=re") == ["%%paseo demo/echo --mode=read"]
    assert complete("%paseo send 01 hi --when st") == ["%paseo send 01 hi --when steer"]
    assert complete("%paseo loop --ou") == ["%paseo loop --out"]
    assert complete("%paseo send -o x 01 hi --when st") == ["%paseo send -o x 01 hi --when steer"]
    assert complete("%paseo runs --columns run_id,cost") == [
        "%paseo runs --columns run_id,cost_usd"
    ]
    subprocess.run(["git", "branch", "feature/login"], cwd=repo, check=True)
    assert complete("%%paseo demo/echo --worktree fea") == [
        "%%paseo demo/echo --worktree feature/login"
    ]
    complete.kernel.run("depths = [1]\nimport os as depot")
    assert complete("%%paseo demo/echo --attach tb,dep") == ["%%paseo demo/echo --attach tb,depths"]
    assert complete("%%paseo demo/echo --attach READ") == ["%%paseo demo/echo --attach README.md"]
    assert complete("%%paseo x --attach tb,tidelog/dur") == [
        "%%paseo x --attach tb,tidelog/durations.py"
    ]
    assert complete("%paseo trust tidel") == ["%paseo trust tidelog/"]
    assert complete("dept") == ["depths"], "Python is completed as ever"


def test_agents_models_sessions_and_runs(complete: Completer, repo: Path) -> None:
    assert complete("%%paseo cod") == ["%%paseo codex"]
    assert "%%paseo demo/fixer" in complete("%%paseo demo/")
    assert complete("%%paseo demo/fix") == ["%%paseo demo/fixer"]
    assert complete("%paseo start demo/fix") == ["%paseo start demo/fixer"]
    assert complete("%paseo sessions copi") == ["%paseo sessions copilot"]
    assert complete("%paseo providers claude gem") == ["%paseo providers claude gemini"]
    register = "import paseo_nb as paseo, sys\n" + (
        "paseo.register_provider('other', ['true'], models=[])\n"
        "paseo.register_provider('mine', [sys.executable, '-m', 'paseo_nb.programs.demo'])"
    )
    assert complete.kernel.run(register).error is None
    assert complete("%%paseo other/x") == ["%%paseo other/x"], "nothing known, no Python names"
    assert complete("%%paseo mine/slo") == ["%%paseo mine/slo"]
    assert complete.kernel.run("_ = paseo.providers('mine')").error is None
    assert complete("%%paseo mine/slo") == ["%%paseo mine/slow"], "what the agent told"
    echo = paseo.run("demo/echo", "x", session="lore")
    short = echo.id[:10]
    assert f"%paseo attach {short}" in complete("%paseo attach ")
    assert complete(f"%paseo stop {short[:8].lower()}") == [
        f"%paseo stop {short[:8].lower()}{short[8:]}"
    ]
    assert complete(f"%paseo logs {echo.id[:12]}") == [f"%paseo logs {echo.id}"]
    assert complete(f"%paseo wait {short} {short[:9]}") == [f"%paseo wait {short} {short}"]
    assert complete("%%paseo demo/echo --session lo") == ["%%paseo demo/echo --session lore"]
    assert complete(f"%%paseo demo/echo --attach run:{short[:9]}") == [
        f"%%paseo demo/echo --attach run:{short}"
    ]
    types = complete.asked("%paseo attach ")["metadata"]["_jupyter_types_experimental"]
    assert "demo/echo" in [one["type"] for one in types], "a run tells its agent"


def test_completion_starts_no_agent_and_is_quick(complete: Completer, repo: Path) -> None:
    for number in range(3):
        paseo.run("demo/echo", f"{number}").stop()
    lines = ("%paseo attach ", "%%paseo opencode/", "%%paseo demo/echo --worktree ", "%paseo r")
    for line in lines:
        complete(line)
    took: list[float] = []
    for line in lines * 3:
        begun = time.perf_counter()
        complete(line)
        took.append(time.perf_counter() - begun)
    assert sorted(took)[len(took) // 2] < 0.05 * SLACK
    assert len(Project(repo).host.list()) == 3
