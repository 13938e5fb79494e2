"""Permissions: what each mode lets pass, who is asked, what an answer means.

Invariants: (1) every request has exactly one answer in the journal, with who or which rule gave it;
(2) only `auto`, or a person, lets anything change outside the run's folder or in `.git`; (3) a
request that names no path, or one place outside among others, counts as outside; (4) nobody waits
for ever: the clock denies, unless somebody who can answer holds it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import SLACK, Project, check_invariants, kill_9

from paseo_nb.errors import UsageProblem
from paseo_nb.history import History
from paseo_nb.model import Limits, Permission, Rule
from paseo_nb.supervisor.lasting import sameness
from paseo_nb.supervisor.policy import decide
from paseo_nb.wire import socket_path

DONE = {"id": "$id", "result": {"stopReason": "end_turn"}}
OPTIONS = [
    {"optionId": "once", "name": "Yes", "kind": "allow_once"},
    {"optionId": "always", "name": "Always", "kind": "allow_always"},
    {"optionId": "no", "name": "No", "kind": "reject_once"},
]


def ask(kind: str = "execute", options: Any = OPTIONS, **call: Any) -> dict[str, Any]:
    """A step of a puppet: a permission request."""
    params = {
        "sessionId": "s",
        "toolCall": {"toolCallId": "c", "kind": kind, **call},
        "options": options,
    }
    return {"$ask": {"method": "session/request_permission", "params": params}}


def start(project: Project, *steps: Any, **more: Any) -> tuple[str, list[str]]:
    command = project.puppet({"session/prompt": [[*steps, DONE]]})
    more.setdefault("limits", Limits(permission_timeout_s=60, idle_s=60))
    return project.start(command=command, **more), command


def waiting(project: Project, run_id: str) -> Permission:
    """The one question that waits, once there is one."""
    (asked,) = project.until(lambda: project.history(run_id).open_permissions(), 20, "it asks")
    return asked


def answers(project: Project, command: list[str]) -> list[Any]:
    """What the puppet was told: chosen options, `cancelled`, error codes, `{}`."""
    told: list[Any] = []
    for message in project.got(command):
        if "method" not in message:
            outcome = message.get("result", {}).get("outcome", {})
            code = message.get("error", {}).get("code")
            told.append(code or outcome.get("optionId") or outcome.get("outcome") or {})
    return told


def rules(history: History) -> list[tuple[str | None, str | None]]:
    return [(asked.outcome, asked.by) for asked in history.permissions.values()]


# ------------------------------------------------------------ the policy by itself


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A worktree with a link that leads out of it, beside a folder whose name begins the same."""
    root = tmp_path / "tree"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    (tmp_path / "tree-other").mkdir()
    (root / "out").symlink_to(tmp_path / "tree-other")
    (root / "in").symlink_to(root / "src")
    (tmp_path / "way-in").symlink_to(root)
    return root


