"""The index holds exactly what the journals hold, whatever happens to whoever writes it."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time

import duckdb
import pytest

from paseo_nb.drivers import acp_reading
from paseo_nb.errors import StorageProblem
from paseo_nb.journal import encode
from paseo_nb.locks import lock_held
from paseo_nb.store import advance, background, frames, index, migrations, schema
from paseo_nb.store.fold import reading_tag
from paseo_nb.store.query import rows

TABLES = tuple(schema.FRAMES)


def story(project):
    """A project with runs in several states."""
    done = project.run(labels={"suite": "a"}).session().turn().turn("again").stop()
    failed = project.run().session().begin("fail").text("hm")
    failed.end("error", error={"code": "x", "message": "it broke", "hint": None}).stop()
    cancelled = project.run().begin().tool("t9", None).end("cancelled").stop()
    idle = project.run().turn()
    busy = project.run().turn().begin("more").text("so ").text("far").tool("t2", None)
    return done, failed, cancelled, idle, busy


def everything(project):
    return {name: rows(project.home, f"SELECT * FROM {name} ORDER BY ALL") for name in TABLES}


def test_rows_are_the_journals_lines_before_and_after_indexing(project):
    writers = story(project)
    unindexed = everything(project)
    assert not project.db.exists()
    advance(project.home)
    assert everything(project) == unindexed
    assert len(unindexed["events"]) == sum(writer.lines() for writer in writers)
    for line, row in zip(
        map(json.loads, writers[0].folder.journal.read_text().splitlines()),
        [row for row in project.indexed() if row[0] == writers[0].id],
        strict=True,
    ):
        assert row[1] == line["seq"]
        assert (row[3], row[4], row[5]) == (line["turn"], line["dir"], line["kind"])
        assert json.loads(row[8]) == line["raw"]


def test_a_deleted_index_is_rebuilt_by_the_next_query(project):
    story(project)
    advance(project.home)
    project.rest()
    advance(project.home)
    told = everything(project)
    project.db.unlink()
    assert everything(project) == told
    assert project.db.exists()
    project.db.unlink()
    assert advance(project.home).runs == 5
    assert everything(project) == told


def test_an_open_turn_is_seen_at_once_and_indexed_when_it_ends(project):
    run = project.run().turn()
    advance(project.home)
    indexed = project.count()
    run.begin("second").text("hello ")
    assert rows(project.home, "SELECT turn, text, outcome FROM turns ORDER BY turn") == [
        (1, "all done", "end_turn"),
        (2, "hello ", None),
    ]
    run.text("there").tool("t7", None)
    assert rows(project.home, "SELECT text FROM turns WHERE turn = 2") == [("hello there",)]
    advance(project.home)
    assert project.count() == indexed
    seqs = [row[0] for row in rows(project.home, "SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, run.lines() + 1))
    run.end()
    advance(project.home)
    assert project.count() == run.lines() - 1  # the state line after the turn's end waits
    seqs = [row[0] for row in rows(project.home, "SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, run.lines() + 1))
    calls = rows(project.home, "SELECT turn, tool_call_id, outcome FROM tool_traces ORDER BY turn")
    assert calls == [(1, "t1", "completed"), (2, "t7", "cancelled")]


def test_turn_by_turn_is_the_same_as_all_at_once(project):
    """What a fold carries from one advance to the next is enough."""
    choice = random.Random(7)
    run = project.run(provider="copilot")  # counts its tokens cumulatively
    run.session()
    for turn in range(1, 8):
        run.begin(f"prompt {turn}")
        for at in range(choice.randrange(4)):
            run.text(f"{at} ")
            run.update("usage_update", used=turn, size=9, cost={"amount": turn / 8 + at / 100})
        run.tool(f"c{turn}", choice.choice(["completed", "failed", None]))
        run.answer(run.ask(f"c{turn}"))
        run.end(choice.choice(["end_turn", "cancelled", "interrupted"]))
        if choice.random() < 0.6:
            advance(project.home)
        if choice.random() < 0.5:
            run.update("session_info_update", title=f"title {turn}")
            run.update("tool_call_update", toolCallId=f"c{turn}", status="completed")
            run.text("an afterthought")
        if choice.random() < 0.3:
            run.stop().open()
    run.stop()
    advance(project.home)
    piecemeal = everything(project)
    project.db.unlink()
    advance(project.home)
    assert everything(project) == piecemeal
    assert len(piecemeal["turns"]) == 7
    assert len(piecemeal["tool_traces"]) == 7


def test_a_turn_that_nobody_ended_is_kept_as_it_is(project):
    run = project.run().begin("one").text("half an ans").tool("t1", None)
    run.text("wer").begin("two").text("whole").end()
    for _ in range(2):
        told = rows(project.home, "SELECT turn, text, outcome FROM turns ORDER BY turn")
        assert told == [(1, "wer", None), (2, "whole", "end_turn")]
        assert rows(project.home, "SELECT turn, outcome FROM tool_traces") == [(1, None)]
        advance(project.home)


def test_late_lines_change_the_last_turns_row_and_only_that(project):
    run = project.run().turn()
    advance(project.home)
    run.update("usage_update", used=70, size=100, cost={"amount": 0.5, "currency": "USD"})
    query = "SELECT context_used, cost_usd FROM turns"
    assert rows(project.home, query) == [(70, 0.5)]
    run.turn("next")
    advance(project.home)
    assert rows(project.home, f"{query} ORDER BY turn")[0] == (70, 0.5)
    assert project.count("turns") == 2


def test_killed_in_mid_advance_it_is_only_behind(project, python):
    for size in range(30):
        run = project.run()
        for turn in range(4):
            run.turn(f"{turn}", texts=40 + size)
        run.stop() if size % 2 else run.begin("open").text("x")
    lines = sum(writer.lines() for writer in project.writers)
    killer = python(
        """
