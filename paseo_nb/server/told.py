"""What a verb gave, as it goes over the wire: JSON for any client, frames as Arrow where asked.

An answer is `{"kind": …}` with `run`, `runs`, `value`, or, of what is made to be looked at, `shown`
(a MIME bundle) beside its facts. An error is `{"error": {"code", "message"}}`: `code` is the name
of one of our errors, by which another machine raises it again.
"""

from __future__ import annotations

import importlib
from typing import Any, TypeGuard, cast

import msgspec

from .. import errors
from ..applying import Applied
from ..cli import run_facts, to_json
from ..rundiff import RunDiff
from ..runview import RunView
from ..store.columns import NOTE

Json = dict[str, Any]
ARROW = "application/vnd.apache.arrow.stream"
_STATUS: list[tuple[type[Exception], int]] = [
    (errors.NotTrusted, 409),
    (errors.UsageProblem, 400),
    (errors.Unreachable, 503),
    (errors.StorageProblem, 507),
    (errors.PaseoError, 409),
    (OSError, 507),
]


def facts_of(run: RunView) -> Json:
    """A run as lists tell it."""
    history, spec = run.history(), run.spec
    return {
        **run_facts(run),
        "title": spec.title or history.title or _first_prompt(run),
        "created_us": spec.created_us,
        "labels": spec.labels,
        "parent": spec.parent_run_id,
        "turns": len(history.turns),
        "pending": [msgspec.to_builtins(one) for one in history.open_permissions()],
    }


def _first_prompt(run: RunView) -> str:
    turns = run.history().turns
    return (turns[0].prompt if turns else "")[:200]


def is_frame(result: Any) -> bool:
    """Whether a verb gave a table."""
    return type(result).__name__ == "DataFrame"


def arrow(frame: Any) -> bytes | None:
    """A frame in Arrow's stream form; None where it holds what that has no form for."""
    pa: Any = importlib.import_module("pyarrow")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except pa.ArrowException:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return cast(bytes, sink.getvalue().to_pybytes())


def _are_runs(given: Any) -> TypeGuard[list[RunView]]:
    return isinstance(given, list) and all(isinstance(one, RunView) for one in cast(Any, given))


def answer(given: Any) -> bytes:
    """A verb's result as JSON."""
    value: Json
    result: Any = given
    if isinstance(result, RunView):
        value = {"kind": "run", "run": facts_of(result)}
    elif isinstance(result, RunDiff):
        kind = "applied" if isinstance(result, Applied) else "diff"
        facts = {**cast(Json, msgspec.to_builtins(result.summary)), **result.more}
        value = {"kind": kind, "value": facts, "text": str(result)}
    elif _are_runs(given):
        value = {"kind": "runs", "runs": [facts_of(one) for one in given]}
    elif is_frame(result):
        name = str(result.attrs.get(NOTE, ""))
        value = {"kind": "frame", "name": name, "value": msgspec.Raw(to_json(result).encode())}
    elif hasattr(result, "_repr_mimebundle_"):
        bundle = cast(Json, result._repr_mimebundle_())
        shown = {key: one for key, one in bundle.items() if isinstance(one, str)}
        value = {"kind": "shown", "shown": shown, "value": msgspec.Raw(to_json(result).encode())}
    else:
        value = {"kind": "value", "value": msgspec.Raw(to_json(result).encode())}
    return msgspec.json.encode(value, enc_hook=str)


def problem(error: BaseException) -> tuple[int, Json]:
    """The status and the body of an error; of what is none of ours nothing is told."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            told: Json = {"code": type(error).__name__, "message": str(error)}
            if not isinstance(error, errors.PaseoError):
                why = cast(OSError, error).strerror  # without the path that it is about
                told = {
                    "code": "StorageProblem",
                    "message": f"the project cannot be read or written on the server: {why}",
                }
            run = getattr(error, "run", None)
            if run is not None:
                told["run_id"] = run.id
            return status, {"error": told}
    return 500, {
        "error": {"code": "Internal", "message": "something unexpected; see the server's log"}
    }