EDITS: list[tuple[str, Any, bool]] = [
    ("in a folder", {"rawInput": {"path": "src/a.py"}}, True),
    ("by location", {"locations": [{"path": "{root}/src/a.py", "line": 3}]}, True),
    (
        "by diff",
        {"content": [{"type": "diff", "path": "{root}/new/deep/a.py", "newText": ""}]},
        True,
    ),
    ("through a link inside", {"rawInput": {"file_path": "in/a.py"}}, True),
    ("through a link to the tree", {"rawInput": {"path": "{root}/../way-in/src/a.py"}}, True),
    ("a name with .git in it", {"rawInput": {"path": ".github/x.yml"}}, True),
    ("nested edits", {"rawInput": {"edits": [{"filePath": "src/a"}, {"filePath": "src/b"}]}}, True),
    ("nothing named", {"rawInput": {"text": "x"}}, False),
    ("nothing at all", {}, False),
    ("outside", {"rawInput": {"path": "/etc/passwd"}}, False),
    ("up and out", {"rawInput": {"path": "src/../../x"}}, False),
    ("beside, the same beginning", {"rawInput": {"path": "{root}-other/x"}}, False),
    ("through a link that leads out", {"rawInput": {"path": "out/x"}}, False),
    ("the git folder", {"rawInput": {"path": ".git/hooks/pre-commit"}}, False),
    ("a git folder below", {"rawInput": {"path": "sub/.git/config"}}, False),
    ("one in, one out", {"rawInput": {"path": "src/a"}, "locations": [{"path": "/etc/x"}]}, False),
    ("a move's goal", {"rawInput": {"source": "src/a", "destination": "/tmp/b"}}, False),
    (
        "one of nested edits",
        {"rawInput": {"edits": [{"path": "src/a"}, {"path": "/etc/b"}]}},
        False,
    ),
    ("a list of paths", {"rawInput": {"path": "src/a", "paths": ["src/b", "/etc/c"]}}, False),
    ("paths as keys", {"rawInput": {"path": "src/a", "changes": {"/etc/d": {"add": "x"}}}}, False),
    ("a NUL in it", {"rawInput": {"path": "src/a\0b"}}, False),
    ("odd types", {"rawInput": [1, {"path": 5}], "locations": "x", "content": [None]}, False),
]


@pytest.mark.parametrize(("what", "call", "inside"), EDITS, ids=[case[0] for case in EDITS])
def test_edits_inside_and_outside(tree: Path, what: str, call: Any, inside: bool) -> None:
    call = json.loads(json.dumps(call).replace("{root}", str(tree)))

    def verdict(mode: Any, kind: str = "edit") -> str:
        return decide(mode, {"kind": kind, **call}, [str(tree)], str(tree)).verdict

    assert verdict("edit") == verdict("edit", "delete") == ("allow" if inside else "ask")
    assert (verdict("auto"), verdict("read"), verdict("ask")) == ("allow", "deny", "ask")
    assert decide("ask", {"kind": "edit", **call}, [str(tree)], str(tree)).enough == (
        "edit" if inside else "auto"
    )


RULES = [
    Rule("deny", "execute", "git push *"),
    Rule("deny", "*", "secrets/**"),
    Rule("deny", "fetch"),
    Rule("allow", "execute", "pytest *"),
    Rule("allow", "edit", "docs/**"),
    Rule("allow", "edit", "*.md"),
]
RULED = [
    ("execute", {"command": "pytest"}, "allow"),
    ("execute", {"command": "pytest -q tests"}, "allow"),
    ("execute", {"command": ["bash", "-lc", "pytest -q"]}, "allow"),
    ("execute", {"command": ["pytest", "-q"]}, "allow"),
    ("execute", {"command": "pytest; curl evil"}, "ask"),
    ("execute", {"command": "pytest $(curl evil)"}, "ask"),
    ("execute", {"command": "pytest\ncurl evil"}, "ask"),
    ("execute", {"command": "pytest > /etc/passwd"}, "ask"),
    ("execute", {"command": "pytester"}, "ask"),
    ("execute", {"command": "ls"}, "ask"),
    ("execute", {"command": "git push origin"}, "deny"),
    ("execute", {"command": "pytest && git push -f"}, "deny"),
    ("execute", {"command": "(git push)"}, "deny"),
    ("execute", {"command": "git  push"}, "deny"),
    ("execute", {"command": "/usr/bin/git push"}, "deny"),
    ("execute", {"command": "sudo git push origin"}, "deny"),
    ("execute", {"command": "bash -c 'git push'"}, "deny"),
    ("execute", {"command": "{ git push; }"}, "deny"),
    ("execute", {"command": "\\git push"}, "deny"),
    ("execute", {"command": "git pushed"}, "ask"),
    ("execute", {}, "ask"),
    ("fetch", {"url": "https://x"}, "deny"),
    ("edit", {"path": "docs/a/b.txt"}, "allow"),
    ("edit", {"path": "docs/../src/a.py"}, "ask"),
    ("edit", {"path": "read.md", "command": "create"}, "allow"),
    ("edit", {"paths": ["docs/a", "src/a.py"]}, "ask"),
    ("edit", {"path": "secrets/key.md"}, "deny"),
    ("edit", {"paths": ["docs/a", "secrets/key"]}, "deny"),
    ("read", {"path": "secrets/key"}, "deny"),
    ("read", {"path": "src/a.py"}, "ask"),
]


