"""What a live view costs: in the kernel per event, on the wire, and from a chunk to the screen.

- `kernel`: a run of 20,000 events (`text`: text chunks of ~250 B, now and then a thought or a tool
  call; `short`: of ~100 B; `mixed`: 80 % such, 10 % tool calls, 10 % their results) grows by 5, 50
  or 500 events every 100 ms, in a real ipykernel whose iopub is drained. CPU µs per event of reading and folding it
  (which every reader pays), of finding what changed, of sending it; beside them what no reader can
  do without: to decode the line, and the text in it (`decode_us`).
- `bytes`: everything that left by iopub for the view, envelopes too, beside the agent's own lines.
- `full`: the same run told whole, as after a page's reload.
- `painted`: in JupyterLab in headless Chromium, from the journal's time stamp of a chunk to the
  second animation frame after it is in the page. 300 chunks, 20 ms apart.

`python benchmarks/live_view.py [--no-browser]` writes results/live_view.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from common import machine, write_results  # noqa: E402

COUNT = 20_000
WORDS = "the file reads a line from tests and then returns None when the parser is done".split()
MARK = "PASEO-BENCH "
CHUNKS, PAUSE_S = 300, 0.02


def lines_of_a_run(kind: str, count: int = COUNT) -> list[bytes]:
    """Journal lines, the same each time."""
    pick = random.Random(7)
    out: list[bytes] = []
    now = time.time_ns() // 1000

    def line(direction: str, kind: str, raw: Any) -> None:
        told = {"seq": len(out) + 1, "t": now + len(out) * 1000, "mono": len(out), "turn": 1}
        out.append(
            msgspec.json.encode({**told, "dir": direction, "kind": kind, "raw": raw}) + b"\n"
        )

    def update(name: str, **fields: Any) -> None:
        body = {"sessionId": "5b0b4a52-0f4c-4b59-9b8f-1f2f3c4d5e6f", "update": fields}
        fields["sessionUpdate"] = name
        line("in", name, {"jsonrpc": "2.0", "method": "session/update", "params": body})

    line("own", "turn_start", {"prompt": [{"type": "text", "text": "go"}], "origin": "user"})
    line("own", "state", {"state": "running"})
    call = 0
    while len(out) < count:
        for _ in range(8):
            text = " ".join(pick.choices(WORDS, k=20 if kind == "short" else 50)) + ".\n"
            update("agent_message_chunk", content={"type": "text", "text": text})
        if kind != "mixed":
            if len(out) % (5 if kind == "text" else 40) == 0:  # another message begins
                update("agent_thought_chunk", content={"type": "text", "text": "Well. "})
            if pick.random() < 0.97:
                continue
        call += 1
        given = {"command": " ".join(pick.choices(WORDS, k=8))}
        about = {"toolCallId": f"c{call}", "kind": "execute", "title": "Run it", "rawInput": given}
        update("tool_call", **about, status="in_progress")
        text = "\n".join(" ".join(pick.choices(WORDS, k=8)) for _ in range(8))
        content = [{"type": "content", "content": {"type": "text", "text": text}}]
        update("tool_call_update", toolCallId=f"c{call}", status="completed", content=content)
    return out[:count]


def measure(folder: str, kind: str, batch: int) -> dict[str, Any]:
    """In the kernel: what a run that grows by `batch` events a tick costs."""
    import anywidget
    from render.tales import spec

    from paseo_nb.handle import AsyncRun
    from paseo_nb.host.local import LocalHost
    from paseo_nb.journal import Journal
    from paseo_nb.widgets.run_view.feed import Feed
    from paseo_nb.widgets.run_view.widget import send

    class Viewer:
        """Sends by a real comm, and tells what that took."""

        def __init__(self) -> None:
            self.widget, self.spent, self.messages = anywidget.AnyWidget(), 0.0, 0

        def tell(self, message: dict[str, Any]) -> None:
            begun = time.thread_time()
            send(self.widget, message)
            self.spent += time.thread_time() - begun
            self.messages += 1

    host = LocalHost(Path(folder) / f"home-{kind}-{batch}")
    told = spec(cwd=folder)
    host.make(told)
    journal = Journal(host.folder(told.run_id))
    run, viewer = AsyncRun(host, told.run_id), Viewer()
    feed = Feed(run)
    feed.changes()
    feed.ready = True
    feed.viewers.append(viewer)
    lines = lines_of_a_run(kind)
    folding = telling = 0.0
    for number, at in enumerate(range(0, len(lines), batch)):
        part = lines[at : at + batch]
        journal.append_encoded(part, at + len(part))
        begun = time.thread_time()
        run.history()
        folding += time.thread_time() - begun
        begun = time.thread_time()
        feed.tick(1.0 + number * 0.1001)
        telling += time.thread_time() - begun
    feed.tick(1e9)
    per = 1e6 / len(lines)
    whole = Viewer()
    begun = time.thread_time()
    feed.tell_all_of_it(whole)
    full = time.thread_time() - begun
    return {
        "events": kind,
        "events_a_tick": batch,
        "decode_us": round(decoding(lines) * per, 2),
        "fold_us": round(folding * per, 2),
        "changes_us": round((telling - viewer.spent) * per, 2),
        "send_us": round(viewer.spent * per, 2),
        "deltas": viewer.messages,
        "rows": len(feed.rows),
        "full_ms": round(full * 1000, 1),
        "full_parts": whole.messages,
        "comms": [viewer.widget.comm.comm_id, whole.widget.comm.comm_id],
    }


def decoding(lines: list[bytes]) -> float:
    """CPU seconds of what has to be decoded of them."""
    from paseo_nb.drivers.acp_reading import AcpReading
    from paseo_nb.journal import decode_lines

    chunk_text, data = AcpReading().chunk_text, b"".join(lines)
    begun = time.thread_time()
    for line in decode_lines(data):
        if line.kind.endswith("_chunk"):
            chunk_text(line)
    return time.thread_time() - begun


class Drain:
    """Reads a kernel's iopub as a browser's server does, and counts each comm's bytes."""

    def __init__(self, client: Any) -> None:
        self.client, self.bytes, self.text = client, {}, ""
        self.ended = threading.Event()
        self.session = client.session
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.ended.set()
        self.thread.join()

    def _read(self) -> None:
        socket = self.client.iopub_channel.socket
        while not self.ended.is_set():
            if not socket.poll(200):
                continue
            frames = socket.recv_multipart()
            _, parts = self.session.feed_identities(frames)
            message = self.session.deserialize(parts)
            if message["msg_type"] == "comm_msg":
                name = message["content"]["comm_id"]
                size = sum(len(frame) for frame in frames)
                self.bytes[name] = self.bytes.get(name, 0) + size
            elif message["msg_type"] == "stream":
                self.text += message["content"]["text"]
            elif message["msg_type"] == "error":
                self.text += MARK + json.dumps({"error": message["content"]["evalue"]}) + "\n"


