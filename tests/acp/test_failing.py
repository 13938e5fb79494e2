"""Why a model call failed, as each agent words it."""

from __future__ import annotations

import pytest

from paseo_nb.drivers.failing import model_problem

# As the pinned CLIs tell it: words, the status that is told apart from them, what it is.
TOLD: list[tuple[str, int | None, str]] = [
    ("401: invalid x-api-key today", None, "auth"),
    ('401: {"message": "bad key"}', None, "auth"),
    ("Internal error: invalid x-api-key today", None, "auth"),
    ("Authentication failed with provider at http://127.0.0.1:44795/v1 (HTTP 401)", None, "auth"),
    ('{"error":{"code":401,"message":"no","status":"UNAUTHENTICATED"}}', 401, "auth"),
    ("Invalid API key · Fix external API key", None, "auth"),
    ("Unable to validate model: Could not resolve authentication method.", None, "auth"),
    ("404: nope", None, "model_not_found"),
    ("Model 'gpt-4.1' not found on provider at http://127.0.0.1:1/v1 (HTTP 404)", None, "model_not_found"),
    ("model not found: nope", 500, "model_not_found"),
    ("There's an issue with the selected model (claude-9).", 404, "model_not_found"),
    ("400: This model's maximum context length is 128000 tokens; you sent 210000.", None, "context_overflow"),
    ('{"error":{"code":400,"message":"The input token count (11) exceeds the maximum"}}', 400, "context_overflow"),
    ("Prompt is too long · automatic compaction failed: Invalid API key", 401, "context_overflow"),
    ("400 the field `seed` is unknown", None, "rejected"),
    ("429: slow down", None, "rate_limit"),
    ("too many tokens per minute for this context window", 429, "rate_limit"),
    ("529: overloaded", None, "server_error"),
    ("Internal error: overloaded", None, "server_error"),
    ("Failed to get response; retried 5 times. Last error: 529 overloaded", None, "server_error"),
    ('{"error":{"code":529,"message":"overloaded","status":"INTERNAL"}}', 529, "server_error"),
    ("terminated", 500, "disconnected"),
    ("API Error: Connection dropped (ECONNRESET). Check the gateway.", None, "disconnected"),
    ("stream disconnected before completion: error decoding response body", None, "disconnected"),
    ("Connection error.", None, "unreachable"),
    ("API Error: Connection refused — a firewall or proxy may be blocking it (ECONNREFUSED)", None, "unreachable"),
    ("Internal error: Cannot connect to API: Unable to connect.", None, "unreachable"),
    ("Credit balance is too low", 400, "quota"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "code"), TOLD)
def test_what_agents_say(words: str, status: int | None, code: str) -> None:
    problem = model_problem(words, status)
    assert problem.code == code
    assert problem.hint
    assert '{"' not in problem.message


@pytest.mark.parametrize(
    "words",
    ["", "boom", "you sent 500 tokens", "at http://host:443/v1", '{"error": 5}', "{" * 9999],
)
def test_what_says_nothing_is_not_guessed_at(words: str) -> None:
    problem = model_problem(words, unknown="-32603")
    assert (problem.code, problem.hint, problem.message) == ("-32603", None, words)


def test_an_agents_own_hint_goes_before_the_common_one() -> None:
    assert model_problem("401: no", hints={"auth": "Run it."}).hint == "Run it."
