"""Who may not: every route that is served, found by itself, and whatever body comes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit import Project
from serving import TOKEN, Serving, serving
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from paseo_nb.programs.demo import copy_sample
from paseo_nb.server.openapi import page
from paseo_nb.server.routes import AT, ROUTES, add_to, pattern

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")
UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip
# The phone page's own files are everybody's (tests/server/test_phone.py): they tell of no run.
OPEN = r"/paseo(?:/(?P<name>[\w.-]*))?$"
# Made from the page, the same each time; PASEO_FUZZ_S=150 makes random ones besides, for so long.
FUZZ_S = int(os.environ.get("PASEO_FUZZ_S", "0"))
PHASES = "coverage,fuzzing" if FUZZ_S else "coverage"
# Verbs that install, or that start every agent there is to ask it.
LARGE = "/verbs/(install|providers|doctor)$|/stream$|/view$"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = Path(copy_sample(tmp_path_factory.mktemp("security") / "tidelog"))
    with serving(root, "/user/me/") as made:
        yield made
        project = Project(root)
        project.runs = [run for run in project.host.list() if project.alive(run)]
        project.close()


@pytest.fixture(scope="module")
def run(served: Serving) -> str:
    made = served.verb("start", agent="demo/echo", prompt="hello there")["run"]["run_id"]
    served.settled(made)
    return made


def test_every_route_that_is_served_is_in_the_table_and_on_the_page(tmp_path: Path) -> None:
    """So that no test that goes through the table forgets one."""

    async def rules() -> list[str]:
        web_app = Application(base_url="/base/")
        app = SimpleNamespace(root_dir=tmp_path, web_app=web_app, log=logging.getLogger("x"))
        shared = add_to(app)
        assert shared.reporting is not None
        shared.reporting.cancel()
        return [
            rule.matcher.regex.pattern
            for host in web_app.default_router.rules
            for rule in getattr(host.target, "rules", ())
        ]

    table = {f"/base{AT}{pattern(route)}" for route, _ in ROUTES}
    assert set(asyncio.run(rules())) == table | {"/base" + OPEN}
    told = page()["paths"]
    for route, handler in ROUTES:
        written = {name for name in vars(handler) if name.upper() in METHODS}
        path = AT + route.replace("{verb}", "start")
        assert written == set(told[path]), f"{route}: the page does not have all its methods"


def test_no_method_of_any_route_answers_to_strangers(served: Serving, run: str) -> None:
    cookie = served.ask("GET", "", at=f"login?token={TOKEN}").headers["Set-Cookie"].split(";")[0]
    own = {"Cookie": cookie}  # of a browser that is logged in, but no word of Jupyter's own pages
    strangers: list[tuple[str | None, dict[str, str]]] = [
        (None, {}),
        ("wrong", {}),
        ("paseo_" + "x" * 43, {}),
        (None, {**own, "Origin": "https://evil.example"}),
        (None, {**own, "Origin": "null"}),
        (TOKEN, {"Host": "evil.example"}),
    ]
    for method in METHODS:
        for name in ("", "/", "/..%2f..%2fetc%2fpasswd", "/%00", "/tokens.json"):
            answer = served.ask(method, name, None, token=None, at="paseo")
            assert b"tidelog" not in answer.body
            assert answer.status in (200, 301, 302, 403, 404, 405), (method, name, answer.status)
    for route, handler in ROUTES:
        target = route.format(run=run, digest="0" * 64, verb="ls")
        opened = UPGRADE if issubclass(handler, WebSocketHandler) else {}
        for method in METHODS:
            body = None if method in ("GET", "HEAD", "DELETE") else b"{}"
            for token, headers in strangers:
                answer = served.ask(
                    method, target, body, token=token, headers={**opened, **headers}
                )
                none = () if method.lower() in vars(handler) else (405,)
                assert answer.status in (403, 404, *none), (method, target, headers, answer.status)
                assert b"tidelog" not in answer.body
            if method not in ("GET", "HEAD"):  # a form on another page has the cookie
                answer = served.ask(method, target, body, token=None, headers=own)
                assert answer.status in (403, *none), (method, target, answer.status)


def test_what_came_with_a_repository_lets_nobody_in_and_is_not_executed(
    served: Serving, run: str
) -> None:
    """A clone that brings a `.paseo_nb` of its maker's: a token that he knows, a run of his."""
    home, token, mark = served.root / ".paseo_nb", "paseo_" + "x" * 43, served.root / "executed"
    row: dict[str, Any] = {"name": "a", "rights": ["read", "answer", "send"], "runs": None}
    row |= {"sha256": hashlib.sha256(token.encode()).hexdigest(), "expires": 9e9}
    (home / "tokens.json").write_text(json.dumps([row]))
    assert served.ask("GET", "/about", token=token).status == 403
    (home / "tokens.json").unlink()
    his = "01" + "Z" * 24
    folder = home / "runs" / his
    folder.mkdir()
    shutil.copy(home / "runs" / run / "journal.jsonl", folder)
    spec = json.loads((home / "runs" / run / "spec.json").read_bytes())
    spec |= {"run_id": his, "command": ["touch", str(mark)]}
    (folder / "spec.json").write_text(json.dumps(spec))
    git = ["git", "-C", str(served.root)]
    subprocess.run([*git, "add", "-f", "--", folder / "spec.json"], check=True)
    for body in ({"verb": "send", "text": "x"}, {"verb": "resume"}, {"verb": "retry"}):
        told = served.ask("POST", f"/runs/{his}/act", body).json
        assert not told["ok"], body
        assert "came here with a repository" in told["said"]
    command = {"id": "0123456789", "verb": "send", "args": {"prompt": [{"type": "text"}]}}
    for wake in ({"wake": True}, {}):
        served.ask("POST", f"/runs/{his}/command", command | wake)
    assert served.ask("POST", f"/runs/{his}/wake").status == 400
    assert served.ask("GET", f"/runs/{his}/journal").status == 200  # looked at it may be
    (folder / "HEAD").write_text("ref: refs/heads/main")  # as if it were a bare repository
    for name in ("objects", "refs"):
        (folder / name).mkdir()
    assert served.ask("POST", f"/runs/{his}/wake").status == 400
    subprocess.run([*git, "rm", "-q", "--cached", "--", folder / "spec.json"], check=True)
    shutil.rmtree(folder)
    assert not mark.exists()


