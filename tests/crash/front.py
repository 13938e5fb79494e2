"""The front end that a crash test kills: `python front.py PLAN.json`, a plain process as a kernel is.

It brings a run to the kill point that the plan names, writes into the plan's `told` file what it was
told (events seen, commands acknowledged), says `here`, and then only watches until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import msgspec

from paseo_nb.host.local import LocalHost, make_home
from paseo_nb.journal import private_dir
from paseo_nb.model import RunSpec


class Front:
    """One front end and what it was told."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.host = LocalHost(Path(plan["home"]))
        self.spec = msgspec.json.decode(Path(plan["spec"]).read_bytes(), type=RunSpec)
        self.run_id = self.spec.run_id
        self.told = os.open(plan["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.offset = 0
        self.chunks = 0
        self.ended = 0
        self.waiting = False

    def tell(self, **facts: Any) -> None:
        """One fact, on the disk before anything else happens."""
        os.write(self.told, json.dumps(facts).encode() + b"\n")

    def here(self) -> None:
        """The kill point is reached."""
        if self.plan["fork"]:
            context = multiprocessing.get_context("fork")
            child = context.Process(target=time.sleep, args=(120,), daemon=False)
            child.start()
            self.tell(child=child.pid)
        self.tell(here=self.plan["point"])

    # ------------------------------------------------------------ steps

    async def start(self) -> None:
        """The run, as `paseo.start` makes it."""
        await self.host.ensure(self.run_id, self.spec, os.environ)

    def look(self) -> None:
        """Read what is new, and note that it was seen."""
        lines, self.offset = self.host.events(self.run_id, self.offset)
        seen: list[tuple[int, int]] = []
        for line in lines:
            seen.append((line.seq, zlib.crc32(bytes(line.raw))))
            self.chunks += line.kind == "agent_message_chunk"
            self.ended += line.dir == "own" and line.kind == "turn_end"
            self.waiting = self.waiting or line.kind == "session/request_permission"
        if seen:
            self.tell(seen=seen)

    async def until(self, what: str, least: int = 1) -> None:
        """Watch until `chunks`, `ended` or `waiting` is that much."""
        while int(getattr(self, what)) < least:
            self.look()
            await asyncio.sleep(0.01)

    async def command(self, verb: str, **args: Any) -> None:
        """A command, and that it was acknowledged."""
        ident = uuid.uuid4().hex
        await self.host.command(self.run_id, verb, args, command_id=ident, environment=os.environ)
        self.tell(ack=ident)

    async def watch(self) -> None:
        """Go on watching until somebody kills us."""
        while True:
            self.look()
            await asyncio.sleep(0.02)

    # ------------------------------------------------------------ kill points

    async def before_spec(self) -> None:
        folder = self.host.folder(self.run_id)
        make_home(self.host.home)
        private_dir(folder.path)
        folder.live_marker.touch(mode=0o600)
        self.here()

    async def after_spec(self) -> None:
        self.host._make(self.host.folder(self.run_id), self.spec)
        self.here()

    async def after_spawn(self) -> None:
        await self.start()
        self.here()

    async def mid_stream(self) -> None:
        await self.start()
        await self.until("chunks", 8)
        self.here()

    async def queued_send(self) -> None:
        await self.start()
        await self.until("chunks", 4)
        await self.command("send", prompt=[{"type": "text", "text": "next please"}])
        self.here()

    async def permission_wait(self) -> None:
        await self.start()
        await self.until("waiting")
        self.here()
        await asyncio.gather(self.host.hold(self.run_id), self.watch())

    async def during_stop(self) -> None:
        await self.start()
        await self.until("chunks", 2)
        await self.command("stop")
        self.here()

    async def journal_index(self) -> None:
        await self.start()
        await self.until("ended")
        self.here()

    async def during_index(self) -> None:
        """Killed with the rows written and the transaction open."""
        from paseo_nb.store import index, writer

        await self.start()
        await self.until("ended")
        commit = writer.Writer.commit

        def stay(self_: Any) -> None:
            if self_.runs:
                self.here()
                time.sleep(600)
            commit(self_)

        writer.Writer.commit = stay  # type: ignore[method-assign]
        index.advance(self.host.home)


def main() -> None:
    front = Front(json.loads(Path(sys.argv[1]).read_text()))
    front.tell(pid=os.getpid())

    async def work() -> None:
        await getattr(front, front.plan["point"])()
        await front.watch()

    asyncio.run(work())


if __name__ == "__main__":
    main()
