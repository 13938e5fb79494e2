"""CPU per event of the byte path, beside what it could cost at least and what the official SDK costs.

The same 200,000 `session/update` lines (mean about 640 B: 80 % message chunks, 10 % tool calls, 10 %
tool call updates) come from `cat` through a pipe into four readers, each in a process of its own:

- `bare`: asyncio's SubprocessProtocol, lines split, each decoded into typed msgspec structs; the
  anchor. Keeps nothing.
- `readline`: the same with `async for line in stdout`, as most clients are written.
- `sdk`: the client of the official ACP SDK (agent-client-protocol), with a handler that counts.
- `paseo_nb`: AgentLink as the supervisor runs it: split, checked as UTF-8, screened for five secrets
  and 18 kinds of tokens, read as far as the dialect needs, wrapped and appended to the journal (made
  durable every 250 ms). Nothing is left out.

`python benchmarks/ingest.py [--runs 5]` interleaves the runs and writes results/ingest.json.
Ratios within one run of the script are what counts; absolute times are this machine's mood.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from common import machine, median, write_results

COUNT = 200_000
READERS = ("bare", "readline", "paseo_nb", "sdk")
SECRETS = {
    "OPENAI_API_KEY": "sk-proj-8sJq2nVw0pXk4tRz7uYb1cDf3gHj5kLm",
    "ANTHROPIC_API_KEY": "sk-ant-api03-Zx9Qw8Er7Ty6Ui5Op4As3Df2Gh1Jk0Lz",
    "GITHUB_TOKEN": "ghp_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "DATABASE_PASSWORD": 'correct horse "battery" staple',
}
WORDS = (
    "the file reads a line from tests and then returns None when the parser is done with self "
    "import os path.join(root, name) if value is not None else default -> dict[str, Any] assert "
    "plain words and `code` spans, ask the user about every single key of the mapping before it"
).split()
RARE = ("naïve", "— and", "“quoted”", "…", "✓ done")  # in every fifth text: what is not ASCII
ALARM = "task-list and risk-free"  # in one text of a hundred: looks like the beginning of a token


# ---------------------------------------------------------------- the data


def make_data(path: Path, count: int = COUNT) -> None:
    """The same lines each time: what agents send while they work."""
    pick = random.Random(7)
    texts = [_text(pick, number) for number in range(400)]
    codes = ["\n".join(" ".join(pick.choices(WORDS, k=9)) for _ in range(22)) for _ in range(100)]
    with path.open("wb") as out:
        for number in range(count):
            out.write(msgspec.json.encode(_message(number, pick, texts, codes)) + b"\n")


def _text(pick: random.Random, number: int) -> str:
    words = pick.choices(WORDS, k=64)
    if number % 5 == 0:
        words[pick.randrange(20)] = pick.choice(RARE)
    if number % 100 == 1:
        words[pick.randrange(20)] = ALARM
    return " ".join(words)


def _message(
    number: int, pick: random.Random, texts: list[str], codes: list[str]
) -> dict[str, Any]:
    tenth = number % 10
    if tenth == 4:
        code = pick.choice(codes)
        update: dict[str, Any] = {
            "sessionUpdate": "tool_call",
            "toolCallId": f"toolu_{number // 10:024d}",
            "title": f"Edit src/package/module_{number % 97}.py",
            "kind": "edit",
            "status": "pending",
            "rawInput": {"path": f"src/package/module_{number % 97}.py", "text": code[:130]},
            "locations": [{"path": f"/home/me/project/src/package/module_{number % 97}.py"}],
        }
    elif tenth == 9:
        code = pick.choice(codes)
        update = {
            "sessionUpdate": "tool_call_update",
            "toolCallId": f"toolu_{number // 10:024d}",
            "status": "completed",
            "content": [{"type": "content", "content": {"type": "text", "text": code[:1000]}}],
            "rawOutput": {"exitCode": 0, "output": code[:1000]},
        }
    else:
        text = pick.choice(texts)[: 190 + pick.randrange(60)]
        update = {
            "sessionUpdate": "agent_message_chunk" if tenth else "agent_thought_chunk",
            "content": {"type": "text", "text": text},
            "messageId": f"msg_{number // 50:020d}",
        }
    params = {"sessionId": "sess_0123456789abcdef0123456789abcdef", "update": update}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


# ---------------------------------------------------------------- typed, for the bare readers


class Text(msgspec.Struct, tag="text", tag_field="type"):
    text: str


class Chunk(msgspec.Struct, tag="agent_message_chunk", tag_field="sessionUpdate"):
    content: Text
    messageId: str | None = None


class Thought(msgspec.Struct, tag="agent_thought_chunk", tag_field="sessionUpdate"):
    content: Text
    messageId: str | None = None


class Place(msgspec.Struct):
    path: str
    line: int | None = None


class Content(msgspec.Struct, tag="content", tag_field="type"):
    content: Text


class Call(msgspec.Struct, tag="tool_call", tag_field="sessionUpdate"):
    toolCallId: str
    title: str
    kind: str = "other"
    status: str = "pending"
    content: list[Content] = []
    locations: list[Place] = []
    rawInput: msgspec.Raw = msgspec.Raw(b"null")


class CallUpdate(msgspec.Struct, tag="tool_call_update", tag_field="sessionUpdate"):
    toolCallId: str
    title: str | None = None
    status: str | None = None
    content: list[Content] = []
    locations: list[Place] = []
    rawOutput: msgspec.Raw = msgspec.Raw(b"null")


class Params(msgspec.Struct):
    sessionId: str
    update: Chunk | Thought | Call | CallUpdate


class Message(msgspec.Struct):
    method: str
    params: Params


decode_message = msgspec.json.Decoder(Message).decode


# ---------------------------------------------------------------- the readers


async def read_bare(data: Path) -> int:
    """asyncio.SubprocessProtocol + typed msgspec."""
    count = 0
    done = asyncio.get_running_loop().create_future()

    class Reader(asyncio.SubprocessProtocol):
        rest = b""

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            nonlocal count
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                decode_message(line)
            count += len(lines)

        def process_exited(self) -> None:
            done.set_result(None)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.subprocess_exec(Reader, "cat", str(data), stdin=subprocess.DEVNULL)
    await done
    transport.close()
    return count


async def read_by_line(data: Path) -> int:
    """asyncio's `async for line` + typed msgspec."""
    process = await asyncio.create_subprocess_exec(
        "cat", str(data), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, limit=1 << 24
    )
    assert process.stdout is not None
    count = 0
    async for line in process.stdout:
        decode_message(line)
        count += 1
    await process.wait()
    return count


