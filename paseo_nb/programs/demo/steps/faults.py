"""How the agent misbehaves: floods, silence, garbage, sudden ends, children left behind."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
import time
from typing import Any

from ...common.content import text_content
from ...common.errors import ClientError, RpcError
from ...common.value import spelled_out
from ..errors import BadScript, TurnOver
from ..sessions import Told
from ..tools import ToolCall
from ..turn import Turn

_BATCH = 512
_BLOCK = b"0123456789abcdef" * 4096
_MARK = "@@here@@"
WAYS = ("group", "session", "double", "cleared", "daemon", "stdout")


async def stall(turn: Turn, value: Any) -> None:
    """{"stall": true}: nothing more until a cancel comes; a number: for so many seconds."""
    await asyncio.sleep(1e9 if value is True else float(value))


async def silent(turn: Turn, value: Any) -> None:
    """{"silent": seconds}: nothing at all; a cancel is obeyed only when they are over."""
    turn.deaf = True
    await asyncio.sleep(float(value))
    turn.deaf = False
    if turn.cancel_wanted:
        raise TurnOver("cancelled", finished=False)


async def stubborn(turn: Turn, value: Any) -> None:
    """{"stubborn": true}: from here on the turn ignores a cancel, stdin's end and SIGTERM."""
    turn.stubborn = bool(value)


async def raw(turn: Turn, value: Any) -> None:
    """{"raw": "any line"}; {"raw": {"hex"} or {"base64"}} for any bytes. A newline is added."""
    if isinstance(value, str):
        data = value.encode()
    elif "hex" in value:
        data = bytes.fromhex(str(value["hex"]))
    else:
        data = base64.b64decode(str(value["base64"]))
    turn.wire.send_bytes(data + b"\n")
    await turn.wire.drain()


async def big_line(turn: Turn, value: Any) -> None:
    """{"bytes": N}: one message chunk whose text has N bytes, made as it is sent."""
    left = int(value)
    turn.session.append(Told(turn.chunk("agent_message_chunk", f"[a line of {left} bytes]")))
    head, tail = _around_text(turn)
    async with turn.wire.long_line() as put:
        put(head)
        try:
            while left > 0:
                put(_BLOCK if left >= len(_BLOCK) else _BLOCK[:left])
                left -= len(_BLOCK)
                await turn.wire.drain()
        finally:
            put(tail)


async def flood(turn: Turn, value: Any) -> None:
    """{"flood": N} or {"flood": {"count", "text"}}: N chunks, numbered from 0, as fast as the
    client reads. The session's file keeps one line for them all."""
    given = spelled_out(value, "count")
    count, text = int(given["count"]), str(given.get("text", ""))
    turn.session.append(Told(turn.chunk("agent_message_chunk", f"[{count} updates]")))
    head, tail = _around_text(turn, text)
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        turn.wire.send_bytes(b"".join([b"%b%d %b" % (head, n, tail) for n in numbers]))
        await turn.wire.drain()


def _around_text(turn: Turn, text: str = "") -> tuple[bytes, bytes]:
    line = turn.notification(turn.chunk("agent_message_chunk", _MARK + text)) + b"\n"
    head, _, tail = line.partition(_MARK.encode())
    return head, tail


async def stderr(turn: Turn, value: Any) -> None:
    """{"stderr": N}: N bytes to stderr, from a thread: nobody may be reading there."""
    stop_writing = threading.Event()

    def write() -> None:
        line = b"scripted demo: this line goes to stderr and means nothing ..........\n"
        left = int(value)
        while left > 0 and not stop_writing.is_set():
            try:
                left -= os.write(2, (line * 512)[:left])
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                return

    try:
        await asyncio.get_running_loop().run_in_executor(None, write)
    finally:
        stop_writing.set()


