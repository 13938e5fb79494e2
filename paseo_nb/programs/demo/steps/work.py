"""What the agent does: reads, edits, commands, each a real tool call that asks as its mode says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ...common import process
from ...common.content import diff_content, text_content
from ...common.errors import ClientError
from ...common.value import spelled_out
from ..tools import ToolCall
from ..turn import Turn

_SHOWN = 6_000
_REFRESH_S = 0.2
_A_MOMENT_S = 0.12  # a file takes no time to read or write: watchable only with a little of it


async def tool(turn: Turn, value: Any) -> None:
    """{"tool": {"title", "kind", "input", "output", "text", "locations", "diff", "sleep",
    "status"}}: a tool call with no work behind it."""
    content = [text_content(str(value["text"]))] if "text" in value else []
    if "diff" in value:
        diff = value["diff"]
        content.append(diff_content(turn.path(diff["path"]), diff.get("old"), diff["new"]))
    places = [{"path": turn.path(str(path))} for path in value.get("locations", [])]
    call = ToolCall(
        turn,
        str(value.get("title", "Tool")),
        str(value.get("kind", "other")),
        rawInput=value.get("input"),
        locations=places,
    )
    async with call:
        await call.progress()
        await asyncio.sleep(float(value.get("sleep", 0)))
        status = str(value.get("status", "completed"))
        await call.end(status, content=content, rawOutput=value.get("output"))


async def permission(turn: Turn, value: Any) -> None:
    """{"permission": {"title", "kind", "input", "options", "bare"}}: asks, says the answer, goes
    on whatever it is. `bare`: the request names the tool call's id only."""
    call = ToolCall(
        turn,
        str(value.get("title", "Run a command")),
        str(value.get("kind", "execute")),
        rawInput=value.get("input", {"command": "true"}),
    )
    async with call:
        options = value.get("options")
        answer = await call.ask(bare=bool(value.get("bare")), options=options)
        turn.memory["answer"] = answer
        await call.end("completed" if answer.startswith("allow") else "failed")
    await turn.say(f"Permission: {answer}.")


async def read(turn: Turn, value: Any) -> None:
    """{"read": "path"} or a list of paths."""
    for name in [value] if isinstance(value, str) else value:
        await read_file(turn, str(name))


async def read_file(turn: Turn, name: str) -> str | None:
    """One read as a tool call; returns the text, or None if it could not be read."""
    path = turn.path(name)
    call = ToolCall(
        turn, f"Read {name}", "read", rawInput={"path": path}, locations=[{"path": path, "line": 1}]
    )
    async with call:
        await call.progress()
        await asyncio.sleep(_A_MOMENT_S * turn.pace)
        try:
            text = await turn.read(path)
        except (OSError, ClientError) as error:
            await call.end("failed", content=[text_content(f"{error}")])
            return None
        await call.end(content=[text_content(text[:_SHOWN])], rawOutput={"characters": len(text)})
        return text


async def edit(turn: Turn, value: Any) -> None:
    """{"edit": {"path", "old", "new"}}: replaces text in a file."""
    path = turn.path(str(value["path"]))
    before = await turn.read(path)
    if value["old"] not in before:
        await turn.say(f"{value['path']} does not contain the text to replace; left as it is.")
        return
    await write_file(turn, str(value["path"]), before.replace(value["old"], value["new"], 1))


async def write(turn: Turn, value: Any) -> None:
    """{"write": {"path", "text"}}: writes a whole file."""
    await write_file(turn, str(value["path"]), str(value["text"]))


async def write_file(turn: Turn, name: str, text: str) -> bool:
    """One edit as a tool call with its diff; False in plan mode, where nothing is edited."""
    path = turn.path(name)
    try:
        before = await turn.read(path)
    except (OSError, ClientError):
        before = None
    if turn.session.mode == "plan":
        await turn.say(f"Plan mode: I would change {name}, and leave it as it is.\n")
        return False
    diff = [diff_content(path, before, text)]
    call = ToolCall(
        turn,
        f"{'Write' if before is None else 'Edit'} {name}",
        "edit",
        rawInput={"path": path, "content": text},
        locations=[{"path": path}],
        content=diff,
    )
    async with call:
        outside = not turn.inside(path) and turn.session.mode != "auto"
        await call.permit(always_ask=outside)
        await call.progress()
        await asyncio.sleep(_A_MOMENT_S * turn.pace)
        await turn.write(path, text)
        await call.end(content=diff, rawOutput={"written": len(text.encode())})
    return True


async def shell(turn: Turn, value: Any) -> None:
    """{"shell": "command"} or {"shell": {"command", "title", "timeout", "ask"}}; `ask`: true asks
    in any mode, false in none."""
    given = spelled_out(value, "command")
    limit = given.get("timeout")
    ended = await run_command(
        turn, str(given["command"]), shown=given.get("title"), timeout_s=limit, ask=given.get("ask")
    )
    turn.memory["exit_code"] = ended.code


async def run_command(
    turn: Turn,
    command: str | list[str],
    *,
    shown: str | None = None,
    timeout_s: float | None = None,
    ask: bool | None = None,
) -> process.Finished:
    """One command as a tool call; `shown` is its title. Output is shown while it comes."""
    line = shown or (command if isinstance(command, str) else " ".join(command))
    call = ToolCall(
        turn,
        line,
        "execute",
        rawInput={"command": line, "cwd": turn.session.cwd},
        _meta={"toolName": "shell"},
    )
    last_shown = 0.0

    def show(output: str) -> None:
        nonlocal last_shown
        if time.monotonic() - last_shown >= _REFRESH_S:
            last_shown = time.monotonic()
            call.progress_now(content=[text_content(output[-_SHOWN:])])

    async with call:
        if ask is not False:
            await call.permit(always_ask=bool(ask))
        await call.progress()
        ended = await process.run(command, turn.session.cwd, on_output=show, timeout_s=timeout_s)
        await call.end(
            "completed" if ended.code == 0 else "failed",
            content=[text_content(ended.output or "(no output)")],
            rawOutput={"exitCode": ended.code, "output": ended.output},
        )
    return ended


async def terminal(turn: Turn, value: Any) -> None:
    """{"terminal": "command"} or {"terminal": {"command", "kill"}}: in the client's terminal, all
    five methods of it if `kill` is true."""
    given = spelled_out(value, "command")
    command = str(given["command"])
    if not turn.client_terminal:
        await turn.say("The client offers no terminal, so this part is left out.\n")
        return
    call = ToolCall(turn, f"Terminal: {command}", "execute", rawInput={"command": command})
    async with call:
        await call.permit()
        where = {"sessionId": turn.session.id}
        create = {"command": "/bin/sh", "args": ["-c", command], "cwd": turn.session.cwd}
        made = await turn.wire.request("terminal/create", where | create)
        where["terminalId"] = str(made["terminalId"])
        content = [{"type": "terminal", "terminalId": where["terminalId"]}]
        try:
            await call.progress(content=content)
            if given.get("kill"):
                await asyncio.sleep(0.1)
                await turn.wire.request("terminal/kill", where)
            status = await turn.wire.request("terminal/wait_for_exit", where)
            shown = await turn.wire.request("terminal/output", where)
            output = {"exitStatus": status, "output": shown.get("output")}
            await call.end(content=content, rawOutput=output)
        except asyncio.CancelledError:
            turn.wire.post("terminal/kill", where)
            raise
        finally:
            turn.wire.post("terminal/release", where)
