"""What a phone gets: the page, the addresses and the code by which it comes there, and what the routes
show a paired device and let it do: of its runs, by its rights."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import segno
from hub_like import OWNER
from kernels import Kernel
from kit import Project
from serving import Serving, serving
from tornado import httpclient, websocket

from paseo_nb import pairing, reaching
from paseo_nb.errors import UsageProblem
from paseo_nb.host.local import LocalHost
from paseo_nb.programs.demo import copy_sample
from paseo_nb.server.pages import files
from paseo_nb.widgets import qr

ADDRESS = "https://lab.example/user/me/paseo/"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360"
    "6060f80f0001040100a5f2d8e30000000049454e44ae426082"
)
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = Path(copy_sample(tmp_path_factory.mktemp("phone") / "tidelog"))
    with serving(root, "/user/me/") as made:
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
    return served.paired(name, *rights, runs=runs)


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
    for verb, more in (  # words that the agent is told are as good as a prompt
        ("allow", {"input": ""}),
        ("allow", {"input": "id"}),
        ("deny", {"reason": "Do this instead"}),
    ):
        assert [act(token, verb, **more) for token in (answers, sends)] == [403, 200], more
    args = {"permission": "no-such", "allow": False, "message": "Do this instead"}
    command = {"id": "0123456789", "verb": "answer", "args": args}
    for token, status in ((answers, 403), (sends, 400)):  # there is no such question
        told = served.ask("POST", f"/runs/{mine}/command", command, token=token)
        assert told.status == status
    for token, plain in ((answers, True), (sends, False)):
        (ask,) = served.ask("GET", "/board", token=token).json["asks"]
        assert (ask.get("plain", False), not ask["editable"]) == (plain, plain)
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


def test_a_page_that_asks_and_does_not_read_costs_little_and_has_so_many_lines(
    served: Serving,
) -> None:
    run = served.verb("start", agent="demo/echo", prompt="W" * 190_000)["run"]["run_id"]
    served.settled(run)
    token = token_for(served, "greedy", "read", runs=[run])
    url = served.url.replace("http", "ws") + f"paseo/api/runs/{run}/view?token={token}"

    async def go() -> float:
        lines = [await websocket.websocket_connect(url) for _ in range(64)]
        with pytest.raises(httpclient.HTTPClientError, match="429"):
            await websocket.websocket_connect(url)
        for line in lines:
            assert await asyncio.wait_for(line.read_message(), 60)
        before = served.memory_mb()
        for number in range(400):
            await lines[0].write_message(json.dumps({"k": "more", "row": number % 2}))
        time.sleep(4)  # nothing is read meanwhile
        more = served.memory_mb() - before
        told = {"": 0}
        while told.get("more", 0) < 400:
            said = json.loads(await asyncio.wait_for(lines[0].read_message(), 60) or b"{}")
            told[said["k"]] = told.get(said["k"], 0) + 1
        for line in lines:
            line.close()
        return more

    assert asyncio.run(go()) < 40
    asyncio.run(opened(url))


async def opened(url: str) -> None:
    """A line that is opened once those before it are gone."""
    for _ in range(300):
        try:
            (await websocket.websocket_connect(url)).close()
            return
        except httpclient.HTTPClientError:
            await asyncio.sleep(0.05)
    raise AssertionError("the lines are not given back")


def test_the_shell_comes_without_a_token_and_can_do_nothing_but_talk_to_its_server(
    served: Serving,
) -> None:
    for name, path in {"": files()["index.html"], **files()}.items():
        answer = served.ask("GET", name, at="paseo/", token=None)
        assert (answer.status, answer.body) == (200, path.read_bytes()), name
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert b"tidelog" not in answer.body
        if path.suffix in (".html", ".css", ".js") and path.parent.name == "page":
            found = re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", answer.body)
            assert found == [], name  # nobody else is asked for anything
            assert b"innerHTML" not in answer.body
    assert served.ask("GET", "", at="paseo", token=None).headers["Location"] == "/user/me/paseo/"
    for name in ("..%2fpages.py", "pages.py", "%00", "x/y"):
        assert served.ask("GET", name, at="paseo/", token=None).status == 404, name
    foreign = {"Host": "evil.example"}
    assert served.ask("GET", "", at="paseo/", token=None, headers=foreign).status == 403
    told = served.ask("GET", "manifest.webmanifest", at="paseo/", token=None)
    assert told.headers["Content-Type"] == "application/manifest+json"
    kept = re.search(r"SHELL = (\[.*?\]);", files()["sw.js"].read_text())
    assert kept
    left_out = {"index.html", "sw.js", "icon-512.png"}
    assert {*json.loads(kept[1]), *left_out} - {"./"} == set(files())


def test_a_device_is_let_in_also_where_the_servers_users_are_a_hubs(tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    options = (
        "--ServerApp.identity_provider_class=hub_like.HubIdentity",
        "--ServerApp.authorizer_class=hub_like.HubAuthorizer",
    )
    with serving(root, "/user/me/", options=options) as at_hub:
        token = token_for(at_hub, "phone", "read")
        for who, status in ((OWNER, 200), (token, 200), ("other", 403), (None, 403)):
            assert at_hub.ask("GET", "/board", token=who).status == status, who
        run = at_hub.ask(
            "POST", "/verbs/start", {"agent": "demo/echo", "prompt": "hello"}, token=OWNER
        ).json["run"]["run_id"]
        assert len(list((root / ".paseo_nb" / "paired").iterdir())) == 1  # it is known to have come
        [full] = view_of(at_hub, run, token, {"k": "hello", "epoch": None, "n": 0})
        assert full["k"] == "full"
        assert at_hub.ask("POST", "/verbs/ls", {}, token=token).status == 403
        assert at_hub.ask("GET", "", token=token, at="api/contents").status == 403
    project = Project(root)
    project.runs = [run]
    project.close()


def test_the_running_server_of_a_project_is_found_and_what_is_none_is_not(
    served: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = served.root.parent / "server-home/.local/share/jupyter/runtime"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
    home = served.root / ".paseo_nb"
    [door] = reaching.doors(home)
    assert door.url == f"{served.url}paseo/"
    assert "no phone gets there" in door.notes[0]
    assert reaching.doors(tmp_path / ".paseo_nb") == []
    [told] = [json.loads(one.read_text()) for one in runtime.glob("jpserver-*.json")]
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))

    def running(**other: object) -> list[str]:
        (tmp_path / "jpserver-1.json").write_text(json.dumps({**told, **other}))
        return [one.url for one in reaching.doors(home)]

    assert running() == [door.url]
    assert running(pid=2**22 + 1) == running(port=1) == running(base_url="/other/") == []
    everywhere = running(hostname="0.0.0.0")
    assert everywhere[-1] == door.url
    assert all("://127." not in url for url in everywhere[:-1])
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/me/")
    assert running() == ["https://hub.example/user/me/paseo/"]
    for broken in ("{", "[]", '{"pid": "x"}', "{}"):
        (tmp_path / "jpserver-1.json").write_text(broken)
        assert reaching.doors(home) == []


def test_an_address_that_is_named_is_taken_and_judged() -> None:
    for given in ("https://lab.example/user/me", ADDRESS, " https://lab.example/user/me/ "):
        assert reaching.named(given) == reaching.Door(ADDRESS, 2, [])
    [note] = reaching.named("http://192.168.1.5:8888").notes
    assert note.startswith("Plain http")
    for local in ("http://localhost:8888", "https://127.0.0.9/", "http://[::1]:8888/"):
        [note] = reaching.named(local).notes
        assert "no phone gets there" in note
    for wrong in (
        "lab.example",
        "ftp://lab.example",
        "https://",
        "https://a:b@lab.example",
        "http://x:y",
    ):
        with pytest.raises(UsageProblem, match="no address"):
            reaching.named(wrong)


def test_what_pair_shows_has_the_code_of_the_address_and_nothing_that_a_name_puts_in() -> None:
    token = pairing.PREFIX + "a" * 43
    name = "<script>x</script>\x1b[31m"
    made = pairing.Pairing(name, token, ["read"], None, 2e9, ADDRESS, ["Plain <http>"])
    assert made.address == f"{ADDRESS}#{token}"
    wanted = [list(map(bool, row)) for row in segno.make(made.address, error="m").matrix]
    drawn = qr.code_text(made.address, in_window=False).splitlines()
    halves = {"█": (0, 0), "▄": (1, 0), "▀": (0, 1), " ": (1, 1)}
    rows = [[bool(halves[char][at]) for char in line] for line in drawn for at in (0, 1)]
    size = len(wanted)
    assert [row[2 : 2 + size] for row in rows[2 : 2 + size]] == wanted
    assert not any(any(row) for row in [*rows[:2], *rows[2 + size :]])
    assert "\x1b[97;40m" in qr.code_text(made.address, in_window=True)
    text = str(made)
    assert text.split()[0] == token
    assert "\x1b" not in text
    kept = made._repr_mimebundle_()  # what a notebook keeps
    assert "<script" not in kept["text/html"]
    assert "Plain &lt;http&gt;" in kept["text/html"]
    for text in kept.values():
        assert token not in text
        assert "<svg" not in text
    without = pairing.Pairing("phone", token, ["read"], None, 2e9, None, [reaching.NOBODY])
    assert "█" not in str(without)
    assert "paseo-nb serve" in str(without)


def test_a_notebook_is_told_the_code_by_a_message_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    root = tmp_path / "p"
    root.mkdir()
    kernel = Kernel(root)
    try:
        sent = kernel.submit(
            f"import paseo_nb as paseo; pairing = paseo.pair(url={ADDRESS!r})\n"
            "open('told', 'w').write(pairing.token); display([pairing]); pairing",
            stdin=True,
        )
        published: list[dict[str, Any]] = []
        while not published or published[-1].get("execution_state") != "idle":
            message = kernel.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") == sent:
                published.append({"kind": message["msg_type"], **message["content"]})
        token = (root / "told").read_text()
        assert token.startswith(pairing.PREFIX)
        text = json.dumps(published)  # the outputs, and the widget's state
        assert "takes it" in text
        assert token not in text.replace(repr(token), "")
        assert "<svg" not in text
        views = [one["data"] for one in published if one["kind"] == "display_data"]
        [model] = [one[VIEW]["model_id"] for one in views if VIEW in one]

        def next_told() -> dict[str, Any]:
            while True:
                message = kernel.client.get_iopub_msg(timeout=60)
                data = message["content"].get("data", {})
                if message["msg_type"] == "comm_msg" and data.get("method") == "custom":
                    return data["content"]

        hello = {"comm_id": model, "data": {"method": "custom", "content": {"k": "hello"}}}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", hello))
        code = next_told()
        assert (code["k"], code["token"], code["url"]) == ("code", token, ADDRESS)
        assert code["svg"].startswith("<svg")
        home = root / ".paseo_nb"
        grant = pairing.grant_of(home, token)
        assert grant is not None
        pairing.note(home, grant)  # as a server does when the device comes
        assert next_told() == {"k": "gone", "said": "phone is paired."}
        kernel.client.shell_channel.send(kernel.client.session.msg("comm_msg", hello))
        assert next_told()["k"] == "gone"
    finally:
        kernel.close()
