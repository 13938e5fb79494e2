"""Progress of many runs: given as they end, one line that tells how far they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import Kernel

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem
from paseo_nb.widgets.progress import summary


def test_runs_are_given_as_they_end(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = paseo.run("demo/echo", "done before")
    slow, fast = paseo.start("demo/slow", "seconds=3"), paseo.start("demo/error", "code=32000")
    given = list(paseo.progress([slow, fast.id, done]))
    assert {run.id for run in given} == {slow.id, fast.id, done.id}
    assert given[-1].id == slow.id
    assert [run.state for run in given if run.id == fast.id] == ["error"]
    assert capfd.readouterr().err == "", "no terminal, no line"
    over, said = summary(given, {run.id: run.state for run in given}, 61)
    assert over == 3
    assert said.startswith("3 of 3 runs, 2 done, 1 failed, $") or "2 done" in said
    assert said.endswith("1 min 1 s")
    assert list(paseo.progress([])) == []
    with pytest.raises(UsageProblem, match="takes runs"):
        paseo.progress([1])  # type: ignore[list-item]


def test_in_a_notebook_it_is_one_output(repo: Path) -> None:
    kernel = Kernel(repo)
    try:
        code = (
            "import paseo_nb as paseo\n"
            "runs = [paseo.start('demo/slow', f'seconds=1 n={n}') for n in range(3)]\n"
            "print([run.state for run in paseo.progress(runs)])"
        )
        done = kernel.run(code)
        assert done.error is None
        assert done.streams.strip() == "['idle', 'idle', 'idle']"
        assert done.displays[0]["text/plain"].startswith("░")
        last = done.displays[-1]
        assert last["text/plain"].startswith("████████████████████ 3 of 3 runs, 3 done")
        assert "width:100%" in last["text/html"]
        assert len(done.displays) < 40
    finally:
        kernel.close()
