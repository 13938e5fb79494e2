"""The cases: what a user may expect of every agent. Each is one function of a World.

A case asserts what a user would notice, and that the model was sent what it should see. It uses
the public API only; where an agent lacks something, differences.py says so and why.
"""

from __future__ import annotations

import base64
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from struct import pack
from subprocess import PIPE, Popen
from sys import executable as python
from typing import Any

import pytest

import paseo_nb as paseo
from tests.modelserver import Usage, behaviours

from .reporting import check_calls, check_usage
from .world import World, commands_with

PROBE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "mcp_probe.py")


@dataclass(frozen=True)
class Case:
    """One case. `patient`: in an environment in which the agent retries for long."""

    name: str
    title: str
    play: Callable[[World], None]
    patient: bool = False


CASES: dict[str, Case] = {}


def case(title: str, *, patient: bool = False) -> Callable[[Callable[[World], None]], Any]:
    """Put a function into the suite; `title` is its row in docs/providers.md."""

    def put(play: Callable[[World], None]) -> Callable[[World], None]:
        CASES[play.__name__] = Case(play.__name__, title, play, patient)
        return play

    return put


# ---------------------------------------------------------------- work


@case("write a file")
def write_a_file(w: World) -> None:
    w.plan(alpha=[behaviours.write("hello.txt", "hi\n"), "All done."])
    run = w.run("alpha: write hello.txt")
    assert (w.repo / "hello.txt").read_text() == "hi\n"
    assert run.text.endswith("All done.")
    assert run.state == "idle"
    assert list(run.tool_calls()["outcome"]) == ["completed"]
    assert [change.path for change in run.diff().summary.files] == ["hello.txt"]


@case("run a command")
def run_a_command(w: World) -> None:
    w.plan(alpha=[behaviours.command("printf 'from-%d' 42 > said.txt"), "All done."])
    run = w.run("alpha: run it")
    assert (w.repo / "said.txt").read_text() == "from-42"
    [call] = run.tool_calls().to_dict("records")
    assert (call["kind"], call["outcome"]) == ("execute", "completed")
    assert run.text.endswith("All done.")


@case("see what a command printed")
def command_output(w: World) -> None:
    w.plan(alpha=[behaviours.command("printf 'from-%d-the-shell' 42"), "All done."])
    run = w.run("alpha: run it")
    [call] = run.history().tool_calls.values()
    assert "from-42-the-shell" in f"{call.content} {call.output}", "the output is not told"


@case("what a command was, and its tool's name, stand in its row")
def tool_call_told(w: World) -> None:
    w.plan(alpha=[behaviours.command("printf 'from-%d' 42"), "All done."])
    run = w.run("alpha: run it")
    [call] = paseo.tool_traces(run=run.id).to_dict("records")
    assert "from-%d" in str(call["input"]), "its input is not told"
    assert call["tool_name"] != call["kind"] == "execute", "its name is not told"


@case("a call that was denied is a row all the same")
def denied_call_told(w: World) -> None:
    w.plan(alpha=[behaviours.command("touch touched.txt"), "On I go."])
    run = w.start("alpha: try it", mode="ask")
    w.waits_for_permission(run)
    run.deny(message="not that")
    run.wait(60, check=False)
    [call] = paseo.tool_traces(run=run.id).to_dict("records")
    assert (call["kind"], call["outcome"]) == ("execute", "failed")
    assert call["error"]


@case("permission: allow")
def permission_allow(w: World) -> None:
    w.plan(alpha=[behaviours.write("hello.txt", "hi\n"), "All done."])
    run = w.start("alpha: write hello.txt", mode="ask")
    w.waits_for_permission(run)
    assert run.state == "waiting"
    assert not (w.repo / "hello.txt").exists()
    run.allow().wait(60)
    assert (w.repo / "hello.txt").read_text() == "hi\n"
    [row] = run.permissions().to_dict("records")
    assert (row["outcome"], row["answered_by"]) == ("allowed", "user")


@case("permission: deny")
def permission_deny(w: World) -> None:
    w.plan(alpha=[behaviours.write("hello.txt", "hi\n"), "I was not allowed to."])
    run = w.start("alpha: write hello.txt", mode="ask")
    w.waits_for_permission(run)
    run.deny(message="not that file")
    run.wait(60, check=False)
    assert not (w.repo / "hello.txt").exists()
    assert run.state == "idle"
    [row] = run.permissions().to_dict("records")
    assert (row["outcome"], row["answered_by"]) == ("denied", "user")


