"""Traces as OpenTelemetry GenAI spans, made in OTLP's JSON form; sent in its binary one
(`otlp_wire`), which all receivers take, over HTTP with what Python brings.

`ATTRIBUTES` is the one table of names, pinned to a version of the conventions: they are in
development and move. Ids are made from ours, so that what is sent twice is the same twice. Prompts,
inputs and outputs go along only where that is asked for.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict
from ..errors import Unreachable, UsageProblem
from .otlp_wire import encoded, refused
from .spans import Span, walk

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
SCOPE = "paseo_nb"

ATTRIBUTES = {
    "operation": "gen_ai.operation.name",
    "conversation": "gen_ai.conversation.id",
    "agent": "gen_ai.agent.name",
    "agent_id": "gen_ai.agent.id",
    "workflow": "gen_ai.workflow.name",
    "provider": "gen_ai.provider.name",
    "model_asked": "gen_ai.request.model",
    "model": "gen_ai.response.model",
    "finish": "gen_ai.response.finish_reasons",
    "response_id": "gen_ai.response.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "tool": "gen_ai.tool.name",
    "tool_type": "gen_ai.tool.type",
    "tool_call": "gen_ai.tool.call.id",
    "tool_input": "gen_ai.tool.call.arguments",
    "tool_output": "gen_ai.tool.call.result",
    "error": "error.type",
    # what the conventions have no word for
    "run": "paseo.run_id",
    "turn": "paseo.turn",
    "kind": "paseo.kind",
    "outcome": "paseo.outcome",
    "tool_kind": "paseo.tool.kind",
    "parallel": "paseo.tool.parallel",
    "call_output_tokens": "paseo.tool.call_output_tokens",
    "result_tokens": "paseo.tool.result_tokens",
    "tokens_source": "paseo.tool.tokens_source",
    "cost": "paseo.cost_usd",
    "prompt": "paseo.prompt",
    "text": "paseo.text",
}
"""Our names -> attributes, of the conventions' version in `SCHEMA`."""

OPERATIONS = {
    "workflow": "invoke_workflow",
    "run": "invoke_agent",
    "model_call": "chat",
    "tool_call": "execute_tool",
}
_VENDORS = {"claude": "anthropic", "codex": "openai", "gemini": "gcp.gemini"}
_INTERNAL, _CLIENT, _OK, _ERROR = 1, 3, 1, 2
MAX_TEXT = 32_000
BATCH = 100
SEND_S = 120.0  # MLflow looks up each model's price at first: 41 s for four, without a network


def spans_of(
    root: Span, *, content: bool = False, sessions: Mapping[str, str | None] | None = None
) -> Iterator[dict[str, Any]]:
    """The spans of a trace as OTLP's JSON has them, all of one trace id. What goes on, and what
    has no times, is left out: a span cannot be changed once it is sent. `sessions`: by run."""
    trace_id = _id(f"trace {root.run_id}", 16)
    sent: dict[str, str] = {}  # of spans left out: which one stands above what is below them
    for span in walk(root):
        above = sent.get(span.parent_id or "", "")
        if span.finished_us is None or not span.timed:
            sent[span.span_id] = above
            continue
        sent[span.span_id] = _id(span.span_id, 8)
        told: dict[str, Any] = {
            "traceId": trace_id,
            "spanId": sent[span.span_id],
            "name": _name(span),
            "kind": _CLIENT if span.kind == "model_call" else _INTERNAL,
            "startTimeUnixNano": str(max(span.started_us, 0) * 1000),
            "endTimeUnixNano": str(max(span.finished_us, span.started_us, 0) * 1000),
            "attributes": _attributes(span, content, (sessions or {}).get(span.run_id)),
            "status": _status(span),
        }
        if above:
            told["parentSpanId"] = above
        yield told


def payload(spans: Sequence[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """An `ExportTraceServiceRequest`."""
    resource = [_pair("service.name", SCOPE), _pair("service.version", version)]
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": resource},
                "schemaUrl": SCHEMA,
                "scopeSpans": [
                    {
                        "scope": {"name": SCOPE, "version": version},
                        "schemaUrl": SCHEMA,
                        "spans": list(spans),
                    }
                ],
            }
        ]
    }


