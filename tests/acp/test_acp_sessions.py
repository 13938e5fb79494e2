"""Sessions of agents that list and load them over ACP: listed, loaded as finished runs, taken over."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb import acp_sessions
from paseo_nb.drivers import registry
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import ModelServer, behaviours, nth_usage

Json = dict[str, Any]
SECRET = "sk-ant-api03-aaaabbbbccccdddd1111"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project that is the current folder; its runs are ended, providers of its own forgotten."""
    made = Project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    known = dict(registry._registered)  # pyright: ignore[reportPrivateUsage]
    yield made
    registry._registered.clear()  # pyright: ignore[reportPrivateUsage]
    registry._registered.update(known)  # pyright: ignore[reportPrivateUsage]
    made.runs = made.host.list()
    made.close()


def said(kind: str, text: str, **more: Any) -> Json:
    return update(kind, content={"type": "text", "text": text}, **more)


def update(kind: str, /, **more: Any) -> Json:
    params = {"sessionId": "s1", "update": {"sessionUpdate": kind, **more}}
    return {"method": "session/update", "params": params}


def can(*, load: bool = True, **more: Any) -> list[Json]:
    able = {"loadSession": load, "sessionCapabilities": more}
    told = {"protocolVersion": 1, "agentCapabilities": able, "agentInfo": {"name": "p"}}
    return [{"id": "$id", "result": told}]


def puppet(project: Project, **does: Any) -> list[str]:
    """A provider `mine` that does so; its command."""
    steps = {key.replace("_", "/", 1): value for key, value in does.items()}
    command = project.puppet(steps)
    paseo.register_provider("mine", command=command)
    return command


