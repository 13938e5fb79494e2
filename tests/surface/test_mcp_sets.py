"""MCP servers of profiles, and what becomes of keys that stand in them as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import paseo_nb as paseo
from paseo_nb.mcp_secrets import lifted
from paseo_nb.mcp_sets import servers_of

LITERAL = "Zx7literal-and-secret"
CONFIG = """
[mcp.docs]
url = "http://127.0.0.1:9/mcp"
headers = { Authorization = "Bearer Zx7literal-and-secret", X-Team = "blue" }

[mcp.tests]
command = "./server.sh"
args = ["beside.txt", "elsewhere.txt"]

[profiles.planner]
agent = "demo/echo"
mode = "read"
mcp = ["docs", "tests"]

[profiles.other]
agent = "demo/echo"
mcp = { web = "http://127.0.0.1:9/web" }
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings."""
    folder = tmp_path / "xdg" / "paseo_nb"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    (folder / "beside.txt").write_text("x")
    program = folder / "server.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = folder / "config.toml"
    file.write_text(CONFIG)
    return file


def on_disk(repo: Path, text: str) -> bool:
    """Whether a text stands in any file of the project's runs."""
    found = subprocess.run(["grep", "-rqaF", text, str(repo / ".paseo_nb")])
    return found.returncode == 0


def test_a_profile_brings_its_servers(repo: Path, settings: Path) -> None:
    run = paseo.run("@planner", "hello")
    docs, tests = run.spec.mcp
    assert (docs["name"], docs["url"]) == ("docs", "http://127.0.0.1:9/mcp")
    assert docs["headers"] == [
        {"name": "Authorization", "value": "Bearer ${PASEO_MCP_DOCS_AUTHORIZATION}"},
        {"name": "X-Team", "value": "blue"},
    ]
    folder = settings.parent
    assert tests["command"] == str(folder / "server.sh")
    assert tests["args"] == [str(folder / "beside.txt"), "elsewhere.txt"]
    assert run.spec.mode == "read"
    sent = run.events(columns=["kind", "raw"])
    [raw] = [r for k, r in zip(sent["kind"], sent["raw"], strict=True) if k == "session/new"][:1]
    assert "Bearer •••" in raw, "the agent was handed the key"
    mine = paseo.run("@planner", "hello", mcp={"docs": "http://127.0.0.1:9/mine"})
    assert [one["name"] for one in mine.spec.mcp] == ["docs", "tests"]
    assert mine.spec.mcp[0]["url"] == "http://127.0.0.1:9/mine", "a launch's go over it by name"
    assert [one["name"] for one in paseo.run("@other", "hello").spec.mcp] == ["web"]
    assert not on_disk(repo, LITERAL)


def test_another_set_is_another_question(repo: Path, settings: Path) -> None:
    first = paseo.run("@other", "the same")
    assert paseo.run("@other", "the same", reuse=True).id == first.id
    settings.write_text(CONFIG.replace("/web", "/web2"))
    assert paseo.run("@other", "the same", reuse=True).id != first.id


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[profiles.p]\nagent = "demo"\nmcp = ["dcos"]', "unknown MCP server 'dcos'.*docs"),
        ('[profiles.p]\nagent = "demo"\nmcp = 5', "a list of text or tables"),
        ("[mcp]\nx = 5", "mcp must be tables"),
        ('[profiles.p]\nagent = "demo"\n[profiles.p.mcp.x]\nurl = "ftp://x"', "http"),
    ],
)
def test_wrong_sets_are_named(repo: Path, settings: Path, more: str, said: str) -> None:
    text = more if more.startswith("[mcp]") else CONFIG + more
    settings.write_text(text)
    with pytest.raises(paseo.UsageProblem, match=said):
        paseo.start("@p", "hello")


def test_a_name_alone_is_no_set_and_it_is_said_where_names_go(repo: Path) -> None:
    with pytest.raises(paseo.UsageProblem, match="by their names in a profile"):
        paseo.start("demo", "hello", mcp=["docs"])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text",
    [
        '[mcp.x]\nurl = "http://evil.example/mcp"\nheaders = { K = "${SECRET}" }',
        '[profiles.p]\nagent = "demo"\n[profiles.p.mcp.x]\ncommand = "./evil"',
    ],
)
def test_a_projects_servers_need_trust(repo: Path, settings: Path, text: str) -> None:
    (repo / "paseo_nb.toml").write_text(text)
    with pytest.raises(paseo.NotTrusted, match="MCP"):
        paseo.start("demo/echo", "hello")
    (repo / "paseo_nb.toml").write_text('[profiles.p]\nagent = "demo/echo"\nmcp = ["docs"]')
    assert paseo.run("@p", "the user's own, by name").spec.mcp[0]["name"] == "docs"


