"""Structured answers and MCP servers: what `schema=` and `mcp=` take, and what comes of it."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import paseo_nb as paseo
from paseo_nb.mcp_sets import servers_of
from paseo_nb.supervisor.answers import Judge
from paseo_nb.typed import json_schema, typed


@dataclasses.dataclass
class Verdict:
    ok: bool
    score: float
    notes: list[str]


class Place(msgspec.Struct):
    name: str


SCHEMA = json_schema(Verdict)
GOOD = {"ok": True, "score": 0.5, "notes": ["a"]}


def script(tmp_path: Path, *answers: str) -> str:
    """A demo agent that gives these answers, one to each prompt."""
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([[{"say": answer}] for answer in answers]))
    return f"demo/script:{path}"


def fenced(value: Any) -> str:
    return f"Here it is.\n\n```json\n{json.dumps(value)}\n```"


def test_an_answer_is_a_value_of_the_type(repo: Path, tmp_path: Path) -> None:
    run = paseo.run(script(tmp_path, fenced(GOOD)), "judge", schema=Verdict)
    assert run.value == Verdict(True, 0.5, ["a"])
    assert paseo.attach(run.id).value == GOOD
    assert json.loads(paseo.turns(run=run)["value"][0]) == GOOD
    assert "JSON Schema" in paseo.events(run=run).query("kind == 'session/prompt'")["text"].iloc[0]


def test_a_wrong_answer_is_asked_again_with_the_validators_words(
    repo: Path, tmp_path: Path
) -> None:
    agent = script(tmp_path, "no idea", fenced({**GOOD, "score": "high"}), fenced(GOOD))
    run = paseo.run(agent, "judge", schema=SCHEMA)
    assert run.value == GOOD
    told = paseo.events(run=run)
    said = told[told["kind"] == "schema_retry"]["text"].tolist()
    assert said == ["it holds no JSON value", "$.score: 'high' is not of type 'number'"]
    prompts = told[told["kind"] == "session/prompt"]["text"].tolist()
    assert len(prompts) == 3
    assert "'high' is not of type 'number'" in prompts[2]
    assert len(paseo.turns(run=run)) == 1


def test_an_agent_that_cannot_fails_with_what_was_wrong(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(paseo.RunFailed, match=r"does not fit the schema, after 3 tries.*notes"):
        paseo.run(
            script(tmp_path, *[fenced({"ok": True, "score": 1})] * 3), "judge", schema=Verdict
        )


def test_a_pattern_that_takes_for_ever_ends_the_try_and_not_the_run(
    repo: Path, tmp_path: Path
) -> None:
    schema = {"type": "string", "pattern": "^(a+)+$"}
    run = paseo.run(script(tmp_path, fenced("a" * 60 + "!"), fenced("aaa")), "say", schema=schema)
    assert run.value == "aaa"
    told = paseo.events(run=run).query("kind == 'schema_retry'")["text"].tolist()
    assert told == ["it could not be checked in 10 s"]


def test_a_follow_up_has_a_value_too(repo: Path, tmp_path: Path) -> None:
    run = paseo.run(script(tmp_path, fenced([1]), fenced([2, 3])), "count", schema=list[int])
    assert run.value == [1]
    run.send("again").wait()
    assert run.value == [2, 3]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("nowhere.json", "neither JSON nor a file"),
        ("{", "no JSON"),
        ({"type": "nonsense"}, "not valid"),
        (3, "is no schema"),
        (object, "cannot be told as JSON Schema"),
    ],
)
def test_what_is_no_schema_is_refused(wanted: Any, said: str) -> None:
    with pytest.raises(paseo.UsageProblem, match=said):
        json_schema(wanted)


def test_schemas_come_from_types_texts_and_files(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"type": "array"}')
    assert json_schema(str(file)) == json_schema('{"type": "array"}') == {"type": "array"}
    assert typed({"name": "x"}, Place) == Place("x")
    assert typed([1], '{"type": "array"}') == [1]
    assert json_schema(None) is None


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"First {{not json}}, then [1], at last {json.dumps(GOOD)} and a word.",
        f"```\n{json.dumps(GOOD)}\n```",
        f"```json\n{{}}\n```\nNo:\n```json\n{json.dumps(GOOD, indent=2)}\n```\n",
        "[" * 5000 + json.dumps(GOOD),
    ],
)
def test_a_value_is_found_however_it_is_wrapped(text: str) -> None:
    assert SCHEMA is not None
    assert Judge(SCHEMA).judge(text) == (GOOD, None)


@pytest.mark.parametrize("text", ['{"n": "\\ud800"}', '{"n": NaN}', '{"n": -Infinity}'])
def test_what_is_no_text_or_number_is_no_answer(text: str) -> None:
    value, wrong = Judge({"type": "object"}).judge(text)
    assert value is None
    assert "half of a character, NaN" in str(wrong)


def test_prose_before_the_answer_is_not_the_answer() -> None:
    text = 'Take [1] and {"n": 3}; no: {"n": "x"}'
    value, wrong = Judge({"properties": {"n": {"type": "integer"}}}).judge(text)
    assert (value, wrong) == (None, "$.n: 'x' is not of type 'integer'")


def test_a_value_that_makes_no_such_type_is_an_error_of_ours(repo: Path, tmp_path: Path) -> None:
    run = paseo.run(script(tmp_path, fenced("not a date")), "when?", schema=datetime.datetime)
    with pytest.raises(paseo.PaseoError, match="makes no datetime"):
        _ = run.value
    assert paseo.attach(run.id).value == "not a date"


def test_a_session_keeps_what_it_was_started_with(repo: Path, tmp_path: Path) -> None:
    agent = script(tmp_path, fenced(GOOD), fenced(GOOD))
    paseo.run(agent, "judge", session="s", schema=Verdict)
    assert paseo.run(agent, "again", session="s", schema=Verdict).value == Verdict(True, 0.5, ["a"])
    for more in ({"deny": ["execute"]}, {"schema": list[int]}, {"mcp": {"x": "sh"}}):
        with pytest.raises(paseo.UsageProblem, match=r"count at the start of session 's' only"):
            paseo.run(agent, "and", session="s", **more)


def test_a_schema_fetches_nothing() -> None:
    asked = Judge({"$ref": "http://127.0.0.1:9/schema.json"})
    value, wrong = asked.judge("{}")
    assert value is None
    assert "cannot be applied" in str(wrong)


def test_mcp_servers_are_told_in_acps_form(tmp_path: Path) -> None:
    assert servers_of({"web": "http://127.0.0.1:1/mcp"}) == [
        {"type": "http", "name": "web", "url": "http://127.0.0.1:1/mcp", "headers": []}
    ]
    given = {"command": "sh", "args": ["-c", "true"], "env": {"A": "${B}"}}
    told = servers_of({"sh": given})
    assert told == servers_of({"sh": json.dumps(given)})
    assert told[0]["command"].endswith("/sh")
    assert told[0]["env"] == [{"name": "A", "value": "${B}"}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": 3}, "an object with a command or a url"),
        ({"x": {"url": "file:///etc"}}, "needs an http"),
        ({"x": {"command": "no-such-program"}}, "no program"),
        ({"x": {"cmd": "sh"}}, "cmd, which is unknown"),
        ({"x": {"command": "sh", "args": "-c"}}, "a list of texts"),
        ({"x": "{"}, "no JSON"),
    ],
)
def test_what_is_no_mcp_server_is_refused(given: Any, said: str) -> None:
    with pytest.raises(paseo.UsageProblem, match=said):
        servers_of(given)


def test_a_key_for_an_mcp_server_is_handed_over_and_never_written(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "Bearer ${MY_AUTH}"}}
    with pytest.raises(paseo.UsageProblem, match="MY_AUTH is not set"):
        paseo.start("demo/writer", "write", mcp={"web": server})
    monkeypatch.setenv("MY_AUTH", "zorro-planet-4711")
    run = paseo.run(script(tmp_path, "done"), "go", mcp={"web": server})
    assert run.spec.mcp[0]["headers"][0]["value"] == "Bearer ${MY_AUTH}"
    sent = paseo.events(run=run).query("kind == 'session/new' and dir == 'out'")["raw"].iloc[0]
    assert json.loads(sent)["params"]["mcpServers"][0]["headers"][0]["value"] == "Bearer •••"
    for path in (repo / ".paseo_nb").rglob("*"):
        if path.is_file():
            assert b"zorro-planet-4711" not in path.read_bytes(), path