def test_nothing_of_runs_is_kept_on_the_way(served: Serving, run: str) -> None:
    for target in ("/runs", f"/runs/{run}", f"/runs/{run}/journal", "/runs/01X", "/about"):
        for token in (TOKEN, None):
            answer = served.ask("GET", target, token=token)
            assert answer.headers["Cache-Control"] == "no-store", (target, answer.status)


def test_what_names_no_folder_below_is_no_project(served: Serving, run: str) -> None:
    (served.root / "loop").symlink_to("loop")
    (served.root / "out").symlink_to(served.root.parent)
    for named in ("..", "/etc", "a" * 5000, "x/../../..", "~", "loop", "out", "README.md"):
        for target in (f"/runs/{run}", "/stream"):
            answer = served.ask("GET", f"{target}?project={named}", headers=UPGRADE)
            assert answer.status == 404, (target, named[:20])
        answer = served.ask("GET", f"/board?also={named}")
        assert (answer.status, b"project" in answer.body) == (200, True)
    for name in ("loop", "out"):
        (served.root / name).unlink()
    assert "Traceback" not in served.log.read_text()


def test_no_log_tells_a_token_that_came_in_an_address(served: Serving, run: str) -> None:
    token = "paseo_" + "logged" * 8
    for target in ("/about", f"/runs/{run}", "/board", "/stream", f"/runs/{run}/view"):
        for query in ("token=%s", "project=%%ff&token=%s", "x=1&tok%%65n=%s"):
            for method in ("GET", "POST"):
                for one in (token, TOKEN):
                    served.ask(method, f"{target}?{query % one}&offset=x", token=None)
    told = [line for line in served.log.read_text().splitlines() if "/paseo/api/" in line]
    assert any("[secret]" in line for line in told)
    assert not [line for line in told if token in line or TOKEN in line]


def test_whatever_comes_is_answered_as_the_page_says(
    served: Serving, run: str, tmp_path: Path
) -> None:
    """Schemathesis makes requests from the page: fitting ones, and ones that do not fit."""
    told = json.dumps(page()).replace('"^[0-9A-Z]{1,64}$"', f'"^({run}|[0-9A-Z]{{1,64}})$"')
    schema = tmp_path / "openapi.json"
    schema.write_text(told)
    checks = (
        "not_a_server_error", "status_code_conformance", "content_type_conformance",
        "response_headers_conformance", "response_schema_conformance", "unsupported_method",
        "ignored_auth", "allow_header_conformance", "negative_data_rejection",
    )  # fmt: skip
    command: list[Any] = [
        sys.executable, "-m", "schemathesis.cli", "run", schema,
        "--url", served.url.rstrip("/"), "--header", f"Authorization: token {TOKEN}",
        "--checks", ",".join(checks), "--phases", PHASES, "--max-time", FUZZ_S or 120,
        "--exclude-path-regex", LARGE, "--request-timeout", 60, "--continue-on-failure",
        "--no-shrink", "--generation-deterministic", "--warnings", "off",
    ]  # fmt: skip
    done = subprocess.run(
        [str(word) for word in command],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " generated" in done.stdout
    assert served.ask("GET", f"/runs/{run}").json["run"]["state"] in ("idle", "archived")
    assert "Traceback" not in served.log.read_text()