async def request(turn: Turn, value: Any) -> None:
    """{"request": {"method", "params", "wait"}}: asks the client something, says the answer."""
    params: dict[str, Any] = {"sessionId": turn.session.id} | dict(value.get("params", {}))
    method = str(value.get("method", "_demo/unknown"))
    try:
        async with asyncio.timeout(float(value.get("wait", 5))):
            answer = await turn.wire.request(method, params)
        await turn.say(f"The client answered {method}: {answer!r}\n")
    except ClientError as error:
        await turn.say(f"The client refused {method}: {error}\n")
    except TimeoutError:
        await turn.say(f"The client did not answer {method}.\n")


async def late(turn: Turn, value: Any) -> None:
    """{"late": "text"} or {"late": {"text", "after", "count", "every"}}: chunks after the turn's
    result; seconds."""
    given = spelled_out(value, "text")

    async def afterwards() -> None:
        await asyncio.sleep(float(given.get("after", 0.05)))
        for _ in range(int(given.get("count", 1))):
            await turn.say(str(given.get("text", "This came after the turn's result. ")))
            await asyncio.sleep(float(given.get("every", 0.02)))

    turn.afterwards.append(afterwards)


async def stop(turn: Turn, value: Any) -> None:
    """{"stop": "refusal"}: the turn's stop reason."""
    raise TurnOver(str(value))


async def error(turn: Turn, value: Any) -> None:
    """{"error": {"code", "message", "data"}}: the prompt is answered with a JSON-RPC error."""
    message = str(value.get("message", "Scripted error"))
    raise RpcError(int(value.get("code", -32603)), message, value.get("data"))


async def exit_now(turn: Turn, value: Any) -> None:
    """{"exit": code}: the process ends at once, what was told before has left."""
    await turn.wire.flush()
    os._exit(int(value))


async def kill(turn: Turn, value: Any) -> None:
    """{"kill": signal}: the process kills itself."""
    await turn.wire.flush()
    os.kill(os.getpid(), int(value))
    await asyncio.sleep(1)


async def children(turn: Turn, value: Any) -> None:
    """{"children": ["group", "session", "double", "cleared", "daemon", "stdout"]} or {"ways",
    "seconds"}: leaves a sleeping child for each; `true`: the first four. They outlive the agent."""
    given = spelled_out(value, "ways")
    ways = [str(way) for way in given.get("ways", WAYS[:4])]
    if unknown := [way for way in ways if way not in WAYS]:
        raise BadScript(f"unknown ways {unknown}; known: {', '.join(WAYS)}")
    seconds = int(given.get("seconds", 600))
    call = ToolCall(turn, "Leave children running", "execute", rawInput={"ways": ways})
    async with call:
        await call.progress()
        pids = {way: leave_child(way, seconds) for way in ways}
        turn.memory["pids"] = pids
        text = "\n".join(f"{way} {pid}" for way, pid in pids.items())
        await call.end(content=[text_content(text)], rawOutput={"pids": pids})
    await turn.say("Left running: " + ", ".join(f"{w} {p}" for w, p in pids.items()) + ".\n")


def leave_child(way: str, seconds: int) -> int:
    """Start a sleeper and return its pid. group: in our group; session: in its own; double: its
    parent is gone; cleared: own session, no environment; daemon: all three; stdout: holds ours."""
    sleeper = ["/bin/sleep", str(seconds)]
    null = subprocess.DEVNULL
    if way in ("double", "daemon"):
        line = f"{' '.join(sleeper)} </dev/null >/dev/null 2>&1 & echo $!"
        apart = way == "daemon"
        parent = subprocess.run(
            ["/bin/sh", "-c", line],
            stdin=null,
            capture_output=True,
            check=True,
            start_new_session=apart,
            env={} if apart else None,
        )
        return int(parent.stdout)
    if way == "stdout":
        return subprocess.Popen(sleeper, stdin=null).pid
    apart = way in ("session", "cleared")
    env = dict[str, str]() if way == "cleared" else None
    child = subprocess.Popen(
        sleeper, stdin=null, stdout=null, stderr=null, start_new_session=apart, env=env
    )
    return child.pid
