"""A scripted `codex app-server`: `python app_server.py FILE` speaks its protocol on stdin and stdout.

FILE: {"answers": {method: result, or {"$error": {…}}}, "turns": [[step, …], …]}. Each `turn/start`
plays the next turn, the last one again and again; the counting goes on over processes. A step is
a notification {"method", "params"}, a request of ours {"$ask": {"method", "params"}} (waits for its
answer), {"$answer": result} (answers `turn/start`; without one that comes first), {"$wait": method}
(until the client has sent it), {"$sleep": s}, {"$raw": text}, {"$exit": code}, or {"$end": status,
"error": …}, which ends the turn. "$thread" and "$turn" in a string stand for the ids. What comes in
is appended to FILE.got, a line each.
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
THREAD = "01a1fc02-d975-7ec0-994f-5b633bc291d2"
OPENED = {
    "thread": {"id": THREAD},
    "model": "gpt-6-sol",
    "approvalPolicy": "untrusted",
    "sandbox": {"type": "workspaceWrite", "writableRoots": ["/srv"], "networkAccess": True},
}
EFFORTS = [{"reasoningEffort": name} for name in ("low", "medium", "high")]
MODEL = {"id": "gpt-6-sol", "model": "gpt-6-sol", "displayName": "GPT-6-Sol"}
ANSWERS: Json = {
    "initialize": {"userAgent": "paseo_nb/0.169.0 (Debian 12.0.0; x86_64)"},
    "account/read": {"account": None, "requiresOpenaiAuth": False},
    "thread/start": OPENED,
    "thread/resume": OPENED,
    "skills/list": {"data": [{"skills": [{"name": "review", "description": "Look at a change"}]}]},
    "model/list": {"data": [{**MODEL, "supportedReasoningEfforts": EFFORTS}], "nextCursor": None},
    "turn/interrupt": {},
    "turn/steer": {"turnId": "$turn"},
    "thread/backgroundTerminals/list": {"data": [], "nextCursor": None},
    "thread/backgroundTerminals/terminate": {"terminated": True},
}


class AppServer:
    def __init__(self, file: Path) -> None:
        self.does: Json = json.loads(file.read_text())
        self.got = open(f"{file}.got", "a", buffering=1)  # noqa: SIM115
        self.count = Path(f"{file}.turns")
        self.answers = {**ANSWERS, **self.does.get("answers", {})}
        self.heard: dict[str, threading.Event] = {}
        self.told: Queue[Json] = Queue()
        self.asked = 0
        self.turn = ""

    def send(self, message: Json | str) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        text = text.replace("$thread", THREAD).replace("$turn", self.turn)
        os.write(1, text.encode() + b"\n")

    def event(self, method: str) -> threading.Event:
        return self.heard.setdefault(method, threading.Event())

    def run(self) -> None:
        for line in sys.stdin.buffer:
            self.got.write(line.decode())
            message: Json = json.loads(line)
            method, ident = message.get("method"), message.get("id")
            if method is None:
                self.told.put(message)
                continue
            if method == "turn/start":
                threading.Thread(target=self.play, args=(ident,), daemon=True).start()
            elif ident is not None:
                self.reply(ident, method)
            if method in ("thread/start", "thread/resume"):
                self.start_servers(message["params"].get("config", {}).get("mcp_servers", {}))
            self.event(method).set()

    def start_servers(self, servers: Json) -> None:
        """Each is ready half a second later, as real ones take their time."""
        for name in servers:
            status = {"threadId": THREAD, "name": name, "error": None, "failureReason": None}
            told = {"method": "mcpServer/startupStatus/updated"}
            self.send({**told, "params": {**status, "status": "starting"}})
            ready = {**told, "params": {**status, "status": "ready"}}
            threading.Timer(0.5, self.send, [ready]).start()

    def reply(self, ident: Any, method: str) -> None:
        result = self.answers.get(method)
        if result is None:
            said = f"Invalid request: unknown variant `{method}`"
            self.send({"id": ident, "error": {"code": -32600, "message": said}})
        elif "$error" in result:
            self.send({"id": ident, "error": result["$error"]})
        else:
            self.send({"id": ident, "result": result})

    def play(self, ident: Any) -> None:
        number = int(self.count.read_text()) if self.count.exists() else 0
        self.count.write_text(str(number + 1))
        turns = self.does["turns"]
        steps = list(turns[min(number, len(turns) - 1)])
        for method in ("turn/interrupt", "turn/steer"):
            self.event(method).clear()
        self.turn = f"turn-{number + 1}"
        if not any("$answer" in step or "$refuse" in step for step in steps):
            started = {"turn": {"id": "$turn", "status": "inProgress", "items": []}}
            steps.insert(0, {"$answer": started})
        for step in steps:
            self.do(step, ident)

    def do(self, step: Json, ident: Any) -> None:
        if "$answer" in step:
            self.turn = step["$answer"]["turn"]["id"].replace("$turn", self.turn)
            self.send({"id": ident, "result": step["$answer"]})
        elif "$refuse" in step:
            self.send({"id": ident, "error": step["$refuse"]})
        elif "$ask" in step:
            self.asked += 1
            self.send({"id": self.asked, **step["$ask"]})
            while self.told.get(timeout=60).get("id") != self.asked:
                pass
        elif "$wait" in step:
            self.event(step["$wait"]).wait(60)
        elif "$sleep" in step:
            time.sleep(step["$sleep"])
        elif "$raw" in step:
            self.send(step["$raw"])
        elif "$exit" in step:
            os._exit(step["$exit"])
        elif "$end" in step:
            turn = {"id": "$turn", "items": [], "status": step["$end"], "error": step.get("error")}
            params = {"threadId": "$thread", "turn": turn}
            self.send({"method": "turn/completed", "params": params})
        else:
            self.send(step)


if __name__ == "__main__":
    AppServer(Path(sys.argv[1])).run()