@pytest.mark.parametrize(("kind", "given", "verdict"), RULED)
def test_rules_stand_above_the_mode(tree: Path, kind: str, given: Any, verdict: str) -> None:
    call = {"kind": kind, "rawInput": given}

    def decided(mode: Any) -> str:
        return decide(mode, call, [], str(tree), RULES).verdict

    assert decided("ask") == verdict
    assert decided("auto") == ("deny" if verdict == "deny" else "allow")
    if kind != "read":
        assert decided("read") == "deny"


@pytest.mark.parametrize("name", ["p [4] é x", "plain"])
def test_paths_of_rules_in_folders_with_odd_names_and_links(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    (root / "real").mkdir(parents=True)
    (root / "link").symlink_to(root / "real")

    def verdict(path: str, rule: str) -> str:
        call = {"kind": "edit", "rawInput": {"path": path}}
        return decide("auto", call, [], str(root), [Rule("deny", "edit", rule)]).verdict

    for path, rule in ((".env", ".env"), ("a/.env", "*.env"), ("real/x", "link/**"),
                       ("link/x", "real/**"), ("link/x", "link/")):  # fmt: skip
        assert verdict(path, rule) == "deny", (path, rule)
    assert verdict("real.txt", "real/**") == "allow"


def test_what_we_do_for_the_agent_obeys_the_rules_too(project: Project) -> None:
    inside = str(project.root / "new.txt")
    steps = [
        {"$ask": {"method": "fs/write_text_file", "params": {"path": inside, "content": "x"}}},
        {"$ask": {"method": "terminal/create", "params": {"command": "touch", "args": ["ran"]}}},
    ]
    run_id, command = start(project, *steps, mode="auto", rules=[Rule("deny", "*")])
    project.ended(run_id)
    assert answers(project, command) == [-32603, -32603]
    assert not Path(inside).exists()
    assert not (project.root / "ran").exists()


def test_a_rule_decides_and_is_named(project: Project) -> None:
    call = ask(rawInput={"command": "make test"})
    rules = [Rule("allow", "execute", "make *")]
    second = ask(rawInput={"command": "make;ls"})
    run_id, command = start(project, call, second, rules=rules, mode="ask")
    asked = waiting(project, run_id)
    first = next(iter(project.history(run_id).permissions.values()))
    assert (first.outcome, first.by, first.rule) == (
        "allowed", "policy", "rule allow execute:make *",
    )  # fmt: skip
    assert asked.input == {"command": "make;ls"}
    assert answers(project, command) == ["once"]


@pytest.mark.parametrize("kind", ["execute", "fetch", "switch_mode", "other", None, 5, "brand_new"])
def test_whatever_is_no_edit_and_no_looking(tree: Path, kind: Any) -> None:
    call = {"kind": kind, "rawInput": {"path": "src/a.py"}}
    told = [
        decide(mode, call, [str(tree)], str(tree)).verdict
        for mode in ("ask", "edit", "auto", "read")
    ]
    assert told == ["ask", "ask", "allow", "deny"]
    for looking in ("read", "search", "think"):
        call["kind"] = looking
        told = [
            decide(mode, call, [str(tree)], str(tree)).verdict
            for mode in ("ask", "edit", "auto", "read")
        ]
        assert told == ["ask", "allow", "allow", "allow"]


# ------------------------------------------------------------ the modes, lived


@pytest.mark.parametrize(
    ("mode", "told", "by"),
    [
        ("auto", ["once"] * 5, ["policy"] * 5),
        ("read", ["once", "no", "no", "no", "no"], ["policy"] * 5),
        ("edit", ["once", "once", "no", "no", "no"], ["policy", "policy", "user", "user", "user"]),
        ("ask", ["no"] * 5, ["user"] * 5),
    ],
)
def test_what_each_mode_lets_pass(
    project: Project, mode: str, told: list[str], by: list[str]
) -> None:
    """Looking, an edit inside, an edit outside, one in `.git`, a command."""
    outside = str(project.root.parent / "outside.txt")
    steps = [
        ask("read", rawInput={"path": "/etc/hosts"}),
        ask("edit", rawInput={"path": str(project.root / "a.txt")}),
        ask("edit", rawInput={"path": outside}),
        ask("edit", rawInput={"path": str(project.root / ".git" / "config")}),
        ask("execute", rawInput={"command": "true"}),
    ]
    run_id, command = start(project, *steps, mode=mode)
    for _ in range(by.count("user")):
        asked = waiting(project, run_id)
        project.until(lambda: project.host.state(run_id) == "waiting", 2 * SLACK)
        project.command(run_id, "answer", permission=asked.id, allow=False, message="not now")
        project.until(
            lambda ident=asked.id: (
                ident not in [p.id for p in project.history(run_id).open_permissions()]
            ),
            10,
        )
    history = project.ended(run_id)
    assert answers(project, command) == told
    assert [name for _, name in rules(history)] == by
    for permission in history.permissions.values():
        assert (
            permission.rule is not None
            if permission.by == "policy"
            else permission.message == "not now"
        )
    assert project.host.state(run_id) == "idle"
    check_invariants(project, run_id)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("ask", [{}, -32603, -32603, {}]),
        ("edit", [{}, -32603, -32603, {}]),
        ("auto", [{}, {}, {}, {}]),
        ("read", [-32603, -32603, -32603, -32603]),
    ],
)
def test_files_and_terminals_that_nobody_was_asked_for(
    project: Project, mode: str, told: list[Any]
) -> None:
    """An agent that writes or runs through us without asking first meets the same borders."""
    (project.root / ".git").mkdir()
    outside = project.root.parent / "outside.txt"
    paths = [project.root / "inside.txt", outside, project.root / ".git" / "config"]
    steps = [
        {"$ask": {"method": "fs/write_text_file", "params": {"path": str(path), "content": "x"}}}
        for path in paths
    ]
    steps.append({"$ask": {"method": "terminal/create", "params": {"command": "/bin/true"}}})
    run_id, command = start(project, *steps, mode=mode)
    project.ended(run_id)
    got = answers(project, command)
    assert got == told
    assert [path.exists() for path in paths] == [answer == {} for answer in told[:3]]
    refused = [m["error"]["message"] for m in project.got(command) if "error" in m]
    assert all("auto" in words or "read" in words for words in refused), "it names the mode"


