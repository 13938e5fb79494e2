"""What a case plays in: one provider, a repository, a fresh HOME, and a model that has a plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from tests.agents.install import executable
from tests.modelserver import Conversation, Failure, ModelServer, Reply, Usage, nth_usage
from tests.modelserver.conversation import TOOL_SEARCH, Answer

from .recipes import RECIPES

TURN_S = 60.0


class NoModel(AssertionError):
    """A case asks what the model was sent, and there is none behind the scripted agent."""

    def __init__(self) -> None:
        super().__init__("scripted: there is no model behind it")


class World:
    """One provider's surroundings. Cases use the public API through `start` and `run`."""

    def __init__(self, provider: str, folder: Path, server: ModelServer) -> None:
        self.provider, self.recipe = provider, RECIPES[provider]
        self.folder = folder
        self.repo = Path(copy_sample(folder / "tidelog"))
        self.project = Project(self.repo)
        self._server = server
        self._plan: Mapping[str, Sequence[Answer]] = {}
        server.script = self._says

    # --- the model ---

    def plan(self, **turns: Sequence[Answer]) -> None:
        """What the model does in the turn whose prompt has that word in it: one answer for each
        request, the last one for all further requests. It keeps no state, so retries and resumed
        sessions get what is due."""
        self._plan = turns

    @property
    def scripted(self) -> bool:
        """Whether there is no model behind it, and so nothing to see in a ledger."""
        return self.recipe.agent is None

    @property
    def server(self) -> ModelServer:
        """The model server, for its ledger. NoModel for the scripted agent."""
        if self.scripted:
            raise NoModel
        return self._server

    def _says(self, conversation: Conversation) -> Answer:
        turn, step = "", 0
        for message in conversation.messages:
            if message.role == "user":
                for word in self._plan:
                    if word in message.text:
                        turn, step = word, 0
            step += sum(r.name != TOOL_SEARCH for r in message.tool_results)
        answers = self._plan.get(turn) or [f"no plan for: {conversation.prompt}"]
        return answers[min(step, len(answers) - 1)]

    # --- the run ---

    def start(self, prompt: str, *, mode: str = "auto", **more: Any) -> Any:
        """`paseo.start` of this provider's agent."""
        return paseo.start(self._agent(), prompt, mode=mode, timeout=TURN_S, **more)

    def run(self, prompt: str, **more: Any) -> Any:
        """`start`, then `wait`."""
        return self.start(prompt, **more).wait(TURN_S)

    def _agent(self) -> str:
        if self.recipe.agent is not None:
            return self.recipe.agent
        script = self.folder / "script.json"
        script.write_text(json.dumps([list(_steps(turn)) for turn in self._plan.values()]))
        return f"demo/script:{script}"

    # --- looking ---

    def until(self, what: Callable[[], Any], within: float, why: str) -> Any:
        """The first true value of `what`; an AssertionError after so many seconds."""
        return self.project.until(what, within, why)

    def said(self, run: Any, text: str) -> None:
        """Wait until the agent has said `text` in the turn that runs."""
        self.until(lambda: text in run.text, 40, f"the agent says {text!r}")

    def outcomes(self, run: Any) -> list[str | None]:
        """How its turns ended."""
        return [turn.outcome for turn in run.history().turns]

    def waits_for_permission(self, run: Any) -> None:
        """Wait until it asks; an AssertionError if its turn ends without a question."""
        self.until(
            lambda: run.state == "waiting" or (run.history().turns and not run.history().turn_open),
            40,
            "it asks for permission",
        )
        assert run.pending(), "it did not ask for permission"

    def ends_unasked(self, run: Any) -> None:
        """Wait until its turn has ended; an AssertionError as soon as it asks."""
        self.until(
            lambda: run.state == "waiting" or (run.history().turns and not run.history().turn_open),
            40,
            "its turn ends",
        )
        assert run.state != "waiting", "it asked for what a rule allows"
        assert run.permissions().shape[0], "it did not ask for permission"

    def nothing_left(self, run: Any) -> None:
        """Wait until no process of the run's is alive."""
        self.until(
            lambda: not self.project.left(run.id) and not self.project.alive(run.id),
            25,
            f"no process is left of {run.id}",
        )


def commands_with(marker: str) -> list[int]:
    """Living processes with `marker` in their command line."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@contextmanager
def world_of(
    provider: str, folder: Path, patch: pytest.MonkeyPatch, *, patient: bool = False
) -> Iterator[World]:
    """A world; afterwards what its runs left running is ended."""
    recipe = RECIPES[provider]
    home = folder / "agent-home"
    home.mkdir()
    with ModelServer(usage=nth_usage) as server:
        world = World(provider, folder, server)
        patch.chdir(world.repo)
        if recipe.cli is not None:
            path = f"{executable(recipe.cli).parent}{os.pathsep}{os.environ['PATH']}"
            patch.setenv("PATH", path)
        make = recipe.patient if patient else recipe.environment
        for name, value in make(home, server.url).items():
            patch.setenv(name, value)
        if recipe.command:
            paseo.register_provider(provider, command=list(recipe.command))
        try:
            yield world
        finally:
            world.project.runs = world.project.host.list()
            world.project.close()


def _steps(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    """A turn's plan as steps of the scripted agent."""
    for answer in answers:
        if isinstance(answer, Failure):
            yield {"error": {"code": -32603, "message": f"{answer.status} {answer.message}"}}
            return
        reply = Reply(answer) if isinstance(answer, str) else answer
        if reply.reasoning:
            yield {"think": reply.reasoning}
        for at in range(0, len(reply.text), reply.piece):
            yield {"say": reply.text[at : at + reply.piece], "pause": reply.pause_s}
        for use in reply.uses:
            yield _step(use.capability, use.arguments)
        yield {"usage": {"turn": _told(nth_usage(1))}}


def _step(capability: str, wish: Mapping[str, Any]) -> dict[str, Any]:
    match capability:
        case "write":
            return {"write": {"path": wish["path"], "text": wish["content"]}}
        case "shell":
            return {"shell": wish["command"]}
        case "answer":
            return {"say": json.dumps(wish["value"])}
        case _:
            return {"say": f"The scripted agent has no {capability}."}


def _told(usage: Usage) -> dict[str, int]:
    """Usage as ACP has it: input without cached tokens."""
    return {
        "inputTokens": usage.fresh_tokens,
        "cachedReadTokens": usage.cached_tokens,
        "cachedWriteTokens": usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "thoughtTokens": usage.reasoning_tokens,
        "totalTokens": usage.total_tokens,
    }
