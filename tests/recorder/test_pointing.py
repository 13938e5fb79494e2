"""How agents are pointed at the recorder, and who cannot be: told before the launch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paseo_nb.recorder.pointing import NotRecorded, point, why_not
from paseo_nb.scratch import MIRROR, MIRRORED, RECORDER, mirrored
from tests.agents import recipes

URL = "http://127.0.0.1:8765"
THERE = f"{RECORDER}/http/127.0.0.1:8765"


@pytest.mark.parametrize(
    ("heart", "variable", "told"),
    [
        ("claude", "ANTHROPIC_BASE_URL", f"{THERE}/claude"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL", f"{THERE}/gemini"),
        ("copilot", "COPILOT_PROVIDER_BASE_URL", f"{THERE}/copilot/v1"),
    ],
)
def test_by_a_variable(tmp_path: Path, heart: str, variable: str, told: str) -> None:
    env = recipes.RECIPES[heart](tmp_path, URL)
    assert point(heart, None, env, tmp_path).env == {variable: told}


def test_by_arguments(tmp_path: Path) -> None:
    env = recipes.codex(tmp_path, URL)
    told = f'model_providers.fake.base_url="{THERE}/codex/v1"'
    assert point("codex", None, env, tmp_path).args == ["-c", told]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "auth.json").write_text('{"OPENAI_API_KEY": "sk-x"}')
    told = f'openai_base_url="{RECORDER}/https/api.openai.com/v1"'
    assert point("codex", None, {"CODEX_HOME": str(folder)}, tmp_path).args == ["-c", told]


def test_by_configuration(tmp_path: Path) -> None:
    env = recipes.opencode(tmp_path, URL)
    made = json.loads(point("opencode", None, env, tmp_path).env["OPENCODE_CONFIG_CONTENT"])
    assert made["provider"]["fake"] == {"options": {"baseURL": f"{THERE}/opencode/v1"}}
    assert made["provider"]["anthropic"]["options"]["baseURL"].endswith(
        "/https/api.anthropic.com/v1"
    )


def test_pi_s_settings_are_mirrored_without_keys(tmp_path: Path) -> None:
    env = recipes.pi(tmp_path, URL)
    pointed = point("pi", "fake/fake-model", env, tmp_path).env
    real = tmp_path / ".pi/agent"
    assert pointed["PI_CODING_AGENT_DIR"] == f"{MIRROR}{real}"
    assert "no-key-needed" not in pointed[MIRRORED]
    run = tmp_path / "run"
    filled = mirrored(pointed, run, "http://127.0.0.1:1/token")
    folder = Path(filled["PI_CODING_AGENT_DIR"])
    models = json.loads((folder / "models.json").read_text())["providers"]["fake"]
    assert models["baseUrl"] == "http://127.0.0.1:1/token/http/127.0.0.1:8765/pi/v1"
    assert filled[models["apiKey"].removeprefix("$")] == "no-key-needed"
    assert (folder / "settings.json").read_text() == (real / "settings.json").read_text()
    assert MIRRORED not in filled


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_who_cannot_be_recorded_is_said_why(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert "ChatGPT" in str(why_not("codex", home, tmp_path))
    assert "GitHub" in str(why_not("copilot", home, tmp_path))
    assert "GEMINI_API_KEY" in str(why_not("gemini", home, tmp_path))
    assert "by itself" in str(why_not("api", home, tmp_path))
    assert "not known which setting" in str(why_not("demo", home, tmp_path))
    assert "signed by host" in str(
        why_not("claude", home | {"CLAUDE_CODE_USE_BEDROCK": "1"}, tmp_path)
    )
    assert "HTTPS_PROXY" in str(why_not("claude", home | {"HTTPS_PROXY": "http://p:1"}, tmp_path))
    keyed = {"ANTHROPIC_BASE_URL": "https://user:secret@example.com"}
    assert "a key in it" in str(why_not("claude", home | keyed, tmp_path))
    assert "secret" not in str(why_not("claude", home | keyed, tmp_path))
    assert why_not("claude", home, tmp_path) is None
    file = write(tmp_path / ".claude/settings.json", {"env": {"ANTHROPIC_BASE_URL": "http://x"}})
    assert str(file) in str(why_not("claude", home, tmp_path))
    write(tmp_path / ".local/share/opencode/auth.json", {"anthropic": {"type": "oauth"}})
    with pytest.raises(NotRecorded, match="with an account"):
        point("opencode", "anthropic/claude-sonnet-4-5", home, tmp_path)
    with pytest.raises(NotRecorded, match="'mine' is not known"):
        point("opencode", "mine/m", home, tmp_path)


def test_a_proxy_of_the_surroundings_is_not_asked_for_the_recorder(tmp_path: Path) -> None:
    env = recipes.claude(tmp_path, URL) | {"http_proxy": "http://p:1", "NO_PROXY": "here"}
    pointed = point("claude", None, env, tmp_path).env
    assert pointed["NO_PROXY"] == "here,127.0.0.1,localhost"
