"""What the recorder adds to the time to the first byte of a model's answer.

One endpoint on loopback answers a stream; a client asks it in turns directly and through the
recorder, over connections that are kept, first with 2 kB, then with 200 kB as an agent's later
requests have. The time is from the request's first byte sent to the answer's first byte read. The
endpoint is a process of its own, so is the recorder.

`python benchmarks/recorder.py [--pairs 400]` writes results/recorder.json. The goal: 2 ms more at
most, p50.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, median, write_results

ROOT = Path(__file__).parents[1]
TOKEN = "a-token-of-the-benchmark"
SIZES = {"2 kB": 2_000, "200 kB": 200_000}


EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + 20 * (b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    + b"0\r\n\r\n"
)


async def serve() -> None:
    """The endpoint: reads a request, answers the same stream."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(ANSWER)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, limit=1 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class Client:
    """One kept connection."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._host, self._path = where.netloc, where.path
        self._socket = socket.create_connection((str(where.hostname), int(where.port or 0)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: bytes) -> float:
        """Seconds to the answer's first byte; reads it to its end."""
        head = (
            f"POST {self._path}/v1/chat/completions HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        began = time.perf_counter()
        self._socket.sendall(head + body)
        data = self._socket.recv(65536)
        took = time.perf_counter() - began
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-16:] + self._socket.recv(65536)
        return took


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def measure(endpoint: str, recorder: str, size: int, pairs: int) -> dict[str, Any]:
    """Both ways in turns, who is first taking turns too."""
    text = "word " * (size // 5)
    body = json.dumps(
        {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    ).encode()
    clients = {"direct": Client(endpoint), "recorded": Client(recorder)}
    times: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(-20, pairs):
        for name in sorted(clients, reverse=bool(number % 2)):
            took = clients[name].ask(body) * 1000
            if number >= 0:
                times[name].append(took)
    added = [b - a for a, b in zip(times["direct"], times["recorded"], strict=True)]
    return {
        **{
            name: {"p50_ms": round(median(t), 3), "p95_ms": round(quantile(t, 0.95), 3)}
            for name, t in times.items()
        },
        "added_p50_ms": round(median(times["recorded"]) - median(times["direct"]), 3),
        "added_p95_ms": round(
            quantile(times["recorded"], 0.95) - quantile(times["direct"], 0.95), 3
        ),
        "pairwise_median_ms": round(statistics.median(added), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--endpoint", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.endpoint:
        asyncio.run(serve())
    pairs = given.pairs
    listener = socket.create_server(("127.0.0.1", 0))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PASEO_NB_RECORDER_TOKEN": TOKEN}
    server = subprocess.Popen(
        [sys.executable, __file__, "--endpoint"], stdout=subprocess.PIPE, text=True, env=env
    )
    recorder = subprocess.Popen(
        [sys.executable, "-m", "paseo_nb.recorder", f"--listener={listener.fileno()}"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(listener.fileno(),), env=env,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        endpoint = server.stdout.readline().strip()
        through = (
            f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/{endpoint.replace('://', '/')}"
        )
        found = {name: measure(endpoint, through, size, pairs) for name, size in SIZES.items()}
    finally:
        assert recorder.stdin is not None
        recorder.stdin.close()
        server.terminate()
        recorder.wait(10)
        server.wait(10)
    for name, one in found.items():
        print(name, json.dumps(one))
    write_results("recorder", {"machine": machine(), "pairs": pairs, "by_size": found})


if __name__ == "__main__":
    main()
