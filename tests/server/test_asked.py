"""Bodies of verbs: whatever comes is a call that fits, or an error that says what is wrong."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from paseo_nb.errors import UsageProblem
from paseo_nb.server.asked import arguments_of, call_of, served

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(sorted(served())))
    options = st.sampled_from([*arguments_of(name).__struct_fields__, "host", "cell", ""])
    return name, draw(st.dictionaries(options, ANYTHING, max_size=4) | ANYTHING)


@settings(max_examples=300, deadline=None)
@given(bodies())
def test_any_body_is_a_call_or_a_usage_problem(body: tuple[str, Any]) -> None:
    name, value = body
    try:
        positional, keywords = call_of(name, json.dumps(value).encode())
    except UsageProblem as problem:
        assert str(problem).startswith(f"{name}: the body is not what it takes")
    else:
        assert isinstance(positional, list)
        assert not {"host", "cell"} & set(keywords)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_too(data: bytes) -> None:
    with contextlib.suppress(UsageProblem):
        call_of("ls", data)