async def read_with_sdk(data: Path) -> int:
    """The official SDK's client."""
    import acp

    class Client:
        count = 0

        async def session_update(self, session_id: str, update: Any, **more: Any) -> None:
            self.count += 1

    client = Client()
    transport = {"limit": 1 << 24, "stderr": subprocess.DEVNULL}
    async with acp.spawn_agent_process(
        client,  # type: ignore[arg-type]
        "cat",
        str(data),
        transport_kwargs=transport,
    ) as (_, process):
        while process.returncode is None or client.count < COUNT:
            before = client.count
            await asyncio.sleep(0.05)
            if process.returncode is not None and client.count == before:
                await asyncio.sleep(0.3)
                if client.count == before:
                    break
    return client.count


async def read_with_ours(data: Path) -> int:
    """AgentLink with a real journal, recorder, masker and dialect."""
    from paseo_nb.journal import Journal, RunFolder, encode, last_line
    from paseo_nb.model import RunSpec, new_run_id, now_us
    from paseo_nb.supervisor.children import Children
    from paseo_nb.supervisor.link import AgentLink
    from paseo_nb.supervisor.masking import Masker, secrets_in
    from paseo_nb.supervisor.recorder import Recorder

    environment = {**os.environ, **SECRETS}
    with tempfile.TemporaryDirectory(dir=data.parent) as home:
        folder = RunFolder(Path(home) / "runs" / new_run_id())
        folder.path.mkdir(parents=True)
        spec = RunSpec(
            run_id=folder.run_id,
            created_us=now_us(),
            provider="demo",
            command=["cat", str(data)],
            cwd=home,
        )
        folder.spec.write_bytes(encode(spec))
        journal = Journal(folder)
        masker = Masker(secrets_in(environment))
        assert len(masker.secrets) >= len(SECRETS)
        recorder = Recorder(journal, masker)
        loop = asyncio.get_running_loop()
        link = AgentLink(Seat(spec, recorder), folder, recorder, Children(loop), environment, None)
        await link.exited.wait()
        recorder.durable()
        last = last_line(folder.journal)
        journal.close()
        assert last is not None
        assert folder.journal.stat().st_size > data.stat().st_size
        return last.seq


