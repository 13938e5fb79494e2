"""An agent that does what a JSON file says, message by message: `python puppet.py FILE`.

The file maps a method to what is done when it comes (`"session/prompt"`: a list of such, one a
turn); a method that is not there is answered with `{}`. What can be done, in a list:
a message as an object (`"$id"` stands for the request's id), a string (a raw line), `{"$hex": …}`
(a raw line of any bytes), `{"$file": path}` (the file's bytes), `{"$sleep": s}`, `{"$exit": code}`,
`{"$stderr": [text, …]}` (each written by itself, a moment apart), `{"$ask": {method, params}}` (a
request of ours; its answer is waited for), `{"$cancel": true}` (waits for session/cancel). What it
gets is appended to the file's name with `.got`, a line each.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import Any

Json = dict[str, Any]


class Puppet:
    def __init__(self, file: Path) -> None:
        self.does: Json = json.loads(file.read_text())
        self.got = open(f"{file}.got", "a", buffering=1)  # noqa: SIM115
        self.requests: Queue[Json | None] = Queue()
        self.answers: Queue[Json] = Queue()
        self.cancelled = threading.Event()
        self.turns = 0
        self.asked = 1000

    def read(self) -> None:
        for line in sys.stdin.buffer:
            self.got.write(line.decode())
            message = json.loads(line)
            if "method" not in message:
                self.answers.put(message)
            elif message["method"] == "session/cancel":
                self.cancelled.set()
            else:
                self.requests.put(message)
        self.requests.put(None)

    def send(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def do(self, steps: list[Any], ident: Any) -> None:
        for step in steps:
            if isinstance(step, str):
                self.send(step.encode() + b"\n")
            elif "$hex" in step:
                self.send(bytes.fromhex(step["$hex"]) + b"\n")
            elif "$file" in step:
                self.send(Path(step["$file"]).read_bytes())
            elif "$sleep" in step:
                time.sleep(step["$sleep"])
            elif "$exit" in step:
                os._exit(step["$exit"])
            elif "$cancel" in step:
                self.cancelled.wait(60)
                self.cancelled.clear()
            elif "$stderr" in step:
                for part in step["$stderr"]:
                    os.write(2, part.encode())
                    time.sleep(0.01)
            elif "$ask" in step:
                self.asked += 1
                asked = {"jsonrpc": "2.0", "id": self.asked, **step["$ask"]}
                self.send(json.dumps(asked).encode() + b"\n")
                while self.answers.get(timeout=60).get("id") != self.asked:
                    pass
            else:
                told = {key: ident if value == "$id" else value for key, value in step.items()}
                self.send(json.dumps({"jsonrpc": "2.0", **told}).encode() + b"\n")

    def run(self) -> None:
        threading.Thread(target=self.read, daemon=True).start()
        while (message := self.requests.get()) is not None:
            method, ident = message["method"], message.get("id")
            steps = self.does.get(method, [{"id": "$id", "result": {}}])
            if method == "session/prompt":
                steps = steps[min(self.turns, len(steps) - 1)]
                self.turns += 1
            self.do(steps, ident)


if __name__ == "__main__":
    Puppet(Path(sys.argv[1])).run()
