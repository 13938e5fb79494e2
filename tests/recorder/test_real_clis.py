"""A session of five turns of each real CLI behind the recorder, counted against the ledger.

Invariants: (1) the CLI runs as it does without it: streaming, a picture, an answer 429 that it tries
again, a dropped connection; (2) every tool call that the model asked for stands in `tool_traces`,
whole; (3) every request stands in `model_calls`, and their tokens are the ledger's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import paseo_nb as paseo
from tests.conformance.cases import _png
from tests.conformance.recipes import RECIPES
from tests.conformance.world import TURN_S, World, world_of
from tests.modelserver import Conversation, Failure, Reply, Use
from tests.modelserver.conversation import Answer

CLIS = ("claude", "codex", "copilot", "opencode", "pi", "gemini")
TURNS = ("one", "two", "three", "four", "five")
ASKS = {"one": 1, "two": 2, "three": 1, "four": 1, "five": 1}  # tool calls of each turn


class Model:
    """What the model says: it asks for what is due in the turn, then says that it is done. What a
    CLI asks on the side, with no prompt of ours, it answers in a word."""

    def __init__(self) -> None:
        self.failed: set[str] = set()

    def __call__(self, conversation: Conversation) -> Answer:
        turn = next((w for w in TURNS if f"turn {w}." in conversation.prompt), None)
        if turn is None:
            return "fine"
        if turn == "three" and turn not in self.failed:
            self.failed.add(turn)
            return Failure(429, "slow down", retry_after_s=0.05)
        if conversation.messages[-1].tool_results:
            return Reply(f"Turn {turn} is done.", reasoning="hm" if turn == "five" else "")
        if turn == "four" and turn not in self.failed:
            self.failed.add(turn)
            return Reply("I was about to say", cut_after=1)
        command = f"echo {turn} && exit {1 if turn == 'five' else 0}"
        uses = [Use("shell", {"command": f"{command} # {n}"}) for n in range(ASKS[turn])]
        return Reply(f"Turn {turn}.", uses=tuple(uses))


@pytest.mark.real_agent
@pytest.mark.timeout(180)
@pytest.mark.parametrize("provider", CLIS)
def test_five_turns(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "dots.png"
    picture.write_bytes(_png())
    with world_of(provider, tmp_path, monkeypatch, patient=True) as world:
        world.server.script = Model()
        agent = RECIPES[provider].agent
        run = paseo.start(agent, "Do turn one.", mode="auto", timeout=TURN_S, record=True)
        run.wait(TURN_S)
        for turn in TURNS[1:]:
            attach = [str(picture)] if turn == "two" else None
            run.send(f"Do turn {turn}.", attach=attach).wait(TURN_S, check=False)
            if turn == "four" and provider == "gemini":  # it does not try a cut answer again
                assert "cut off" in str(run.error.hint)
                run.send(f"Do turn {turn}.").wait(TURN_S)
        assert [o for o in world.outcomes(run) if o != "error"] == ["end_turn"] * 5
        _check_tools(run, world)
        _check_calls(run, world)
        assert any(c.images for c in world.server.conversations), "the picture reached the model"
        segments = [s for call in run.history().model_calls.values() for s in call.segments or ()]
        assert any(s.kind == "attachment" and s.size == len(_png()) for s in segments)


def _check_tools(run: Any, world: World) -> None:
    """Every tool call that the model asked for, with all that is to be known of it."""
    asked = [
        (turn, n) for turn, count in ASKS.items() for n in range(count)
    ]  # fmt: skip
    answers = [r.answer for r in world.server.ledger() if r.outcome == "complete"]
    assert sum(len(a.calls) for a in answers if isinstance(a, Reply)) == len(asked)
    told = paseo.tool_traces(run=run)
    assert len(told) == len(asked)
    done = [t for t in run.history().turns if t.outcome == "end_turn"]
    for (turn, n), (_, row) in zip(asked, told.iterrows(), strict=True):
        assert row["turn"] == done[TURNS.index(turn)].turn
        assert row["tool_name"]
        assert f"# {n}" in row["input"] or ASKS[turn] > 1, row["input"]
        assert f"echo {turn}" in row["input"], row["input"]
        assert turn in row["output"], row["output"]
        assert row["latency_ms"] >= 0
        assert row["started_at"] <= row["finished_at"]
        assert row["outcome"] in (("failed", "completed") if turn == "five" else ("completed",))
        assert row["output_tokens"] > 0
        assert row["tokens_source"] in ("reported", "estimated")


def _check_calls(run: Any, world: World) -> None:
    """Every request, with what the client was told of it."""
    ledger = [r for r in world.server.requests if r.conversation is not None]
    world.until(lambda: len(paseo.model_calls(run=run)) == len(ledger), 20, "all are told")
    calls = paseo.model_calls(run=run)
    assert sorted(calls["status"]) == sorted(r.status for r in ledger)
    for column, name in (
        ("input_tokens", "input_tokens"),
        ("output_tokens", "output_tokens"),
        ("cache_read_tokens", "cached_tokens"),
    ):
        spent = sum(getattr(r.usage, name) for r in ledger if r.usage is not None)
        assert calls[column].sum() == spent, column
    again = calls[calls["attempt"] > 1]
    assert len(again) >= 2, "the two that failed were tried again"
    assert calls["error"].notna().sum() == 2
    well = calls[calls["error"].isna()]
    assert (well["first_token_ms"] >= 0).all()
