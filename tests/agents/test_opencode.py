"""OpenCode's own ways: what it keeps of a context that it shortens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.world import world_of
from tests.modelserver import Usage, behaviours


@pytest.mark.real_agent
@pytest.mark.timeout(180)
def test_a_summary_of_the_context_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world_of("opencode", tmp_path, monkeypatch) as w:
        config = tmp_path / "agent-home/.config/opencode/opencode.json"
        told = json.loads(config.read_text())
        told["provider"]["fake"]["models"]["fake-model"]["limit"] = {
            "context": 12_000, "output": 1_000,
        }  # fmt: skip
        config.write_text(json.dumps(told))
        w.server.usage = lambda n: Usage(input_tokens=11_500 if n == 1 else 500, output_tokens=5)
        w.plan(alpha=[behaviours.command("echo one")], Continue=["The answer."])
        run = w.run("alpha: begin")
        assert run.text == "The answer."
        [note] = [item for item in run.history().items if item.title == "compaction"]
        assert note.text == "What was said so far, in short."
        assert len(run.history().model_calls) == 3


@pytest.mark.real_agent
@pytest.mark.timeout(180)
def test_what_its_configuration_allows_one_agent_is_asked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world_of("opencode", tmp_path, monkeypatch) as w:
        config = tmp_path / "agent-home/.config/opencode/opencode.json"
        told = json.loads(config.read_text())
        rules = {"edit": "allow", "bash": {"touch *": "allow"}}
        told["agent"] = {"build": {"permission": rules}}
        monkeypatch.setenv("OPENCODE_CONFIG_CONTENT", json.dumps(told))
        config.unlink()
        w.plan(alpha=[behaviours.command("touch touched.txt"), "Done."])
        run = w.start("alpha: do it", mode="read")
        run.wait(60, check=False)
        assert not (w.repo / "touched.txt").exists()
        assert set(run.permissions()["rule"]) == {"mode read forbids execute"}
        config.write_text(json.dumps(told))
        monkeypatch.delenv("OPENCODE_CONFIG_CONTENT")
        again = w.start("alpha: do it", mode="read")
        again.wait(60, check=False)
        assert not (w.repo / "touched.txt").exists()
