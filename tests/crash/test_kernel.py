"""A real kernel is killed in mid-turn; two others, attached at the same time, take over."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor

import pytest
from kernels import Kernel
from kit import SLACK, Project, check_invariants

pytestmark = [pytest.mark.crash, pytest.mark.timeout(150)]

START = """
import paseo_nb as paseo
run = paseo.start("demo/slow", "seconds=60", mode="auto")
print(run.id)
"""
WATCH = "for event in run.stream(): print('seq', event.seq)"
ATTACH = """
import paseo_nb as paseo
run = paseo.attach({run_id!r})
seen = []
for event in run.stream():
    seen.append((event.seq, event.text))
    if len(seen) == 20:
        print("attached", flush=True)
print(seen)
print(run.state)
"""


def test_a_killed_kernel_costs_no_event(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASEO_NB_HOME", str(project.host.home))
    monkeypatch.setenv("PASEO_DEMO_HOME", project.env["PASEO_DEMO_HOME"])
    kernels = [Kernel(project.root)]
    try:
        run_id = kernels[0].run(START).text.split()[-1]
        project.runs.append(run_id)
        kernels[0].collect(kernels[0].submit(WATCH), until="seq 15")
        kernels[0].kill()
        assert project.host.state(run_id) == "running", "the run goes on"
        with ThreadPoolExecutor() as pool:
            kernels += pool.map(Kernel, [project.root] * 2)
        attached = [kernel.submit(ATTACH.format(run_id=run_id)) for kernel in kernels[1:]]
        pairs = list(zip(kernels[1:], attached, strict=True))
        for kernel, sent in pairs:
            kernel.collect(sent, until="attached")
        assert project.history(run_id).turn_open, "both attached in mid-turn"
        project.until(lambda: len(project.lines(run_id)) > 40, 5 * SLACK)
        project.command(run_id, "cancel", by="test")
        told = [kernel.collect(sent).text for kernel, sent in pairs]
    finally:
        for kernel in kernels:
            kernel.close()
    history = project.ended(run_id)
    assert history.turns[0].outcome == "cancelled"
    at_end = next(x.seq for x in project.lines(run_id) if (x.dir, x.kind) == ("own", "turn_end"))
    for text in told:
        events, state = text.strip().split("\n")[-2:]
        seen = ast.literal_eval(events)
        assert [seq for seq, _ in seen] == list(range(1, len(seen) + 1)), "in order, none twice"
        assert len(seen) >= at_end, "none missing"
        assert state == "idle"
    project.command(run_id, "stop")
    project.gone(run_id, 10 * SLACK)
    assert not project.left(run_id)
    check_invariants(project, run_id)
