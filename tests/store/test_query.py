"""Queries answer from index and journals together, never write, and say who is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from paseo_nb.errors import StorageProblem, UsageProblem
from paseo_nb.store import advance, background, frames
from paseo_nb.store.query import query, rows

HOLD = """
import duckdb, sys, time
con = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(99)
"""
COUNT = """
import duckdb, sys
print(duckdb.connect(sys.argv[1]).execute("SELECT count(*) FROM events").fetchall()[0][0])
"""


def test_an_empty_project_answers_and_stays_empty(tmp_path):
    home = tmp_path / "nothing" / ".paseo_nb"
    assert rows(home, "SELECT count(*) FROM events") == [(0,)]
    assert rows(home, "SELECT sum(cost_usd) FROM runs") == [(None,)]
    assert not home.exists()
    home.mkdir(parents=True)
    (home / "runs").mkdir()
    assert rows(home, "SELECT count(*) FROM runs") == [(0,)]
    assert [path.name for path in home.iterdir()] == ["runs"]


def test_a_run_just_asked_for_is_there(project):
    run = project.run(label="new", labels={"a": "1"}, model="opus")
    run.die()
    run.folder.journal.unlink()
    found = rows(project.home, "SELECT label, labels->>'a', model_asked, state FROM runs")
    assert found == [("new", "1", "opus", "starting")]
    project.rest()
    assert rows(project.home, "SELECT state FROM runs") == [("interrupted",)]


def test_states_of_live_runs_are_true(project):
    busy, waiting = project.run().begin(), project.run().begin().own("state", state="waiting")
    idle, dead = project.run().turn(), project.run().turn().begin().die()
    advance(project.home)
    put_away = project.run().turn().own("archived").die()
    states = dict(rows(project.home, "SELECT run_id, state FROM runs"))
    assert states == {
        busy.id: "running",
        waiting.id: "waiting",
        idle.id: "idle",
        dead.id: "interrupted",
        put_away.id: "archived",
    }
    told = rows(
        project.home,
        "SELECT state FROM runs WHERE run_id = ?",
        [busy.id],
        state_of=lambda run_id, state: f"{state} but silent",
    )
    assert told == [("running but silent",)]


def test_one_query_sees_index_and_tail_joined(project):
    for _ in range(3):
        project.run().turn().stop()
    live = project.run().turn()
    advance(project.home)
    live.begin("now").tool("t5", None)
    found = rows(
        project.home,
        "SELECT r.run_id, count(DISTINCT t.turn), count(DISTINCT c.seq) FROM runs r"
        " JOIN turns t USING (run_id) LEFT JOIN tool_traces c USING (run_id, turn)"
        " GROUP BY 1 ORDER BY 1",
    )
    assert [row[1:] for row in found] == [(1, 1)] * 3 + [(2, 2)]


QUERIES = """
select run_id, turn, count(*) from events r join turns t using (run_id, turn) group by all
select * from turns where run_id in (select run_id from runs where state <> 'stopped')
select seq from events where seq in (1, 2, 3, 7, 8) and kind = 'turn_start'
select kind from events qualify row_number() over (partition by run_id order by seq desc) = 1
select run_id, seq from events where run_id > (select min(run_id) from runs) order by 1, 2 limit 3
select seq, kind from events where (run_id, seq) in (select run_id, max(seq) from events group by 1)
select run_id from runs r where not exists (from turns t where t.run_id = r.run_id and turn > 1)
select arg_max(kind, seq) from events group by run_id having count(*) > 3
pivot (select run_id, dir from events) on dir in ('in', 'own') using count(*) group by run_id
select raw->>'$.params.update.content.text' from events where kind like 'agent%' and turn = 2
select tool_name, outcome, count(*) from tool_traces join runs using (run_id) group by all
select t.text, p.outcome from turns t left join permissions p using (run_id, turn)
select date_trunc('day', time) is not null, count(*) from events group by all
with big as (select * from events) select max(seq) from big a join big b using (run_id, seq)
"""


def test_any_sql_answers_the_same_live_and_indexed(project):
    for at in range(3):
        project.run().turn(f"one {at}").turn(f"two {at}").stop()
    texts = [text for text in QUERIES.splitlines() if text]

    def answers():
        return [sorted(map(repr, rows(project.home, text))) for text in texts]

    live = answers()
    advance(project.home)
    assert answers() == live
    project.run().turn().begin("open").text("x")
    mixed = answers()
    project.db.unlink()
    assert answers() == mixed != live


def test_sql_that_writes_is_refused_and_nothing_is_written(project):
    project.run().turn().stop()
    advance(project.home)
    before = project.db.read_bytes()
    for text in (
        "DELETE FROM runs",
        "INSERT INTO paseo_index.runs (run_id) VALUES ('x')",
        "CREATE TABLE mine (a INT)",
        "COPY runs TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SET threads = 1",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
    ):
        with pytest.raises(UsageProblem):
            query(project.home, text)
    assert project.db.read_bytes() == before
    assert not Path("out.csv").exists()
    with pytest.raises(UsageProblem, match="only reads"):
        frames.sql(project.home, "DROP VIEW runs")


def test_wrong_sql_says_what_is_wrong(project):
    project.run().turn()
    with pytest.raises(UsageProblem, match="nope"):
        query(project.home, "SELECT nope FROM runs")
    with pytest.raises(UsageProblem, match="selec"):
        query(project.home, "selec 1")
    secret = "not a table"  # noqa: F841  a variable of the caller is no table
    with pytest.raises(UsageProblem):
        query(project.home, "SELECT * FROM secret")
    assert rows(project.home, "DESCRIBE runs")[0][0] == "run_id"
    assert rows(project.home, "EXPLAIN SELECT 1")
    assert rows(project.home, "SELECT $a + 1", {"a": 2}) == [(3,)]


def test_a_foreign_tool_that_holds_the_index(project, python):
    done, live = project.run().turn().stop(), project.run().turn()
    advance(project.home)
    holder = python(HOLD, project.db)
    assert holder.stdout.readline() == "held\n"
    live.begin("meanwhile").text("hello")

    started = time.monotonic()
    with pytest.raises(StorageProblem, match=rf"held by PID {holder.pid}\b.*Nothing is lost"):
        frames.runs(project.home)
    assert 0.3 <= time.monotonic() - started < 3
    with pytest.raises(StorageProblem, match=str(holder.pid)):
        frames.sql(project.home, "SELECT 1")

    for run in (done, live):
        with pytest.warns(UserWarning, match=f"held by PID {holder.pid}"):
            assert len(frames.events(project.home, run=run.id)) == run.lines()
    with pytest.warns(UserWarning, match="journals of 2 run"):
        both = frames.turns(project.home, run=[done.id, live.id])
    assert both.text.tolist() == ["all done", "all done", "hello"]
    background.advance_soon(project.home)
    background.close()

    holder.kill()
    holder.wait()
    live.end()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(frames.turns(project.home)) == 3
    advance(project.home)
    assert project.count("turns") == 3


def test_a_connection_of_the_users_own_in_this_process(project):
    run = project.run().turn().stop()
    advance(project.home)
    mine = duckdb.connect(str(project.db))
    with pytest.raises(StorageProblem, match=f"this process \\(PID {os.getpid()}\\)"):
        frames.runs(project.home)
    with pytest.warns(UserWarning, match="this process"):
        assert len(frames.turns(project.home, run=run.id)) == 1
    mine.close()
    with duckdb.connect(str(project.db), read_only=True) as reading:
        assert reading.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]
        assert len(frames.runs(project.home)) == 1
    assert len(frames.runs(project.home)) == 1


def test_threads_share_a_project(project):
    run = project.run()
    stop = threading.Event()

    def write():
        while not stop.is_set():
            run.turn()
            time.sleep(0.002)

    def ask(_):
        found = rows(project.home, "SELECT count(*), count(DISTINCT seq), max(seq) FROM events")
        return len(set(found[0])) == 1

    writer = threading.Thread(target=write)
    writer.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
    stop.set()
    writer.join()
    assert all(answers)


def test_a_big_backlog_is_indexed_rather_than_read_into_memory(project, monkeypatch):
    monkeypatch.setattr("paseo_nb.store.query.BULK_BYTES", 10_000)
    for _ in range(5):
        project.run().turn(texts=40).stop()
    lines = sum(run.lines() for run in project.writers)
    assert rows(project.home, "SELECT count(*) FROM events") == [(lines,)]
    assert project.count() == lines
    late = project.run().turn(texts=80).begin("open").text("x" * 20_000)
    expected = [(lines + late.lines(),)]
    for _ in range(2):
        assert rows(project.home, "SELECT count(*) FROM events") == expected
    assert lines < project.count() < lines + late.lines()


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="needs mount")
@pytest.mark.parametrize("indexed", ["whole", "behind", "missing", "of another version"])
def test_a_read_only_project_is_answered(project, tmp_path, python, indexed):
    project.run().turn().stop()
    if indexed != "missing":
        advance(project.home)
    if indexed != "whole":
        project.run().turn().stop()
    project.run().turn().begin("open").die()
    if indexed == "of another version":
        with duckdb.connect(str(project.db)) as con:
            con.execute("UPDATE src SET reading = 'acp 0.0'")
    lines = sum(run.lines() for run in project.writers)
    project.close()
    done = python(
        """
