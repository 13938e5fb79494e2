"""Scenarios of an agent that behaves: one kind of work each, small enough to assert on."""

from __future__ import annotations

import json
import re
from typing import Any

from ..prompt import Prompt
from ..steps import Step, work
from ..tools import ToolCall
from ..turn import Turn
from .scenario import Scenario

_FILE = re.compile(r"(?<![\w=:/.])(/?[\w][\w./-]*\.[A-Za-z]\w{1,5})\b")
_NOTES = "# Notes\n\nWritten by the scripted demo agent. You asked:\n\n> {quote}\n"


def _files(prompt: Prompt) -> list[str]:
    return list(dict.fromkeys(_FILE.findall(prompt.text)))


def writer(prompt: Prompt) -> list[Step]:
    """Writes the file that the prompt names."""
    name = (_files(prompt) or ["NOTES.md"])[0]
    text = _NOTES.format(quote=prompt.text.strip().replace("\n", "\n> "))

    async def write(turn: Turn) -> None:
        how = "through the client" if turn.client_writes else "by myself"
        written = await work.write_file(turn, name, text)
        await turn.stream(f"Wrote {name} {how}." if written else "Nothing was written.")

    return [{"stream": f"Scripted demo: I write {name}, as asked.\n\n"}, write]


def reader(prompt: Prompt) -> list[Step]:
    """Reads the files that the prompt names."""
    names = _files(prompt) or ["README.md"]

    async def read(turn: Turn) -> None:
        how = "the client gave them" if turn.client_reads else "from disk"
        lines: list[str] = []
        for name in names:
            text = await work.read_file(turn, name)
            size = "could not be read" if text is None else f"{len(text.splitlines())} lines"
            lines.append(f"- `{name}`: {size}")
        await turn.stream(f"Scripted demo: what I read ({how}):\n\n" + "\n".join(lines))

    return [read]


def asker(prompt: Prompt) -> list[Step]:
    """Asks before a command, whatever the mode."""
    command = prompt.command("echo the permission was given")
    ask: Step = {"shell": {"command": command, "ask": True}}
    return [
        {"stream": f"Scripted demo: may I run `{command}`?\n\n"},
        *[ask] * prompt.count("count", 1),
        {"stream": "You allowed it; the command has run."},
    ]


def terminal(prompt: Prompt) -> list[Step]:
    """Two of the client's terminals: one to its end, one killed."""
    return [
        {"say": "Scripted demo: two commands in your terminal, the second is killed.\n"},
        {"terminal": prompt.command("echo one; sleep 0.1; echo two")},
        {"terminal": {"command": "sleep 600", "kill": True}},
        {"say": "That was create, output, wait_for_exit, kill and release."},
    ]


def planner(prompt: Prompt) -> list[Step]:
    """A plan whose entries get done."""
    items = [
        ("Understand what was asked", "high"),
        ("Look at what is there", "high"),
        ("Decide what to change", "medium"),
        ("Write it down", "medium"),
        ("Check it", "low"),
    ]

    def plan(done: int) -> Step:
        states = ["completed"] * done + ["in_progress"] + ["pending"] * len(items)
        entries = [
            {"content": content, "priority": priority, "status": state}
            for (content, priority), state in zip(items, states, strict=False)
        ]
        return {"plan": entries, "pause": 0.05}

    return [
        {"think": "A plan first; in a scripted demo it is always the same one."},
        *[plan(done) for done in range(len(items) + 1)],
        {"stream": f"Scripted demo: a plan of {len(items)} entries, all ticked off."},
    ]


def echo(prompt: Prompt) -> list[Step]:
    """Proves what the session remembers."""

    async def answer(turn: Turn) -> None:
        told = [Prompt(blocks).text.strip() for blocks in turn.session.user_messages]
        before = f" The one before it was: {told[-2]}" if len(told) > 1 else ""
        await turn.say(
            f"Scripted demo: user message {len(told)} of this session is: {told[-1]}{before}"
        )

    return [answer]


def nested(prompt: Prompt) -> list[Step]:
    """Runs a command that may itself be an agent."""
    command = prompt.command("echo nothing to run: write run: COMMAND")
    return [{"shell": command}, _tell_exit]


def sleep(prompt: Prompt) -> list[Step]:
    """A shell tool that takes long."""
    return [{"shell": f"sleep {prompt.number('seconds', 30):g}"}, {"say": "Slept."}]


async def _tell_exit(turn: Turn) -> None:
    code = turn.memory.get("exit_code")
    await turn.say(f"Scripted demo: the command ended with exit code {code}.")


def modes(prompt: Prompt) -> list[Step]:
    """Changes its own settings."""
    return [
        {"say": "Scripted demo: I switch to plan mode, "},
        {"mode": "plan"},
        {"config": {"effort": "high"}},
        {"title": "A session about modes"},
        {"commands": True},
        {"say": "think hard, and come back to where I was."},
        {"mode": "default"},
        {"config": {"effort": "medium"}},
    ]