import os, random, signal, sys, time
from pathlib import Path
from paseo_nb.store import index
index.SLICE_BYTES = 60_000
home, choice, killed = Path(sys.argv[1]), random.Random(3), 0
for attempt in range(40):
    pid = os.fork()
    if pid == 0:
        index.advance(home)
        os._exit(0)
    time.sleep(choice.uniform(0.002, 0.09))
    os.kill(pid, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
print(killed)
""",
        project.home,
    )
    assert int(killer.communicate(timeout=120)[0]) >= 5
    query = "SELECT count(*), count(DISTINCT (run_id, seq)) FROM events"
    assert rows(project.home, query) == [(lines, lines)]
    advance(project.home)
    assert rows(project.home, query) == [(lines, lines)]
    gone = everything(project)
    project.db.unlink()
    assert everything(project) == gone


def test_two_processes_advance_and_two_query_at_once(project, python):
    script = """
import sys, time
from pathlib import Path
from paseo_nb.store import index
from paseo_nb.store.query import rows
home, what = Path(sys.argv[1]), sys.argv[2]
deadline = time.monotonic() + 5
while time.monotonic() < deadline:
    if what == "advance":
        index.advance(home)
    else:
        query = "SELECT count(*), count(DISTINCT seq), max(seq) FROM events"
        ((n, distinct, last),) = rows(home, query)
        assert n == distinct == (last or 0), (n, distinct, last)
print("ok")
"""
    run = project.run()
    others = [python(script, project.home, w) for w in ("advance", "advance", "query", "query")]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        run.turn()
        time.sleep(0.005)
    assert [other.communicate(timeout=60)[0].strip() for other in others] == ["ok"] * 4
    run.stop()
    advance(project.home)
    assert [row[1] for row in project.indexed()] == list(range(1, run.lines() + 1))


def test_a_journal_cut_short_or_replaced_is_read_anew(project):
    run, other = project.run().turn().turn("second"), project.run().turn()
    advance(project.home)
    lines = run.folder.journal.read_bytes().splitlines(keepends=True)
    run.die()
    run.folder.journal.write_bytes(b"".join(lines[:9]))
    assert rows(project.home, "SELECT count(*) FROM events WHERE run_id = ?", [run.id]) == [(9,)]
    run.open().turn("instead")
    counted = [(run.id, run.lines()), (other.id, other.lines())]
    query = "SELECT run_id, count(*) FROM events GROUP BY 1 ORDER BY 1"
    assert rows(project.home, query) == counted
    advance(project.home)
    assert rows(project.home, query) == counted
    turns = "SELECT prompt FROM turns WHERE run_id = ? ORDER BY turn"
    assert rows(project.home, turns, [run.id])[-1] == ("instead",)

    run.die()
    run.folder.journal.rename(run.folder.path / "aside")
    run.open().turn("a").turn("b").turn("c")  # longer than the one that was indexed
    assert rows(project.home, turns, [run.id]) == [("a",), ("b",), ("c",)]
    advance(project.home)
    assert rows(project.home, turns, [run.id]) == [("a",), ("b",), ("c",)]
    assert project.count("turns") == 4


def test_another_version_of_the_dialect_reads_all_runs_anew(project, monkeypatch):
    project.run().turn().stop()
    live = project.run().turn()
    project.rest()
    advance(project.home)
    assert project.live() == {live.id}
    with_tag = "SELECT DISTINCT reading FROM src"
    assert _src(project, with_tag) == [(reading_tag("acp"),)]
    monkeypatch.setattr(acp_reading.AcpReading, "version", 99)
    assert len(rows(project.home, "SELECT * FROM turns")) == 2
    assert _src(project, with_tag) == [(reading_tag("acp"),)]
    assert project.count("turns") == 2
    assert project.live() == {live.id}


def test_damaged_lines_cost_nothing_but_themselves(project):
    run = project.run().begin().text("before")
    journal = run.folder.journal
    with journal.open("ab") as file:
        file.write(b'{"seq":5,"t":garbage\xff\n')
    run.journal.seq += 1
    half = rb'{"params":{"update":{"content":{"type":"text","text":"smile \ud83d"}}}}'
    broken = b'{"params":{"update":{"content":{"type":"text","text":"caf\xc3"}}}}'
    for raw in (half, broken):
        run.journal.append([("in", "agent_message_chunk", raw)])
    run.text(" after").end().stop()
    for _ in range(2):
        told = rows(project.home, "SELECT seq, kind, text, turn FROM events ORDER BY time, seq")
        assert len(told) == run.lines()
        assert [row for row in told if row[1] == "damaged"] == [(-1, "damaged", None, 1)]
        assert rows(project.home, "SELECT text FROM turns") == [
            ("beforesmile \ufffdcaf\ufffd after",)
        ]
        path = "$.params.update.content.text"
        whole = rows(
            project.home,
            f"SELECT raw->>'{path}' FROM events WHERE kind = 'agent_message_chunk' ORDER BY seq",
        )
        assert whole == [("before",), ("smile \ufffd",), ("caf\ufffd",), (" after",)]
        advance(project.home)


def test_a_torn_last_line_waits_until_it_is_whole(project):
    run = project.run().turn()
    with run.folder.journal.open("ab") as file:
        file.write(b'{"seq":99,"t":1,"mo')
    assert rows(project.home, "SELECT count(*) FROM events") == [(run.lines(),)]
    run.die()
    advance(project.home)
    assert project.count() == run.lines()


def test_live_markers_go_when_a_run_has_ended_and_is_indexed(project):
    done, idle, busy = project.run().turn().stop(), project.run().turn(), project.run().begin()
    lost = project.run().begin().text("then it died").die()
    advance(project.home)
    assert done.id in project.live()  # just touched: somebody may be resuming it
    project.rest()
    advance(project.home)
    assert project.live() == {idle.id, busy.id, lost.id}
    assert project.count("runs") == 2

    lost.open().own("turn_end", outcome="interrupted").own("run_ended", reason="found").die()
    idle.stop()
    project.rest()
    advance(project.home)
    assert project.live() == {busy.id}
    done.open().own("archived").die()
    assert rows(project.home, "SELECT state FROM runs WHERE run_id = ?", [done.id]) == [
        ("archived",)
    ]


def test_a_marker_without_a_run_is_cleared_away(project):
    project.run().turn()
    advance(project.home)
    (project.home / "live" / "01M000000000000000000000AB").touch()
    (project.home / "live" / "wf-1").touch()
    advance(project.home)
    assert len(project.live()) == 3
    project.rest()
    advance(project.home)
    assert len(project.live()) == 2
    assert "wf-1" in project.live()


def test_a_lost_marker_comes_back_when_the_index_is_rebuilt(project):
    run = project.run().turn()
    advance(project.home)
    run.folder.live_marker.unlink()
    project.db.unlink()
    run.begin("more")
    assert rows(project.home, "SELECT count(*) FROM events") == [(run.lines(),)]
    assert project.live() == {run.id}


def test_runs_whose_folder_is_gone_leave_with_a_full_look(project):
    run, kept = project.run().turn().stop(), project.run().turn().stop()
    advance(project.home)
    for path in run.folder.path.iterdir():
        path.unlink()
    run.folder.path.rmdir()
    run.folder.live_marker.unlink()
    advance(project.home, full=True)
    assert rows(project.home, "SELECT run_id FROM runs") == [(kept.id,)]
    assert rows(project.home, "SELECT DISTINCT run_id FROM events") == [(kept.id,)]


def test_a_long_message_is_read_from_its_blob(project):
    run = project.run().begin()
    digest = "ab" * 32
    (run.folder.blobs / digest).write_text(
        json.dumps({"params": {"update": {"content": {"type": "text", "text": "very long"}}}})
    )
    pointer = json.dumps({"$blob": digest, "bytes": 80}).encode()
    run.journal.append([("in", "agent_message_chunk", pointer)])
    outside = json.dumps({"$blob": "../../../../etc/hostname", "bytes": 80}).encode()
    run.journal.append([("in", "agent_message_chunk", outside)])
    run.end()
    told = rows(project.home, "SELECT text, raw FROM events WHERE kind = 'agent_message_chunk'")
    assert told[0] == ("very long", pointer.decode())
    assert told[1][0] in (None, "")


def test_a_damaged_index_file_is_set_aside_and_made_anew(project):
    run = project.run().turn().stop()
    advance(project.home)
    project.db.write_bytes(b"not a database" * 1000)
    assert rows(project.home, "SELECT count(*) FROM events") == [(run.lines(),)]
    assert (project.home / "paseo.duckdb.damaged").exists()


@pytest.mark.parametrize("how", ["scrambled", "cut"])
@pytest.mark.parametrize("asker", ["this process", "another"])
def test_an_index_that_is_damaged_within_is_made_anew(project, python, how, asker):
    runs = [project.run().turn(f"{n}", texts=300).stop() for n in range(20)]
    lines = sum(run.lines() for run in runs)
    advance(project.home)
    query = "SELECT count(*), count(raw), count(text) FROM events"
    whole = rows(project.home, query)
    data = bytearray(project.db.read_bytes())
    third = len(data) // 3
    if how == "scrambled":
        data[third : 2 * third] = random.Random(1).randbytes(third)
    else:
        del data[len(data) // 2 :]
    project.db.write_bytes(data)
    if asker == "this process":
        assert rows(project.home, query) == whole
    else:
        code = "from paseo_nb.store.query import rows; import sys; from pathlib import Path"
        asked = python(f"{code}; print(rows(Path(sys.argv[1]), {query!r}))", project.home)
        assert asked.communicate(timeout=60)[0].strip() == str(whole)
    assert rows(project.home, "SELECT count(*) FROM events") == [(lines,)]


@pytest.mark.parametrize(
    "spoil", ["DROP TABLE turns", "DROP TABLE src", "ALTER TABLE runs DROP COLUMN model_asked"]
)
def test_an_index_that_another_tool_took_tables_from_is_made_anew(project, python, spoil):
    run = project.run().turn().stop()
    advance(project.home)
    assert rows(project.home, "SELECT count(*) FROM events") == [(run.lines(),)]
    with duckdb.connect(str(project.db)) as con:
        con.execute(spoil)
    code = (
        "import sys; from pathlib import Path; from paseo_nb.store.query import rows\n"
        "for table in ('events', 'turns', 'runs'):"
        " print(rows(Path(sys.argv[1]), f'SELECT count(*) FROM {table}')[0][0])"
    )
    asked = python(code, project.home)
    assert asked.communicate(timeout=60)[0].split() == [str(run.lines()), "1", "1"]


def test_migrations_run_once_and_are_recorded(project, monkeypatch):
    project.run().turn().stop()
    advance(project.home)
    calls = []

    def m900_mood(con):
        calls.append(1)
        con.execute(f"ALTER TABLE {schema.INDEX}.turns ADD COLUMN IF NOT EXISTS mood VARCHAR")
        migrations.read_again(con)

    monkeypatch.setitem(migrations.MIGRATIONS, "m900_mood", m900_mood)
    assert rows(project.home, "SELECT count(*) FROM turns") == [(1,)]
    assert rows(project.home, "SELECT count(*) FROM turns") == [(1,)]
    advance(project.home)
    assert calls == [1]
    done = _src(project, "SELECT key FROM meta WHERE key LIKE 'migration:%' ORDER BY 1")
    assert done[-1] == ("migration:m900_mood",)
    assert done[0] == ("migration:m001_initial",)
    assert _src(project, "SELECT reading FROM src") == [(reading_tag("acp"),)]


def test_an_index_of_a_newer_paseo_is_refused_with_a_way_out(project, monkeypatch):
    project.run().turn().stop()
    monkeypatch.setitem(migrations.MIGRATIONS, "m999_later", lambda con: None)
    advance(project.home)
    monkeypatch.delitem(migrations.MIGRATIONS, "m999_later")
    with pytest.raises(StorageProblem, match=r"newer paseo_nb.*delete paseo\.duckdb"):
        rows(project.home, "SELECT 1")


def test_every_declared_column_is_in_the_file(project):
    project.run().turn().stop()
    advance(project.home)
    for name, columns in schema.FRAMES.items():
        described = _src(project, f"DESCRIBE {name}")
        told = [
            (c.name, {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(c.type, c.type))
            for c in columns
        ]
        assert [row[:2] for row in described] == told


def test_a_big_journal_is_indexed_with_flat_memory(project, python):
    """200,000 lines, 116 MB, one turn."""
    run = project.run().begin()
    update = {"sessionUpdate": "agent_thought_chunk"}
    update["content"] = {"type": "text", "text": "x" * 380}
    params = {"sessionId": "s1", "update": update}
    raw = encode({"jsonrpc": "2.0", "method": "session/update", "params": params})
    seq, total = run.journal.seq, 200_000
    for start in range(0, total, 20_000):
        parts = [
            b'{"seq":%d,"t":1700000000000000,"mono":1,"turn":1,"dir":"in",'
            b'"kind":"agent_thought_chunk","raw":%s}\n' % (seq + at + 1, raw)
            for at in range(start, start + 20_000)
        ]
        run.journal.append_encoded(parts, seq + start + 20_000)
    run.end().stop()
    assert run.folder.journal.stat().st_size > 110e6
    done = python(
        """
import sys
from pathlib import Path
from paseo_nb.store import index
from paseo_nb.store.attach import connection
home = Path(sys.argv[1])
con = connection(home); con.execute("SELECT 1"); con.close()
def rss():
    with open("/proc/self/status") as f:
        return {l.split(":")[0]: l.split()[1] for l in f if l.startswith(("VmHWM", "VmRSS"))}
before = int(rss()["VmRSS"])
index.advance(home)
print((int(rss()["VmHWM"]) - before) // 1024)
""",
        project.home,
    )
    grown_mb = int(done.communicate(timeout=120)[0])
    assert project.count() == run.lines() == total + 8
    assert grown_mb < 350  # the same for twice the lines: batches and row groups, not the journal


def test_advance_soon_works_behind_the_callers_back(project):
    run = project.run().turn()
    background.advance_soon(project.home)
    background.advance_soon(project.home)
    background.close()
    assert project.count() == run.lines() - 1
    assert not [t for t in threading.enumerate() if t.name == "paseo-index"]


@pytest.mark.parametrize("asker", ["main", "worker"])
def test_a_process_that_ends_finishes_what_it_indexes(project, python, asker):
    run = project.run().turn().stop()
    asks = "advance_soon(Path(sys.argv[1]))"
    if asker == "worker":  # the thread of a synchronous verb, which is a daemon
        asks = f"t = threading.Thread(target=lambda: {asks}, daemon=True); t.start(); t.join()"
    process = python(
        "import sys, threading; from pathlib import Path; import paseo_nb.store.frames;"
        f" from paseo_nb.store import advance_soon; {asks}",
        project.home,
    )
    assert process.wait(timeout=60) == 0
    assert project.count() == run.lines()


def test_a_long_tail_hands_itself_over(project, monkeypatch):
    run = project.run().turn()
    monkeypatch.setattr("paseo_nb.store.tails.DUE_S", 0.0)
    assert len(frames.turns(project.home)) == 1
    background.close()
    assert project.count() == run.lines() - 1


def test_a_forked_child_neither_keeps_the_lock_nor_breaks(project, python):
    project.run().turn().stop()
    process = python(
        """
import os, sys, time
from pathlib import Path
from paseo_nb.store.attach import lock_path, shared_lock
from paseo_nb.store.query import rows
home = Path(sys.argv[1])
rows(home, "SELECT 1")
with shared_lock(home, 1):
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        rows(home, "SELECT count(*) FROM events")
        print("child", flush=True)
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(0)
    time.sleep(1.5)
print("free", flush=True)
time.sleep(100)
""",
        project.home,
    )
    assert [process.stdout.readline().strip() for _ in range(2)] == ["child", "free"]
    assert not lock_held(project.home / "db.lock")
    assert advance(project.home, full=True) is not None


def test_an_index_deleted_while_an_advance_reads_is_rebuilt_whole(project):
    run = project.run().turn()
    advance(project.home)
    run.turn()
    before = everything(project)
    job = index._Job(project.home, index.connection(project.home), False)
    assert job._look()
    project.db.unlink()
    with contextlib.ExitStack() as stack, pytest.raises(index._IndexChanged):
        job._enter(stack)
    while job.slice():
        pass
    assert everything(project) == before
    assert _src(project, "SELECT count(*) FROM turns") == [(2,)]


def test_queries_go_on_while_an_advance_reads(project):
    project.run().turn().begin().text("more")
    advance(project.home)
    with index.writers_turn(project.home, 0) as mine:
        assert mine
        assert rows(project.home, "SELECT count(*) FROM turns") == [(2,)]
        assert advance(project.home) is None


def _src(project, query):
    with contextlib.closing(duckdb.connect(str(project.db), read_only=True)) as con:
        return con.execute(query).fetchall()