def sizes(lines: list[bytes]) -> tuple[int, int]:
    """Bytes of the agent's own messages, and of the texts in them that a view shows."""
    agents = texts = 0
    for line in lines:
        raw = msgspec.json.decode(line)["raw"]
        agents += len(msgspec.json.encode(raw))
        update = raw.get("params", {}).get("update", {})
        given = update.get("rawInput", {}).get("command", "")
        for block in update.get("content") if isinstance(update.get("content"), list) else [update]:
            content = block.get("content") or {}
            texts += len(content.get("text", "").encode())
        texts += len(given.encode())
    return agents, texts


def in_a_kernel(folder: Path) -> list[dict[str, Any]]:
    """`measure` in a real kernel, for three speeds."""
    from kernels import Kernel

    kernel = Kernel(folder)
    out: list[dict[str, Any]] = []
    try:
        drain = Drain(kernel.client)
        for kind, batch in itertools.product(("short", "text", "mixed"), (5, 50, 500)):
            agents, texts = sizes(lines_of_a_run(kind))
            drain.text = ""
            kernel.submit(
                f"import sys, json; sys.path[:0] = {[str(HERE), str(HERE.parent / 'tests')]!r}\n"
                f"import live_view\n"
                f"print({MARK!r} + json.dumps(live_view.measure({str(folder)!r}, {kind!r}, {batch})))"
            )
            deadline = time.monotonic() + 300
            while "}\n" not in drain.text.partition(MARK)[2]:
                assert time.monotonic() < deadline, drain.text[-2000:]
                time.sleep(0.05)
            time.sleep(1)
            told = json.loads(drain.text.partition(MARK)[2].splitlines()[0])
            assert "error" not in told, told
            live, full = (drain.bytes[comm] for comm in told.pop("comms"))
            told |= {"bytes": live, "full_bytes": full, "agents_bytes": agents, "text_bytes": texts}
            told |= {"of_agents": round(live / agents, 3), "of_text": round(live / texts, 3)}
            out.append(told)
        drain.close()
    finally:
        kernel.close()
    return out


PAINTED = """() => {
  window.seen = {};
  const look = () => {
    const view = document.querySelector('.paseo-alive');
    const found = view ? [...view.innerText.matchAll(/#(\\d+) /g)] : [];
    const last = found.length ? Number(found[found.length - 1][1]) : 0;
    if (last && !(last in window.seen))
      requestAnimationFrame(() => { window.seen[last] ??= Date.now(); });
    requestAnimationFrame(look);
  };
  look();
}"""


