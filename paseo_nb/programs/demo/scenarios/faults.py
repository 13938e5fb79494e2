"""Scenarios in which something goes wrong: the process, its children, the answer."""

from __future__ import annotations

from ..prompt import Prompt
from ..steps import Step
from .scenario import Scenario

_AUTH = "Authentication required: log in first (scripted demo, there is nothing to log in to)"


def crash(prompt: Prompt) -> list[Step]:
    """Dies in mid-turn; “continue” then finds the last steps."""
    return [
        {"stream": "Scripted demo: I begin with the work, and "},
        {"stream": "in the middle of a sentence I "},
        {"exit": prompt.count("code", 3)},
        {"stream": "The rest of the work, "},
        {"stream": "done after the crash."},
    ]


def exit_early(prompt: Prompt) -> list[Step]:
    """As a launch argument it ends the process before initialize; chosen later, at the prompt."""
    return [{"exit": 7}]


def stderr(prompt: Prompt) -> list[Step]:
    """Very much on stderr."""
    size = prompt.count("bytes", 4_000_000)
    return [{"stderr": size}, {"say": f"Scripted demo: wrote {size} bytes to stderr."}]


def garbage(prompt: Prompt) -> list[Step]:
    """What a client must live through."""
    unknown = {"sessionUpdate": "demo_unknown_update", "text": "no client knows this kind"}
    return [
        {"say": "Scripted demo: garbage comes. "},
        {"raw": "this line is no JSON at all"},
        {"raw": '{"jsonrpc": "2.0", "method": "session/update", "params": {"sess'},
        {"raw": {"hex": "ff fe 00 80 c3 28"}},
        {"raw": '{"jsonrpc": "2.0", "method": "_demo/\\ud800", "params": {}}'},
        {"raw": ""},
        {"raw": "[1, 2, 3]"},
        {"raw": '"a string"'},
        {"raw": "null"},
        {"raw": '{"jsonrpc": "2.0"}'},
        {"raw": '{"jsonrpc": "2.0", "id": 987654321, "result": {"for": "nobody"}}'},
        {"raw": '{"jsonrpc": "2.0", "method": "_demo/unknown_notification", "params": {"a": 1}}'},
        {"raw": '{"jsonrpc": "2.0", "method": "session/update", "params": {"update": 5}}'},
        {"update": unknown},
        {"request": {"method": "_demo/unknown_request", "wait": prompt.number("wait", 5)}},
        {"say": "The garbage is over."},
    ]


def children(prompt: Prompt) -> list[Step]:
    """Leaves processes behind."""
    ways = prompt.word("ways", "group,session,double,cleared").split(",")
    return [{"children": {"ways": ways, "seconds": prompt.count("seconds", 600)}}]


def stubborn(prompt: Prompt) -> list[Step]:
    """Cannot be ended but by SIGKILL."""
    ticks = max(1, round(prompt.number("seconds", 60) / 0.5))
    tick: Step = {"say": "Scripted demo: still here. ", "pause": 0.5}
    return [{"stubborn": True}, *[tick] * ticks, {"stubborn": False}]


def refuse(prompt: Prompt) -> list[Step]:
    """The stop reason refusal."""
    return [{"say": "Scripted demo: I refuse, as asked."}, {"stop": "refusal"}]


def maxtokens(prompt: Prompt) -> list[Step]:
    """The stop reason max_tokens."""
    return [{"say": "Scripted demo: this sentence is cut off in the"}, {"stop": "max_tokens"}]


def error(prompt: Prompt) -> list[Step]:
    """A JSON-RPC error as the prompt's answer."""
    code = prompt.count("code", 32000)
    return [
        {"say": "Scripted demo: the answer will be an error. "},
        {"error": {"code": -abs(code), "message": _AUTH}},
    ]


SCENARIOS = [
    Scenario("crash", "streams, then dies with exit code 3; code=3", crash, False),
    Scenario("exit", "exits with code 7 before initialize", exit_early, False),
    Scenario("stderr", "megabytes on stderr; bytes=4000000", stderr, False),
    Scenario("garbage", "broken lines, unknown kinds, an unknown request; wait=5", garbage, False),
    Scenario(
        "children",
        "leaves children running; ways=group,session,double,cleared,daemon,stdout seconds=600",
        children,
        False,
    ),
    Scenario("stubborn", "ignores cancel, stdin's end, SIGTERM; seconds=60", stubborn, False),
    Scenario("refuse", "stop reason refusal", refuse, False),
    Scenario("maxtokens", "stop reason max_tokens", maxtokens, False),
    Scenario("error", "a JSON-RPC error like “log in first”; code=32000", error, False),
]