def usage(prompt: Prompt) -> list[Step]:
    """Several model calls, each with its usage."""
    calls: list[Step] = []
    for number in range(1, prompt.count("calls", 4) + 1):
        calls += [
            {"plan": [{"content": f"Model call {number}", "status": "in_progress"}]},
            {"think": f"Thinking before model call {number}, to have thoughts to count. "},
            {"tool": {"title": f"Look at part {number}", "kind": "read", "text": "nothing"}},
            {"usage": True},
        ]
    return [*calls, {"say": "Scripted demo: the token counts are made up, their shape is real."}]


def image(prompt: Prompt) -> list[Step]:
    """What arrived."""

    async def report(turn: Turn) -> None:
        lines = [f"- {_block(block)}" for block in turn.prompt.blocks]
        servers = [str(server.get("name")) for server in turn.session.servers]
        lines.append(f"- MCP servers: {', '.join(servers) or 'none'}")
        await turn.say("Scripted demo: I received\n\n" + "\n".join(lines))

    return [report]


def _block(block: dict[str, Any]) -> str:
    kind = str(block.get("type"))
    if kind == "text":
        return f"text, {len(str(block.get('text')))} characters"
    if kind in ("image", "audio"):
        size = len(str(block.get("data"))) * 3 // 4 - str(block.get("data")).count("=")
        return f"{kind}, {block.get('mimeType')}, {size} bytes"
    if kind == "resource":
        inner: dict[str, Any] = block.get("resource") or {}
        size = len(str(inner.get("text", inner.get("blob", ""))))
        return f"resource, {inner.get('uri')}, {size} characters"
    return f"{kind}, {block.get('uri', 'no uri')}"


def bareperm(prompt: Prompt) -> list[Step]:
    """A permission request that names only the tool call."""

    async def ask(turn: Turn) -> None:
        command = {"command": "rm -r build"}
        call = ToolCall(turn, "Delete the build folder", "execute", rawInput=command)
        async with call:
            answer = await call.ask(bare=True)
            await call.end("completed" if answer.startswith("allow") else "failed")
        await turn.say(f"Scripted demo: the answer was {answer}; nothing was run.")

    return [ask]


def expert(prompt: Prompt) -> list[Step]:
    """An opinion in the form that is asked for: the value of a JSON Schema, where one is given."""
    schema = _schema(prompt.text) if "JSON Schema" in prompt.text else None
    if schema is None:
        opinion = "Scripted demo: it looks well to me, and I would test it first."
        return [
            {"tool": {"title": "Look around", "kind": "read", "text": "files"}},
            {"say": opinion},
        ]
    value = json.dumps(_value(schema, "answer"), indent=1)
    return [{"say": f"Scripted demo: the answer in the form asked for.\n```json\n{value}\n```"}]


def _schema(text: str) -> Any:
    """The last JSON object that the text holds, from the beginning of a line."""
    for match in reversed(list(re.finditer(r"^\{", text, re.MULTILINE))):
        try:
            return json.JSONDecoder().raw_decode(text, match.start())[0]
        except ValueError:
            continue
    return None


def _value(schema: Any, name: str) -> Any:
    """The shortest value that fits: yes to every question, one entry where some are wanted."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        told: dict[str, Any] = schema.get("properties", {})
        return {key: _value(one, key) for key, one in told.items()}
    if kind == "array":
        return [_value(schema.get("items", {}), name)] * int(schema.get("minItems", 0))
    if kind in ("integer", "number"):
        return schema.get("minimum", 0)
    if kind == "boolean":
        return True
    if name in ("objections", "findings", "differences", "reason"):
        return ""
    return f"Scripted demo: {name}"


SCENARIOS = [
    Scenario("writer", "writes NOTES.md or the file named in the prompt", writer),
    Scenario("reader", "reads README.md or the files named in the prompt", reader),
    Scenario("asker", "asks before a command in any mode; run: COMMAND, count=1", asker),
    Scenario("terminal", "uses the client's terminals; run: COMMAND", terminal, False),
    Scenario("planner", "a plan whose five entries get done", planner, False),
    Scenario("echo", "says how many messages the session has, and the last two", echo),
    Scenario("nested", "runs a shell command, even another agent; run: COMMAND", nested),
    Scenario("sleep", "a shell tool that sleeps; seconds=30", sleep, False),
    Scenario("modes", "changes its mode, effort, title and commands by itself", modes, False),
    Scenario("usage", "many model calls with thoughts and usage; calls=4", usage, False),
    Scenario("image", "names the content blocks and MCP servers it received", image, False),
    Scenario("expert", "an opinion, as the JSON Schema's value where one is asked for", expert),
    Scenario("bareperm", "a permission request that names only the call's id", bareperm, False),
]