import ctypes, os, sys
from pathlib import Path
home = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None):
    print("no mount"); sys.exit()
path = home.encode()
if libc.mount(path, path, None, 0x1000, None) or libc.mount(path, path, None, 0x1021, None):
    print("no mount"); sys.exit()
from paseo_nb.store.query import rows
try:
    open(home + "/x", "w")
except OSError:
    print(rows(Path(home), "SELECT count(*) FROM events")[0][0])
""",
        project.home,
    )
    said = done.communicate(timeout=60)[0].strip()
    if said == "no mount":
        pytest.skip("this machine does not let us mount")
    assert said == str(lines)


def test_both_duckdbs_open_the_file(project):
    """The file says storage version 1.5, which DuckDB 1.5 and 2.0 read."""
    project.run().turn().stop()
    advance(project.home)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{project.db}' AS f (READ_ONLY)")
        said = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'f'")
        (tags,) = said.fetchall()[0]
    assert "v1.5.0" in str(tags)
    other = os.environ.get("PASEO_TEST_OTHER_PYTHON")
    if other:
        command = [other, "-c", COUNT, str(project.db)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == str(project.count())


def test_files_are_private(project):
    project.run().turn().stop()
    advance(project.home)
    assert project.db.stat().st_mode & 0o777 == 0o600
    assert (project.home / "db.lock").stat().st_mode & 0o777 == 0o600
