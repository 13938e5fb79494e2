"""Two servers on one project, at once: no event, answer or prompt is lost or counted twice; and who
comes with a clock that is off.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kit import Project
from serving import TOKEN, Serving, serving, watched

from paseo_nb import pairing
from paseo_nb.host.local import LocalHost
from paseo_nb.programs.demo import copy_sample

Two = tuple[Serving, Serving]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Two servers of one project; the other one stands at another base URL."""
    root = Path(copy_sample(tmp_path_factory.mktemp("two") / "tidelog"))
    with serving(root) as one, serving(root, "/other/") as other:
        yield one, other
        project = Project(root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


def at_once(*calls: Any) -> list[Any]:
    """Each in a thread of its own; what they gave, in order."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [one.result() for one in [threads.submit(call) for call in calls]]


def lines_of(served: Serving, run: str) -> list[dict[str, Any]]:
    path = served.root / ".paseo_nb" / "runs" / run / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def prompts_of(served: Serving, run: str) -> list[str]:
    """What the agent was told, in order."""
    return [
        line["raw"]["params"]["prompt"][0]["text"]
        for line in lines_of(served, run)
        if line["raw"].get("method") == "session/prompt"
    ]


def test_both_start_send_answer_and_stop_and_everything_counts_once(two: Two) -> None:
    one, other = two
    wish = partial(Serving.verb, name="start", agent="demo/asker", prompt="?", mode="ask")
    runs = [told["run"]["run_id"] for told in at_once(*(partial(wish, s) for s in two * 2))]
    assert len(set(runs)) == 4
    for run in runs:
        assert one.settled(run)["state"] == other.settled(run)["state"] == "waiting"
    for run in runs:  # both answer the same question, one with yes and one with no
        (question,) = other.ask("GET", f"/runs/{run}").json["run"]["pending"]
        body = {"run": run, "permission": question["id"]}
        said = at_once(
            partial(one.ask, "POST", "/verbs/allow", body),
            partial(other.ask, "POST", "/verbs/deny", body),
        )
        assert sorted(answer.status for answer in said) == [200, 400], [a.body for a in said]
        (lost,) = [answer.json["error"] for answer in said if answer.status == 400]
        assert "is answered already" in lost["message"]
        (told,) = [line for line in lines_of(one, run) if line["kind"] == "permission_answer"]
        assert (told["raw"]["outcome"] == "allowed") is (said[0].status == 200), told
        one.settled(run, over=True)
    run = one.verb("start", agent="demo/echo", prompt="?")["run"]["run_id"]
    runs.append(run)
    texts = [f"prompt {number}" for number in range(8)]
    same = {
        "id": "the-same-for-both", "verb": "send", "wake": True,
        "args": {"prompt": [{"type": "text", "text": "by both"}]},
    }  # fmt: skip
    at_once(
        *(partial(two[at % 2].verb, "send", run=run, prompt=text) for at, text in enumerate(texts)),
        *(partial(s.ask, "POST", f"/runs/{run}/command", same) for s in two),
    )
    for served in two:
        served.drained(run, turns=10)
    assert sorted(prompts_of(one, run)) == sorted(["?", "by both", *texts])
    seqs = [line["seq"] for line in lines_of(one, run)]
    assert seqs == list(range(1, len(seqs) + 1))
    whole = (one.root / ".paseo_nb" / "runs" / run / "journal.jsonl").read_bytes()
    for served in two:
        assert asyncio.run(watched(served, {run: 0}, len(whole)))[run] == whole
    at_once(*(partial(s.verb, "stop", run=run) for run in runs for s in two))
    for run in runs:
        assert [s.ask("GET", f"/runs/{run}/state").json["alive"] for s in two] == [False, False]
        assert [line["kind"] for line in lines_of(one, run)].count("run_ended") <= 1
    assert one.ask("GET", "/ids").json == other.ask("GET", "/ids").json


def test_contents_and_tokens_are_the_same_for_both(two: Two) -> None:
    one, other = two
    data = bytes(range(256)) * 12000  # 3 MB
    path, have = f"/contents/{hashlib.sha256(data).hexdigest()}", 0
    while have < len(data):
        target, piece = f"{path}?offset={have}&size={len(data)}", data[have : have + (1 << 20)]
        sent = at_once(*(partial(s.ask, "PUT", target, piece) for s in two))
        have = max(answer.json["have"] for answer in sent)
    assert one.ask("GET", path).body == other.ask("GET", path).body == data
    host = LocalHost(one.root / ".paseo_nb")
    token = one.paired("phone", "read")
    assert [s.ask("GET", "/ids", token=token).status for s in two] == [200, 200]
    pairing.revoke(host, "phone")
    assert [s.ask("GET", "/ids", token=token).status for s in two] == [403, 403]


OFF = """
import json, sys, time, warnings
hours, url, token = float(sys.argv[1]), *sys.argv[2:4]
clock, clock_ns = time.time, time.time_ns
time.time = lambda: clock() + hours * 3600
time.time_ns = lambda: clock_ns() + int(hours * 3600e9)
from datetime import timedelta
import paseo_nb as paseo
from paseo_nb import _portal
from paseo_nb.host.http import _closed
from paseo_nb.widgets.live import bundle_of, runs_bundle
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    host = paseo.connect(url, token, name="off")
run = paseo.attach(sys.argv[4], host=host)
live = bundle_of(run._run)["text/plain"]
age = runs_bundle([run._run])["text/plain"]
begun = time.monotonic()
first = []
for event in run.stream():
    first.append(event.seq)
    if len(first) == 20:
        _portal.start_soon(_closed, host._line)  # the line breaks, and is taken up by offset
print(json.dumps({
    "told": [str(one.message) for one in told], "live": live, "age": age, "seqs": first,
    "state": run.wait().state, "turns": len(run.history().turns),
    "lately": [len(paseo.runs(run=run.id, since=ago, host=host)) if own else 1
               for own in [sys.argv[5] == "all"] for ago in ("5m", timedelta(minutes=5))],
}))
"""


@pytest.mark.parametrize(("hours", "word"), [(1, "behind"), (-1, "ahead of")])
def test_a_client_whose_clock_is_an_hour_off_sees_the_same_and_is_told(
    two: Two, hours: int, word: str
) -> None:
    one = two[0]
    phone = one.paired(f"off {hours}", "read", for_s=1800)  # over, by that clock

    def seen(token: str, what: str) -> subprocess.CompletedProcess[str]:
        run = one.verb("start", agent="demo/slow", prompt="seconds=3")["run"]["run_id"]
        return subprocess.run(
            [sys.executable, "-c", OFF, str(hours), one.url, token, run, what],
            capture_output=True, text=True, timeout=120, cwd=one.root.parent,
        )  # fmt: skip

    over = one.paired(f"over {hours}", "read", for_s=0.001)
    wanted = ((TOKEN, "all"), (phone, "read"), (over, "read"))
    *known, out = at_once(*(partial(seen, *one) for one in wanted))
    for done in known:
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert f"the clock of off is 60 min {word} this machine's" in found["told"][0]
        assert re.search(r" \d+ s ", found["age"]), found["age"]
        assert not re.search(r"59 min|1 h|60 min", found["live"] + found["age"]), found
        assert found["seqs"] == list(range(1, len(found["seqs"]) + 1))
        assert (found["state"], found["turns"], found["lately"]) == ("idle", 1, [1, 1])
    assert "does not let us in" in out.stderr  # whatever the client's clock says
