"""Scenarios with content that wants to escape: markup, terminal escapes, secrets."""

from __future__ import annotations

import json
import os
import re

from ..prompt import Prompt
from ..steps import Step
from ..turn import Turn
from .scenario import Scenario

SCRIPT = "<script>window.demoHacked=1</script>"
IMG = '<img src=x onerror="window.demoHacked=1">'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="window.demoHacked=1"><circle r="9"/></svg>'
LINK = "[click](javascript:window.demoHacked=1) [data](data:text/html,<script>alert(1)</script>)"
MORE = (
    "</pre></div></textarea></script>"
    "<iframe srcdoc='<script>parent.demoHacked=1</script>'></iframe>"
    "<a href='java\tscript:window.demoHacked=1'>a</a><style>*{display:none}</style>"
    "<details open ontoggle=window.demoHacked=1><math><mtext></mtext></math>"
    "![i](javascript:window.demoHacked=1) <javascript:window.demoHacked=1> {{7*7}} ${7*7}"
)
ANSI = (
    "\x1b[31mred\x1b[0m \x1b]8;;javascript:window.demoHacked=1\x07link\x1b]8;;\x07 "
    "\x1b]0;title\x07\x1b[2J\x1b[H\x1b]52;c;aGFja2Vk\x07 \x1bP+q\x1b\\ \x9b31m bell\x07 "
    "\u202egnp.exe\u202c \u2028 \u2029 \x00 \ufeff"
)
ALL = f"{SCRIPT}\n\n{IMG}\n\n{SVG}\n\n{LINK}\n\n{MORE}\n\n```html\n{SCRIPT}\n```\n{ANSI}\n"


def hostile(prompt: Prompt) -> list[Step]:
    """Payloads wherever an agent can put text."""
    name = "x'\"><img src=x onerror=window.demoHacked=1>.py"
    steps: list[Step] = [
        {"title": f"{SCRIPT}{IMG}"},
        {"say": "Scripted demo: hostile content follows.\n\n"},
        {"say": ALL},
        {"say": SCRIPT[:9]},
        {"say": SCRIPT[9:] + "\n"},
        {"think": f"{IMG} {LINK}"},
        {"plan": [SCRIPT, IMG, LINK]},
        {"commands": {IMG: SCRIPT}},
        {
            "tool": {
                "title": f"{IMG}{SCRIPT}\x1b[31m",
                "kind": "edit",
                "input": {"command": SCRIPT, IMG: SVG, "__proto__": {"demoHacked": 1}},
                "text": ALL,
                "output": {"html": ALL},
                "locations": [name],
                "diff": {"path": name, "old": f"{SCRIPT}\n", "new": f"{IMG}\n{SVG}\n{ANSI}\n"},
            }
        },
        {"tool": {"title": SVG, "kind": "execute", "text": ANSI + ALL, "status": "failed"}},
    ]
    if prompt.count("ask", 0):
        options = [
            {"optionId": IMG, "name": SCRIPT, "kind": "allow_once"},
            {"optionId": "no", "name": IMG, "kind": "reject_once"},
        ]
        asked = {"title": f"{SCRIPT}{IMG}", "input": {"command": ALL}, "options": options}
        steps.append({"permission": asked})
    if prompt.count("error", 0):
        steps.append({"error": {"code": -32603, "message": f"{SCRIPT}{IMG}{ANSI}"}})
    return steps


def secrets(prompt: Prompt) -> list[Step]:
    """Shows the environment variables that the prompt names, in every way a line can hold them."""
    names = dict.fromkeys(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", prompt.text))
    found = {n: _clean(os.environ[n]) for n in names if n in os.environ}
    steps: list[Step] = [{"say": f"Scripted demo: {len(found)} of {len(names)} names are set.\n"}]
    for name, value in found.items():
        half = len(value) // 2
        steps += [
            {"say": f"whole: {name}={value}\n"},
            {"say": f"split: {name}={value[:half]}"},
            {"say": f"{value[half:]}\n"},
            *[{"say": letter} for letter in (value[:64] if len(value) <= 64 else "")],
            {"say": "\njson: " + json.dumps({name: value}) + "\n"},
            {"say": "json in json: " + json.dumps(json.dumps({name: value})) + "\n"},
            {"think": f"The value of {name} is {value}. "},
            {
                "tool": {
                    "title": f"echo {value}",
                    "kind": "execute",
                    "input": {"command": f"echo '{value}'", "env": {name: value}},
                    "text": f"{value}\n",
                    "output": {"stdout": f'"{value}"\\', "lines": [value]},
                }
            },
            _escaped(value),
        ]
    return steps


def _escaped(value: str) -> Step:
    async def send(turn: Turn) -> None:
        r"""A valid line in which each character of the value is written as \uXXXX."""
        mark = "here-the-value-comes"
        update = turn.chunk("agent_message_chunk", f"escaped: {mark}\n")
        units = value.encode("utf-16-be").hex()
        spelled = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
        line = turn.notification(update).replace(mark.encode(), spelled.encode())
        turn.wire.send_bytes(line + b"\n")
        await turn.wire.drain()

    return send


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


SCENARIOS = [
    Scenario("hostile", "markup and terminal escapes everywhere; ask=1, error=1", hostile, False),
    Scenario("secrets", "shows the environment variables named in the prompt", secrets),
]
