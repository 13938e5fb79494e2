"""OTLP's binary form (Protocol Buffers) of what `otel` makes as OTLP's JSON: the one that every
receiver takes. Pure.

Field numbers are opentelemetry-proto's, which never change once given; the ten messages that a
trace needs stand in one table, so that no library of 2 MB is needed for them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, cast

# Message -> its fields in JSON: number, and what it is: a message's name, or a form of `_FORMS`.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Request": {"resourceSpans": (1, "ResourceSpans")},
    "ResourceSpans": {
        "resource": (1, "Resource"),
        "scopeSpans": (2, "ScopeSpans"),
        "schemaUrl": (3, "text"),
    },
    "Resource": {"attributes": (1, "KeyValue")},
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, "Span"), "schemaUrl": (3, "text")},
    "Scope": {"name": (1, "text"), "version": (2, "text")},
    "Span": {
        "traceId": (1, "hex"),
        "spanId": (2, "hex"),
        "parentSpanId": (4, "hex"),
        "name": (5, "text"),
        "kind": (6, "int"),
        "startTimeUnixNano": (7, "fixed"),
        "endTimeUnixNano": (8, "fixed"),
        "attributes": (9, "KeyValue"),
        "status": (15, "Status"),
    },
    "Status": {"message": (2, "text"), "code": (3, "int")},
    "KeyValue": {"key": (1, "text"), "value": (2, "Value")},
    "Value": {
        "stringValue": (1, "text"),
        "boolValue": (2, "int"),
        "intValue": (3, "int"),
        "doubleValue": (4, "double"),
        "arrayValue": (5, "Array"),
    },
    "Array": {"values": (1, "Value")},
}
_VARINT, _FIXED, _BYTES = 0, 1, 2


def encoded(request: Mapping[str, Any]) -> bytes:
    """An `ExportTraceServiceRequest`."""
    return _message("Request", request)


def refused(answer: bytes) -> tuple[int, str]:
    """Of an `ExportTraceServiceResponse`: how many spans were refused, and why."""
    for number, value in _fields(answer):
        if number == 1 and isinstance(value, bytes):
            part = dict(_fields(value))
            count, why = part.get(1, 0), part.get(2, b"")
            said = why.decode("utf-8", "replace") if isinstance(why, bytes) else ""
            return (count if isinstance(count, int) else 0), said
    return 0, ""


def _message(name: str, told: Mapping[str, Any]) -> bytes:
    out: list[bytes] = []
    for field, value in told.items():
        number, form = _MESSAGES[name][field]
        values = cast(list[Any], value) if isinstance(value, list) else [value]
        out += [_field(number, form, one) for one in values]
    return b"".join(out)


def _field(number: int, form: str, value: Any) -> bytes:
    if form == "int":
        return _varint(number << 3 | _VARINT) + _varint(int(value) & (1 << 64) - 1)
    if form == "fixed":
        return _varint(number << 3 | _FIXED) + struct.pack("<Q", int(value))
    if form == "double":
        return _varint(number << 3 | _FIXED) + struct.pack("<d", value)
    if form == "text":
        data = str(value).encode("utf-8", "replace")
    elif form == "hex":
        data = bytes.fromhex(value)
    else:
        data = _message(form, value)
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Numbers and values of a message; what cannot be read ends it."""
    found: list[tuple[int, int | bytes]] = []
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            kind = key & 7
            if kind == _VARINT:
                value, at = _read_varint(data, at)
                found.append((key >> 3, value))
            elif kind == _BYTES:
                size, at = _read_varint(data, at)
                found.append((key >> 3, data[at : at + size]))
                at += size
            else:
                at += 8 if kind == _FIXED else 4
    except IndexError:
        pass
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