def send(
    spans: Iterable[Mapping[str, Any]],
    endpoint: str,
    version: str,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Send spans to an OTLP/HTTP receiver, in batches; how many. UsageProblem for an address
    that is none, or a receiver that refuses them; Unreachable where nobody answers."""
    address = address_of(endpoint)
    count = 0
    batch: list[Mapping[str, Any]] = []
    for span in spans:
        batch.append(span)
        if len(batch) == BATCH:
            count += _post(batch, address, version, headers or {})
            batch = []
    return count + (_post(batch, address, version, headers or {}) if batch else 0)


def address_of(endpoint: str) -> str:
    """Where to send to: OTLP's path is added to a bare address, as exporters do."""
    try:
        parts = urllib.parse.urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is none
        parts, good = urllib.parse.SplitResult("", "", "", "", ""), False
    if not good:
        raise UsageProblem(f"{endpoint!r} is no address: write http://HOST:PORT")
    return endpoint if parts.path.strip("/") else endpoint.rstrip("/") + "/v1/traces"


# ------------------------------------------------------------ pieces


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: what is sent on would be sent without its spans, and with its key."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Not at all: the answer that names another address is an error."""


_opener = urllib.request.build_opener(_Stays)


def _post(
    batch: Sequence[Mapping[str, Any]], address: str, version: str, headers: Mapping[str, str]
) -> int:
    body = gzip.compress(encoded(payload(batch, version)))
    given = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **headers}
    why = ""
    request = urllib.request.Request(address, body, given, method="POST")
    try:
        with _opener.open(request, timeout=SEND_S) as answer:
            said, form = answer.read(1 << 20), str(answer.headers.get("Content-Type"))
    except urllib.error.HTTPError as error:
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            why = error.read(500).decode("utf-8", "replace")
        if moved := error.headers.get("Location"):
            why = f"it is at {moved} now: give that address"
        raise UsageProblem(f"{address} refused the spans: {error.code} {why}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise Unreachable(
                f"{address} did not answer within {SEND_S:g} s. What it has by now stays there;"
                " sent again, it is the same spans"
            ) from None
        raise Unreachable(f"{address} cannot be reached: {reason}") from None
    except http.client.HTTPException as error:
        raise UsageProblem(f"{address} is no receiver: {error!r}") from None
    except ValueError as error:  # of what the user gave; http.client says what is wrong with it
        raise UsageProblem(f"headers={sorted(headers)} cannot be sent: {error}") from None
    _check_taken(said, form, address)
    return len(batch)


def _check_taken(said: bytes, form: str, address: str) -> None:
    """A receiver may take a part only, and says so in a good answer."""
    count, why = 0, ""
    if "protobuf" in form:
        count, why = refused(said)
    elif "json" in form:  # another form is none of our business: it was taken
        with contextlib.suppress(ValueError, TypeError):
            part = as_dict(as_dict(msgspec.json.decode(said or b"{}")).get("partialSuccess"))
            count, why = int(part.get("rejectedSpans") or 0), str(part.get("errorMessage"))
    if count:
        raise UsageProblem(f"{address} refused {count} spans: {why}")


def _name(span: Span) -> str:
    if span.kind == "workflow":
        return f"invoke_workflow {span.name}"
    if span.kind == "run":
        return f"invoke_agent {span.agent}"
    if span.kind == "model_call":
        return f"chat {span.model}" if span.model else "chat"
    if span.kind == "tool_call":
        return f"execute_tool {span.tool_name or span.tool_kind or 'tool'}"
    return span.kind


def _status(span: Span) -> dict[str, Any]:
    if span.failed:
        return {"code": _ERROR, "message": (span.error or span.error_class or "")[:1000]}
    return {"code": _OK} if span.outcome in ("completed", "end_turn", "allowed") else {}


def _attributes(span: Span, content: bool, session: str | None) -> list[dict[str, Any]]:
    provider, _, asked = span.agent.partition("/")
    usage = span.usage
    known: dict[str, Any] = {
        "operation": OPERATIONS.get(span.kind),
        "conversation": session or span.run_id,
        "run": span.run_id,
        "turn": span.turn or None,
        "kind": span.kind,
        "outcome": span.outcome,
        "error": span.error_class,
        "cost": usage.cost_usd,
    }
    if span.kind in ("run", "model_call"):
        known |= {
            "provider": _VENDORS.get(provider, provider),
            "model_asked": asked or None,
            "model": span.model,
        }
    if span.kind == "workflow":
        known |= {"workflow": span.name}
    if span.kind == "run":
        known |= {"agent": span.agent, "agent_id": span.run_id}
    if span.kind in ("run", "turn", "model_call"):
        for name in ("input", "output", "cache_read", "cache_write", "reasoning"):
            known[f"{name}_tokens"] = getattr(usage, f"{name}_tokens")
    if span.kind == "model_call" and span.detail:
        known["finish"] = [span.detail]
    if span.kind == "tool_call":
        known |= {
            "tool": span.tool_name,
            "tool_type": "function",
            "tool_call": span.tool_call_id,
            "tool_kind": span.tool_kind,
            "parallel": span.parallel,
            "call_output_tokens": span.call_output_tokens,
            "result_tokens": span.result_tokens,
            "tokens_source": span.tokens_source,
        }
    if content:
        names = {"tool_call": ("tool_input", "tool_output"), "turn": ("prompt", "text")}
        into, out = names.get(span.kind, (None, None))
        if into is not None and out is not None:
            known |= {into: _text(span.input), out: _text(span.output)}
    return [_pair(ATTRIBUTES[name], value) for name, value in known.items() if value is not None]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return said if len(said) <= MAX_TEXT else said[:MAX_TEXT] + "…"


def _pair(name: str, value: Any) -> dict[str, Any]:
    return {"key": name, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        given: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {"arrayValue": {"values": [_value(one) for one in given]}}
    return {"stringValue": str(value)}


def _id(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: size * 2]