def test_a_literal_key_is_handed_over_never_written_and_kept_for_going_on(repo: Path) -> None:
    server = {"url": "http://127.0.0.1:9/mcp", "headers": {"X-Api-Key": LITERAL}}
    run = paseo.run("demo/echo", "one", mcp={"web": server})
    run.stop()
    run.send("two").wait(30)
    assert run.state == "idle"
    told = paseo.inspect(run.id)
    assert LITERAL not in str(told)
    run.stop()
    assert not on_disk(repo, LITERAL)
    go_on = [sys.executable, "-m", "paseo_nb.cli", "send", run.id, "three", "--wait"]
    done = subprocess.run(go_on, capture_output=True, text=True)
    assert done.returncode == 2
    assert "PASEO_MCP_WEB_X_API_KEY" in done.stderr
    named = {**os.environ, "PASEO_MCP_WEB_X_API_KEY": LITERAL}
    assert subprocess.run(go_on, env=named, capture_output=True).returncode == 0


def test_a_key_in_a_header_of_any_name_is_never_written(repo: Path) -> None:
    server = {"url": "http://127.0.0.1:9/mcp", "headers": {"X": LITERAL}}
    run = paseo.run("demo/echo", "one", mcp={"web": server})
    [raw] = [line for line in run.events()["raw"] if '"mcpServers"' in str(line)]
    assert '"value":"•••"' in raw.replace(" ", ""), "the agent was handed it"
    run.stop()
    assert not on_disk(repo, LITERAL)


def test_a_literal_key_of_the_settings_is_there_for_every_process(
    repo: Path, settings: Path
) -> None:
    run = paseo.run("@planner", "one").stop()
    go_on = [sys.executable, "-m", "paseo_nb.cli", "send", run.id, "two", "--wait"]
    done = subprocess.run(go_on, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not on_disk(repo, LITERAL)


def _lift(**server: Any) -> tuple[dict[str, Any], dict[str, str]]:
    [told], values = lifted(servers_of({"s": server}))
    return told, values


def test_what_counts_as_a_key() -> None:
    url = "https://u:pw-12345@h.example/mcp?team=blue&api_key=abc-123&x=1"
    told, values = _lift(
        url=url, headers={"Cookie": "a=b", "Accept": "application/json", "Auth": "${MINE}"}
    )
    assert told["url"] == (
        "https://u:${PASEO_MCP_S_URL}@h.example/mcp?team=blue&api_key=${PASEO_MCP_S_URL_2}&x=1"
    )
    assert [one["value"] for one in told["headers"]] == [
        "${PASEO_MCP_S_COOKIE}",
        "application/json",
        "${MINE}",
    ]
    assert sorted(values.values()) == ["a=b", "abc-123", "pw-12345"]
    told, values = _lift(url="http://h", headers={"X": "lit-0123", "Y": "Bearer 9", "Z": "blue"})
    assert [one["value"] for one in told["headers"]] == [
        "${PASEO_MCP_S_X}", "Bearer ${PASEO_MCP_S_Y}", "blue",
    ]  # fmt: skip
    assert sorted(values.values()) == ["9", "lit-0123"]
    words = {"X-Team": "engineering", "X-Format": "application/json", "Y": "Bearer word"}
    told, values = _lift(url="http://h", headers=words)
    assert values == {"PASEO_MCP_S_Y": "word"}, "plain words are no keys"
    args = ["--token=abc", "--api-key", "def", "--verbose", "x", "--secret", "--next"]
    told, values = _lift(command="sh", args=args, env={"DB_PASSWORD": "ghi", "LEVEL": "3"})
    assert told["args"] == [
        "--token=${PASEO_MCP_S_ARG}", "--api-key", "${PASEO_MCP_S_ARG_2}", "--verbose", "x",
        "--secret", "--next",
    ]  # fmt: skip
    assert [one["value"] for one in told["env"]] == ["${PASEO_MCP_S_DB_PASSWORD}", "3"]
    assert sorted(values.values()) == ["abc", "def", "ghi"]


def test_plain_words_in_headers_are_not_masked_in_what_an_agent_says(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM", "engineering")
    monkeypatch.setenv("MINE", "correcthorsebattery")
    headers = {"X-Team": "${TEAM}", "X-Kind": "gardening", "Authorization": "Bearer ${MINE}"}
    server = {"url": "http://127.0.0.1:9/mcp", "headers": headers}
    words = "engineering and gardening, correcthorsebattery"
    run = paseo.run("demo/echo", words, mcp={"web": server})
    said = "".join(str(raw) for raw in run.events()["raw"] if "agent_message_chunk" in str(raw))
    assert "correcthorsebattery" not in said
    assert "engineering" in run.text
    assert "gardening" in run.text
