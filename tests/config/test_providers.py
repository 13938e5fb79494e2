"""From an agent's name to a command that can be started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import paseo_nb as paseo
from paseo_nb.drivers.registry import providers, register_provider, resolve
from paseo_nb.errors import UsageProblem
from paseo_nb.pinned import AGENTS


def program(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def initialize(
    command: list[str], cwd: Path, env: dict[str, str] | None = None
) -> dict[str, object]:
    """What an ACP agent answers to `initialize`."""
    params = {"protocolVersion": 1, "clientCapabilities": {}}
    ask = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    done = subprocess.run(
        command, cwd=cwd, env=env, input=json.dumps(ask) + "\n", text=True, capture_output=True,
        timeout=20, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[0])["result"]


# ---------------------------------------------------------------- demo


def test_demo_is_there_without_anything(project: Path) -> None:
    found = resolve("demo/fixer", project)
    assert (found.provider, found.model, found.scripted) == ("demo", "fixer", True)
    assert found.command[0] == sys.executable
    assert found.command[-2:] == ["--model", "fixer"]
    assert found.env == {}
    assert resolve("demo", project).model == "fixer"


def test_demo_answers_whatever_lies_in_its_folder(project: Path) -> None:
    for name in ("paseo_nb", "asyncio", "msgspec", "runpy", "json"):  # a copy of paseo_nb, or worse
        (project / name).mkdir()
        (project / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    command = resolve("demo/echo", project).command
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(project)}
    told = initialize(command, project, bare)
    assert told["protocolVersion"] == 1


def test_demo_plays_a_script(project: Path) -> None:
    script = project / "a script.json"
    script.write_text('[[{"say": "hello"}]]')
    found = resolve(f"demo/script:{script}", project)
    assert found.command[-4:-1] == ["--script", str(script), "--model"]
    initialize(found.command, project)
    with pytest.raises(UsageProblem, match="there is no file"):
        resolve("demo/script:/nowhere.json", project)


def test_an_unknown_scenario_offers_the_nearest(project: Path) -> None:
    with pytest.raises(UsageProblem, match=r"demo knows no model 'fixr'. Did you mean fixer"):
        resolve("demo/fixr", project)


# ---------------------------------------------------------------- the others that come with us


def test_opencode_model_keeps_its_slashes_and_is_chosen_in_the_session(
    project: Path, tools: Path
) -> None:
    where = program(tools, "opencode")
    found = resolve("opencode/fake/fake-model", project)
    assert (found.provider, found.model) == ("opencode", "fake/fake-model")
    assert found.model_by == "session"
    assert found.command[:2] == [str(where), "acp"]
    assert found.tested == AGENTS["opencode"].version
    assert resolve("demo", project).tested is None


def test_gemini_model_is_an_argument_and_a_key_signs_in(
    project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = program(tools, "gemini")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    found = resolve("gemini/gemini-2.5-pro", project)
    assert found.command == [str(where), "--acp", "--model", "gemini-2.5-pro"]
    assert (found.model_by, found.auth_method) == ("argv", None)
    assert resolve("gemini", project).command == [str(where), "--acp"]
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    assert resolve("gemini", project).auth_method == "gemini-api-key"


def test_api_without_a_model_is_refused_before_launch(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "no-key-needed")
    monkeypatch.chdir(project)
    with pytest.raises(UsageProblem, match=r"is set for api/deepseek:MODEL") as raised:
        paseo.start("api", "hello")
    assert "api needs the name of a model: write api/deepseek-chat" in str(raised.value)
    assert paseo.runs().empty


def test_a_missing_cli_says_how_to_install_it(project: Path, tools: Path) -> None:
    with pytest.raises(UsageProblem, match="paseo-nb install opencode"):
        resolve("opencode", project)


def test_further_folders_for_agents(
    project: Path, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = program(tmp_path / "pinned bin", "opencode")
    program(tools, "opencode")
    monkeypatch.setenv("PASEO_NB_AGENTS_PATH", f"/nowhere{os.pathsep}{pinned.parent}/")
    found = resolve("opencode", project)
    assert found.command[0] == str(pinned)
    assert str(pinned.parent) in found.env["PATH"].split(os.pathsep)  # its node may lie there
    assert "PATH" in found.env_names


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("dmo/fixer", "no provider 'dmo'. Did you mean demo?"),
        ("zzz", "There are demo, api, claude, "),
        ("demo/", "names no model"),
        ("acp/x", "register_provider"),
        ("@planner", "no profile '@planner'"),
    ],
)
def test_an_unknown_agent_offers_what_there_is(project: Path, agent: str, says: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        resolve(agent, project)
    assert says in str(raised.value)


# ---------------------------------------------------------------- one's own


def test_a_provider_in_the_users_file(
    project: Path, user: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tools, "agent")
    user.mkdir(parents=True)
    (user / "helper.py").write_text("")
    (user / "config.toml").write_text(
        '[providers.mine]\ncommand = ["agent", "helper.py", "serve"]\nmodels = ["big", "small"]\n'
        'model_args = ["-m", "{model}"]\nenv = { URL = "http://x/${ MY }", KEY = "k-${MY_KEY}" }\n'
    )
    with pytest.raises(UsageProblem, match="KEY needs MY_KEY, which is not set"):
        resolve("mine/big", project)
    monkeypatch.setenv("MY_KEY", "s3cret")
    found = resolve("mine/big", project)
    assert found.command == [str(tools / "agent"), str(user / "helper.py"), "serve", "-m", "big"]
    assert found.env == {"URL": "http://x/${ MY }", "KEY": "k-s3cret"}
    assert found.env_names == ["KEY", "URL"]
    assert "s3cret" not in repr(found)
    assert providers(project)["mine"].source == "user"
    with pytest.raises(UsageProblem, match=r"knows no model 'bigg'. Did you mean big"):
        resolve("mine/bigg", project)


def test_a_built_in_one_changed(
    project: Path, user: Path, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tools, "opencode")
    user.mkdir(parents=True)
    (user / "config.toml").write_text(
        '[providers.opencode]\nenv = { OPENCODE_PERMISSION = "ask" }\n'
        '[providers.local]\nextends = "opencode"\ndefault_model = "ollama/qwen"\n'
    )
    first, again = (resolve("opencode/a/b", project).env for _ in range(2))
    assert first["OPENCODE_PERMISSION"] == "ask"
    assert first["OPENCODE_DISABLE_AUTOUPDATE"] == "1"
    password = "OPENCODE_SERVER_PASSWORD"
    assert len(first[password]) > 20
    assert first[password] != again[password], "its server gets a password of its own each time"
    monkeypatch.setenv("OPENCODE_DISABLE_AUTOUPDATE", "0")
    assert "OPENCODE_DISABLE_AUTOUPDATE" not in resolve("opencode", project).env, "the user's holds"
    local = resolve("local", project)
    assert (local.model, local.command[1], local.extends) == ("ollama/qwen", "acp", "opencode")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[providers.x]", "it has no command"),
        ('[providers.x]\nextends = "opencod"', "Did you mean opencode"),
        ('[providers.x]\ncommand = "agent"', "must be a list of text"),
        (
            '[providers.x]\ncomand = ["a"]',
            "unknown key of [providers.x] 'comand'. Did you mean com",
        ),
        ("[providers.x]\ncommand = []", "it has no command"),
        ('[providers."a/b"]\ncommand = ["x"]', "cannot be a provider's name"),
        ("providers = 3", "providers must be tables"),
    ],
)
def test_a_wrong_provider_says_what_is_wrong(
    project: Path, user: Path, text: str, says: str
) -> None:
    user.mkdir(parents=True)
    (user / "config.toml").write_text(text)
    with pytest.raises(UsageProblem) as raised:
        providers(project)
    assert says in str(raised.value)
    assert str(user / "config.toml") in str(raised.value)


def test_register_provider(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tools, "agent")
    monkeypatch.chdir(tools)
    register_provider("mine", command=["./agent", "--acp"], env={"A": "${HOME}"}, models=["m"])
    found = resolve("mine/m", project)
    assert found.command == [str(tools / "agent"), "--acp"]
    assert (found.model_by, found.env["A"]) == ("session", os.environ["HOME"])
    register_provider("mine", command=["agent"])  # again: replaced
    assert resolve("mine/whatever", project).model == "whatever"
    with pytest.raises(UsageProblem, match="it has no command"):
        register_provider("other", env={})
    with pytest.raises(UsageProblem, match="must be a list of text"):
        register_provider("other", command=[1])  # type: ignore[list-item]


def test_a_profile_stands_for_an_agent(project: Path) -> None:
    (project / "paseo_nb.toml").write_text(
        '[profiles.planner]\nagent = "demo/planner"\nmode = "read"\neffort = "high"\n'
        '[profiles.twice]\nagent = "@planner"\n'
    )
    found = resolve("@planner", project)
    assert (found.provider, found.model, found.mode, found.effort) == (
        "demo",
        "planner",
        "read",
        "high",
    )
    with pytest.raises(UsageProblem, match="Did you mean @planner"):
        resolve("@plannr", project)
    with pytest.raises(UsageProblem, match="names another profile"):
        resolve("@twice", project)