OTHER = {"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "no"}}
LISTED = {
    "sessionId": "s1", "cwd": "/somewhere/else", "title": "the \n first",
    "updatedAt": "2026-03-01T10:00:00Z",
}  # fmt: skip
LOAD = [
    said("agent_message_chunk", "Welcome."),
    said("user_message_chunk", "list "),
    said("user_message_chunk", f"the files {SECRET}"),
    said("agent_thought_chunk", "hm"),
    update("tool_call", toolCallId="c1", title="ls", kind="execute", status="pending"),
    update("tool_call_update", toolCallId="c1", status="completed", rawOutput={"o": "a.txt"}),
    update("tool_call", toolCallId="c2", title="rm", kind="delete", status="pending"),
    said("agent_message_chunk", "One."),
    update("usage_update", used=5, size=9, cost={"amount": 3.5, "currency": "USD"}),
    update("prompt_result", usage={"inputTokens": 7}),
    {"method": "session/update", "params": {"sessionId": "other", "update": OTHER}},
    said("user_message_chunk", "first words", messageId="m1"),
    said("user_message_chunk", "second words", messageId="m2"),
    said("agent_message_chunk", "Two."),
    "no message at all",
    {"id": 77, "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}},
    {"id": "$id", "result": {"modes": {"currentModeId": "plan", "availableModes": []}}},
]


def test_a_session_becomes_a_finished_run(project: Project) -> None:
    command = puppet(
        project,
        initialize=can(list={}),
        session_list=[{"id": "$id", "result": {"sessions": [LISTED]}}],
        session_load=LOAD,
        session_prompt=[[said("agent_message_chunk", "on"), {"id": "$id", "result": {}}]],
    )
    row = paseo.sessions("mine").iloc[0]
    assert (row["session_id"], row["cwd"], row["title"]) == ("s1", "/somewhere/else", "the first")
    assert str(row["finished"]) == "2026-03-01 10:00:00+00:00"
    assert row[["started", "turns", "model", "run_id"]].isna().all()
    assert paseo.sessions("mine", since="2026-04-01").empty
    made = paseo.import_sessions("mine")
    assert made["turns"].tolist() == [3]
    assert paseo.import_sessions("mine").empty, "each is loaded once"
    run = paseo.import_session("mine", "s1")
    assert run.id == made["run_id"][0], "and is one run"
    assert (run.state, run.session_id, run.spec.cwd) == ("idle", "s1", "/somewhere/else")
    turns = run.turns()
    assert turns["prompt"].str.replace(SECRET, "…").tolist()[1:] == ["first words", "second words"]
    assert turns["outcome"].tolist() == ["end_turn"] * 3
    assert turns[["input_tokens", "cost_usd", "usage_source"]].isna().all().all(), "nobody told"
    calls = run.tool_calls().set_index("tool_call_id")["outcome"].to_dict()
    assert calls == {"c1": "completed", "c2": "cancelled"}
    history = run.history()
    told = [item.text for item in history.items if (item.role, item.kind) == ("agent", "message")]
    assert told == ["One.", "Two."]
    assert (history.agent_mode, history.agent_name) == ("plan", "p")
    assert paseo.runs(run=run.id)["permission_mode"].isna().all(), "nobody knows what it was"
    assert run.inspect()["mode"] is None
    journal = (project.root / f".paseo_nb/runs/{run.id}/journal.jsonl").read_text()
    assert "aaaabbbbccccdddd1111" not in journal
    refused = [m for m in project.got(command) if m.get("id") == 77]
    assert "does not offer" in refused[0]["error"]["message"]
    assert paseo.sessions("mine")["run_id"].tolist() == [run.id]


def test_pages_are_turned_and_an_agent_cannot_keep_us_turning(project: Project) -> None:
    def page(*idents: Any, cursor: str | None) -> list[Any]:
        sessions = [{"sessionId": one, "cwd": "/x"} for one in idents]
        return [{"id": "$id", "result": {"sessions": sessions, "nextCursor": cursor}}]

    command = puppet(
        project, initialize=can(list={}), session_list=page("s1", 3, None, "", cursor="again")
    )
    assert paseo.sessions("mine")["session_id"].tolist() == ["s1"]
    asked = [m["params"] for m in project.got(command) if m.get("method") == "session/list"]
    assert asked == [{}, {"cursor": "again"}], "the same cursor twice ends it"


def test_one_that_cannot_be_loaded_costs_no_other(project: Project) -> None:
    refuses = [{"id": "$id", "error": {"code": -32603, "message": "no such file"}}]
    puppet(
        project,
        initialize=can(list={}),
        session_list=[{"id": "$id", "result": {"sessions": [LISTED, {"sessionId": "s2"}]}}],
        session_load=refuses,
    )
    made = paseo.import_sessions("mine")
    assert made["run_id"].isna().all()
    assert all("no such file" in problem for problem in made["problem"])
    assert len(made) == 2
    with pytest.raises(paseo.UsageProblem, match=r"did not load session s2: no such file.*doctor"):
        paseo.import_session("mine", "s2")
    with pytest.raises(paseo.UsageProblem, match="fits 2 sessions"):
        paseo.import_session("mine", "s")
    assert not (project.root / ".paseo_nb/runs").exists()


def test_an_agent_without_a_list_says_so_and_loads(project: Project) -> None:
    puppet(
        project,
        initialize=can(),
        session_load=[
            said("user_message_chunk", "hello"),
            said("agent_message_chunk", "Hi."),
            {"id": "$id", "result": None},
        ],
    )
    with pytest.raises(paseo.UsageProblem, match=r"mine cannot list.*import_session\('mine', ID\)"):
        paseo.sessions("mine")
    run = paseo.import_session("mine", "s1")
    assert (run.text, run.spec.cwd) == ("Hi.", str(project.root))
    puppet(project, initialize=can(load=False))
    with pytest.raises(paseo.UsageProblem, match="mine cannot load a session"):
        paseo.import_session("mine", "s9")


def test_a_session_in_which_nothing_was_said_is_no_run(project: Project) -> None:
    puppet(project, initialize=can(), session_load=[{"id": "$id", "result": {}}])
    with pytest.raises(paseo.UsageProblem, match="nothing was said in session s1"):
        paseo.import_session("mine", "s1")


def alive(marker: str) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", ["silent", "gone"])
def test_an_agent_that_does_not_answer_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    marker = f"{os.getpid()}{time.time_ns()}"
    script = project.root / "silent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        "gone = sys.argv[1] == 'gone'\n"
        "out = subprocess.DEVNULL if gone else None\n"
        "for detached in (True, False):\n"
        f"    code = 'import time; time.sleep(600)  # {marker}'\n"
        "    subprocess.Popen([sys.executable, '-c', code], start_new_session=detached, stdout=out)\n"
        "time.sleep(0 if gone else 600)\n"
    )
    paseo.register_provider("mine", command=[sys.executable, str(script), how])
    monkeypatch.setattr(acp_sessions, "LIST_S", 2.0)
    why = "no answer in 2 s" if how == "silent" else "it ended before it answered"
    with pytest.raises(paseo.UsageProblem, match=f"mine did not list its sessions: {why}"):
        paseo.sessions("mine")
    assert alive(marker) == []


def test_what_the_demo_agent_did_elsewhere_is_taken_over(project: Project) -> None:
    run = paseo.run("demo/fixer", "hello", mode="auto", repo=str(project.root))
    run.send("and more").wait(60)
    run.stop()
    project.gone(run.id, 30)
    before = run.history()
    os.rename(project.root / ".paseo_nb", project.root / "elsewhere")
    ident = run.session_id
    taken = paseo.import_session("demo", str(ident)[:12])
    assert taken.id != run.id
    after = taken.history()
    assert [turn.prompt for turn in after.turns] == ["hello", "and more"]
    assert [turn.text for turn in after.turns] == [turn.text for turn in before.turns]
    assert len(after.tool_calls) == len(before.tool_calls)
    taken.send("go on").wait(60)
    assert taken.session_id == ident
    assert taken.history().turns[-1].outcome == "end_turn"
    assert paseo.sessions("demo")["run_id"].tolist() == [taken.id]


def test_what_our_api_agent_did_elsewhere_is_taken_over(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASEO_API_HOME", str(tmp_path / "api-sessions"))
    with ModelServer(usage=nth_usage) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        server.enqueue(behaviours.write("made.txt", "x\n"), "I made it.", "And on.")
        run = paseo.run("api/claude-sonnet-4-5", "make a file", mode="auto", timeout=60)
        run.stop()
        project.gone(run.id, 30)
        ident = run.session_id
        os.rename(project.root / ".paseo_nb", project.root / "elsewhere")
        row = paseo.sessions("api").iloc[0]
        assert (row["session_id"], row["cwd"]) == (ident, str(project.root))
        taken = paseo.import_session("api", str(ident))
        assert [turn.text for turn in taken.history().turns] == ["I made it."]
        assert [one.outcome for one in taken.history().tool_calls.values()] == ["completed"]
        taken.send("go on").wait(60)
        assert (taken.text, taken.session_id) == ("And on.", ident)


def test_two_that_import_at_once_get_one_run(project: Project) -> None:
    from concurrent.futures import ThreadPoolExecutor

    puppet(project, initialize=can(), session_load=LOAD)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: paseo.import_session("mine", "s1").id, range(4)))
    assert len(set(made)) == 1


