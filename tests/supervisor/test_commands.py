"""Commands: kept before they are acknowledged, applied once, whatever is lost on the way.

Invariants: (1) an acknowledged command is in the journal; (2) one id is one command, over any
number of sends, connections and pairs; (3) a prompt that was acknowledged gets its turn, or a
result that says why not; (4) no command is lost while a pair leaves.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from typing import Any

from kit import SLACK, Project, check_invariants, exists, kill_9

from paseo_nb.history import History
from paseo_nb.journal import Journal, take_lock
from paseo_nb.model import Limits
from paseo_nb.wire import socket_path

DONE = {"id": "$id", "result": {"stopReason": "end_turn"}}
BLOCKS = [{"type": "text", "text": "more"}]
BUSY = [[{"say": "Working. "}, {"stall": True}]]


class Wire:
    """A front end's connection, line by line."""

    def __init__(self, project: Project, run_id: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(socket_path(project.folder(run_id).path)))
        self.file = self.sock.makefile("rb")
        self.hello = self.read()

    def read(self) -> dict[str, Any]:
        return json.loads(self.file.readline())

    def send(self, data: Any) -> None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.sock.sendall(raw + b"\n")

    def ask(self, verb: str, ident: str | None = None, **args: Any) -> dict[str, Any]:
        """The answer to one command."""
        ident = ident or uuid.uuid4().hex
        self.send({"id": ident, "verb": verb, "args": args})
        while (answer := self.read()).get("id") != ident:
            pass
        return answer

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def twice(project: Project, run_id: str, ident: str) -> dict[str, Any]:
    """A prompt under an id of the test's own."""
    args = {"prompt": BLOCKS}
    sent = project.host.command(run_id, "send", args, command_id=ident, environment=project.env)
    return asyncio.run(sent)


def busy(project: Project, script: Any = None, **more: Any) -> str:
    """A run in the middle of a turn that ends by itself never."""
    run_id = project.start(script=script or [*BUSY, [{"say": "Two."}], [{"say": "Three."}]], **more)
    project.until(lambda: "Working" in project.history(run_id).text, 20)
    return run_id


def outcomes(history: History) -> list[str | None]:
    return [turn.outcome for turn in history.turns]


# ------------------------------------------------------------ the socket


def test_hello_ping_watch_and_what_is_no_command(project: Project) -> None:
    run_id = project.start("slow", "seconds=60", env_names=["A"])
    project.in_mid_turn(run_id)
    wire = Wire(project, run_id)
    pid = project.processes(run_id)["supervisor"]
    assert wire.hello == {"hello": {"protocol": 1, "run_id": run_id, "pid": pid}}
    assert wire.ask("ping")["result"]["state"] == "running"
    for bad in (b"words", b"[]", b'{"id":1,"verb":"ping"}', b'{"id":"a"}', b"\xff", b""):
        wire.send(bad)
        answer = wire.read()
        assert (answer["ok"], answer["error"]["code"]) == (False, "bad"), bad
    answer = wire.ask("dance")
    assert answer["error"]["code"] == "unknown_verb"
    assert "cancel" in answer["error"]["message"], "it names those there are"
    assert wire.ask("send", prompt=[])["error"]["code"] == "empty_prompt"
    assert wire.ask("send", prompt="text")["error"]["code"] == "empty_prompt"
    assert wire.ask("set_mode", mode="yolo")["error"]["code"] == "unknown_mode"
    assert wire.ask("watch")["ok"]
    begun = time.monotonic()
    wakes = [wire.read()["wake"] for _ in range(4)]
    assert wakes[-1]["seq"] > wakes[0]["seq"]
    assert project.folder(run_id).journal.stat().st_size >= wakes[-1]["offset"]
    assert time.monotonic() - begun > 0.15, "wake-ups come in beats"
    wire.close()
    project.command(run_id, "cancel")
    project.ended(run_id)
    check_invariants(project, run_id)


