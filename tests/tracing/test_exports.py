"""Exports: a receiver of OTLP's JSON gets a whole tree, by the conventions' names; Parquet too."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paseo_nb.errors import Unreachable, UsageProblem
from paseo_nb.tracing import otel, otlp_wire, parquet


def read(name: str, data: bytes) -> dict[str, Any]:
    """A message of OTLP's binary form as its JSON has it."""
    fields = {n: (field, form) for field, (n, form) in otlp_wire._MESSAGES[name].items()}
    told: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = otlp_wire._read_varint(data, at)
        field, form = fields[key >> 3]
        if key & 7 == 0:
            number, at = otlp_wire._read_varint(data, at)
            value: Any = str(number) if field == "intValue" else number
        elif key & 7 == 1:
            value = struct.unpack("<d" if form == "double" else "<Q", data[at : at + 8])[0]
            at += 8
        else:
            size, at = otlp_wire._read_varint(data, at)
            part, at = data[at : at + size], at + size
            words = {"text": part.decode, "hex": part.hex}
            value = words[form]() if form in words else read(form, part)
        if field in ("resourceSpans", "scopeSpans", "spans", "attributes", "values"):
            told.setdefault(field, []).append(value)
        else:
            told[field] = value
    return told


HERE = Path(__file__).parent