def test_a_path_that_a_person_allowed_may_be_written(project: Project) -> None:
    outside, other = project.root.parent / "yes.txt", project.root.parent / "no.txt"
    writes = [
        {"$ask": {"method": "fs/write_text_file", "params": {"path": str(path), "content": "x"}}}
        for path in (outside, other)
    ]
    run_id, command = start(
        project, ask("edit", locations=[{"path": str(outside)}]), *writes, mode="edit"
    )
    project.command(run_id, "answer", permission=waiting(project, run_id).id, allow=True)
    project.ended(run_id)
    assert answers(project, command) == ["once", {}, -32603]
    assert outside.read_text() == "x"
    assert not other.exists()


def test_a_mode_that_is_changed_holds_at_once(project: Project) -> None:
    run_id, command = start(project, ask(), {"$sleep": 0.5}, ask(), mode="ask")
    asked = waiting(project, run_id)
    project.command(run_id, "set_mode", mode="auto")
    project.command(run_id, "answer", permission=asked.id, allow=False)
    history = project.ended(run_id)
    assert answers(project, command) == ["no", "once"]
    assert rules(history) == [("denied", "user"), ("allowed", "policy")]


# ------------------------------------------------------------ answers


def test_answers_by_option_wrong_ones_and_second_ones(project: Project) -> None:
    strange = [
        {"optionId": "maybe", "name": "Perhaps", "kind": "perhaps"},
        "no object",
        {},
        {"optionId": 5},
    ]
    run_id, command = start(
        project, ask(**MAKE), ask(), ask(options=strange), ask(options=[]), mode="ask"
    )
    asked = waiting(project, run_id)
    with pytest.raises(UsageProblem, match="no permission 'p99999'"):
        project.command(run_id, "answer", permission="p99999", allow=True)
    with pytest.raises(UsageProblem, match="it offers once, always, no"):
        project.command(run_id, "answer", permission=asked.id, option_id="nonsense")
    project.command(run_id, "answer", permission=asked.id, option_id="always", by="widget")
    with pytest.raises(UsageProblem, match="no permission"):
        project.command(run_id, "answer", permission=asked.id, allow=False)
    second = project.until(
        lambda: waiting(project, run_id).id != asked.id and waiting(project, run_id), 10
    )
    project.command(run_id, "answer", permission=second.id, option_id="no", allow=True)
    third = project.until(
        lambda: waiting(project, run_id).id != second.id and waiting(project, run_id), 10
    )
    with pytest.raises(UsageProblem, match="choose one of maybe"):
        project.command(run_id, "answer", permission=third.id, allow=True)
    project.command(run_id, "answer", permission=third.id, option_id="maybe")
    fourth = project.until(
        lambda: waiting(project, run_id).id != third.id and waiting(project, run_id), 10
    )
    project.command(run_id, "answer", permission=fourth.id, allow=False)
    history = project.ended(run_id)
    assert answers(project, command) == ["once", "no", "maybe", "cancelled"]
    assert rules(history) == [
        ("allowed", "widget"),
        ("denied", "user"),
        ("denied", "user"),
        ("denied", "user"),
    ]
    check_invariants(project, run_id)


