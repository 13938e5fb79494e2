"""A journal that is put away is packed: it reads the same from any offset, and is never lost.

Invariants: (1) every reader sees the same lines, packed or not; (2) the index built from either is
the same, and packing makes nothing be read again; (3) whatever is killed when, the lines are there.
"""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paseo_nb import packing
from paseo_nb.journal import (
    Journal,
    first_line,
    last_line,
    last_own,
    read_journal,
    read_lines,
    size_of,
)
from paseo_nb.store import advance, disk, frames
from paseo_nb.store.query import query


def told(path: Path) -> tuple[object, ...]:
    kinds = ("turn_start", "turn_end", "state", "note", "nothing")
    return (
        [bytes(line.raw) for line in read_journal(path)],
        first_line(path),
        last_line(path),
        [last_own(path, kind) for kind in kinds],
        last_own(path, *kinds),
        size_of(path),
        disk.identity(path),
    )


@pytest.fixture
def journal(project, monkeypatch) -> Path:
    """Of a run that gives many members, and a line larger than one."""
    monkeypatch.setattr(packing, "MEMBER_BYTES", 20_000)
    run = project.run()
    for n in range(60):
        run.turn(f"{n} " + "x" * 3000)
    run.own("note", text="y" * (packing.MEMBER_BYTES + 7))
    return run.folder.journal


def test_every_reader_sees_the_same(journal):
    whole, before = journal.read_bytes(), told(journal)
    packing.pack(journal)
    assert not journal.exists()
    assert told(journal) == before
    assert gzip.decompress(Path(packing.packed_path(journal)).read_bytes()) == whole
    for offset in sorted({0, 1, len(whole), len(whole) + 5, *random.sample(range(len(whole)), 40)}):
        for limit in (None, 100, 50_000):
            data, after = read_lines(journal, offset, limit)
            assert data == whole[offset:after]
    packing.unpack(journal)
    assert journal.read_bytes() == whole
    assert not os.path.exists(packing.packed_path(journal))


def test_the_index_is_the_same_and_reads_nothing_again(project, journal):
    advance(project.home)
    before = query(project.home, "select * from events order by seq").to_pylist()
    turns = query(project.home, "select * from turns order by turn").to_pylist()
    packing.pack(journal)
    progress = advance(project.home, full=True)
    assert progress is not None
    assert progress.bytes == 0
    (project.home / "paseo.duckdb").unlink()
    advance(project.home)
    assert query(project.home, "select * from events order by seq").to_pylist() == before
    assert query(project.home, "select * from turns order by turn").to_pylist() == turns
    assert len(frames.turns(project.home)) == 60


def test_a_writer_unpacks_it(journal):
    folder = disk.folder_of(journal.parents[2], journal.parent.name)
    seq = last_line(journal).seq
    packing.pack(journal)
    writer = Journal(folder)
    assert writer.own("unarchived") == seq + 1
    writer.close()
    assert journal.exists()
    assert last_line(journal).kind == "unarchived"
    assert [line.seq for line in read_journal(journal)] == list(range(1, seq + 2))


def test_where_both_are_there_the_plain_one_counts(journal):
    whole = journal.read_bytes()
    packing.pack(journal)
    journal.write_bytes(whole + b"more\n")
    assert size_of(journal) == len(whole) + 5
    packing.pack(journal)
    assert size_of(journal) == len(whole) + 5
    packing.unpack(journal)
    assert journal.read_bytes() == whole + b"more\n"


def test_a_damaged_one_is_told(journal):
    packing.pack(journal)
    packed = Path(packing.packed_path(journal))
    data = bytearray(packed.read_bytes())
    data[200] ^= 255
    packed.write_bytes(data)
    with pytest.raises(packing.Damaged):
        list(read_journal(journal))
    packed.write_bytes(bytes(data[:-9]))
    with pytest.raises(packing.Damaged):
        size_of(journal)


BACK_AND_FORTH = """
import sys
from pathlib import Path
from paseo_nb import packing
packing.MEMBER_BYTES = 100_000
journal = Path(sys.argv[1])
print(flush=True)
while True:
    packing.unpack(journal)
    packing.pack(journal)
"""


def test_killed_at_any_moment_nothing_is_lost(tmp_path):
    journal = tmp_path / "run" / "journal.jsonl"
    journal.parent.mkdir()
    lines = b"".join(
        b'{"n":%d,"x":"%s"}\n' % (n, os.urandom(40).hex().encode()) for n in range(9000)
    )
    journal.write_bytes(lines)
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", BACK_AND_FORTH, str(journal)], stdout=subprocess.PIPE
        )
        assert child.stdout
        child.stdout.readline()
        time.sleep(random.uniform(0.005, 0.15))
        child.kill()
        child.wait()
        child.stdout.close()
        assert read_lines(journal)[0] == lines
    packing.unpack(journal)
    packing.pack(journal)
    packing.unpack(journal)
    assert journal.read_bytes() == lines
    assert sorted(os.listdir(journal.parent)) == ["journal.jsonl"]
