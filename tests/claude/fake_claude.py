"""A program that speaks stream-json as its script says: `fake_claude.py SCRIPT.json [arguments]`.

SCRIPT: `{"start": [...], "turns": [[...], ...]}`, lists of what to do: an object with `type` is a
line to print (`$uuid` is the prompt's id, `$session` the session's, `$steer` of what was awaited,
`$hook` the id of the first hook); `{"raw": text}` prints the
text; `{"sleep": s}`; `{"await": type}` reads until such a line comes; `{"flood": [n, line]}`;
`{"stderr": text}`; `{"exit": code}`. `initialize` is answered unless `start` says `{"mute": true}`.
`answers` and `refuses` (by the request's subtype) are how it answers control requests.
What it gets is kept in SCRIPT.json.got, a line each; its arguments in SCRIPT.json.argv.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.argv[1])
script: dict[str, Any] = json.loads(SCRIPT.read_text())
got = open(f"{SCRIPT}.got", "a", buffering=1)  # noqa: SIM115 - for the program's life
arguments = [a for a in sys.argv if a.startswith(("--session-id=", "--resume="))]
names = {"$session": arguments[0].split("=", 1)[1] if arguments else "", "$uuid": "", "$steer": ""}
mute = False


def say(line: Any) -> None:
    text = json.dumps(line)
    for name, value in names.items():
        text = text.replace(name, value)
    print(text, flush=True)


def hear() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    got.write(line)
    message: dict[str, Any] = json.loads(line)
    request = message.get("request", {})
    for hooks in (request.get("hooks") or {}).values():
        names["$hook"] = hooks[0]["hookCallbackIds"][0]
    if message["type"] == "control_request" and not mute:
        ident = message["request_id"]
        told = script.get("answers", {}).get(request["subtype"], {})
        answer: dict[str, Any] = {"subtype": "success", "request_id": ident, "response": told}
        refused = script.get("refuses", {}).get(request["subtype"])
        if refused:
            answer = {"subtype": "error", "request_id": ident, "error": refused}
        say({"type": "control_response", "response": answer})
    return message


def do(steps: list[Any]) -> None:
    global mute
    for step in steps:
        if "type" in step:
            say(step)
        elif "raw" in step:
            print(step["raw"], flush=True)
        elif "flood" in step:
            count, line = step["flood"]
            sys.stdout.write((json.dumps(line) + "\n") * count)
            sys.stdout.flush()
        elif "await" in step:
            while (came := hear())["type"] != step["await"]:
                pass
            names["$steer"] = came.get("uuid", "")
        elif "stderr" in step:
            print(step["stderr"], file=sys.stderr, flush=True)
        elif "sleep" in step:
            time.sleep(step["sleep"])
        elif "mute" in step:
            mute = True
        else:
            sys.exit(step["exit"])


Path(f"{SCRIPT}.argv").write_text(json.dumps(sys.argv))
do(script.get("start", []))
for turn in script.get("turns", []):
    while (heard := hear())["type"] != "user":
        pass
    names["$uuid"] = heard.get("uuid", "")
    do(turn)
while True:
    hear()