@case("why a call was denied reaches the model")
def denial_reason(w: World) -> None:
    w.plan(alpha=[behaviours.command("touch touched.txt"), "On I go."])
    run = w.start("alpha: try it", mode="ask")
    w.waits_for_permission(run)
    run.deny(message="the-heron-forbids-it")
    run.wait(60, check=False)
    warned = any("could not be told why" in said for said in run.inspect()["warnings"])
    told = [result.text for c in w.server.conversations for result in c.results]
    texts = [text for c in w.server.conversations for text in c.user_texts]
    reached = any("the-heron-forbids-it" in text for text in (*told, *texts))
    assert reached or warned, "it is neither told nor said that it is not"
    assert reached, "the model is not told why"


@case("mode read holds")
def mode_read(w: World) -> None:
    _forbidden(
        w, {"edit": "mode read forbids edit", "execute": "mode read forbids execute"}, "read"
    )


@case("a deny rule holds")
def rule_denies(w: World) -> None:
    rules = {kind: f"rule deny {rule}" for kind, rule in _RULES.items()}
    _forbidden(w, rules, "auto", deny=list(_RULES.values()))


@case("a deny rule of reading holds")
def rule_denies_reading(w: World) -> None:
    (w.repo / "secret.txt").write_text("the-heron-flies\n")
    w.plan(alpha=[behaviours.read("secret.txt"), "On I go."])
    run = w.start("alpha: read it", mode="auto", deny=["read"])
    run.wait(60, check=False)
    told = [result.text for c in w.server.conversations for result in c.results]
    if any("the-heron-flies" in text for text in told):
        assert any("read" in said for said in run.inspect()["warnings"]), "it is not said"
        pytest.fail("it was read")
    assert set(run.permissions()["rule"]) == {"rule deny read"}


@case("an allow rule passes what would be asked")
def rule_allows(w: World) -> None:
    doing = _doing(w)
    w.plan(alpha=[*doing.values(), "All done."])
    run = w.start("alpha: do it", mode="ask", allow=list(_RULES.values()))
    w.ends_unasked(run)
    assert len(_made(w)) == len(doing)
    assert set(run.permissions()["rule"]) == {f"rule allow {_RULES[kind]}" for kind in doing}


_RULES = {"edit": "edit:hello.txt", "execute": "execute:touch *"}


def _doing(w: World) -> dict[str, Any]:
    """What is tried, by its kind; a model that writes files by commands does the second only."""
    doing = {
        "edit": behaviours.write("hello.txt", "hi\n"),
        "execute": behaviours.command("touch touched.txt"),
    }
    return {kind: step for kind, step in doing.items() if kind == "execute" or w.recipe.edits}


def _made(w: World) -> list[str]:
    return [name for name in ("hello.txt", "touched.txt") if (w.repo / name).exists()]


def _forbidden(w: World, rules: dict[str, str], mode: str, **more: Any) -> None:
    """Each kind is denied, by that rule, and the reason is kept. A denial may end a turn."""
    doing = _doing(w)
    w.plan(alpha=[*doing.values(), "On I go."], bravo=[doing["execute"], "On I go."])
    run = w.start("alpha: try it", mode=mode, **more)
    run.wait(60, check=False)
    run.send("bravo: try this").wait(60, check=False)
    assert not _made(w)
    rows = run.permissions().to_dict("records")
    assert {row["rule"] for row in rows} == {rules[kind] for kind in doing}
    assert {(row["outcome"], row["answered_by"]) for row in rows} == {("denied", "policy")}
    assert all(row["rule"] in row["message"] for row in rows)


@case("permission: allow with another input")
def permission_edited(w: World) -> None:
    w.plan(alpha=[behaviours.command("touch first.txt"), "All done."])
    run = w.start("alpha: run it", mode="ask")
    w.waits_for_permission(run)
    run.allow(input={"command": "touch edited.txt"})
    run.wait(60, check=False)
    assert not (w.repo / "first.txt").exists(), "what was asked for ran unchanged"
    row = run.permissions().sort_values("asked_at").to_dict("records")[0]
    assert row["answered_by"] == "user"
    assert "touch edited.txt" in row["edited"]
    if row["outcome"] == "denied":
        said = "\n".join(
            w.server.conversations[-1].user_texts
            if not w.scripted
            else [turn.prompt for turn in run.history().turns]
        )
        assert "touch edited.txt" in said, "the agent was not told"
    assert (w.repo / "edited.txt").exists(), "the other input did not run"
    assert row["outcome"] == "allowed"


