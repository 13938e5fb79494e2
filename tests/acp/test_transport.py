"""The byte path: whatever way bytes are cut, the same lines come out, masked, in order.

Invariants: (1) what comes out does not depend on where reads end; (2) a line's bytes are those that
came, but for masks and for what is no UTF-8; (3) a line over `BLOB_BYTES` is a blob named by its
hash, in its place among the lines; (4) up to `JOIN_BYTES` the dialect gets it whole and unmasked.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from paseo_nb.drivers.transport import (
    BLOB_BYTES,
    JOIN_BYTES,
    Envelope,
    Splitter,
    decode,
    envelope,
    envelope_of_blob,
    mended,
    sound,
)
from paseo_nb.supervisor.masking import Masker

KEY = 'zq9-Secret/with "quotes" and é'
TOKEN = "ghp_" + "a1B2" * 9
NO_MASK = Masker(())


class Out:
    """What a splitter gave out, in order."""

    def __init__(self, folder: Path, mask: Masker = NO_MASK) -> None:
        self.folder = folder / "blobs"
        self.got: list[tuple[str, Any]] = []
        self.came: list[bytes] = []
        self.wholes: list[bytes | None] = []
        self.splitter = Splitter(mask, self.folder, self._lines, self._blob)

    def _lines(self, lines: list[bytes], came: dict[int, bytes], *_: Any) -> None:
        for number, line in enumerate(lines):
            if line:
                self.got.append(("line", line))
                self.came.append(came.get(number, line))

    def _blob(self, digest: str, size: int, head: bytes, tail: bytes, whole: bytes | None) -> None:
        data = (self.folder / digest).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) == size
        assert data.startswith(head)
        assert data.endswith(tail)
        self.got.append(("blob", data))
        self.wholes.append(whole)

    def feed(self, data: bytes, cuts: list[int]) -> Out:
        """Feed the data in pieces that end at `cuts`, then end the pipe."""
        before = 0
        for cut in [*sorted(cuts), len(data)]:
            if cut > before:
                self.splitter.feed(data[before:cut])
                before = cut
        self.splitter.finish()
        return self


def expected(data: bytes, mask: Masker = NO_MASK) -> list[tuple[str, bytes]]:
    """The same by the shortest way: split, mask."""
    found: list[tuple[str, bytes]] = []
    for line in data.split(b"\n"):
        if len(line) > BLOB_BYTES:
            found.append(("blob", mask(line)))
        elif line:
            found.append(("line", sound(mask(line))))
    return found


def update(text: str, **json_style: Any) -> bytes:
    content = {"type": "text", "text": text}
    params = {
        "sessionId": "s",
        "update": {"sessionUpdate": "agent_message_chunk", "content": content},
    }
    message = {"jsonrpc": "2.0", "method": "session/update", "params": params}
    return json.dumps(message, **json_style).encode()


def sample_lines(rng: random.Random) -> bytes:
    """A few lines of every sort: empty, CRLF, not JSON, not UTF-8, with keys, with emoji."""
    sorts = [
        update("hello"),
        update("ümläut 🙂 \u2028 end", ensure_ascii=False),
        update(f"a key {KEY} and {TOKEN}."),
        update(KEY, ensure_ascii=False),
        b"",
        b"plain words " + KEY.encode() + b" here",
        b"\xff\xfe\x00\x80" + TOKEN.encode() + b"\xc3(",
        b'{"cut":"\xf0\x9f\x99"}',
        update("crlf") + b"\r",
        b"[]",
    ]
    chosen = [rng.choice(sorts) for _ in range(rng.randrange(1, 12))]
    return b"\n".join(chosen) + rng.choice([b"", b"\n", b"\r\n"])


def test_every_border_gives_the_same_lines(tmp_path: Path) -> None:
    mask = Masker([KEY])
    data = update(f"x {KEY} y") + b"\r\n" + update("ü🙂", ensure_ascii=False) + b"\n\n" + b"last"
    want = expected(data, mask)
    assert len(want) == 3
    for first in range(len(data) + 1):
        assert Out(tmp_path, mask).feed(data, [first]).got == want, f"cut at {first}"
    assert Out(tmp_path, mask).feed(data, list(range(len(data)))).got == want, "byte by byte"


def test_random_lines_and_borders(tmp_path: Path) -> None:
    mask = Masker([KEY])
    for seed in range(400):
        rng = random.Random(seed)
        data = sample_lines(rng)
        cuts = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(6))]
        out = Out(tmp_path, mask).feed(data, cuts)
        assert out.got == expected(data, mask), f"seed {seed}"
        shown = b"\n".join(line for _, line in out.got)
        assert KEY.encode() not in shown
        assert TOKEN.encode() not in shown
        assert out.came == [sound(line) for line in data.split(b"\n") if line], f"seed {seed}"


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_lines_around_a_megabyte(tmp_path: Path, extra: int) -> None:
    whole = update("x" * (BLOB_BYTES + extra - len(update(""))))
    assert len(whole) == BLOB_BYTES + extra
    data = update("before") + b"\n" + whole + b"\n" + update("after") + b"\n"
    for cuts in ([], [100], [BLOB_BYTES // 2, BLOB_BYTES + 50], list(range(0, len(data), 65536))):
        out = Out(tmp_path).feed(data, cuts)
        assert [kind for kind, _ in out.got] == ["line", "blob" if extra > 0 else "line", "line"]
        assert out.got == expected(data)
        if extra > 0:
            assert out.wholes == [whole]


def test_long_lines_among_short_ones_keep_their_places(tmp_path: Path) -> None:
    rng = random.Random(7)
    mask = Masker([KEY])
    for seed in range(6):
        rng = random.Random(seed)
        lines = [update(f"n {n}") for n in range(5)]
        for _ in range(2):
            padding = "y" * rng.randrange(BLOB_BYTES, 2 * BLOB_BYTES)
            lines.insert(rng.randrange(len(lines)), update(f"{KEY} {padding} {TOKEN}"))
        data = b"\n".join(lines) + b"\n" * rng.randrange(2)
        cuts = list(range(0, len(data), rng.choice([4096, 65536, 262144, 1 << 21])))
        assert Out(tmp_path, mask).feed(data, cuts).got == expected(data, mask), f"seed {seed}"


def test_secrets_over_the_borders_of_a_long_line(tmp_path: Path) -> None:
    """A key at, before and after each border of a read, in every form that JSON gives it."""
    mask = Masker([KEY])
    step = 1 << 18
    forms = [json.dumps(KEY)[1:-1], json.dumps(KEY, ensure_ascii=False)[1:-1], TOKEN]
    for shift in range(0, 60, 7):
        text = bytearray(b"." * (BLOB_BYTES + 5 * step))
        for number, form in enumerate(forms * 2):
            raw = b" " + form.encode() + b" "
            at = (number + 1) * step - shift
            text[at : at + len(raw)] = raw
        data = b'{"method":"session/update","params":"' + bytes(text) + b'"}\n'
        out = Out(tmp_path, mask).feed(data, list(range(0, len(data), step)))
        (kind, kept), *_ = out.got
        assert kind == "blob"
        for form in forms:
            assert form.encode() not in kept, f"shift {shift}"
        assert kept == mask(data[:-1]), f"shift {shift}"
        assert out.wholes == [data[:-1]], "the dialect gets what the agent said"


@pytest.mark.parametrize("extra", [0, 1])
def test_up_to_the_join_limit_a_line_is_understood(tmp_path: Path, extra: int) -> None:
    whole = update("x" * (JOIN_BYTES + extra - len(update(""))))
    data = whole + b"\n" + update("after") + b"\n"
    out = Out(tmp_path).feed(data, list(range(0, len(data), 1 << 18)))
    assert [kind for kind, _ in out.got] == ["blob", "line"]
    assert (out.wholes[0] == whole) is (extra == 0)
    assert (out.wholes[0] is None) is (extra == 1)


def test_what_a_line_is() -> None:
    def known(line: bytes) -> tuple[Any, ...] | None:
        message = envelope(line)
        return None if message is None else (message.method, message.id)

    assert known(b'{"jsonrpc":"2.0","id":7,"result":{}}') == (None, 7)
    assert known(b'{"jsonrpc":"2.0","id":"abc","method":"fs/read_text_file"}') == (
        "fs/read_text_file",
        "abc",
    )
    # A field of an unexpected type costs that field only.
    assert known(b'{"id":[1],"method":"x"}') == ("x", None)
    assert known(b'{"id":3,"method":{"a":1}}') == (None, 3)
    assert known(b'{"id":3,"method":"x","params":[1,2]}') == ("x", 3)
    odd = b'{"method":"session/update","params":{"update":{"sessionUpdate":"plan","toolCallId":5}}}'
    message = envelope(odd)
    assert message is not None
    assert message.params is not None
    assert message.params.update is not None
    assert message.params.update.sessionUpdate == "plan"
    for garbage in (b"words", b"[1,2]", b'"text"', b"null", b"5", b'{"cut', b"{}x", b"\x00"):
        assert known(garbage) is None, garbage
    assert known(b'{"p":' + b"[" * 100_000) is None
    assert known(b'{"p":' + b"[" * 5000 + b"]" * 5000 + b"}") is None


def test_what_can_be_told_of_a_line_too_long_to_join() -> None:
    def told(line: bytes) -> Envelope:
        return envelope_of_blob(line[:2048], line[-2048:])

    padding = b"x" * 10_000
    chunk = told(update("x" * 10_000))
    assert chunk.method == "session/update"
    assert chunk.params is not None
    assert chunk.params.update is not None
    assert chunk.params.update.sessionUpdate == "agent_message_chunk"
    asked = told(
        b'{"jsonrpc":"2.0","id":12,"method":"fs/write_text_file","params":{"c":"%b"}}' % padding
    )
    assert (asked.method, asked.id) == ("fs/write_text_file", 12)
    last = told(b'{"method":"fs/write_text_file","params":{"c":"%b"},"id":"q-1"}' % padding)
    assert (last.method, last.id) == ("fs/write_text_file", "q-1")
    answer = told(b'{"jsonrpc":"2.0","result":{"c":"%b"},"id":4}' % padding)
    assert (answer.method, answer.id) == (None, 4)
    rng = random.Random(1)
    for _ in range(500):  # whatever the ends hold, it is no error
        envelope_of_blob(rng.randbytes(300) + b'"id":"\\x\xff"' + rng.randbytes(9), b'"id":007}')
        envelope_of_blob(
            b'{"method":"\xff\xfe","params":{"sessionUpdate":"\xff"', rng.randbytes(99)
        )


def test_json_that_is_nearly_right_is_made_right() -> None:
    half = b'{"a":"x\\ud83d"}'  # JavaScript cuts texts in the middle of an emoji
    assert envelope(half) is None
    assert decode(mended(half) or b"") == {"a": "x\ufffd"}
    assert decode(mended(b'{"a":"\\ud83d\\ude42 \\ude42"}') or b"") == {"a": "🙂 \ufffd"}
    assert decode(mended(b'{"score":NaN,"most":Infinity}') or b"") == {"score": None, "most": None}
    assert decode(mended(b'{"a":"raw \x01 control"}') or b"") == {"a": "raw \x01 control"}
    for hopeless in (b"[NaN]", b"words", b'{"cut', b"{" * 50_000, b'{"a":1e999}', b""):
        assert mended(hopeless) is None, hopeless[:20]