def test_a_cancel_answers_open_questions_and_those_that_come_after_it(project: Project) -> None:
    late = {**ask()["$ask"], "id": 5}
    run_id, command = start(
        project, {**ask()["$ask"], "id": 4}, {"$cancel": True}, late, {"$sleep": 0.3}, mode="ask"
    )
    waiting(project, run_id)
    begun = time.monotonic()
    project.command(run_id, "cancel")
    history = project.ended(run_id)
    assert time.monotonic() - begun < 1 * SLACK
    assert answers(project, command) == ["cancelled", "cancelled"]
    assert rules(history) == [("cancelled", "cancel"), ("cancelled", "cancel")]
    order = [m.get("method") or m["id"] for m in project.got(command)][-3:]
    assert order in ([4, "session/cancel", 5], ["session/cancel", 4, 5])
    check_invariants(project, run_id)


def test_a_terminal_asked_for_after_a_cancel_is_refused(project: Project) -> None:
    create = {
        "id": 6,
        "method": "terminal/create",
        "params": {"command": "/bin/sleep", "args": ["300"]},
    }
    run_id, command = start(project, {"$cancel": True}, create, {"$sleep": 0.3}, mode="auto")
    project.until(
        lambda: any(m.get("method") == "session/prompt" for m in project.got(command)), 20
    )
    project.command(run_id, "cancel")
    project.ended(run_id)
    assert answers(project, command) == [-32603]
    assert not project.own(run_id, "terminal")


# ------------------------------------------------------------ the clock