@case("permission: deny and end the turn")
def permission_deny_and_cancel(w: World) -> None:
    w.plan(alpha=[behaviours.write("hello.txt", "hi\n"), "On I go."], bravo=["Still here."])
    run = w.start("alpha: write hello.txt", mode="ask")
    w.waits_for_permission(run)
    run.deny(message="stop that", cancel=True)
    run.wait(30, check=False)
    assert not (w.repo / "hello.txt").exists()
    assert w.outcomes(run) == ["cancelled"]
    [row] = run.permissions().to_dict("records")
    told = (row["outcome"], row["answered_by"], row["message"])
    assert told == ("denied", "user", "stop that")
    assert run.send("bravo: are you there?").wait(60).text.strip() == "Still here."


@case("image in")
def image_in(w: World) -> None:
    picture = w.folder / "picture.png"
    picture.write_bytes(_png())
    w.plan(alpha=["A picture."])
    run = w.run("alpha: what is it?", attach=[str(picture)])
    assert run.state == "idle"
    images = w.server.conversations[-1].images
    assert [i.media_type for i in images] == ["image/png"], "no image reached the model"


@case("a table, a figure and a file in")
def attachments_in(w: World) -> None:
    import pandas as pd
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([3, 1, 2717], label="tide")
    table = pd.DataFrame({"gauge": ["heron-weir"], "level": [41.25]})
    note = w.folder / "note.md"
    note.write_text("the-bittern-note\n")
    w.plan(alpha=["Seen."])
    run = w.run("alpha: look", attach={"tides": table, "fig": figure, "note": note})
    assert run.state == "idle"
    sent = w.server.conversations[-1]
    told = "\n".join(message.text for message in sent.messages)
    assert "heron-weir" in told, "no table reached the model"
    assert "41.25" in told
    assert "2717" in told, "the figure's data did not reach the model"
    assert [i.media_type for i in sent.images] == ["image/png"], "the figure's picture did not"
    assert "the-bittern-note" in told or "note.md" in told, "no file reached the model"


@case("structured output")
def schema_out(w: World) -> None:
    w.plan(alpha=[behaviours.value({"word": "heron", "count": 3}), "All done."])
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["word", "count"],
        "additionalProperties": False,
    }
    run = w.run("alpha: which word, and how often?", schema=schema)
    assert run.value == {"word": "heron", "count": 3}


@case("MCP tool over stdio")
def mcp_stdio(w: World) -> None:
    _mcp(w, {"command": python, "args": [PROBE]})


