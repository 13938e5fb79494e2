"""What passes the recorder passes as it is, and is told once.

Invariants: (1) both sides get the bytes that they get without it, but for the host and the
encodings that can be read; (2) a side that breaks off is seen to break off by the other; (3) each
model call is told once, with the usage that the client was told; no key is.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit import SLACK

from tests.modelserver import Failure, ModelServer, Reply, nth_usage

from .conftest import Recorder

Start = Callable[..., Recorder]
KEY = "sk-ant-secret-0123456789"
CHAT = {
    "model": "m",
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    "messages": [
        {"role": "system", "content": "Be short. Today is Sunday."},
        {"role": "user", "content": "hello"},
    ],
}


def ask(
    url: str, body: Any, path: str = "/v1/chat/completions"
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers, body."""
    where = urlsplit(url + path)
    connection = http.client.HTTPConnection(where.netloc, timeout=20 * SLACK)
    try:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", where.path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw(url: str, request: bytes, most: int = 1 << 20) -> bytes:
    """What comes back for these bytes, until the other side closes."""
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), 10 * SLACK) as one:
        one.sendall(request)
        got = b""
        while len(got) < most and (data := one.recv(65536)):
            got += data
        return got


class Teller:
    """An endpoint that keeps the bytes it gets, and answers with given ones."""

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[bytes] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        for answer in self._answers:
            one, _ = self._listener.accept()
            with contextlib.ExitStack() as open_now:
                open_now.enter_context(one)
                if self._tls is not None:
                    one = open_now.enter_context(self._tls.wrap_socket(one, server_side=True))
                data = b""
                while b"THE END" not in data and (more := one.recv(65536)):
                    data += more
                self.got.append(data)
                one.sendall(answer)

    def close(self) -> None:
        self._thread.join(10 * SLACK)
        self._listener.close()


@pytest.fixture
def teller() -> Iterator[Callable[..., Teller]]:
    made: list[Teller] = []

    def start(*answers: bytes, **more: Any) -> Teller:
        made.append(Teller(*answers, **more))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_stream_passes_as_it_is_and_is_told(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer(Reply("a longer answer, in pieces", pause_s=0.02)) as server:
        direct = ask(server.url, CHAT)
        passed = ask(proxy.through(server.url), CHAT)
        one, two = server.requests
        assert one.body == two.body
        assert two.path == one.path
        differing = {
            n for n in one.headers | two.headers if one.headers.get(n) != two.headers.get(n)
        }
        assert differing <= {"host", "accept-encoding"}
        assert two.headers["host"] == urlsplit(server.url).netloc
    assert passed[0] == direct[0] == 200
    left = {"Date", "Server"}
    assert {n: v for n, v in passed[1].items() if n not in left} == {
        n: v for n, v in direct[1].items() if n not in left
    }
    (fact,) = proxy.told()
    assert len(passed[2]) == fact["response_bytes"] == len(direct[2])
    used = two.usage
    assert used is not None
    told = fact["usage"]
    assert (told["input_tokens"], told["output_tokens"]) == (used.input_tokens, used.output_tokens)
    assert told["cache_read_tokens"] == used.cached_tokens
    assert fact["status"] == 200
    assert fact["outcome"] == "complete"
    assert fact["attempt"] == 1
    assert fact["started_us"] <= fact["first_byte_us"] <= fact["first_token_us"]
    assert fact["first_token_us"] < fact["finished_us"]
    assert [(s["kind"], s["name"]) for s in fact["segments"]] == [
        ("tool", "look"),
        ("system", "message 1 (system)"),
        ("message", "message 2 (user)"),
    ]
    assert KEY not in json.dumps(fact)
    assert "hello" not in json.dumps(fact)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": CHAT["messages"][1:]}),
        ("/v1/responses", {"model": "m", "input": "hello"}),
        ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}),
    ],
)  # fmt: skip
def test_each_api_s_usage_is_told_streamed_or_not(
    recorder: Start, path: str, body: dict[str, Any]
) -> None:
    proxy = recorder()
    streamed = (
        path.replace(":g", ":streamG"),
        body if "contents" in body else body | {"stream": True},
    )
    with ModelServer("an answer", usage=nth_usage) as server:
        ask(proxy.through(server.url), body, path)
        ask(proxy.through(server.url), *reversed(streamed))
        told = proxy.told()
        for fact, request in zip(told, server.ledger(), strict=True):
            used = request.usage
            assert used is not None
            assert fact["usage"]["input_tokens"] == used.input_tokens
            assert fact["usage"]["output_tokens"] == used.output_tokens
            assert fact["usage"]["cache_read_tokens"] == used.cached_tokens
            assert fact.get("asked_model", fact.get("model")) == "m"
    assert "first_token_us" not in told[0]
    assert "first_token_us" in told[1]
    assert (told[1]["same"], told[1]["segments"]) == (1, [])


