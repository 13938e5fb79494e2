"""What paired devices are shown and may do by the routes of a page: of their runs, by their rights."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project
from serving import Serving, serving
from tornado import httpclient, websocket

from paseo_nb import pairing
from paseo_nb.host.local import LocalHost
from paseo_nb.programs.demo import copy_sample

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "6060f80f0001040100a5f2d8e30000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = Path(copy_sample(tmp_path_factory.mktemp("scopes") / "tidelog"))
    with serving(root, "/hub/me/") as made:
        yield made
        project = Project(root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


@pytest.fixture(scope="module")
def runs(served: Serving) -> tuple[str, str]:
    """One that asks, and a secret one."""
    mine, other = (
        served.verb("start", agent="demo/asker", prompt=prompt, mode="ask", title=title)["run"]
        for prompt, title in (("run: echo mine", "Mine"), ("run: echo hush", "Secret"))
    )
    for one in (mine, other):
        assert served.settled(one["run_id"])["state"] == "waiting"
    return mine["run_id"], other["run_id"]


def token_for(served: Serving, name: str, *rights: str, runs: list[str] | None = None) -> str:
    host = LocalHost(served.root / ".paseo_nb")
    return pairing.make(host, name, rights, runs, 3600).token


def view_of(served: Serving, run: str, token: str, *say: dict[str, Any], enough: int = 1) -> Any:
    """What a live view is told, up to so many messages; None at its end: it was closed."""

    async def go() -> list[Any]:
        url = served.url.replace("http", "ws") + f"paseo/api/runs/{run}/view"
        request = httpclient.HTTPRequest(url)
        line = await websocket.websocket_connect(request, subprotocols=["paseo", token])
        assert line.selected_subprotocol == "paseo"
        for message in say:
            await line.write_message(json.dumps(message))
        got: list[Any] = []
        while len(got) < enough:
            data = await asyncio.wait_for(line.read_message(), 60)
            got.append(None if data is None else json.loads(data))
            if data is None:
                break
        line.close()
        return got

    return asyncio.run(go())


def test_a_board_shows_a_device_its_runs_and_nothing_of_others(
    served: Serving, runs: tuple[str, str]
) -> None:
    mine, other = runs
    token = token_for(served, "one run", "answer", runs=[mine])
    deadline = time.monotonic() + 60
    while True:
        answer = served.ask("GET", "/board", token=token)
        told = answer.json
        if [one["run"] for one in told["asks"]] == [mine] or time.monotonic() > deadline:
            break
    assert [one["id"] for one in told["lines"]] == [mine]
    assert [one["run"] for one in told["asks"]] == [mine]
    assert told["head"]["runs"] == told["head"]["shown"] == 1
    assert sum(told["head"]["counts"].values()) == 1
    assert told["head"]["cost_usd"] is None
    assert b"Secret" not in answer.body
    assert other.encode() not in answer.body
    everything = served.ask("GET", "/board").json
    assert {mine, other} <= {one["id"] for one in everything["lines"]}
    reader = served.ask("GET", "/board", token=token_for(served, "reader", "read")).json
    assert {mine, other} <= {one["id"] for one in reader["lines"]}
    assert reader["asks"] == []
    assert all(one["can"] == [] for one in reader["lines"])
    trace = served.ask("GET", f"/runs/{mine}/trace", token=token)
    assert trace.status == 200
    assert served.ask("GET", f"/runs/{mine}/changes", token=token).status == 200
    for path in ("trace", "changes", "view", "journal"):
        assert served.ask("GET", f"/runs/{other}/{path}", token=token).status == 403


def test_what_a_device_may_ask_goes_by_its_rights(served: Serving, runs: tuple[str, str]) -> None:
    mine, other = runs
    reads, answers, sends = (
        token_for(served, right, right, runs=[mine]) for right in pairing.RIGHTS
    )

    def act(token: str, verb: str, run: str = mine, **more: Any) -> int:
        body = {"verb": verb, "permission": "no-such", "text": "", **more}
        return served.ask("POST", f"/runs/{run}/act", body, token=token).status

    for verb, allowed in (
        ("allow", (403, 200, 200)),
        ("deny", (403, 200, 200)),
        ("send", (403, 403, 200)),
        ("unqueue", (403, 403, 200)),
        ("set_mode", (403, 403, 403)),
        ("apply", (403, 403, 403)),
    ):
        assert tuple(act(token, verb) for token in (reads, answers, sends)) == allowed, verb
        assert act(sends, verb, other) == 403
    digest = hashlib.sha256(PNG).hexdigest()
    for token, status in ((reads, 403), (answers, 403), (sends, 200)):
        path = f"/contents/{digest}?offset=0&size={len(PNG)}"
        assert served.ask("PUT", path, PNG, token=token).status == status
        assert served.ask("GET", f"/contents/{digest}", token=token).status == 403
    photo = {"type": "image", "name": "photo.png", "mimeType": "image/png", "blob": digest}
    for attach, said in (
        ([photo | {"blob": "../x"}], "SHA-256"),
        ([photo | {"blob": "0" * 64}], "was not sent"),
        ({"a": 1}, "a list"),
        ([photo] * 99, "a list"),
    ):
        body = {"verb": "send", "text": "see", "attach": attach}
        told = served.ask("POST", f"/runs/{mine}/act", body, token=sends).json
        assert (told["ok"], said in told["said"]) == (False, True), told
    body = {"verb": "send", "text": "what is in it?", "attach": [photo]}
    told = served.ask("POST", f"/runs/{mine}/act", body, token=sends).json
    assert told["ok"], told
    assert "photo.png" in served.ask("GET", f"/runs/{mine}/journal", token=reads).body.decode()


def test_a_live_view_tells_what_the_device_may_and_ends_with_its_token(
    served: Serving, runs: tuple[str, str]
) -> None:
    mine, other = runs
    token = token_for(served, "viewer", "read", runs=[mine])
    [full] = view_of(served, mine, token, {"k": "hello", "epoch": None, "n": 0})
    assert (full["k"], full["head"]["title"], full["asks"]) == ("full", "Mine", [])
    can = full["head"]["can"]
    assert can["cancel"] == can["send"] == "This device may not do that."
    assert can["trace"] is True
    whole = token_for(served, "sender", "send", runs=[mine])
    more, *_ = view_of(served, mine, whole)
    assert more["asks"]
    assert more["head"]["can"]["cancel"] is True
    assert more["head"]["can"]["set_mode"] == can["set_mode"]
    for wrong in ([], {"k": "x" * 5000}, "hello"):
        told = view_of(served, mine, whole, wrong, enough=99)  # type: ignore[arg-type]
        assert told[-1] is None
    with pytest.raises(httpclient.HTTPClientError, match="403"):
        view_of(served, other, token)
    with pytest.raises(httpclient.HTTPClientError, match="403"):
        view_of(served, mine, pairing.PREFIX + "unknown")
    heard: list[Any] = []
    watching = threading.Thread(
        target=lambda: heard.extend(view_of(served, mine, whole, enough=10**6))
    )
    watching.start()
    time.sleep(0.5)
    pairing.revoke(LocalHost(served.root / ".paseo_nb"), "sender")
    watching.join(60)
    assert heard
    assert heard[-1] is None
    assert served.ask("GET", "/board", token=whole).json["error"]["code"] == "NotPaired"