class Seat:
    """What the dialect sees of a supervisor."""

    def __init__(self, spec: Any, recorder: Any) -> None:
        self.spec, self.recorder = spec, recorder
        self.environment: dict[str, str] = {}

    def write(self, kind: str, message: Any) -> None:
        pass

    def heard(self) -> None:
        pass

    def own(self, kind: str, **facts: Any) -> None:
        self.recorder.own(kind, **facts)

    def metered(self, cost_usd: float | None, tokens: int | None) -> None:
        pass


BY_NAME: dict[str, Callable[[Path], Any]] = {
    "bare": read_bare,
    "readline": read_by_line,
    "paseo_nb": read_with_ours,
    "sdk": read_with_sdk,
}


def one(name: str, data: Path) -> dict[str, float]:
    """One reader in this process: CPU of this process alone, not of `cat`."""
    asyncio.run(_nothing())  # import and first loop: not the reader's
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.perf_counter()
    count = asyncio.run(BY_NAME[name](data))
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert count == COUNT, f"{name} saw {count} of {COUNT}"
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return {"cpu_us": (user + system) / COUNT * 1e6, "user_us": user / COUNT * 1e6, "wall_s": wall}


async def _nothing() -> None:
    pass


# ---------------------------------------------------------------- the table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=READERS, nargs="*", default=list(READERS))
    parser.add_argument("--one", choices=READERS, help="one run in this process")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--profile", action="store_true", help="with --one: cProfile's table")
    options = parser.parse_args()
    if options.one:
        _one_process(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "updates.jsonl"
        make_data(data)
        size = data.stat().st_size
        print(f"{COUNT:,} lines, {size / 1e6:.1f} MB, mean {size / COUNT:.0f} B")
        found: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
        for _ in range(options.runs):
            for name in options.only:
                command = [sys.executable, __file__, "--one", name, "--data", str(data)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[name].append(json.loads(done.stdout))
    rows = {
        name: {
            "cpu_us_per_event": round(median([run["cpu_us"] for run in runs]), 3),
            "cpu_us_min_max": [
                round(min(run["cpu_us"] for run in runs), 3),
                round(max(run["cpu_us"] for run in runs), 3),
            ],
            "wall_s": round(median([run["wall_s"] for run in runs]), 3),
        }
        for name, runs in found.items()
    }
    for name, row in rows.items():
        cost = row["cpu_us_per_event"]
        if "bare" in rows:
            row["times_bare"] = round(cost / rows["bare"]["cpu_us_per_event"], 2)
        print(f"{name:<9} {cost:7.2f} µs/event  {row.get('times_bare', '')} x bare")
    result = {"lines": COUNT, "bytes": size, "runs": options.runs, "readers": rows}
    if set(rows) == set(READERS):
        write_results("ingest", {**result, "goal": "paseo_nb <= 3 x bare", "machine": machine()})


def _one_process(options: argparse.Namespace) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if options.profile:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.enable()
        one(options.one, options.data)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)
    else:
        print(json.dumps(one(options.one, options.data)))


if __name__ == "__main__":
    main()