def test_an_image_is_told_as_an_attachment(recorder: Start) -> None:
    proxy = recorder()
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    }
    said = {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [picture, said]}]}
    with ModelServer("seen") as server:
        ask(proxy.through(server.url), body, "/v1/messages")
        assert server.requests[0].body == body
    (fact,) = proxy.told()
    attached, text = fact["segments"]
    assert (attached["kind"], attached["size"]) == ("attachment", 3)
    assert text["mark"] is True


def test_content_is_told_where_it_is_asked_for(recorder: Start) -> None:
    proxy = recorder("--content")
    with ModelServer("seen") as server:
        ask(proxy.through(server.url), CHAT)
    (fact,) = proxy.told()
    assert fact["segments"][-1]["text"] == "hello"
    assert KEY not in json.dumps(fact)


def test_a_failure_passes_with_its_headers_and_the_next_try_is_counted(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer() as server:
        server.enqueue(Failure(429, "slow down", retry_after_s=3), Failure(500, "broken"), "well")
        answers = [ask(proxy.through(server.url), CHAT) for _ in range(3)]
    assert [status for status, _, _ in answers] == [429, 500, 200]
    assert answers[0][1]["Retry-After"] == "3"
    told = [(fact["status"], fact["attempt"], fact.get("error")) for fact in proxy.told()]
    assert told == [(429, 1, "slow down"), (500, 2, "broken"), (200, 3, None)]


def test_a_connection_that_the_endpoint_drops_is_dropped(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer(Reply("a longer answer", cut_after=2)) as server:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            ask(proxy.through(server.url), CHAT)
        server.script = "well"
        assert ask(proxy.through(server.url), CHAT)[0] == 200
    cut, well = proxy.told()
    assert (cut["outcome"], cut["error"]) == ("cut", "the endpoint broke the connection off")
    assert (well["outcome"], well["attempt"]) == ("complete", 2)


def test_an_agent_that_hangs_up_is_gone_for_the_endpoint(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer(Reply("a longer answer", hang_after=2)) as server:
        where = urlsplit(proxy.through(server.url))
        connection = http.client.HTTPConnection(where.netloc, timeout=10 * SLACK)
        connection.request("POST", f"{where.path}/v1/chat/completions", json.dumps(CHAT))
        connection.getresponse().read(10)
        connection.close()
        server.wait_for(lambda request: request.outcome == "disconnected", 10 * SLACK)
    deadline = time.monotonic() + 10 * SLACK
    while not proxy.told() and time.monotonic() < deadline:
        time.sleep(0.01)
    (fact,) = proxy.facts
    assert (fact["outcome"], fact["error"]) == ("disconnected", "the agent hung up")


def test_fifty_at_once(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer(Reply("an answer", pause_s=0.01), usage=nth_usage) as server:
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            url = proxy.through(server.url)
            bodies = [
                CHAT | {"messages": [{"role": "user", "content": f"ask {n}"}]} for n in range(50)
            ]
            answers = list(pool.map(lambda body: ask(url, body), bodies))
        spent = server.spent()
        sent = sorted(json.dumps(request.body) for request in server.requests)
    assert {status for status, _, _ in answers} == {200}
    assert sent == sorted(map(json.dumps, bodies))
    told = proxy.told()
    assert len(told) == 50
    assert sum(fact["usage"]["input_tokens"] for fact in told) == spent.input_tokens
    assert sum(fact["usage"]["output_tokens"] for fact in told) == spent.output_tokens


def test_one_connection_serves_many_requests(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer("well") as server:
        where = urlsplit(proxy.through(server.url))
        connection = http.client.HTTPConnection(where.netloc, timeout=10 * SLACK)
        for _ in range(3):
            connection.request("POST", f"{where.path}/v1/chat/completions", json.dumps(CHAT))
            assert connection.getresponse().read()
        connection.request("GET", f"{where.path}/v1/models")
        assert b"fake-model" in connection.getresponse().read()
        connection.close()
    assert len(proxy.told()) == 3, "a list of models is no model call"


def test_a_request_in_chunks_arrives_byte_for_byte(
    recorder: Start, teller: Callable[..., Teller]
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX-Odd:  spaced \r\nContent-Length: 2\r\n\r\n{}"
    endpoint, proxy = teller(answer), recorder()
    body = b'5;ext=1\r\n{"a":\r\n3\r\n 1}\r\n0\r\nX-Trailer: THE END\r\n\r\n'
    head = (
        b"POST %b/v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nAccept-Encoding: br, gzip;q=0.5\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ) % urlsplit(proxy.through(f"http://{endpoint.address}")).path.encode()
    assert raw(proxy.url, head + body) == answer
    (got,) = endpoint.got
    first, _, rest = got.partition(b"\r\n")
    assert first == b"POST /v1/messages HTTP/1.1"
    assert rest.endswith(b"\r\n\r\n" + body)
    assert b"Host: %b\r\n" % endpoint.address.encode() in rest
    assert b"Accept-Encoding: gzip;q=0.5\r\n" in rest
    assert b"X-Api-Key: k\r\n" in rest


def test_a_packed_answer_is_read_and_passes_packed(
    recorder: Start, teller: Callable[..., Teller]
) -> None:
    event = b'data: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":7,"cache_read_input_tokens":5}}}\n\n'
    packed = gzip.compress(event)
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
        b"Connection: close\r\n\r\n"
    ) + packed
    endpoint, proxy = teller(answer), recorder()
    path = urlsplit(proxy.through(f"http://{endpoint.address}")).path.encode()
    request = b"POST %b/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nTHE END" % path
    assert raw(proxy.url, request) == answer
    (fact,) = proxy.told()
    assert fact["id"] == "msg_1"
    assert fact["usage"]["input_tokens"] == 12


def test_an_endpoint_that_is_not_there_is_a_gateway_s_error(recorder: Start) -> None:
    proxy = recorder()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    status, _, body = ask(proxy.through(f"http://127.0.0.1:{port}"), CHAT)
    assert status == 502
    assert b"cannot reach" in body
    (fact,) = proxy.told()
    assert fact["outcome"] == "unreached"
    assert fact["segments"]


def test_without_the_token_it_does_nothing(recorder: Start) -> None:
    proxy = recorder()
    with ModelServer("well") as server:
        place = f"http://{urlsplit(proxy.url).netloc}"
        assert ask(f"{place}/another-token/{server.url.replace('://', '/')}", CHAT)[0] == 404
        assert ask(f"{proxy.url}/file/etc", CHAT)[0] == 404
        assert server.requests == []
    assert proxy.told() == []


def test_an_endpoint_over_tls_is_checked_as_its_name_says(
    recorder: Start, teller: Callable[..., Teller], tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=t",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    endpoint = teller(answer, tls=context)
    proxy = recorder(SSL_CERT_FILE=str(certificate))
    path = urlsplit(proxy.through(f"https://{endpoint.address}")).path.encode()
    request = b"POST %b/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nTHE END" % path
    assert raw(proxy.url, request) == answer
    assert proxy.told()[0]["status"] == 200
