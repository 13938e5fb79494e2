"""The crash matrix: a victim is killed at a kill point, and what a run promises still holds.

The invariants, checked in every cell:

1. no acknowledged event is lost: what a front end had seen, and every command that was acknowledged,
   is in the journal, and the command is applied once;
2. seq counts up without a gap, lines are whole, turns do not overlap;
3. the state is true within its deadline (1 s; 2 s for "unresponsive"), never guessed from pids;
4. one session, one agent at a time;
5. nothing is left running within 5 s (a pair killed at once: after the next front end looked);
6. a second recovery writes nothing;
7. the run can be gone on with: what was asked is done, and nothing is asked twice.

A cell is (kill point, victim). CI runs `CELLS`; `benchmarks/crash_matrix.py` runs every cell that
can be acted, over and over; `LEFT_OUT` says of each of the others why it is in neither list.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crash.scene import FRONTS, GONE_S, POINTS, VICTIMS, Scene
from kit import SLACK, Project

from paseo_nb.store import index, query

pytestmark = [pytest.mark.crash, pytest.mark.timeout(150)]

SMALL_DISK = Path(__file__).with_name("small_disk.py")
PAIR = ("supervisor", "warden", "both")

CELLS = [
    *(("before_spec", victim) for victim in ("kernel", "forked_child")),
    *(("after_spec", victim) for victim in ("kernel", "nested_parent")),
    *(("after_spawn", victim) for victim in ("kernel", *PAIR, "agent", "nested_parent")),
    *(("mid_stream", victim) for victim in VICTIMS),
    *(("journal_index", victim) for victim in ("kernel", "supervisor", "both", "agent")),
    *(("during_index", victim) for victim in ("kernel", "supervisor", "forked_child")),
    *(("queued_send", victim) for victim in ("kernel", *PAIR, "agent")),
    *(("permission_wait", victim) for victim in ("kernel", *PAIR, "agent")),
    *(("during_stop", victim) for victim in ("kernel", *PAIR, "agent")),
    *(("enospc", victim) for victim in ("kernel", *PAIR, "agent")),
    *(("sigstop", victim) for victim in ("kernel", *PAIR, "agent")),
]

NOTHING_THERE = "nothing of the run has been launched at this point"
AS_KERNEL = "the same act as `kernel`: the front end dies with the run that it runs in"
AS_FORKED = "a forked child holds something only while the kernel writes: before_spec, during_index"
AS_MID = "the pair dies with its turn ended, as in journal_index; indexing is not its doing"
LEFT_OUT = {
    **{(p, v): NOTHING_THERE for p in ("before_spec", "after_spec") for v in (*PAIR, "agent")},
    ("before_spec", "nested_parent"): AS_KERNEL,
    ("after_spec", "forked_child"): AS_FORKED,
    ("after_spawn", "forked_child"): AS_FORKED,
    ("journal_index", "warden"): "the supervisor's orderly end after a turn: mid_stream, warden",
    ("journal_index", "nested_parent"): AS_KERNEL,
    ("journal_index", "forked_child"): "nothing is held between journal and index: during_index",
    **{("during_index", v): AS_MID for v in ("warden", "both", "agent")},
    ("during_index", "nested_parent"): AS_KERNEL,
    ("queued_send", "nested_parent"): AS_KERNEL,
    ("queued_send", "forked_child"): AS_FORKED,
    ("permission_wait", "nested_parent"): AS_KERNEL,
    ("permission_wait", "forked_child"): AS_FORKED,
    ("during_stop", "nested_parent"): AS_KERNEL,
    ("during_stop", "forked_child"): AS_FORKED,
    ("enospc", "nested_parent"): "its run is another run on the same disk: enospc, supervisor",
    ("enospc", "forked_child"): "a forked child writes nothing",
    ("sigstop", "nested_parent"): "its pair is stopped, not the run's: as kernel",
    ("sigstop", "forked_child"): "a forked child does nothing that could stop",
}
# What cannot be acted at all: the benchmark leaves these out too.
IMPOSSIBLE = {
    cell
    for cell, why in LEFT_OUT.items()
    if why == NOTHING_THERE or cell in {("enospc", "nested_parent"), ("enospc", "forked_child")}
}

# The true states at a point, by what became of the run.
GOES_ON = {
    "before_spec": ("",),
    "after_spec": ("starting",),
    "after_spawn": ("starting", "running"),
    "permission_wait": ("waiting",),
    "during_stop": ("stopped",),
    "journal_index": ("idle",),
    "during_index": ("idle",),
}
DIES = {
    "after_spawn": ("starting", "interrupted"),  # starting: not a line yet, and younger than 10 s
    "during_stop": ("stopped", "interrupted"),
    "journal_index": ("idle",),
    "during_index": ("idle",),
}
AGENT_DIES = {
    **DIES,
    "after_spawn": ("error", "interrupted"),
    "queued_send": ("running", "idle"),  # the next prompt gets a new agent
    "during_stop": ("stopped",),
}


def test_every_cell_is_in_the_table() -> None:
    product = {(point, victim) for point in POINTS for victim in VICTIMS}
    assert len(CELLS) == len(set(CELLS))
    assert set(CELLS) | LEFT_OUT.keys() == product
    assert not set(CELLS) & LEFT_OUT.keys()


@pytest.mark.parametrize(("point", "victim"), CELLS)
def test_cell(project: Project, point: str, victim: str) -> None:
    act(project, point, victim)


def act(project: Project, point: str, victim: str, late_s: float = 0.0) -> None:
    """One cell, from its beginning to its end; the blow falls so much after the point."""
    if point == "enospc":
        on_a_small_disk(project.root, victim)
        return
    scene = Scene(project, point, victim)
    try:
        scene.reach()
        time.sleep(late_s)
        scene.strike()
        (suspended if point == "sigstop" else killed)(scene)
        scene.go_on()
        scene.end()
        if point in ("journal_index", "during_index"):
            scene.close()  # a front end that still indexes
            index_is_exact(scene)
    finally:
        scene.close()


def killed(scene: Scene) -> None:
    """What shows after a kill -9, and the recovery."""
    point, victim = scene.point, scene.victim
    if victim in FRONTS:
        table, default = GOES_ON, "running"
    else:
        table, default = (AGENT_DIES if victim == "agent" else DIES), "interrupted"
    stops = point == "during_stop" and victim in FRONTS | {"agent"}
    scene.comes_to(*table.get(point, (default,)), within=GONE_S if stops else 1.0)
    dead = victim in PAIR or (victim == "agent" and point not in ("queued_send", "during_stop"))
    if victim == "both":
        scene.recover()
    if dead:
        scene.nothing_left()
        scene.recover_twice()
    else:
        scene.recover()
    if point == "before_spec":
        marker_without_a_spec_goes(scene)


def suspended(scene: Scene) -> None:
    """SIGSTOP is no death: the state says so, and SIGCONT goes on."""
    project, run_id, victim = scene.project, scene.run_id, scene.victim
    if victim in ("supervisor", "both"):
        assert project.host.state(run_id) == "unresponsive"
        assert project.alive(run_id)
        scene.wake()
        awake = ("running", "idle")  # idle: its agent, which was not stopped, is done meanwhile
        project.until(lambda: project.host.state(run_id) in awake, 1.0 * SLACK)
        return
    assert project.host.state(run_id) == "running"
    if victim == "agent":  # silent, not dead; and it can be stopped
        project.command(run_id, "stop")
        scene.nothing_left()
        assert project.host.state(run_id) == "stopped"
    elif victim == "warden":  # the run's end waits for it
        project.command(run_id, "stop")
        project.until(lambda: not os.path.exists(f"/proc/{scene.pids['agent']}"), GONE_S * SLACK)
        assert project.alive(run_id)
        scene.wake()
        scene.nothing_left()


def marker_without_a_spec_goes(scene: Scene) -> None:
    """A marker that never got its spec is taken away once it is 10 s old."""
    marker, home = scene.folder.live_marker, scene.project.host.home
    index.advance(home)
    assert marker.exists(), "younger than 10 s: somebody may be at it"
    old = time.time() - 60
    os.utime(marker, (old, old))
    index.advance(home)
    assert not marker.exists()


def index_is_exact(scene: Scene) -> None:
    """The index has every line of the journal, once; advancing it again does nothing."""
    home = scene.project.host.home
    assert index.advance(home, wait_s=5.0) is not None, "nobody holds the index"
    again = index.advance(home)
    assert again is not None
    assert again.bytes == 0
    [(rows, seqs, last)] = query.rows(
        home,
        "select count(*), count(distinct seq), max(seq) from events where run_id = ?",
        [scene.run_id],
    )
    assert rows == seqs == last == len(scene.project.lines(scene.run_id))


def test_a_full_disk_leaves_every_query_answered(project: Project) -> None:
    on_a_small_disk(project.root, "index")


def on_a_small_disk(root: Path, victim: str) -> None:
    """A cell of its own: in a private mount namespace the project's folder is a full disk."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("needs unshare -rm: a private mount of a small disk")
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [unshare, "-rm", sys.executable, str(SMALL_DISK), str(root), victim],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, str(Path(tests).parent)])},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