class Receiver(HTTPServer):
    """An OTLP/HTTP receiver that reads what it gets, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.answer: tuple[int, Any] = (200, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for _, _, body in self.got
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/x-protobuf"
        told = read("Request", gzip.decompress(body))
        self.server.got.append((self.path, dict(self.headers), told))
        status, said = self.server.answer
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        kind = "x-protobuf" if isinstance(said, bytes) else "json"
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(data)))
        if status == 301:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.server.got.append(("GET " + self.path, dict(self.headers), {}))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run_of(tale: Any) -> Any:
    one = tale(model="opus").begin("secret prompt", 0).model("m1", 0, 1, 1000, 50, read=900)
    one.tool("a", 1, None).ask("a", 1.5, 2).done("a", 3, "failed", "exit code 1")
    one.update("tool_call", 3.5, toolCallId="late", status="completed", title="x")
    return one.end(at=4)


def named(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_a_receiver_gets_the_tree_by_the_conventions_names(tale: Any, receiver: Receiver) -> None:
    root = run_of(tale).tree()
    count = otel.send(otel.spans_of(root), receiver.url, "1.2", {"x-api-key": "k"})
    spans = {span["name"]: span for span in receiver.spans()}
    assert count == len(spans) == 5  # what has no times is not sent
    path, headers, body = receiver.got[0]
    assert path == "/v1/traces"
    assert {name.lower(): value for name, value in headers.items()}["x-api-key"] == "k"
    assert body["resourceSpans"][0]["scopeSpans"][0]["schemaUrl"] == otel.SCHEMA
    agent, chat, tool = (
        spans[name] for name in ("invoke_agent claude/opus", "chat opus-5", "execute_tool Bash")
    )
    assert "parentSpanId" not in agent
    assert chat["parentSpanId"] == tool["parentSpanId"] == spans["turn"]["spanId"]
    assert spans["permission"]["parentSpanId"] == tool["spanId"]
    assert {span["traceId"] for span in spans.values()} == {agent["traceId"]}
    assert (len(agent["traceId"]), len(agent["spanId"])) == (32, 16)
    assert int(chat["endTimeUnixNano"]) - int(chat["startTimeUnixNano"]) == 10**9
    told = named(chat)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "anthropic"
    assert told["gen_ai.usage.input_tokens"] == "1000"
    assert told["gen_ai.usage.cache_read.input_tokens"] == "900"
    assert named(tool)["error.type"] == "exit_code"
    assert tool["status"]["code"] == 2
    assert "secret" not in json.dumps(receiver.got)


def test_the_binary_form_is_what_opentelemetry_s_own_library_reads() -> None:
    """`OTLP` was read with opentelemetry-proto 1.45 into the very JSON that it was made from."""
    assert otlp_wire.encoded(json.loads((HERE / "otlp.json").read_text())) == bytes.fromhex(
        (HERE / "otlp.hex").read_text()
    )


def test_content_goes_along_only_where_asked_for_and_ids_stay(tale: Any) -> None:
    root = run_of(tale).tree()
    bare, whole = list(otel.spans_of(root)), list(otel.spans_of(root, content=True))
    assert [one["spanId"] for one in bare] == [one["spanId"] for one in whole]
    told = [named(one) for one in whole]
    assert {one.get("paseo.prompt") for one in told} == {None, "secret prompt"}
    assert {one.get("gen_ai.tool.call.arguments") for one in told} == {None, '{"command":"a"}'}


def test_below_what_is_not_sent_stands_what_is_above_it(tale: Any) -> None:
    root = tale().begin(at=0).tool("a", 1, 2).tree()  # the turn and the run go on
    (span,) = otel.spans_of(root)
    assert "parentSpanId" not in span


def test_many_spans_go_in_batches(tale: Any, receiver: Receiver) -> None:
    one = tale().begin(at=0)
    for at in range(1200):
        one.tool(f"t{at}", at, at + 0.5)
    assert otel.send(otel.spans_of(one.end(at=2000).tree()), receiver.url, "1") == 1202
    assert [len(one["resourceSpans"][0]["scopeSpans"][0]["spans"]) for _, _, one in receiver.got] == [
        *[100] * 12, 2,
    ]  # fmt: skip


def test_who_refuses_or_is_not_there_is_said(tale: Any, receiver: Receiver) -> None:
    root = run_of(tale).tree()
    receiver.answer = (401, {"message": "no key"})
    with pytest.raises(UsageProblem, match="401.*no key"):
        otel.send(otel.spans_of(root), receiver.url, "1")
    receiver.answer = (200, {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}})
    with pytest.raises(UsageProblem, match="refused 2 spans: too old"):
        otel.send(otel.spans_of(root), receiver.url, "1")
    why = b"too late"
    receiver.answer = (200, bytes([10, 4 + len(why), 8, 3, 18, len(why)]) + why)
    with pytest.raises(UsageProblem, match="refused 3 spans: too late"):
        otel.send(otel.spans_of(root), receiver.url, "1")
    receiver.answer = (200, b"")
    assert otel.send(otel.spans_of(root), receiver.url, "1") == 5
    with pytest.raises(Unreachable):
        otel.send(otel.spans_of(root), "http://127.0.0.1:9", "1")
    receiver.answer = (200, {"partialSuccess": {"rejectedSpans": [1]}})
    assert otel.send(otel.spans_of(root), receiver.url, "1") == 5
    receiver.answer = (301, b"")
    with pytest.raises(UsageProblem, match="it is at /elsewhere now"):
        otel.send(otel.spans_of(root), receiver.url, "1", {"x-api-key": "mine"})
    assert not [path for path, _, _ in receiver.got if "GET" in path], "no key goes elsewhere"
    with pytest.raises(UsageProblem, match="cannot be sent"):
        otel.send(otel.spans_of(root), receiver.url, "1", {"x-api-key": "mine\n"})
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=lambda: other.accept()[0].sendall(b"SSH-2.0-x\r\n\r\n"))
        thread.start()
        with pytest.raises((UsageProblem, Unreachable)):
            otel.send(otel.spans_of(root), f"http://127.0.0.1:{other.getsockname()[1]}", "1")
        thread.join()
    for odd in ("localhost:4318", "file:///etc/passwd", "ftp://x", "http://[::1", "http://x:99999"):
        with pytest.raises(UsageProblem):
            otel.address_of(odd)
    assert otel.address_of("http://x:5000/v1/traces") == "http://x:5000/v1/traces"


def test_parquet_has_every_span(tale: Any, tmp_path: Path) -> None:
    from paseo_nb.tracing.trace import Trace

    roots = [run_of(tale).tree(), tale("01K3VS41QX0000000000000009").begin(at=0).end(at=1).tree()]
    assert parquet.write(tmp_path / "t.parquet", roots) == 8
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert list(frame["span_id"][:6]) == list(Trace(roots[0]).frame["span_id"])
    assert list(frame["input"].dropna()) == ['"secret prompt"', '{"command":"a"}', '"do it"']
    assert not list(tmp_path.glob(".*"))


def test_two_that_write_one_file_do_not_meet(tale: Any, tmp_path: Path) -> None:
    path, root = tmp_path / "t.parquet", run_of(tale).tree()

    def while_another_writes() -> Iterator[Any]:
        yield root
        assert parquet.write(path, []) == 0

    assert parquet.write(path, while_another_writes()) == len(pd.read_parquet(path)) == 6
    assert [one.name for one in tmp_path.glob("*parquet*")] == ["t.parquet"]