def painted(folder: Path) -> dict[str, Any]:
    """From the journal to the screen, for chunks that arrive one by one."""
    import nbformat
    from browser.lab import lab_page
    from kit import Project

    work = folder / "work"
    work.mkdir()
    script = folder / "script.json"
    steps = [{"say": f"#{n} word ", "pause": PAUSE_S} for n in range(1, CHUNKS + 1)]
    script.write_text(json.dumps([[{"sleep": 2}, *steps]]))
    os.environ["PASEO_DEMO_HOME"] = str(folder / "sessions")
    os.environ["HOME"] = str(folder)
    cells = ["%load_ext paseo_nb", f"%%paseo demo/script:{script}\ngo"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(made, work / "job.ipynb")
    project = Project(work)
    with lab_page(work, "job.ipynb") as page:
        page.evaluate(PAINTED)
        for number in (0, 1):
            page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-editor").click()
            page.keyboard.press("Control+Enter")
        project.runs = project.until(project.host.list, 60)
        project.ended(project.runs[0], within=120)
        seen = {int(key): value for key, value in page.evaluate("window.seen").items()}
    told: dict[int, float] = {}
    for line in project.lines(project.runs[0]):
        text = bytes(line.raw).decode()
        if line.kind == "agent_message_chunk" and "#" in text:
            told[int(text.partition("#")[2].split()[0])] = line.t / 1000
    project.close()
    took: list[float] = []
    for number, when in told.items():
        later = [seen[n] for n in seen if n >= number]
        if later:
            took.append(min(later) - when)
    took.sort()
    return {
        "chunks": len(took),
        "p50_ms": round(took[len(took) // 2]),
        "p95_ms": round(took[int(len(took) * 0.95)]),
        "max_ms": round(took[-1]),
    }


SCROLL = """async (sel) => {
  const s = document.querySelector(sel), long = [], frames = [];
  const frame = () => new Promise(requestAnimationFrame);
  const watch = new PerformanceObserver(l => l.getEntries().forEach(e => long.push(e.duration)));
  watch.observe({type: 'longtask'});
  let before = await frame();
  for (let i = 0; i < 240; i++) {
    s.scrollTop += i % 120 < 60 ? -100 : 100;
    if (i % 80 === 0) s.scrollTop -= 20000;
    const now = await frame();
    frames.push(now - before);
    before = now;
  }
  await new Promise(done => setTimeout(done, 200));
  watch.disconnect();
  frames.sort((a, b) => a - b);
  return {long: long.map(Math.round), p95_frame_ms: Math.round(frames[Math.floor(frames.length * 0.95)])};
}"""
BLANK = """() => {
  const d = document.createElement('div'), e = document.createElement('div');
  d.id = 'blank';
  d.style.cssText = 'height:600px;overflow:auto';
  e.style.height = '500000px';
  d.append(e);
  document.body.append(d);
  d.scrollTop = 4e5;
}"""


def scrolled() -> dict[str, Any]:
    """Tasks over 50 ms while 7,000 rows (of some 20,000 events) are scrolled through, beside a page
    with nothing on it, in turn: every try's, in ms. `heaviest_cpu_ms` is the main thread's own time
    for its heaviest task, which does not grow while other work has the processors."""
    from browser import run_view_tale as tale
    from browser.run_view_page import begin, browser, host_page

    out: dict[str, Any] = {"rows": 7000, "blank": [], "run_view": []}
    with browser() as started:
        page, _ = host_page(started)
        begin(page, {"head": tale.HEAD, "rows": tale.long_run(7000), "asks": []})
        page.evaluate(BLANK)
        page.wait_for_timeout(500)
        for _ in range(5):
            for name, place in (("blank", "#blank"), ("run_view", ".rv-scroll")):
                started.start_tracing(page=page, categories=["toplevel", "__metadata"])
                told = page.evaluate(SCROLL, place)
                told["heaviest_cpu_ms"] = heaviest(json.loads(started.stop_tracing()))
                out[name].append(told)
    return out


def heaviest(trace: dict[str, Any]) -> float:
    """CPU ms of the heaviest task on a page's main thread."""
    events = trace["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    spent = [event.get("tdur", 0) for event in events if (event["pid"], event["tid"]) in mains]
    return round(max(spent) / 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--scrolled", action="store_true", help="only this, and write nothing")
    options = parser.parse_args()
    if options.scrolled:
        print(json.dumps(scrolled(), indent=2))
        return
    result: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        result["kernel"] = in_a_kernel(Path(folder))
        if not options.no_browser:
            result["painted"] = painted(Path(folder))
            result["scrolled"] = scrolled()
    print(json.dumps(result, indent=2))
    write_results("live_view", result)


if __name__ == "__main__":
    main()