def test_a_pair_leaves_in_silence_while_a_front_end_watches(project: Project) -> None:
    run_id = project.start(script=BUSY)
    project.until(lambda: "Working" in project.history(run_id).text, 20)
    watching = Wire(project, run_id)
    project.command(run_id, "stop")
    project.gone(run_id, 10 * SLACK)
    assert project.folder(run_id).log.read_text() == ""
    watching.sock.close()


def test_a_removed_socket_is_made_again(project: Project) -> None:
    run_id = busy(project)
    path = socket_path(project.folder(run_id).path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.unlink()
    begun = time.monotonic()
    assert project.command(run_id, "cancel")["cancelled"], "a command waits for it"
    assert time.monotonic() - begun < 5 * SLACK
    assert outcomes(project.ended(run_id)) == ["cancelled"]
    assert path.exists()
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    assert not path.exists()


# ------------------------------------------------------------ once, and never lost


def test_an_acknowledged_command_is_in_the_journal_and_applied_once(project: Project) -> None:
    run_id = project.start("echo", "one")
    project.ended(run_id)
    ident = uuid.uuid4().hex
    first = twice(project, run_id, ident)
    journal = project.folder(run_id).journal.read_bytes()
    assert ident.encode() in journal, "before anybody was told"
    assert first["seq"] > 0
    assert twice(project, run_id, ident)["duplicate"]
    project.ended(run_id, turns=2)
    assert twice(project, run_id, ident)["duplicate"]
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    assert twice(project, run_id, ident)["duplicate"], "another pair knows it too"
    project.send(run_id, "last")
    history = project.ended(run_id, turns=3)
    assert [turn.prompt for turn in history.turns] == ["one", "more", "last"]
    check_invariants(project, run_id)


def test_an_acknowledgement_lost_on_its_way(project: Project) -> None:
    run_id = busy(project)
    ident, refused = uuid.uuid4().hex, uuid.uuid4().hex
    for _ in range(3):  # each time the front end dies before it reads the answer
        wire = Wire(project, run_id)
        wire.send({"id": ident, "verb": "send", "args": {"prompt": BLOCKS, "when": "queue"}})
        wire.send({"id": refused, "verb": "answer", "args": {"permission": "p0", "allow": True}})
        wire.close()
    project.until(lambda: len(project.own(run_id, "command")) >= 2, 10)
    wire = Wire(project, run_id)
    assert wire.ask("send", ident, prompt=BLOCKS)["result"] == {"duplicate": True}
    assert wire.ask("answer", refused)["error"]["code"] == "no_permission", "refused, not done"
    assert wire.ask("cancel")["ok"]
    wire.close()
    history = project.ended(run_id, turns=2)
    assert outcomes(history) == ["cancelled", "end_turn"]
    assert history.turns[1].prompt == "more"
    time.sleep(0.3)
    assert len(project.history(run_id).turns) == 2
    check_invariants(project, run_id)


def test_a_kept_prompt_survives_the_death_of_its_pair(project: Project) -> None:
    run_id = busy(project)
    project.send(run_id, "kept", when="queue")
    pids = project.processes(run_id)
    kill_9(pids["supervisor"], pids["warden"])
    project.gone(run_id)
    asyncio.run(project.host.ensure(run_id, None, project.env))
    history = project.ended(run_id, turns=2, within=30)
    assert outcomes(history) == ["interrupted", "end_turn"]
    assert (history.turns[1].prompt, history.text) == ("kept", "Two.")
    check_invariants(project, run_id)


def test_what_a_pair_left_half_done(project: Project) -> None:
    """It died between two lines: after a turn's beginning, and before a command's result."""
    run_id = project.start("echo", "one")
    project.ended(run_id)
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    lock = take_lock(project.folder(run_id).lock)
    assert lock is not None
    with lock:
        journal = Journal(project.folder(run_id))
        journal.own("command", id="began", verb="send", args={"prompt": BLOCKS})
        journal.turn = 2
        journal.own("turn_start", origin="user", prompt=BLOCKS, command_id="began")
        journal.own("command", id="late", verb="answer", args={"permission": "p7", "allow": True})
        journal.own("command", id="mode", verb="set_mode", args={"mode": "read"})
        journal.own("command", id="new", verb="set_model", args={"value": "no-such-model"})
        journal.close()
    project.send(run_id, "three")
    history = project.ended(run_id, turns=3, within=40)
    assert [turn.prompt for turn in history.turns] == ["one", "more", "three"]
    assert outcomes(history) == ["end_turn", "interrupted", "end_turn"], "not begun a second time"
    results = {facts["id"]: facts["ok"] for facts in project.own(run_id, "command_result")}
    assert (results["late"], results["mode"], results["new"]) == (False, True, False)
    check_invariants(project, run_id)


def test_a_prompt_that_comes_while_the_pair_leaves(project: Project) -> None:
    """An agent that will not go keeps the leaving pair for seconds; the next pair takes it up."""
    limits = Limits(idle_s=0.2)
    run_id = project.start("stubborn", "seconds=0.5", limits=limits)
    project.ended(run_id)
    supervisor = project.processes(run_id)["supervisor"]
    time.sleep(1.0)
    assert project.alive(run_id), "it waits for the agent to go"
    assert not project.own(run_id, "run_ended")
    begun = time.monotonic()
    project.send(run_id, "seconds=0.5 again")
    assert time.monotonic() - begun > 1, "not taken by the pair that leaves"
    history = project.ended(run_id, turns=2, within=40)
    assert outcomes(history) == ["end_turn", "end_turn"]
    assert project.processes(run_id)["supervisor"] != supervisor
    assert project.own(run_id, "run_ended")[0]["reason"] == "idle"
    check_invariants(project, run_id)
    kill_9(project.processes(run_id)["agent"])  # it would not go by itself


# ------------------------------------------------------------ send, cancel, stop, resume


def test_queue_interrupt_and_steer(project: Project) -> None:
    script = [
        *BUSY,
        [{"say": "Working on two. "}, {"stall": True}],
        *[[{"say": f"{n}."}] for n in "345"],
    ]
    run_id = busy(project, script)
    project.send(run_id, "queued", when="queue")
    project.send(run_id, "steered", when="steer")
    project.until(
        lambda: any(
            "queued for the next turn" in told["message"] for told in project.own(run_id, "warning")
        ),
        10,
        "it says that it queued it",
    )
    project.send(run_id, "urgent", when="interrupt")
    project.until(lambda: "two" in project.history(run_id).text, 20)
    project.send(run_id, "most urgent", when="interrupt")
    history = project.ended(run_id, turns=5)
    assert [turn.prompt for turn in history.turns] == [
        "hello",
        "urgent",
        "most urgent",
        "queued",
        "steered",
    ]
    assert outcomes(history) == ["cancelled", "cancelled", "end_turn", "end_turn", "end_turn"]
    ends = [facts.get("by") for facts in project.own(run_id, "turn_end")]
    assert ends == ["interrupt", "interrupt", None, None, None]
    check_invariants(project, run_id)


def test_cancel_ends_the_turn_and_the_run_stays(project: Project) -> None:
    run_id = project.start(script=[[{"shell": "sleep 300 & sleep 301"}], [{"say": "Two."}]])
    children = project.until(lambda: len(project.left(run_id)) >= 4 and project.left(run_id), 20)
    assert project.command(run_id, "cancel")["cancelled"]
    assert outcomes(project.ended(run_id)) == ["cancelled"]
    (call,) = project.history(run_id).tool_calls.values()
    assert call.outcome in ("failed", "cancelled")
    assert project.host.state(run_id) == "idle"
    assert exists(project.processes(run_id)["agent"])
    assert not project.command(run_id, "cancel")["cancelled"], "there was nothing to cancel"
    project.send(run_id, "again")
    assert outcomes(project.ended(run_id, turns=2))[1] == "end_turn"
    gone = [pid for pid in children if pid not in project.processes(run_id).values()]
    assert not any(map(exists, gone))
    check_invariants(project, run_id)


def test_cancel_before_the_agent_is_ready(project: Project) -> None:
    command = project.puppet({"initialize": [{"$sleep": 60}]})
    run_id = project.start(command=command)
    project.until(lambda: project.got(command), 20)
    begun = time.monotonic()
    assert project.command(run_id, "cancel")["cancelled"]
    assert outcomes(project.ended(run_id)) == ["cancelled"]
    assert time.monotonic() - begun < 3 * SLACK
    project.gone(run_id, 30)
    assert not project.left(run_id)
    assert project.host.state(run_id) == "idle"


def test_an_agent_deaf_to_cancel_is_ended_after_a_grace(project: Project) -> None:
    run_id = project.start("stubborn", "seconds=120")
    project.in_mid_turn(run_id, 6)
    begun = time.monotonic()
    project.command(run_id, "cancel")
    history = project.ended(run_id, within=90)
    assert time.monotonic() - begun > 8
    assert (history.turns[0].outcome, history.turns[0].stop_reason) == ("cancelled", "killed")
    project.gone(run_id, 30)
    assert not project.left(run_id)


def test_stop_ends_everything_and_tells_what_was_dropped(project: Project) -> None:
    run_id = busy(project)
    project.send(run_id, "queued")
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    assert not project.left(run_id)
    assert project.host.state(run_id) == "stopped"
    history = project.history(run_id)
    assert outcomes(history) == ["cancelled"]
    dropped = [facts for facts in project.own(run_id, "command_result") if not facts["ok"]]
    assert [facts["error"] for facts in dropped] == ["the run was stopped"]
    assert project.command(run_id, "stop") == {"alive": False}
    project.command(run_id, "resume")  # nothing was interrupted: the processes, and no turn
    assert project.alive(run_id)
    project.send(run_id, "again")
    assert outcomes(project.ended(run_id, turns=2)) == ["cancelled", "end_turn"]
    check_invariants(project, run_id)


def test_resume_goes_on_with_an_interrupted_turn_once(project: Project) -> None:
    run_id = busy(
        project, [[{"say": "Working. "}, {"stall": True}, {"say": "Rest."}], [{"say": "Two."}]]
    )
    kill_9(project.processes(run_id)["agent"])
    assert outcomes(project.ended(run_id)) == ["interrupted"]
    project.gone(run_id, 30)
    asyncio.run(project.host.ensure(run_id, None, project.env))

    async def both() -> None:
        one = project.host.command(run_id, "resume", environment=project.env)
        two = project.host.command(run_id, "resume", environment=project.env)
        await asyncio.gather(one, two)

    asyncio.run(both())
    project.until(lambda: len(project.history(run_id).turns) == 2, 20)
    project.until(lambda: project.host.state(run_id) == "running", 20)
    project.command(run_id, "cancel")
    history = project.ended(run_id, turns=2)
    time.sleep(0.3)
    assert outcomes(project.history(run_id)) == ["interrupted", "cancelled"], (
        "two resumes, one turn"
    )
    assert history.turns[1].origin == "resume"
    assert "You were interrupted" in history.turns[1].prompt
    project.command(run_id, "resume", prompt=BLOCKS)
    assert project.ended(run_id, turns=3).turns[2].prompt == "more"
    check_invariants(project, run_id)


def test_a_damaged_last_line_does_not_begin_the_count_anew(project: Project) -> None:
    run_id = project.start(script=[[{"say": "One."}], [{"say": "Two."}]])
    project.ended(run_id)
    project.command(run_id, "stop")
    project.gone(run_id, 20)
    last = project.lines(run_id)[-1].seq
    with project.folder(run_id).journal.open("ab") as file:
        file.write(b'{"seq":999,"garbage\n')
    project.send(run_id, "again")
    history = project.ended(run_id, turns=2)
    assert [turn.prompt for turn in history.turns] == ["hello", "again"]
    seqs = [line.seq for line in project.lines(run_id) if line.seq >= 0]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) > last
