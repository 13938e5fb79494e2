"""What pages show, over the wire: the board as it changes, questions answered, changes, the trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project
from serving import Serving, serving

from paseo_nb.programs.demo import copy_sample


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = Path(copy_sample(tmp_path_factory.mktemp("views") / "tidelog"))
    with serving(root) as made:
        yield made
        project = Project(root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


def board(served: Serving, known: int = 0) -> dict[str, Any]:
    answer = served.ask("GET", f"/board?known={known}")
    assert answer.status == 200, answer.body
    return answer.json


def until_asked(served: Serving, run: str) -> dict[str, Any]:
    told = board(served)
    for _ in range(60):
        for ask in told["asks"]:
            if ask["run"] == run:
                return ask
        told = board(served, told["n"])
    raise AssertionError(told)


def test_a_board_tells_what_is_new_and_a_question_is_answered(served: Serving) -> None:
    before = board(served)
    heard: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: heard.append(board(served, before["n"])))
    waiting.start()
    more = {"mode": "ask", "title": "Ask me"}
    run = served.verb("start", agent="demo/asker", prompt="run: echo one", **more)["run"]["run_id"]
    waiting.join(60)
    assert heard[0]["n"] > before["n"]
    ask = until_asked(served, run)
    assert ask["subject"] == "echo one"
    permission = ask["id"].partition(":")[2]
    wrong = {"verb": "allow", "permission": "no-such"}
    assert served.ask("POST", f"/runs/{run}/act", wrong).json["ok"] is False
    yes = {"verb": "allow", "permission": permission, "option": "allow_once"}
    told = served.ask("POST", f"/runs/{run}/act", yes).json
    assert told["ok"], told
    assert served.settled(run, over=True)["outcome"] == "end_turn"
    assert served.ask("POST", f"/runs/{run}/act", {"verb": "archive"}).json["ok"]
    told = board(served)
    for _ in range(20):
        if run not in [line["id"] for line in told["lines"]]:
            break
        told = board(served, told["n"])
    assert run not in [line["id"] for line in told["lines"]], "what is archived stands there"
    for verb in ("sql", "fork", "", None, ["send"]):
        assert served.ask("POST", f"/runs/{run}/act", {"verb": verb}).status == 400


def test_changes_and_trace_of_a_run(served: Serving) -> None:
    fixer = {"worktree": "views", "mode": "auto"}
    run = served.verb("start", agent="demo/fixer", prompt="mend it", **fixer)["run"]["run_id"]
    served.settled(run)
    changes = served.ask("GET", f"/runs/{run}/changes").json
    assert changes["files"][0]["path"] == "tidelog/durations.py"
    assert any(line.startswith("+") for line in changes["files"][0]["lines"])
    trace = served.ask("GET", f"/runs/{run}/trace").json
    call = next(row for row in trace["rows"] if row["k"] == "tool_call")
    assert trace["head"]["live"] is False
    detail = served.ask("GET", f"/runs/{run}/trace?span={call['i']}").json
    assert detail["i"] == call["i"]
    assert served.ask("GET", f"/runs/{run}/trace?find=durations.py").json["ids"]
    story = served.ask("GET", f"/runs/{run}/story?beside=1").json
    assert story["metadata"]["paseo_nb"]["state"] == "idle"
    assert not story["busy"]
    assert story["data"]["text/html"].startswith("<div data-paseo-beside=")
    assert "13 tests pass" in story["data"]["text/plain"]
    assert served.ask("GET", "/runs/NOSUCHRUN/trace").status == 404
    for path in (f"/runs/{run}/trace", f"/runs/{run}/story", f"/runs/{run}/changes", "/board"):
        assert served.ask("GET", path, token=None).status == 403


def test_a_board_shows_other_projects_beside_it_and_tells_what_is_theirs(served: Serving) -> None:
    copy_sample(served.root / "inner")
    at = "?project=inner"
    mine = served.verb("start", agent="demo/echo", prompt="mine")["run"]["run_id"]
    told = served.ask("POST", f"/verbs/start{at}", {"agent": "demo/echo", "prompt": "theirs"})
    theirs = told.json["run"]["run_id"]
    also = "&also=inner&also=inner/tidelog&also=gone&also=../..&also=."
    deadline = 30
    for _ in range(deadline):
        told = served.ask("GET", f"/board?known=0{also}").json
        projects = {line["id"]: line.get("project") for line in told["lines"]}
        if {mine, theirs} <= projects.keys():
            break
        time.sleep(0.5)
    assert (projects[mine], projects[theirs]) == (None, "inner")
    assert [line["id"] for line in told["lines"]] == sorted(projects, reverse=True)
    asked = {"agent": "demo/asker", "prompt": "run: echo one", "mode": "ask"}
    heard: list[dict[str, Any]] = []
    url = f"/board?known={told['n']}{also}"
    waiting = threading.Thread(target=lambda: heard.append(served.ask("GET", url).json))
    waiting.start()
    more = served.ask("POST", f"/verbs/start{at}", asked).json["run"]["run_id"]
    waiting.join(60)  # news of another project is news
    assert heard[0]["n"] > told["n"]
    for _ in range(deadline):
        told = served.ask("GET", f"/board?known=0{also}").json
        if [ask["project"] for ask in told["asks"] if ask["run"] == more] == ["inner"]:
            break
        time.sleep(0.5)
    else:
        raise AssertionError(told["asks"])
    assert served.ask("POST", f"/runs/{more}/act{at}", {"verb": "stop"}).json["ok"]
    assert more not in [line["id"] for line in board(served)["lines"]]