@contextlib.contextmanager
def holding(project: Project, run_id: str) -> Iterator[None]:
    """A front end that can answer is there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(socket_path(project.folder(run_id).path)))
        sock.sendall(b'{"id":"hold","verb":"hold","args":{}}\n')
        assert sock.recv(4096)
        yield


def test_nobody_answers(project: Project) -> None:
    limits = Limits(permission_timeout_s=0.4, idle_s=60)
    inside = str(project.root / "a.txt")
    steps = [
        ask("execute"),
        ask("edit", rawInput={"path": inside}),
        ask("read"),
        ask("fetch", options=OPTIONS[:1]),
    ]
    run_id, command = start(project, *steps, mode="ask", limits=limits)
    history = project.ended(run_id)
    assert answers(project, command) == ["no", "no", "no", "cancelled"]
    assert {by for _, by in rules(history)} == {"timeout"}
    said = [str(asked.message) for asked in history.permissions.values()]
    for words, mode in zip(said, ["auto", "edit", "read", "auto"], strict=True):
        assert "within 0.4 s" in words
        assert f"mode='{mode}'" in words, "the least that would have let it pass"
    check_invariants(project, run_id)


def test_somebody_who_can_answer_holds_the_clock(project: Project) -> None:
    limits = Limits(permission_timeout_s=1.0, silence_s=1.5, idle_s=60)
    run_id, command = start(project, ask(), ask(), mode="ask", limits=limits)
    asked = waiting(project, run_id)
    with holding(project, run_id):
        time.sleep(2.5)
        assert [p.id for p in project.history(run_id).open_permissions()] == [asked.id]
        project.command(run_id, "answer", permission=asked.id, allow=True)
    history = project.ended(run_id, within=3 * SLACK)
    assert answers(project, command) == ["once", "no"]
    assert rules(history) == [("allowed", "user"), ("denied", "timeout")], "gone again: it runs"
    assert history.turns[0].outcome == "end_turn", "waiting for a person is no silence"


# ------------------------------------------------------------ more than yes and no

ENDS_CANCELLED = {"id": "$id", "result": {"stopReason": "cancelled"}}


MAKE: dict[str, Any] = {"rawInput": {"command": "make all", "description": "build"}}


def test_a_yes_that_holds_on_is_ours_and_not_the_agents(project: Project) -> None:
    said_otherwise = {"rawInput": {"command": "make all", "description": "once more"}}
    steps = [ask(**MAKE), ask(**said_otherwise), ask(rawInput={"command": "make all; rm x"})]
    command = project.puppet({"session/prompt": [[*steps, DONE], [ask(**MAKE), DONE]]})
    limits = Limits(permission_timeout_s=60, idle_s=60)
    run_id = project.start(command=command, mode="ask", limits=limits)
    first = waiting(project, run_id)
    assert [option["name"] for option in first.options] == [
        "Yes", "Allow this very command for the rest of the run", "No",
    ]  # fmt: skip
    project.command(run_id, "answer", permission=first.id, allow=True, always=True)
    project.until(lambda: len(project.history(run_id).permissions) == 3, 20)
    third = waiting(project, run_id)
    project.command(run_id, "answer", permission=third.id, allow=False)
    history = project.ended(run_id)
    assert answers(project, command) == ["once", "once", "no"], "the agent is told of this once"
    told = list(history.permissions.values())
    assert [(one.by, one.option_id) for one in told] == [
        ("user", "always"), ("policy", "once"), ("user", "no"),
    ]  # fmt: skip
    assert told[1].rule == f"always, as answered to {first.id}"
    kill_9(*project.processes(run_id).values())
    project.until(lambda: not project.alive(run_id) and not project.left(run_id), 25)
    project.send(run_id, "again")
    project.until(lambda: len(project.history(run_id).permissions) == 6, 20)
    assert answers(project, command)[3:5] == ["once", "once"], "it holds over its processes"
    project.command(run_id, "answer", permission=waiting(project, run_id).id, allow=False)
    project.ended(run_id, turns=2)
    project.command(run_id, "set_mode", mode="read")
    project.send(run_id, "again")
    assert project.ended(run_id, turns=3).permissions
    assert answers(project, command)[-1] == "no", "but not where the mode forbids it"


@pytest.mark.parametrize(
    ("call", "why"),
    [({"kind": "execute", "title": "Run tests"}, "not told what it would do"), ({}, "offers once")],
)
def test_a_yes_that_cannot_hold_on(project: Project, call: Any, why: str) -> None:
    asked = ask(**call) if call else ask(options=[OPTIONS[0], OPTIONS[2]], **MAKE)
    run_id, command = start(project, asked, mode="ask")
    ident = waiting(project, run_id).id
    with pytest.raises(UsageProblem, match=why):
        project.command(run_id, "answer", permission=ident, allow=True, always=True)
    project.command(run_id, "answer", permission=ident, allow=True)
    project.ended(run_id)
    assert answers(project, command) == ["once"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"kind": "edit", "rawInput": {"path": "a"}}, {"kind": "edit", "rawInput": {"path": "b"}},
         True),
        ({"kind": "edit", "rawInput": {"path": "a"}}, {"kind": "delete", "rawInput": {"path": "a"}},
         False),
        ({"kind": "edit", "rawInput": {"path": "a"}}, {"kind": "edit", "rawInput": {"path": "../b"}},
         False),
        ({"kind": "edit", "rawInput": {"path": "/x"}}, {"kind": "edit", "rawInput": {"path": "/y"}},
         False),
        ({"toolName": "t", "rawInput": {"n": 1}}, {"toolName": "t", "rawInput": {"n": 2}}, True),
        ({"title": "t", "rawInput": {"n": 1}}, {"title": "t", "rawInput": {"n": 2}}, False),
        ({"rawInput": {"command": "a", "sandbox": True}}, {"rawInput": {"command": "a"}}, False),
    ],
)  # fmt: skip
def test_what_an_answer_that_holds_on_holds_for(
    tree: Path, one: Any, other: Any, same: bool
) -> None:
    told = [sameness(call, [str(tree)], str(tree)) for call in (one, other)]
    assert None not in told
    assert (told[0] == told[1]) is same


def test_another_input_is_a_no_and_the_next_prompt_where_the_agent_cannot_take_it(
    project: Project,
) -> None:
    command = project.puppet({"session/prompt": [[ask(rawInput={"path": "/a"}), DONE], [DONE]]})
    run_id = project.start(command=command, mode="ask", limits=Limits(idle_s=60))
    asked = waiting(project, run_id)
    edited = {"path": "/b", "text": "é"}
    project.command(
        run_id, "answer", permission=asked.id, allow=True, input=edited, message="please"
    )
    history = project.ended(run_id, turns=2)
    assert answers(project, command) == ["no"]
    (told,) = history.permissions.values()
    assert (told.outcome, told.by, told.edited) == ("denied", "user", edited)
    said = history.turns[1].prompt
    assert json.dumps(edited, ensure_ascii=False) in said
    assert said.endswith("please")
    assert "queued" in history.warnings[0]
    check_invariants(project, run_id)


@pytest.mark.parametrize("verdict", ["allow", "deny"])
def test_a_command_that_is_not_told_passes_no_rule(verdict: Any) -> None:
    rules = [Rule(verdict, "execute", "pytest *")]
    call = {"kind": "execute", "title": "pytest -q", "rawInput": {"command": ""}}
    mode = "auto" if verdict == "deny" else "ask"
    told = decide(mode, call, ["/r"], "/r", rules).verdict
    assert told == ("deny" if verdict == "deny" else "ask")


@pytest.mark.parametrize("answer", [{"allow": False}, {"allow": True, "input": {"path": "/b"}}])
def test_an_agent_that_hears_in_mid_turn_is_told_before_the_no(
    project: Project, answer: dict[str, Any]
) -> None:
    can = {"protocolVersion": 1, "agentCapabilities": {"_meta": {"paseo_nb": {"steer": True}}}}
    does = {
        "initialize": [{"id": "$id", "result": can}],
        "session/prompt": [[ask(), {"$sleep": 0.3}, DONE]],
        "_paseo_nb/steer": [{"id": "$id", "result": {"taken": True}}],
    }
    command = project.puppet(does)
    run_id = project.start(command=command, mode="ask", limits=Limits(idle_s=60))
    asked = waiting(project, run_id)
    project.command(run_id, "answer", permission=asked.id, message="use make", **answer)
    history = project.ended(run_id)
    got = [m.get("method") or m["result"] for m in project.got(command)][-2:]
    assert got[0] == "_paseo_nb/steer"
    assert got[1]["outcome"]["optionId"] == "no"
    told = project.got(command)[-2]["params"]["prompt"][0]["text"]
    assert told.endswith("use make")
    assert len(history.turns) == 1
    assert not history.warnings


def test_a_reason_that_cannot_be_told_is_kept_and_that_is_said(project: Project) -> None:
    run_id, _ = start(project, ask(), {"$sleep": 0.3}, mode="ask")
    asked = waiting(project, run_id)
    project.command(run_id, "answer", permission=asked.id, allow=False, message="not that")
    history = project.ended(run_id)
    assert history.permissions[asked.id].message == "not that"
    assert ["could not be told why" in said for said in history.warnings] == [True]
    assert len(history.turns) == 1


def test_a_no_that_ends_the_turn(project: Project) -> None:
    run_id, command = start(project, ask(), {"$cancel": True}, ENDS_CANCELLED, mode="ask")
    asked = waiting(project, run_id)
    project.command(
        run_id, "answer", permission=asked.id, allow=False, message="stop that", cancel=True
    )
    history = project.ended(run_id)
    assert answers(project, command) == ["cancelled"]
    assert history.turns[0].outcome == "cancelled"
    told = history.permissions[asked.id]
    assert (told.outcome, told.by, told.option_id, told.message) == (
        "denied", "user", None, "stop that",
    )  # fmt: skip
    assert not history.warnings
    assert project.own(run_id, "turn_end")[0]["by"] == "user"
    check_invariants(project, run_id)


def done(ident: str, kind: str, status: str = "completed") -> list[dict[str, Any]]:
    """Steps of a puppet: a call that it makes without asking."""
    begun = {"sessionUpdate": "tool_call", "kind": kind, "title": f"a {kind}", "status": "pending"}
    ended = {"sessionUpdate": "tool_call_update", "status": status}
    return [
        {
            "method": "session/update",
            "params": {"sessionId": "s", "update": {"toolCallId": ident, **update}},
        }
        for update in (begun, ended)
    ]


@pytest.mark.parametrize(
    ("mode", "rules", "steps", "told"),
    [
        ("read", [], done("a", "execute"), ["a execute"]),
        ("read", [], [*done("a", "edit"), *done("b", "edit"), *done("c", "read")], ["a edit"]),
        ("auto", [Rule("deny", "edit", None)], done("a", "edit"), ["a edit"]),
        ("auto", [Rule("deny", "edit", None)], done("a", "execute"), []),
        ("auto", [], done("a", "execute"), []),
        ("read", [], done("a", "execute", "failed"), []),
        ("read", [], [ask(), *done("c", "execute")], []),  # it asked, and says what it likes
    ],
)
def test_what_an_agent_does_unasked_though_it_is_forbidden_is_said(
    project: Project, mode: str, rules: list[Rule], steps: list[Any], told: list[str]
) -> None:
    run_id, _ = start(project, *steps, mode=mode, rules=rules)
    project.ended(run_id)
    said = [fact["message"] for fact in project.own(run_id, "warning")]
    assert [one.split("'")[1] for one in said if "did not ask" in one] == told
