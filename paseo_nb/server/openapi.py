"""The OpenAPI page, made from the routes and the table of verbs.

`python -m paseo_nb.server.openapi > docs/openapi.json`; a test holds that file to the code.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec

from .. import __version__
from ..verbs import VERBS, told
from . import asked
from .handlers import PIECE
from .routes import AT, ROUTES
from .sockets import Socket

Json = dict[str, Any]
_ERROR: Json = {"$ref": "#/components/schemas/Error"}
_REFUSALS = {
    "400": "what was asked is wrong; the message says how",
    "403": "not authenticated, or not allowed to",
    "404": "there is no such thing",
    "409": "it cannot be done as things stand",
    "413": "the body is too large",
    "426": "another version of the protocol",
    "503": "the run's processes do not answer",
    "507": "the project cannot be read or written",
}
_PATTERNS = {"run": "^[0-9A-Z]{1,64}$", "digest": "^[0-9a-f]{64}$", "verb": "^[a-z_]+$"}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_OBJECT = {"application/json": {"schema": {"type": "object"}}}


def page() -> Json:
    """The whole page."""
    names = list(asked.served())
    schemas, components = msgspec.json.schema_components(
        [asked.arguments_of(name) for name in names], ref_template="#/components/schemas/{name}"
    )
    components["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"}, "message": {"type": "string"},
                    "run_id": {"type": "string"},
                },
            }
        },
    }  # fmt: skip
    paths: dict[str, Json] = {}
    for route, handler in ROUTES:
        if route == "/verbs/{verb}":
            for name, schema in zip(names, schemas, strict=True):
                told: Json = components.get(schema.get("$ref", "").rpartition("/")[2], schema)
                needs = bool(told.get("required"))  # no body at all is no options
                paths[AT + f"/verbs/{name}"] = {"post": _verb(name, schema, handler, needs)}
            continue
        paths[AT + route] = {
            method: _operation(route, method, handler)
            for method in ("get", "post", "put")
            if method in vars(handler)
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "paseo_nb",
            "version": __version__,
            "description": "Runs of coding agents, served by the Jupyter Server extension of"
            " paseo_nb. Every route is behind the server's own authentication.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                status: {"description": why, "content": {"application/json": {"schema": _ERROR}}}
                for status, why in _REFUSALS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`token …`, as Jupyter takes it",
                }
            },
        },
    }  # fmt: skip


def _operation(route: str, method: str, handler: type) -> Json:
    doc = inspect.getdoc(getattr(handler, method)) or ""
    named: list[Json] = [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string", "pattern": _PATTERNS[name]},
        }
        for name in re.findall(r"{(\w+)}", route)
    ]  # fmt: skip
    query: dict[str, tuple[type, str]] = getattr(handler, "query", {}) if method != "post" else {}
    named += [
        {
            "name": name, "in": "query", "description": meaning,
            "schema": {"type": "integer", "minimum": 0} if kind is int else {"type": "string"},
        }
        for name, (kind, meaning) in query.items()
    ]  # fmt: skip
    made: Json = {
        "summary": " ".join(doc.split()),
        "parameters": [*named, _PROJECT],
        "responses": {"200": {"description": "so it is"}, **_refusals()},
    }
    if method == "post" and getattr(handler, "takes_body", True):
        needs = getattr(handler, "needs_body", True)
        made["requestBody"] = {"required": needs, "content": _OBJECT}
    if method == "put":
        made["requestBody"] = {
            "required": True, "content": _BINARY, "description": f"at most {PIECE} bytes",
        }  # fmt: skip
    if issubclass(handler, Socket):
        made["responses"] = {"101": {"description": "a WebSocket"}, **_refusals()}
    return made


_PROJECT: Json = {
    "name": "project", "in": "query",
    "description": "a folder below the server's own, whose runs are meant",
    "schema": {"type": "string"},
}  # fmt: skip


def _verb(name: str, schema: Json, handler: type, needs: bool) -> Json:
    text, _meanings = told(VERBS[name].function)
    answers = {
        "200": {"description": "it is done", "content": _OBJECT},
        "202": {"description": "it is still at work: ask again under the same Paseo-Key"},
    }
    headers = [
        ("Paseo-Key", "a name for this call: asked again, it is done once"),
        ("Paseo-Born", "asked again: what the answers of the server that was asked have there"),
    ]
    return {
        "summary": VERBS[name].summary,
        "description": text,
        "parameters": [
            _PROJECT,
            *(
                {"name": key, "in": "header", "description": why, "schema": {"type": "string"}}
                for key, why in headers
            ),
        ],
        "requestBody": {"required": needs, "content": {"application/json": {"schema": schema}}},
        "responses": {**answers, **_refusals()},
    }


def _refusals() -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in _REFUSALS}


if __name__ == "__main__":
    print(json.dumps(page(), indent=1, ensure_ascii=False))
