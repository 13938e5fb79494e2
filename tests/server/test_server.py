"""The extension as a client of it sees it: verbs, journals, contents; what is refused, and how."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project, project_in
from serving import HEAD, TOKEN, Serving, serving, unreadable, watched
from tornado import httpclient, websocket

import paseo_nb as paseo
from paseo_nb.host.local import LocalHost
from paseo_nb.packing import opened
from paseo_nb.programs.demo import copy_sample
from paseo_nb.server.calls import Calls


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server under a base URL, for all tests here."""
    room = tmp_path_factory.mktemp("served")
    root = Path(copy_sample(room / "tidelog"))
    with serving(root, "/user/me/") as made:
        yield made
        project = Project(root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


def started(served: Serving, agent: str = "demo/echo", **more: Any) -> str:
    return served.verb("start", agent=agent, prompt="hello there", **more)["run"]["run_id"]


def journal(served: Serving, run: str) -> bytes:
    path = served.root / ".paseo_nb" / "runs" / run / "journal.jsonl"
    file = opened(path)
    try:
        return file.pread(file.size, 0)
    finally:
        file.close()


def test_a_run_is_started_asked_about_and_read_over_the_wire(served: Serving) -> None:
    about = served.ask("GET", "/about").json
    assert about["protocol"] == 1
    assert about["project"] == str(served.root)
    run = started(served)
    facts = served.settled(run)
    assert (facts["state"], facts["outcome"]) == ("idle", "end_turn")
    assert "hello there" in facts["text"]
    assert run in served.ask("GET", "/ids").json["ids"]
    assert [one["run_id"] for one in served.ask("GET", "/runs?limit=1").json["runs"]]
    assert served.ask("GET", f"/runs/{run}/state").json == {"state": "idle", "alive": True}
    spec = served.ask("GET", f"/runs/{run}/spec").json
    assert spec["provider"] == "demo"
    whole = journal(served, run)
    first = served.ask("GET", f"/runs/{run}/journal?limit=200")
    after = int(first.headers["Paseo-Offset"])
    rest = served.ask("GET", f"/runs/{run}/journal?offset={after}").body
    assert first.body + rest == whole[: len(first.body) + len(rest)]
    assert served.verb("logs", run=run)["value"].count("hello there")
    frame = served.verb("runs", run=run)
    assert (frame["kind"], frame["value"][0]["run_id"]) == ("frame", run)
    table = served.ask(
        "POST", "/verbs/runs", {}, headers={"Accept": "application/vnd.apache.arrow.stream"}
    )
    import pyarrow as pa

    assert run in pa.ipc.open_stream(table.body).read_pandas()["run_id"].tolist()
    shown = served.verb("timeline", run=run)
    assert "text/html" in shown["shown"]
    assert served.verb("archive", run=run)["run"]["state"] == "archived"
    assert served.ask("GET", f"/runs/{run}/journal").body == journal(served, run)  # packed now


def test_a_command_and_a_call_that_come_twice_count_once(served: Serving) -> None:
    key = {"Paseo-Key": "a-start-of-mine"}
    wish = {"agent": "demo/echo", "prompt": "only once"}
    one, two = (served.ask("POST", "/verbs/start", wish, headers=key).json for _ in range(2))
    run = one["run"]["run_id"]
    assert two["run"]["run_id"] == run
    served.settled(run)
    command = {
        "id": "0123456789abcdef", "verb": "send", "wake": True,
        "args": {"prompt": [{"type": "text", "text": "again"}]},
    }  # fmt: skip
    for _ in range(2):
        answer = served.ask("POST", f"/runs/{run}/command", command)
        assert answer.status == 200, answer.body
    deadline = time.monotonic() + 60
    while served.settled(run)["turns"] < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.settled(run)["turns"] == 2
    other = {"Paseo-Key": "never-seen", "Paseo-Born": "another-server"}
    gone = served.ask("POST", "/verbs/start", wish, headers=other)
    assert (gone.status, gone.json["error"]["code"]) == (409, "Unreachable")


def test_a_key_is_of_one_call_and_not_of_another_that_has_it_too(served: Serving) -> None:
    one, two = started(served), started(served)
    key = {"Paseo-Key": "1"}
    for run in (one, two):
        served.settled(run)
        body = {"verb": "send", "text": f"to {run}"}
        assert served.ask("POST", f"/runs/{run}/act", body, headers=key).json["ok"]
        command = {
            "id": "12345678", "verb": "send", "wake": True,
            "args": {"prompt": [{"type": "text", "text": "by command"}]},
        }  # fmt: skip
        assert served.ask("POST", f"/runs/{run}/command", command).status == 200
    for run in (one, two):
        deadline = time.monotonic() + 60
        while served.settled(run)["turns"] < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert served.settled(run)["turns"] == 3


def test_a_question_is_answered_over_the_wire(served: Serving) -> None:
    run = started(served, "demo/asker", mode="ask")
    facts = served.settled(run)
    assert facts["state"] == "waiting"
    assert facts["pending"][0]["title"]
    served.verb("allow", run=run)
    deadline = time.monotonic() + 60
    while (facts := served.settled(run))["state"] == "waiting" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert facts["outcome"] == "end_turn"


def test_many_watchers_of_a_run_get_every_byte_once_also_the_slow_ones(served: Serving) -> None:
    run = started(served, "demo/slow")

    async def go() -> list[dict[str, bytes]]:
        quick = [watched(served, {run: 0}, 3000) for _ in range(8)]
        return await asyncio.gather(*quick, watched(served, {run: 0}, 3000, slow=0.2))

    for got in asyncio.run(go()):
        assert journal(served, run).startswith(got[run])
    served.verb("cancel", run=run)


def test_a_watcher_of_many_runs_that_does_not_read_costs_the_memory_of_one_piece(
    served: Serving,
) -> None:
    runs = [f"01ZZ{number:022d}" for number in range(120)]
    folders = [served.root / ".paseo_nb" / "runs" / run for run in runs]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text("{}")
        (folder / "journal.jsonl").write_text(("x" * 4000 + "\n") * 200)
    before = served.memory_mb()

    async def go() -> None:
        url = served.url.replace("http", "ws") + "paseo/api/stream"
        line = await websocket.websocket_connect(httpclient.HTTPRequest(url, headers=HEAD))
        await line.write_message(json.dumps({"watch": dict.fromkeys(runs, 0)}))
        time.sleep(2)  # nothing is read meanwhile
        more = served.memory_mb() - before
        line.close()
        assert more < 25, f"{more} MB"

    try:
        asyncio.run(go())
    finally:
        for folder in folders:
            shutil.rmtree(folder)


def test_what_a_call_without_a_key_gave_is_kept_by_nobody(tmp_path: Path) -> None:
    class Large:
        pass

    async def made() -> Large:
        return Large()

    async def go() -> weakref.ref[Any]:
        done, given = await calls.result(None, tmp_path, made)
        assert done
        return weakref.ref(given)

    calls = Calls()
    held = asyncio.run(go())
    gc.collect()
    assert held() is None
    _, given = asyncio.run(calls.result("key", tmp_path, made))
    assert asyncio.run(calls.result("key", tmp_path, made))[1] is given


def test_a_watcher_goes_on_where_it_was_and_hears_of_what_it_cannot_see(served: Serving) -> None:
    run = started(served)
    served.settled(run)
    whole = journal(served, run)
    middle = whole.index(b"\n", len(whole) // 2) + 1
    got = asyncio.run(watched(served, {run: middle}, 1))
    assert whole[middle:].startswith(got[run])

    async def strange(message: str) -> Any:
        url = served.url.replace("http", "ws") + "paseo/api/stream"
        line = await websocket.websocket_connect(httpclient.HTTPRequest(url, headers=HEAD))
        await line.write_message(message)
        said = await asyncio.wait_for(line.read_message(), 60)
        line.close()
        return said

    for name in ("01ZZZ", "../../etc", run + "/.."):
        said = asyncio.run(strange(json.dumps({"watch": {name: 0}})))
        assert json.loads(said)["error"] == "no such run"
    for offset in (-1, 1 << 62, 1 << 70):
        said = asyncio.run(strange(json.dumps({"watch": {run: offset}})))
        assert json.loads(said)["error"] == "no such offset"
    end = len(journal(served, run))
    assert json.loads(asyncio.run(strange(json.dumps({"watch": {run: end + 1}}))))["error"]

    async def beside_one_who_is_further() -> None:
        """Whoever claims to have more than there is keeps nothing from the others."""
        url = served.url.replace("http", "ws") + "paseo/api/stream"
        lines = [
            await websocket.websocket_connect(httpclient.HTTPRequest(url, headers=HEAD))
            for _ in range(2)
        ]
        more = started(served, "demo/slow")
        await lines[0].write_message(json.dumps({"watch": {more: 0}}))
        first = await asyncio.wait_for(lines[0].read_message(), 60)
        await lines[1].write_message(json.dumps({"watch": {more: 1 << 40}}))
        assert b"error" in str(await asyncio.wait_for(lines[1].read_message(), 60)).encode()
        seen = first
        while b"2 of 100" not in seen:
            seen += await asyncio.wait_for(lines[0].read_message(), 60)
        for line in lines:
            line.close()

    asyncio.run(beside_one_who_is_further())
    for message in ("{", "[]", '{"watch": {"a": "b"}}', '{"x": 1}', "[" * 5000, "x" * 70000):
        assert asyncio.run(strange(message)) is None  # closed
    assert served.ask("GET", "/about").status == 200


def test_a_watcher_hears_of_a_journal_that_cannot_be_read_and_ended_runs_leave_room(
    served: Serving,
) -> None:
    runs = served.root / ".paseo_nb" / "runs"
    broken, over = started(served), started(served)
    for run in (broken, over):
        served.settled(run)
        served.verb("stop", run=run)
    whole = runs / broken / "journal.jsonl"
    many = [f"{over[:-4]}{number:04}" for number in range(512)]
    for name in many:
        shutil.copytree(runs / over, runs / name, ignore=lambda *_: ["lock", "scratch"])
    live = started(served, "demo/slow")

    async def go() -> None:
        url = served.url.replace("http", "ws") + "paseo/api/stream"
        line = await websocket.websocket_connect(httpclient.HTTPRequest(url, headers=HEAD))

        async def hear(run: str) -> Any:
            """What is said of a run next: an error, or events."""
            while True:
                message = await asyncio.wait_for(line.read_message(), 60)
                assert message is not None
                head = json.loads(message.partition("\n" if isinstance(message, str) else b"\n")[0])
                if head["run"] == run:
                    return head.get("error", "events")

        end = whole.stat().st_size
        await line.write_message(json.dumps({"watch": {broken: end, live: 0}}))
        assert await hear(live) == "events"
        aside = unreadable(whole)
        assert "cannot be read" in await hear(broken)
        await line.write_message(json.dumps({"watch": {broken: 0}}))
        assert "cannot be read" in await hear(broken)
        assert await hear(live) == "events"
        answer = served.ask("GET", f"/runs/{broken}/journal")
        assert (answer.status, answer.json["error"]["code"]) == (507, "StorageProblem")
        aside.replace(whole)
        await line.write_message(json.dumps({"watch": {broken: 0}}))
        assert await hear(broken) == "events"
        size = (runs / many[0] / "journal.jsonl").stat().st_size
        await line.write_message(json.dumps({"watch": dict.fromkeys(many, size)}))
        assert "it is over" in await hear(broken)
        await line.write_message(json.dumps({"watch": {broken: 0}}))
        assert await hear(broken) == "events"
        assert await hear(live) == "events"
        line.close()

    try:
        asyncio.run(go())
    finally:
        for name in many:
            shutil.rmtree(runs / name)
        served.verb("cancel", run=live)


def test_contents_go_up_and_down_in_pieces(served: Serving) -> None:
    data = bytes(range(256)) * 40000  # 10 MB
    name = hashlib.sha256(data).hexdigest()
    size, have, sent = len(data), 0, 0
    while have < size:
        piece = data[have : have + (4 << 20)]
        answer = served.ask("PUT", f"/contents/{name}?offset={have}&size={size}", piece)
        assert answer.status == 200, answer.body
        have, sent = answer.json["have"], sent + 1
        if sent == 1:  # the first again, as if its answer had been lost
            again = served.ask("PUT", f"/contents/{name}?offset=0&size={size}", piece)
            assert again.json["have"] == have
    back = b""
    while len(back) < size:
        back += served.ask("GET", f"/contents/{name}?offset={len(back)}").body
    assert back == data
    run = started(served, attach=[{"type": "resource_link", "name": "../../x.bin", "blob": name}])
    link = served.ask("GET", f"/runs/{run}/spec").json["prompt"][1]
    assert link["uri"].endswith(f"/.paseo_nb/blobs/{name}")
    other = served.ask("PUT", f"/contents/{'0' * 64}?offset=0&size=3", b"abc")
    assert other.status == 400
    assert "another SHA-256" in other.json["error"]["message"]
    assert served.ask("GET", f"/contents/{'0' * 64}").status == 400


def test_how_much_is_brought_is_bounded_for_a_device_in_all_and_by_the_disk(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / ".paseo_nb").mkdir(parents=True, mode=0o700)
    (root / "paseo_nb.toml").write_text("brought_mb = 3\ndevice_mb = 2\n")
    home = LocalHost(root / ".paseo_nb")
    small = 'mount -t tmpfs -o size=80m,mode=700 tmpfs .paseo_nb && exec "$@"'
    one = Serving(root).paired("one", "send")

    def bring(to: Serving, token: str, mark: int, mb: float, sent: float | None = None) -> Any:
        data = bytes([mark]) * int(mb * (1 << 20))
        path = f"/contents/{hashlib.sha256(data).hexdigest()}?offset=0&size={len(data)}"
        piece = data[: int((mb if sent is None else sent) * (1 << 20))]
        return to.ask("PUT", path, piece, token=token)

    def refused(answer: Any, status: int, *said: str) -> None:
        assert answer.status == status, answer.body
        for words in said:
            assert words in answer.json["error"]["message"]
        assert str(root) not in answer.body.decode()

    with serving(root) as served:
        refused(bring(served, one, 1, 2.5, 1), 413, "2 MB may be brought", "device_mb")
        assert bring(served, one, 2, 1.5, 0.1).status == 200  # begun: it has its place
        refused(bring(served, one, 3, 1), 507, "1.5 MB of 2", "this device", "prune")
        again = served.paired("one", "send")  # paired again: the same
        refused(bring(served, again, 3, 1), 507, "1.5 MB of 2")
        assert bring(served, TOKEN, 4, 1).status == 200
        refused(bring(served, TOKEN, 5, 1), 507, "2.5 MB of 3", "brought_mb")
        assert bring(served, TOKEN, 4, 1).status == 200  # is here already
        (begun,) = (home.home / "incoming").iterdir()
        os.utime(begun, (1, 1))  # never finished
        assert bring(served, again, 5, 1).status == 200
        assert not begun.exists()
        many = [bring(served, again, mark, 1e-6).status for mark in range(6, 30)]
        assert many.count(200) == 16  # what is small counts 64 kB
    with serving(root, within=("unshare", "-rm", "sh", "-c", small, "sh")) as served:
        (root / "paseo_nb.toml").write_text("")
        assert bring(served, TOKEN, 1, 4).status == 200
        refused(bring(served, TOKEN, 2, 40, 4), 507, "too little space", "free some")
        assert served.ask("GET", "/about").status == 200


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/runs/01ZZZZ", None, 404, "no run"),
    ("GET", "/runs/..%2f..%2fetc/spec", None, 404, "no run"),
    ("GET", "/runs/%00/journal", None, 404, "no run"),
    ("GET", "/about?project=../..", None, 404, "no project"),
    ("GET", "/about?project=/etc", None, 404, "no project"),
    ("GET", "/runs?limit=-1", None, 400, "limit"),
    ("GET", "/contents/..%2f..%2fpasswd", None, 400, "SHA-256"),
    ("PUT", "/contents/x?size=1", b"a", 400, "SHA-256"),
    ("PUT", f"/contents/{'1' * 64}?size=99999999999999", b"a", 400, "bytes"),
    ("PUT", f"/contents/{'1' * 64}?size=1&offset=5", b"a", 400, "more of it"),
    ("POST", "/verbs/nonsense", {}, 404, "no verb"),
    ("POST", "/verbs/trust", {"path": "x"}, 404, "no verb"),
    ("POST", "/verbs/start", b"{", 400, "body"),
    ("POST", "/verbs/start", b"\xff\xfe", 400, "body"),
    ("POST", "/verbs/start", b"[" * 100000, 400, "body"),
    ("POST", "/verbs/start", {"agent": 5, "prompt": "x"}, 400, "agent"),
    ("POST", "/verbs/start", {"prompt": "x", "agent": "demo/echo", "cell": {}}, 400, "cell"),
    ("POST", "/verbs/start", {"agent": "demo/nothing", "prompt": "x"}, 400, "demo"),
    ("POST", "/verbs/start", {"agent": "demo/echo", "prompt": ""}, 400, "empty"),
    (
        "POST",
        "/verbs/start",
        {"agent": "demo/echo", "prompt": "x", "attach": [{"type": "image", "blob": "../x"}]},
        400,
        "SHA-256",
    ),
    ("POST", "/verbs/logs", {"run": "01ZZ"}, 400, "no run"),
    ("POST", "/verbs/sql", {"query": "select nonsense"}, 507, ""),
    ("POST", "/repositories", {"commit": "x", "roots": []}, 400, ""),
    (
        "POST",
        "/repositories",
        {"commit": "a" * 40, "roots": ["b" * 40], "bundle": "0" * 64},
        400,
        "not brought",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), REFUSED)
def test_what_is_wrong_is_said(
    served: Serving, method: str, path: str, body: Any, status: int, said: str
) -> None:
    answer = served.ask(method, path, body)
    assert answer.status == status or (not said and 400 <= answer.status < 500), answer.body
    assert said in answer.json["error"]["message"]
    assert "Traceback" not in answer.body.decode()


def test_too_large_a_body_is_refused_before_it_is_read(served: Serving) -> None:
    answer = served.ask("POST", "/verbs/start", headers={"Content-Length": str(1 << 40)})
    assert answer.status in (400, 413)
    assert served.ask("GET", "/about").status == 200
    logged = served.log.stat().st_size
    path, piece = f"/user/me/paseo/api/contents/{'2' * 64}?size=9", b"x" * (1 << 16)
    for endless in (True, False):  # nor does a body go on that does not say how large it is
        with socket.create_connection((served.address, served.port), timeout=60) as line:
            head = f"PUT {path} HTTP/1.1\r\nHost: {served.address}:{served.port}\r\n"
            head += f"Authorization: token {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
            line.sendall(head.encode())
            for _ in range(65):  # one more than there may be
                line.sendall(b"10000\r\n" + piece + b"\r\n")
            if not endless:
                line.sendall(b"0\r\n\r\n")
            said = b""
            while data := line.recv(1 << 16):
                said += data
        assert said.startswith(b"HTTP/1.1 413 ")
        assert b"4194304 bytes at most" in said
    assert served.ask("GET", "/about").status == 200
    assert b"Traceback" not in served.log.read_bytes()[logged:]


def test_another_protocol_is_an_error_that_says_so(served: Serving) -> None:
    answer = served.ask("GET", "/about", headers={"Paseo-Protocol": "99"})
    assert answer.status == 426
    assert "same version" in answer.json["error"]["message"]


def routes() -> list[tuple[str, str]]:
    from paseo_nb.server.openapi import page

    return [
        (method, path)
        for path, methods in page()["paths"].items()
        for method in methods
        if not path.startswith("/paseo/api/verbs/") or path.endswith(("/start", "/sql"))
    ]


def paired(served: Serving, *words: str) -> str:
    """A new token: what `paseo-nb pair` shows."""
    with served.at_home() as env:
        done = subprocess.run(
            [sys.executable, "-m", "paseo_nb.cli", "pair", *words],
            cwd=served.root, env=env, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout.split()[0]


def test_a_paired_device_sees_and_does_what_its_token_is_for_and_no_more(served: Serving) -> None:
    mine, other = started(served, "demo/asker", mode="ask"), started(served)
    assert served.settled(mine)["state"] == "waiting"
    served.settled(other)
    token = paired(served, "phone", "--runs", mine[:20], "--rights", "answer")
    assert token not in (served.root / ".paseo_nb" / "tokens.json").read_text()
    (permission,) = served.ask("GET", f"/runs/{mine}", token=token).json["run"]["pending"]
    listed = served.ask("GET", "/runs", token=token).json["runs"]
    assert [one["run_id"] for one in listed] == [mine]
    assert served.ask("GET", "/ids", token=token).json["ids"] == [mine]
    for method, path in routes():
        if "{run}" in path or not path.endswith(("/about", "/runs", "/ids", "/board", "/stream")):
            target = path.removeprefix("/paseo/api").replace("{digest}", "0" * 64)
            body = None if method == "get" else b"{}"
            answer = served.ask(method.upper(), target.replace("{run}", other), body, token=token)
            assert answer.status == 403, (method, target)
    for elsewhere in ("/about?project=.", "/board?also=.", "/board?also=.&also="):
        assert served.ask("GET", elsewhere, token=token).status == 403
    assert served.ask("GET", "", token=token, at="api/contents").status == 403  # Jupyter's own

    def command(verb: str, **more: Any) -> int:
        body = {"id": f"0123456789{verb}", "verb": verb, **more}
        return served.ask("POST", f"/runs/{mine}/command", body, token=token).status

    assert command("send", args={"prompt": []}) == 403
    assert command("set_mode", args={"mode": "auto"}) == 403
    assert command("cancel", wake=True) == 403
    yes = {"permission": permission["id"], "allow": True}
    for more in ({"input": {"command": "id"}}, {"by": "the owner"}):
        assert command("answer", args={**yes, **more}) == 403
        act = {**yes, "verb": "allow", **more}
        assert served.ask("POST", f"/runs/{mine}/act", act, token=token).status == 403
    assert command("answer", args={"permission": permission["id"], "option": "allow"}) in (200, 400)
    assert command("cancel") == 200

    async def seen(run: str) -> Any:
        url = served.url.replace("http", "ws") + f"paseo/api/stream?token={token}"
        line = await websocket.websocket_connect(url)
        await line.write_message(json.dumps({"watch": {run: 0}}))
        said = await asyncio.wait_for(line.read_message(), 60)
        line.close()
        return said

    assert isinstance(asyncio.run(seen(mine)), bytes)
    assert "no such run" in asyncio.run(seen(other))
    again = paired(served, "phone", "--runs", mine, "--expires", "0.001")
    for gone in (token, again):
        answer = served.ask("GET", f"/runs/{mine}", token=gone)
        assert (answer.status, answer.json["error"]["code"]) == (403, "NotPaired")
        assert "paseo.pair()" in answer.json["error"]["message"]


def test_no_error_tells_a_paired_device_the_servers_own_token(served: Serving) -> None:
    mine, other = started(served), started(served)
    token = paired(served, "guest", "--runs", mine, "--rights", "read")
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "A" * 22 + "==",
    }  # fmt: skip
    for target in (f"/runs/{other}/view", f"/runs/{mine}/view", "/stream", "/nowhere"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            for headers in ({}, upgrade if other in target else {}):
                answer = served.ask(method, target, None, token=token, headers=headers)
                assert answer.status >= 400, (method, target)
                assert TOKEN.encode() not in answer.body, (method, target, answer.status)


@pytest.mark.parametrize(
    "odd",
    [
        {"name": 5}, {"name": "a\nb"}, {"name": " "}, {"expires": "1d"}, {"expires": float("nan")},
        {"expires": 0}, {"rights": "admin"}, {"rights": []}, {"url": "http://[::1/"},
        {"url": "http://h:99999/"}, {"url": "javascript:alert(1)"}, {"runs": ["../../x"]},
    ],
)  # fmt: skip
def test_what_no_pairing_can_be_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(paseo.UsageProblem):
        paseo.pair(**odd)
    assert not (tmp_path / ".paseo_nb" / "tokens.json").exists()


def test_a_call_that_fails_leaves_no_traceback_in_the_log(tmp_path: Path) -> None:
    from paseo_nb.server.calls import Calls

    told: list[dict[str, Any]] = []

    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise paseo.UsageProblem("no")

    async def go() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
        calls = Calls()
        with pytest.raises(paseo.UsageProblem):
            await calls.result(None, tmp_path, fails)
        del calls
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(go())
    gc.collect()
    assert told == []


def test_the_openapi_page_is_made_from_the_routes() -> None:
    from paseo_nb.server.openapi import page

    path = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert json.loads(path.read_text()) == page(), (
        "run `python -m paseo_nb.server.openapi > docs/openapi.json`"
    )


def test_runs_at_work_count_as_activity(tmp_path: Path) -> None:
    from paseo_nb.server.activity import report
    from paseo_nb.server.handlers import Shared

    async def told(project: Project, for_s: float) -> dict[str, Any]:
        shared, settings = Shared(project.root), {"last_activity_times": dict[str, Any]()}
        shared.host(project.root)
        task = asyncio.create_task(report(shared, settings, 0.05))
        deadline = time.monotonic() + for_s
        while not settings["last_activity_times"] and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        task.cancel()
        return settings["last_activity_times"]

    with project_in(tmp_path / "p") as project:
        quiet = project.start("echo", "x")
        project.ended(quiet)
        assert asyncio.run(told(project, 0.5)) == {}
        project.start("slow", "x")
        assert "paseo_nb" in asyncio.run(told(project, 60))


def test_the_extension_is_enabled_by_a_file_that_the_wheel_installs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomllib

    root = Path(__file__).parents[2]
    told = tomllib.loads((root / "pyproject.toml").read_text())
    shared = told["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared["extensions/server/etc"] == "etc"
    (file,) = (root / "extensions/server/etc").rglob("*.json")
    assert file.parent.name == "jupyter_server_config.d"
    assert json.loads(file.read_text())["ServerApp"]["jpserver_extensions"] == {
        "paseo_nb.server": True
    }
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(file.parent.parent))
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = listed.stdout + listed.stderr
    assert re.search(r"paseo_nb\.server.*enabled", said), said
    assert re.search(r"paseo_nb\.server.*OK", said), said