@pytest.mark.real_agent
@pytest.mark.parametrize("name", ["copilot", "opencode", "pi", "gemini"])
def test_a_session_of_a_real_agent_is_taken_over(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = tmp_path / "home"
    with ModelServer(usage=nth_usage) as server:
        for key, value in recipes.RECIPES[name](home, server.url).items():
            monkeypatch.setenv(key, value)
        path = f"{executable(name).parent}{os.pathsep}{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)
        server.enqueue(behaviours.write("made.txt", "x\n"), "I made it.", "And on.")
        run = paseo.run(name, "make a file", mode="auto", timeout=60)
        run.send("the next").wait(60)
        assert run.text == "And on.", run.error
        run.stop()
        project.gone(run.id, 30)
        spent, asked = server.spent(), len(server.requests)
        os.rename(project.root / ".paseo_nb", project.root / "elsewhere")
        ident = str(run.session_id)
        if name == "gemini":
            with pytest.raises(paseo.UsageProblem, match="gemini cannot list its sessions"):
                paseo.sessions(name)
        else:
            row = paseo.sessions(name).iloc[0]
            assert (row["session_id"], row["cwd"]) == (ident, str(project.root))
        taken = paseo.import_session(name, ident)
        assert len(server.requests) == asked, "no model is asked"
        history = taken.history()
        assert [turn.prompt for turn in history.turns] == ["make a file", "the next"]
        assert [turn.text for turn in history.turns] == ["I made it.", "And on."]
        assert [call.outcome for call in history.tool_calls.values()] == ["completed"]
        usage = taken.usage
        if name in ("copilot", "pi"):
            assert usage.source == "session file"
            assert (usage.input_tokens, usage.output_tokens) == (
                spent.input_tokens, spent.output_tokens,
            )  # fmt: skip
        else:
            assert usage.input_tokens is None
        server.enqueue("Third.")
        taken.send("go on").wait(90)
        assert (taken.text, taken.session_id) == ("Third.", ident), taken.error
        said = json.dumps(server.requests[-1].body)
        assert all(word in said for word in ("make a file", "the next", "go on"))
        again = paseo.import_session(name, ident)
        assert again.id == taken.id
