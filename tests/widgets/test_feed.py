"""What a live view is told: after any sequence it shows what a view opened now would show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paseo_nb.git.values import DiffSummary
from paseo_nb.widgets.run_view import feed as feeds
from paseo_nb.widgets.run_view.feed import Feed, batches
from paseo_nb.widgets.run_view.rows import OUTPUT, TEXT

from .told import Chance, Front, written


def opened(run: Any) -> Feed:
    """A feed that has read everything there is."""
    made = Feed(run)
    made.changes()
    made.ready = True
    return made


def shown_now(run: Any) -> Front:
    """What a view that is opened now has."""
    front = Front()
    opened(type(run)(run.host, run.id)).tell_all_of_it(front)
    return front


def clockless(head: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in head.items() if key != "now_us"}


def same(one: Front, other: Front) -> None:
    assert one.rows == other.rows
    assert clockless(one.head) == clockless(other.head)
    assert one.asks == other.asks


@pytest.mark.parametrize("seed", range(12))
def test_deltas_add_up_to_what_a_new_view_shows(tmp_path: Path, seed: int) -> None:
    tale, run = written(tmp_path)
    chance, front = Chance(tale, seed), Front()
    feed = opened(run)
    feed.tell_all_of_it(front)
    feed.viewers.append(front)
    now = 1.0
    chance.breathe = lambda: feed.tick(now + 0.2)
    for step in range(250):
        for _ in range(chance.random.choice([1, 1, 3, 12])):
            chance.happens()
        now += 0.11 if step % 3 else 0.4
        feed.tick(now)
        if step % 50 == 49:
            feed.tick(now + 1)
            assert not front.lost
            same(front, shown_now(run))
    assert len(front.rows) > 100
    assert front.kinds.count("full") == 1


def test_a_lost_delta_is_noticed_and_made_good(tmp_path: Path) -> None:
    tale, run = written(tmp_path)
    chance, front = Chance(tale, 99), Front()
    feed = opened(run)
    feed.viewers.append(front)
    feed.tell_all_of_it(front)
    chance.happens()
    feed.tick(1.0)
    feed.viewers.clear()  # what is sent now is lost
    tale.says("lost words")
    feed.tick(2.0)
    feed.viewers.append(front)
    tale.says(" and heard ones")
    feed.tick(3.0)
    assert front.lost
    feed.hello(front, front.epoch, front.n)
    same(front, shown_now(run))
    tale.says(" the last words")
    feed.viewers.clear()
    feed.tick(4.0)
    feed.viewers.append(front)
    feed.tick(4.0 + feeds.BEAT_S)
    assert front.lost, "a beat tells that the last delta was lost"
    feed.hello(front, front.epoch, front.n)
    assert not front.lost
    before = front.bytes
    feed.hello(front, front.epoch, front.n)
    assert front.bytes - before < 100, "who has everything gets it not again"


def test_a_view_that_ends_shows_the_last_lines(tmp_path: Path) -> None:
    """A delta is sent at most every 100 ms; what came since then is not lost with the view."""
    tale, run = written(tmp_path)
    tale.prompt("go").says("first")
    feed, front = opened(run), Front()
    feed.tell_all_of_it(front)
    feed.viewers.append(front)
    tale.says(", then")
    feed.tick(time.monotonic())
    tale.says(", last").ended("end_turn")
    feed.dismiss(front)
    assert front.rows[-1]["text"] == "first, then, last"
    assert feed.viewers == []
    same(front, shown_now(run))


def test_what_was_edited_since_is_not_told_as_unchanged(tmp_path: Path) -> None:
    """A folder is not looked at after every call; until it is, nothing is said of it."""
    tale, run = written(tmp_path)
    feed = opened(run)
    feed.beyond = msgspec.structs.replace(feed.beyond, diff=DiffSummary([], "", "abc"))
    tale.prompt("mend it")
    feed.changes()
    assert feed.head["diff"] == [0, 0, 0]
    tale.begins("t1", "edit", "Edit a.py")
    feed.changes()
    tale.ends("t1")
    feed.changes()
    assert feed.head["diff"] is None


def test_a_later_feed_on_the_same_handle_has_everything(tmp_path: Path) -> None:
    tale, run = written(tmp_path)
    tale.prompt("go").says("hello")
    assert len(opened(run).rows) == 2
    again = opened(run)
    assert [row["text"] for row in again.rows] == ["go", "hello"]


def test_streaming_text_and_output_cost_what_is_new(tmp_path: Path) -> None:
    tale, run = written(tmp_path)
    tale.prompt("go").says("x" * 10_000)
    tale.begins("c1", "execute", "make", rawInput={"command": "make"})
    feed, front = opened(run), Front()
    feed.tell_all_of_it(front)
    feed.viewers.append(front)
    front.bytes = 0
    output = ""
    for number in range(400):
        output += f"line {number} of a long build\n" * 4
        content = [{"type": "content", "content": {"type": "text", "text": output[-64_000:]}}]
        tale.update("tool_call_update", toolCallId="c1", content=content)
        feed.tick(number * 0.2)
    assert front.bytes < len(output) * 1.5 + 400 * 100
    assert len(front.rows[-1]["output"]) <= OUTPUT
    assert front.rows[-1]["output"].endswith("line 399 of a long build\n")
    same(front, shown_now(run))


def test_a_thought_is_not_sent_again_for_its_label(tmp_path: Path) -> None:
    tale, run = written(tmp_path)
    tale.prompt("go").thinks("deep " * 5000)
    feed, front = opened(run), Front()
    feed.tell_all_of_it(front)
    feed.viewers.append(front)
    assert front.rows[-1]["label"] == "Thinking"
    front.bytes = 0
    tale.says("done")
    feed.tick(1.0)
    assert front.rows[-2]["label"] == "Thought for 6 s"
    assert front.bytes < 2000


def test_long_texts_and_many_rows_come_in_parts(tmp_path: Path) -> None:
    tale, run = written(tmp_path)
    tale.prompt("go").says("y" * (TEXT + 5000))
    for number in range(40):
        tale.reads(f"c{number}", "a.py", "text " * 2000)
        tale.says("z" * 20_000)
    front = Front()
    feed = opened(run)
    feed.tell_all_of_it(front)
    assert front.kinds.count("full") > 3
    assert front.rows[1]["cut"] == TEXT + 5000
    assert len(front.rows[1]["text"]) == TEXT
    assert all(len(batch) for batch in batches(feed.rows))
    assert front.rows == feed.rows


def test_a_tick_does_not_look_at_everything(tmp_path: Path) -> None:
    """A run of 20,000 events at 10 ticks a second stays cheap."""
    tale, run = written(tmp_path)
    tale.prompt("go")
    for number in range(3000):
        tale.reads(f"c{number}", "a.py", "text")
        tale.says(f"step {number}")
    feed = opened(run)
    tale.says("one more")
    feed.changes()
    begun = time.perf_counter()
    for _ in range(20):
        tale.says(" word")
        feed.changes()
    assert (time.perf_counter() - begun) / 20 < 0.02