@case("MCP tool over HTTP")
def mcp_http(w: World) -> None:
    with Popen([python, PROBE, "--http"], stdout=PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            _mcp(w, {"url": server.stdout.readline().strip()})
        finally:
            server.kill()


@case("an MCP server over stdio that does not start is told of; the turn goes on")
def mcp_broken_stdio(w: World) -> None:
    _unreachable(w, {"command": python, "args": ["-c", "raise SystemExit('no start')"]})


@case("an MCP server over HTTP that is not there is told of; the turn goes on")
def mcp_broken_http(w: World) -> None:
    _unreachable(w, {"url": "http://127.0.0.1:9/mcp"})


def _unreachable(w: World, server: dict[str, Any]) -> None:
    w.plan(alpha=["All done."])
    run = w.start("alpha: begin", mcp={"broken": server})
    run.wait(60, check=False)
    told = [*run.inspect()["warnings"], str(run.error)]
    assert any("broken" in said for said in told), "it is not told"
    assert w.outcomes(run) == ["end_turn"], "it ends the turn"


def _mcp(w: World, probe: dict[str, Any]) -> None:
    w.plan(alpha=[behaviours.mcp("probe", "add", {"a": 2, "b": 40}), "All done."])
    run = w.run("alpha: add them", mcp={"probe": probe})
    assert run.text.endswith("All done.")
    results = [r.text for c in w.server.conversations for r in c.results]
    assert any("the probe counts 42" in text for text in results), "the tool was not called"


# ---------------------------------------------------------------- control


@case("queue a prompt")
def queue(w: World) -> None:
    w.plan(alpha=[behaviours.slow(30)], bravo=["Second."])
    run = w.start("alpha: talk")
    w.said(run, "word00002")
    run.send("bravo: and then?", when="queue").wait(60)
    assert w.outcomes(run) == ["end_turn", "end_turn"]
    turns = run.history().turns
    assert "word00029" in turns[0].text
    assert turns[1].text.strip() == "Second."


@case("steer a running turn")
def steer(w: World) -> None:
    marker = f"marker-{os.urandom(6).hex()}"
    w.plan(alpha=[behaviours.sleep_command(3, marker), "Not steered."], bravo=["Steered."])
    run = w.start("alpha: work")
    w.until(lambda: commands_with(marker), 40, "the command runs")
    run.send("bravo: another way, please", when="steer").wait(60)
    assert len(run.history().turns) == 1, "the prompt was queued, not steered"
    assert run.text.strip() == "Steered."
    assert any("bravo" in text for text in w.server.conversations[-1].user_texts)


@case("interrupt a turn with a prompt")
def interrupt(w: World) -> None:
    w.plan(alpha=[behaviours.slow(600)], bravo=["Second."])
    run = w.start("alpha: talk")
    w.said(run, "word00002")
    run.send("bravo: stop that", when="interrupt").wait(60)
    assert w.outcomes(run) == ["cancelled", "end_turn"]
    assert run.text.strip() == "Second."


@case("cancel while the model talks")
def cancel_in_stream(w: World) -> None:
    w.plan(alpha=[behaviours.slow(600)], bravo=["Still here."])
    run = w.start("alpha: talk")
    w.said(run, "word00002")
    begun = time.monotonic()
    run.cancel().wait(30, check=False)
    assert time.monotonic() - begun < 9, "30 s of text were still to come"
    assert w.outcomes(run) == ["cancelled"]
    assert run.send("bravo: are you there?").wait(60).text.strip() == "Still here."
    if not w.scripted:
        w.server.wait_for(lambda r: r.outcome == "disconnected", 5)


@case("cancel while a command runs, which ends too")
def cancel_in_command(w: World) -> None:
    marker = f"marker-{os.urandom(6).hex()}"
    w.plan(alpha=[behaviours.sleep_command(120, marker)], bravo=["Still here."])
    run = w.start("alpha: work")
    w.until(lambda: commands_with(marker), 40, "the command runs")
    run.cancel().wait(30, check=False)
    assert w.outcomes(run) == ["cancelled"]
    w.until(lambda: not commands_with(marker), 10, "the command is gone")
    assert run.send("bravo: are you there?").wait(60).text.strip() == "Still here."


@case("another model from the next turn on")
def change_model(w: World) -> None:
    other = _choose(w, "model")
    if not w.scripted:
        asked = w.server.ledger()[-1]
        assert other.split("/")[-1] in f"{asked.path} {asked.body.get('model')}"


@case("another agent mode from the next turn on")
def change_agent_mode(w: World) -> None:
    _choose(w, "agent_mode")


@case("another effort from the next turn on")
def change_effort(w: World) -> None:
    other = _choose(w, "effort")
    if not w.scripted:
        told = [
            {k: v for k, v in request.body.items() if "effort" in str({k: v}) or k == "thinking"}
            for request in (w.server.ledger()[0], w.server.ledger()[-1])
        ]
        assert told[0] != told[1], "the model is asked as before"
        assert other in str(told[1]) or "thinking" in told[1]


def _choose(w: World, what: str) -> str:
    """Choose between two turns; the choice is told, and holds when the agent comes back."""
    other = w.recipe.choices.get(what, "other")
    w.plan(alpha=["First."], bravo=["Second."], charlie=["Third."])
    run = w.run("alpha: begin")
    getattr(run, f"set_{what}")(other)
    run.send("bravo: go on").wait(60)
    run.stop()
    run.send("charlie: go on").wait(60)
    assert w.outcomes(run) == ["end_turn"] * 3
    history = run.history()
    told = {"model": history.model_answered, "agent_mode": history.agent_mode, "effort": other}
    assert other in str(told[what])
    return other


# ---------------------------------------------------------------- faults


@case("HTTP 429 from the model ends as error, with its cause")
def http_429(w: World) -> None:
    _fails(w, 429, "too many requests today")


@case("HTTP 500 from the model ends as error, with its cause")
def http_500(w: World) -> None:
    _fails(w, 500, "the model is broken today")


def _fails(w: World, status: int, message: str) -> None:
    w.plan(alpha=[behaviours.error(status, message, times=None)], bravo=["Back again."])
    run = w.start("alpha: say something")
    with pytest.raises(paseo.RunFailed, match=f"{status}|{message}"):
        run.wait(60)
    assert run.state == "error"
    assert w.outcomes(run) == ["error"]
    if not w.scripted:
        assert run.send("bravo: and now?").wait(60).text.strip() == "Back again."


@case("a failed model call that is tried again is told while it goes on", patient=True)
def retries_told(w: World) -> None:
    w.plan(alpha=[behaviours.error(500, "the model is broken", times=None, retry_after_s=None)])
    run = w.start("alpha: say something")
    w.server.wait_for(lambda r: r.kind == "main" and r.status == 500, 40)
    notes = w.until(
        lambda: (
            [i.text for i in run.history().items if i.title == "retry"]
            or (not run.history().turn_open and run.history().turns)
        ),
        40,
        "a retry is told",
    )
    assert isinstance(notes[0], str), "no retry is told"
    if w.provider not in ("copilot", "pi"):  # theirs is a line of text
        assert "retry" in set(run.events()["kind"])
    run.stop()


@case("a token limit ends a turn between its model calls")
def token_limit(w: World) -> None:
    w.plan(alpha=[*(behaviours.command(f"echo {n}") for n in range(6)), "All done."])
    run = w.start("alpha: count", token_budget=9_000)
    with pytest.raises(paseo.RunFailed, match="tokens, its limit is 9,000"):
        run.wait(60)
    assert w.outcomes(run) == ["limit"]
    assert run.error.code == "tokens"
    calls = len(run.history().tool_calls)
    run.send("alpha: go on").wait(60, check=False)
    assert w.outcomes(run) == ["limit", "limit"]
    assert len(run.history().tool_calls) == calls, "it was let go on"
    assert calls < 6, "the turn went on to its end"


@case("kill -9 and resume in the same session")
def kill_and_resume(w: World) -> None:
    w.plan(alpha=["First."], bravo=[behaviours.slow(600)], charlie=["Third."])
    run = w.run("alpha: begin")
    session = run.session_id
    assert session
    run.send("bravo: talk")
    w.said(run, "word00002")
    os.kill(w.project.processes(run.id)["supervisor"], 9)
    w.until(lambda: run.state == "interrupted", 20, "the run is interrupted")
    w.nothing_left(run)
    run.resume("charlie: now this").wait(60)
    assert run.session_id == session
    assert run.text.strip() == "Third."
    assert w.outcomes(run) == ["end_turn", "interrupted", "end_turn"]
    said = [item.text for item in run.history().items if item.role == "user"]
    assert said == ["alpha: begin", "bravo: talk", "charlie: now this"], (
        "what was replayed shows twice"
    )
    if not w.scripted:
        texts = "\n".join(w.server.conversations[-1].user_texts)
        assert "alpha: begin" in texts, "the session was not gone on with"


@case("usage of 5 turns, with a resume in between, is the model's own, call by call too")
def usage(w: World) -> None:
    work = [behaviours.command("echo one"), behaviours.think("hm", "Done.")]
    w.plan(alpha=work, bravo=["Two."], charlie=work, delta=["Four."], echo=["Five."])
    run = w.run("alpha: begin")
    run.send("bravo: go on").wait(60)
    run.send("charlie: now this").wait(60)
    run.stop()
    run.send("delta: go on").wait(60)
    run.send("echo: go on").wait(60)
    assert w.outcomes(run) == ["end_turn"] * 5
    spent: Usage = w.server.spent()
    assert len(w.server.ledger()) == 7
    check_usage(w.provider, run.usage, spent)
    told = paseo.model_calls(run=run.id).sort_values("seq")
    check_calls(w.provider, told.to_dict("records"), w.server.ledger())


@case("no process is left after stop")
def nothing_left_after_stop(w: World) -> None:
    marker = f"marker-{os.urandom(6).hex()}"
    w.plan(alpha=[behaviours.sleep_command(120, marker)])
    run = w.start("alpha: work")
    w.until(lambda: commands_with(marker), 40, "the command runs")
    run.stop()
    w.nothing_left(run)
    assert not commands_with(marker)
    assert run.state in ("stopped", "idle", "interrupted")


@case("no process is left after kill -9 while it retries", patient=True)
def killed_while_it_retries(w: World) -> None:
    w.plan(alpha=[behaviours.error(500, times=None, retry_after_s=None)])
    run = w.start("alpha: say something")
    w.server.wait_for(lambda r: r.kind == "main" and r.status == 500, 40)
    os.kill(w.project.processes(run.id)["supervisor"], 9)
    w.nothing_left(run)
    assert run.state == "interrupted"


def _png() -> bytes:
    """A real picture, 64 × 64: agents refuse or drop broken and tiny ones."""
    rows = b"".join(
        b"\0" + bytes(c for x in range(64) for c in (x * 4, y * 4, 128)) for y in range(64)
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    head = pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    magic = base64.b16decode("89504E470D0A1A0A")
    return magic + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
