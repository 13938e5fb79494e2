"""The magics in a real kernel: live output, Stop, a killed kernel, nbclient, papermill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernels import Kernel
from kit import SLACK, Project, check_invariants
from nbclient import NotebookClient

FIX = "%%paseo demo/fixer --worktree fix-math -o fix\nThe tests fail. Fix the code."


@pytest.fixture
def kernel(repo: Path) -> Iterator[Kernel]:
    made = Kernel(repo)
    made.run("%load_ext paseo_nb")
    yield made
    made.close()


def test_a_cell_shows_the_run_live_and_keeps_it(kernel: Kernel) -> None:
    outcome = kernel.run(FIX)
    assert outcome.error is None
    assert len(outcome.displays) > 5, "the output is updated while the run goes on"
    early, last = outcome.displays[1]["text/plain"], outcome.displays[-1]
    assert "13 tests pass" not in early
    assert "13 tests pass" in last["text/plain"]
    assert "13 tests pass" in last["text/markdown"]
    assert "<script" not in last["text/html"]
    assert outcome.metadata[-1]["paseo_nb"]["run_id"]
    assert "fix-math" in kernel.run("print(fix.branch, fix.state)").streams
    assert "+    millis" in kernel.run("fix.diff()").displays[-1]["text/plain"]
    assert "Done" in kernel.run("%paseo ls").text


def test_a_line_binds_what_it_gives(kernel: Kernel) -> None:
    asked = "%paseo run demo/echo hello -o said"
    assert kernel.run(asked).error is None
    assert kernel.run("print(said.text)").streams.strip().endswith(": hello")
    ident = kernel.run("print(said.id)").streams.strip()
    kernel.run(f"%paseo runs -o table\n%paseo attach {ident} -o again")
    assert kernel.run("print(len(table), again.id)").streams.split() == ["1", ident]
    assert "takes a Python name, not 'a-b'" in kernel.run("%paseo ls -o a-b").text


def test_stop_cancels_the_turn_and_not_the_kernel(kernel: Kernel) -> None:
    sent = kernel.submit("%%paseo demo/slow -o slow\nseconds=60")
    kernel.collect(sent, until=" of ")
    begun = time.monotonic()
    kernel.interrupt()
    outcome = kernel.collect(sent, 30)
    assert time.monotonic() - begun < 2 * SLACK
    assert outcome.error is not None
    assert outcome.error[0] == "RunCancelled"
    assert "Cancelled" in outcome.text
    assert kernel.run("print(slow.state, slow.history().turns[0].outcome)").streams.split() == [
        "idle",
        "cancelled",
    ]
    assert (
        "seconds" in kernel.run("slow.send('/echo seconds again').wait(); print(slow.text)").streams
    )


ASKS = (
    "%%paseo demo/asker -o asker --allow-errors\nmay I",
    "import paseo_nb\nasker = paseo_nb.run('demo/asker', 'may I')",
)


@pytest.mark.parametrize("cell", ASKS)
def test_a_question_that_nobody_answers_does_not_block_the_kernel(
    repo: Path, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    monkeypatch.setenv("PASEO_NB_PERMISSION_TIMEOUT", "2")
    kernel = Kernel(repo)
    try:
        kernel.run("%load_ext paseo_nb")
        sent = kernel.submit(cell, stdin=True)
        asked = kernel.client.get_stdin_msg(timeout=30)["content"]["prompt"]
        assert "Denied in 2 s" in asked
        outcome = kernel.collect(sent, 2 * SLACK + 10)
        assert outcome.error is None, outcome.error
        assert "needs no answer any more" in outcome.streams
        rule = "print(asker.permissions()['rule'].tolist(), asker.state)"
        assert kernel.run(rule).streams.split() == ["['timeout']", "idle"]
    finally:
        kernel.close()


def test_a_question_is_answered_elsewhere_by_input_or_interrupted(kernel: Kernel) -> None:
    sent = kernel.submit("%%paseo demo/asker -o asker\nmay I", stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    run_id = Project(Path.cwd()).host.list()[-1]
    command = [sys.executable, "-m", "paseo_nb.cli", "allow", run_id]
    assert subprocess.run(command, timeout=60).returncode == 0
    outcome = kernel.collect(sent, 30)
    assert "You allowed it" in outcome.displays[-1]["text/plain"]
    sent = kernel.submit("%%paseo demo/asker\nmay I", stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.client.input("y")
    assert "You allowed it" in kernel.collect(sent, 30).displays[-1]["text/plain"]
    sent = kernel.submit("%%paseo demo/asker\nmay I", stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.interrupt()
    error = kernel.collect(sent, 30).error
    assert error is not None
    assert error[0] == "RunCancelled"


def test_usage_errors_are_one_line_and_failures_fail_the_cell(kernel: Kernel) -> None:
    for cell, said in (
        ("%%paseo demo/fixr\nx", "fixer"),
        ("%%paseo demo/echo\n   ", "prompt is empty"),
        ("%%paseo demo/echo --no-such-option\nx", "no-such-option"),
        ("%paseo frobnicate", "no verb"),
        ("%paseo attach 01ZZZ", "`%paseo ls`"),
        ("%%paseo demo/echo --title 'open\nx", "quotation"),
    ):
        told = kernel.run(cell).streams
        assert told.startswith("UsageError: "), told
        assert said in told
        assert told.count("\n") <= 2, told
    kernel.run("%env PASEO_NB_AGENT=demo/echo")
    assert "the default one" in kernel.run("%%paseo\nthe default one").displays[-1]["text/plain"]
    failed = kernel.run("%%paseo demo/crash\nx")
    assert failed.error is not None
    assert failed.error[0] == "RunFailed"
    assert "exit code 3" in failed.displays[-1]["text/plain"]
    assert kernel.run("%%paseo demo/crash --allow-errors\nx").error is None


def test_help_reads_well(kernel: Kernel) -> None:
    from paseo_nb.verbs import VERBS

    overview = kernel.run("%paseo help").streams
    assert max(len(line) for line in overview.splitlines()) <= 110
    for verb in VERBS.values():
        assert overview.count(f"  {verb.name:<16} {verb.summary}") == 1, verb.name
    assert "\nMore:" not in overview, "every verb is in a group"
    assert kernel.run("%paseo").streams == overview
    send = kernel.run("%paseo help send").streams
    assert send.startswith("usage: %paseo send ")
    assert "Give a run another prompt" in send
    assert "--when {queue,steer,interrupt}" in send
    assert send == kernel.run("%paseo send -h").streams
    launch = kernel.run("%%paseo -h").streams
    assert launch == kernel.run("%%paseo -h\nx").streams
    assert launch.startswith("usage: %%paseo ")
    assert "--bg" in launch
    assert "--worktree" in launch
    assert "did you mean send" in kernel.run("%paseo help snd").streams


def test_every_verb_has_a_line(kernel: Kernel) -> None:
    kernel.run(FIX)
    run_id = kernel.run("print(fix.id)").streams.strip()
    assert "attach" in kernel.run("%paseo help").streams
    assert "13 tests pass" in kernel.run(f"%paseo attach {run_id}").text
    assert "offsets.py" in kernel.run(f"%paseo logs {run_id}").streams
    assert "'state': 'idle'" in kernel.run(f"%paseo inspect {run_id}").text
    assert kernel.run(f"x = %paseo send {run_id} '/echo more' --wait\nprint(x.text)").error is None
    assert kernel.run(f"%paseo stop {run_id}").error is None
    assert kernel.run(f"%paseo archive {run_id}").error is None
    assert run_id[:10] not in kernel.run("%paseo ls").text
    assert kernel.run(f"%paseo unarchive {run_id}").error is None
    assert "execute" in kernel.run('%paseo sql "select distinct kind from tool_traces"').text


def test_a_killed_kernel_loses_nothing(repo: Path) -> None:
    """The run goes on; a new kernel and a second one at the same time have every event."""
    first = Kernel(repo)
    first.run("%load_ext paseo_nb")
    sent = first.submit("%%paseo demo/slow\nseconds=6")
    first.collect(sent, until=" of ")
    project = Project(repo)
    run_id = project.host.list()[-1]
    first.kill()
    seq = project.history(run_id).seq
    project.until(lambda: project.history(run_id).seq > seq, 5, "the run goes on")
    code = (
        f"import paseo_nb as paseo\nrun = paseo.attach('{run_id[:10]}')\n"
        "seqs = [e.seq for e in run.stream()]\nrun.wait()\n"
        "print(seqs == list(range(1, len(seqs) + 1)), len(seqs) > 20, run.state)"
    )
    kernels = [Kernel(repo), Kernel(repo)]
    try:
        sents = [kernel.submit(code) for kernel in kernels]
        for kernel, sent in zip(kernels, sents, strict=True):
            assert kernel.collect(sent).streams.split() == ["True", "True", "idle"]
    finally:
        for kernel in kernels:
            kernel.close()
    check_invariants(project, run_id)
    project.runs = [run_id]
    project.close()


def test_the_same_cell_attaches_to_its_own_run(repo: Path) -> None:
    first = Kernel(repo)
    first.run("%load_ext paseo_nb")
    cell = "%%paseo demo/slow -o slow\nseconds=25"
    first.collect(first.submit(cell, "cell-1"), until=" of ")
    first.kill()
    second = Kernel(repo)
    try:
        second.run("%load_ext paseo_nb")
        assert second.run(cell, cell_id="cell-1").error is None
        project = Project(repo)
        assert len(project.host.list()) == 1, "the cell attached to its run"
        assert second.run(cell, cell_id="cell-1").error is None
        assert len(project.host.list()) == 2, "executed again when it was done: a new run"
        reused = second.run(cell.replace("-o slow", "-o slow --reuse"), cell_id="cell-1")
        assert "Cached" in reused.text
        assert len(project.host.list()) == 2
    finally:
        second.close()


def test_equal_launches_in_one_cell_are_several_runs(repo: Path) -> None:
    """Executed again, each of them attaches to its own."""
    kernel = Kernel(repo)
    try:
        kernel.run("import paseo_nb as paseo")
        cell = (
            "runs = [paseo.start('demo/slow', 'seconds=60') for _ in range(3)]\n"
            "print(*[run.id for run in runs])"
        )
        first = kernel.run(cell, cell_id="cell-1").streams.split()
        assert len(set(first)) == 3
        assert kernel.run(cell, cell_id="cell-1").streams.split() == first
        assert len(Project(repo).host.list()) == 3
    finally:
        kernel.close()


def notebook() -> nbformat.NotebookNode:
    cells = ["%load_ext paseo_nb", FIX, "print(fix.text)"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return made


def test_nbclient_takes_the_same_cell(repo: Path) -> None:
    made = notebook()
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(repo)}}).execute()
    output = made.cells[1].outputs[0]
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    assert "13 tests pass" in output.data["text/plain"]
    assert len(made.cells[1].outputs) == 1
    assert "13 tests pass" in made.cells[2].outputs[0].text


def test_papermill_too_and_replay_needs_no_agent(repo: Path) -> None:
    nbformat.write(notebook(), repo / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    project = Project(repo)
    assert len(project.host.list()) == 1
    import os

    env = {**os.environ, "PASEO_NB_REPLAY": "1"}
    again = subprocess.run(command, cwd=repo, capture_output=True, text=True, env=env, timeout=120)
    assert again.returncode == 0, again.stderr[-2000:]
    assert len(project.host.list()) == 1, "nothing was started"
    out = json.loads((repo / "out.ipynb").read_text())
    text = json.dumps(out["cells"][1]["outputs"])
    assert "Cached" in text
    assert "13 tests pass" in text


def test_a_workflow_is_defined_in_a_cell_and_run_by_name(kernel: Kernel) -> None:
    cell = '%%paseo_workflow greet-all\nasync def greet_all(names):\n    """Greets."""\n'
    body = "    return [str(one) for one in await parallel([agent(n, 'demo/echo') for n in names])]"
    assert "greet_all(…)" in kernel.run(cell + body).streams
    told = kernel.run("""%paseo workflow run greet-all 'names=["ann", "bo"]'""")
    assert told.error is None
    assert kernel.run("assert len(greet_all(['ann', 'bo'])) == 2").error is None
    assert "greet-all" in kernel.run("%paseo workflow ls").text
    wrong = kernel.run("%%paseo_workflow bad\nasync def bad():\n    return names_of_mine")
    assert "UsageError: bad uses names_of_mine" in wrong.streams
    assert "no command 'sow'" in kernel.run("%paseo workflow sow").streams
    shown = kernel.run("%paseo workflow show greet-all")
    assert "done, 2 steps, 2 from before" in shown.text
