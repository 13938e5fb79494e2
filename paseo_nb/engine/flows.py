"""Flow: steps that are declared before anything runs, for a conductor that must not improvise.

    flow = Flow("release")
    flow.step("plan", "claude/opus", "Plan {args.topic}", schema=Plan)
    flow.step("write", "codex", "Do {item}", map="plan.items", isolation="worktree")
    flow.gate("ship", "Ship it?", depends_on=["write"])
    flow.step("notes", "claude/haiku", "Release notes for {write}", depends_on=["ship"])
    flow.run(topic="tides")

What a prompt refers to, its step depends on. Each step begins as soon as those that it depends on
are over. It is a workflow like any other: the same steps, cache and resume.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from ..errors import UsageProblem
from . import drawing, gates, words
from .handles import WorkflowHandle, awaited
from .keys import canonical, plain
from .story import Story
from .templates import filled, looked_up, references
from .values import Origin, Result, StepFailed
from .workflows import Workflow

Kind = Literal["step", "map", "fold", "gate"]
WITHIN = frozenset({"args", "item", "index", "so_far"})
When = str | Callable[[Mapping[str, Any]], Any]


class Node(msgspec.Struct, frozen=True):
    """One declared step."""

    name: str
    kind: Kind
    agent: str | None = None
    prompt: str = ""
    depends_on: tuple[str, ...] = ()
    when: When | None = None
    over: str | None = None
    start: str = ""
    by: str = ""
    automatic: bool = False
    whatever: bool = False
    options: dict[str, Any] = {}

    def facts(self) -> dict[str, Any]:
        """What it is, as plain values; of a function, its text."""
        told = {name: getattr(self, name) for name in self.__struct_fields__}
        when = self.when
        if callable(when):
            try:
                told["when"] = inspect.getsource(when)
            except (OSError, TypeError):
                told["when"] = when.__qualname__
        told["options"] = {name: repr(value) for name, value in self.options.items()}
        return plain(told, f"step {self.name}")


class Skipped(msgspec.Struct, frozen=True):
    """A step that was not to be run; false."""

    reason: str

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"(skipped: {self.reason})"


class Flow:
    """Declared steps. `run(**args)` gives each step's result by its name: a Result, a list of them
    (map), an Approval (gate), StepFailed or Skipped, which are false."""

    def __init__(self, name: str, **options: Any) -> None:
        self.name, self.nodes = name, dict[str, Node]()
        self._options = options
        self._origin: Origin | None = None
        self.last: WorkflowHandle | None = None

    # ------------------------------------------------------------ declaring

    def step(
        self,
        name: str,
        agent: str | None,
        prompt: str,
        *,
        depends_on: Sequence[str] = (),
        when: When | None = None,
        map: str | None = None,  # noqa: A002
        whatever: bool = False,
        **options: Any,
    ) -> Flow:
        """Declare a step.

        when: a reference, as `check.ok`, or a function of the results so far: run only if true
        map: a reference to a list: once for each item, which is `{item}` in the prompt, `{index}`
            its number
        whatever: run though a step that it depends on failed or was skipped
        options: as of `agent()`
        """
        kind: Kind = "step" if map is None else "map"
        return self._add(
            Node(
                name, kind, agent, prompt, tuple(depends_on), when, map, whatever=whatever,
                options=options,
            )
        )  # fmt: skip

    def fold(
        self,
        name: str,
        agent: str | None,
        prompt: str,
        *,
        over: str,
        start: str = "",
        depends_on: Sequence[str] = (),
        when: When | None = None,
        **options: Any,
    ) -> Flow:
        """Declare a step that goes through a list, one item after the other: `{item}` is the item,
        `{so_far}` what it gave for those before."""
        return self._add(
            Node(name, "fold", agent, prompt, tuple(depends_on), when, over, start, options=options)
        )

    def gate(
        self,
        name: str,
        question: str,
        *,
        depends_on: Sequence[str] = (),
        command: str | None = None,
        judge: str | None = None,
        automatic: bool = False,
        when: When | None = None,
        **options: Any,
    ) -> Flow:
        """Declare an approval: of a person (`paseo.approve(run, name)`), of a command that must
        succeed, or of an agent that judges. Where it is denied, what depends on it is skipped.

        automatic: declared so, an agent's process may answer in a person's place
        """
        if command is not None and judge is not None:
            raise UsageProblem(f"gate {name}: a command or a judge, not both")
        by = "command" if command is not None else "judge" if judge is not None else "person"
        prompt = question if command is None else command
        return self._add(
            Node(
                name, "gate", judge, prompt, tuple(depends_on), when, by=by, automatic=automatic,
                options=options,
            )
        )  # fmt: skip

    def _add(self, node: Node) -> Flow:
        if node.name in self.nodes or node.name in WITHIN or not node.name.isidentifier():
            raise UsageProblem(
                f"a step named {node.name!r}: names are words like `plan`, each given once, and not"
                f" {', '.join(sorted(WITHIN))}"
            )
        within = WITHIN if node.over is not None else {"args"}
        # A command is run as it is written: nothing that an agent said gets into a shell.
        named = set[str]() if node.by == "command" else references(node.prompt)
        for path in (node.over, node.when):
            if isinstance(path, str):
                named.add(path.split(".")[0])
        needs = (*node.depends_on, *sorted(named - within - set(node.depends_on)))
        unknown = [one for one in needs if one not in self.nodes]
        if unknown:
            known = ", ".join(self.nodes) or "none yet"
            raise UsageProblem(
                f"step {node.name} refers to {unknown[0]!r}, which is not declared before it;"
                f" there is: {known} (a brace itself is written twice)"
            )
        self.nodes[node.name] = msgspec.structs.replace(node, depends_on=needs)
        return self

    # ------------------------------------------------------------ running

    @property
    def workflow(self) -> Workflow:
        """The workflow that it is."""
        facts = [node.facts() for node in self.nodes.values()]
        text = canonical({"flow": self.name, "steps": facts}).decode()
        made = Workflow(self._body, self.name).with_text(text, self._origin)
        return made.options(**self._options) if self._options else made

    def with_text(self, _: str, origin: Origin) -> Flow:
        """The same flow, and how another process gets it; what it declares is its text."""
        self._origin = origin
        return self

    def start(self, **args: Any) -> WorkflowHandle:
        """Run it, and go on meanwhile."""
        return self._kept(self.workflow.start(**args))

    def run(self, **args: Any) -> dict[str, Any]:
        """Run it, or go on with it, and wait: the results by name. `await flow.run(…)` leaves the
        loop free meanwhile."""
        run: Any = self.start(**args)
        return run if awaited(sys._getframe(1)) else run.wait()  # pyright: ignore[reportPrivateUsage]

    def _kept(self, run: WorkflowHandle) -> WorkflowHandle:
        self.last = run
        return run

    async def _body(self, **args: Any) -> dict[str, Any]:
        drawn = [(node.name, node.kind, node.depends_on) for node in self.nodes.values()]
        words.current("a flow").journal.put("flow", steps=drawn)
        known: dict[str, Any] = {"args": args}
        tasks: dict[str, asyncio.Task[Any]] = {}

        async def one(node: Node) -> None:
            if node.depends_on:
                await asyncio.wait([tasks[name] for name in node.depends_on])
                for name in node.depends_on:
                    tasks[name].result()  # what ends the flow ends all that hangs on it
            known[node.name] = await self._result(node, known)

        for node in self.nodes.values():
            tasks[node.name] = asyncio.create_task(one(node))
        await words.together(list(tasks.values()))
        return {name: known[name] for name in self.nodes}

    async def _result(self, node: Node, known: Mapping[str, Any]) -> Any:
        if not node.whatever:
            for name in node.depends_on:
                value = known[name]
                if isinstance(value, (StepFailed, Skipped, gates.Approval)) and not value:
                    return self._skipped(node, f"{name}: {value}")
        if node.when is not None and not self._holds(node.when, known):
            return self._skipped(node, "its condition does not hold")
        if node.kind == "gate":
            return await self._gated(node, known)
        if node.over is None:
            return await self._step(node, known, node.name)
        items = _items(node, known)
        if node.kind == "map":
            work = [
                self._step(node, {**known, "item": item, "index": at}, f"{node.name}[{at}]")
                for at, item in enumerate(items)
            ]
            return await words.parallel(work)
        so_far: Any = node.start
        for at, item in enumerate(items):
            more = {**known, "item": item, "index": at, "so_far": so_far}
            so_far = await self._step(node, more, f"{node.name}[{at}]")
            if isinstance(so_far, StepFailed):
                break
        return so_far

    async def _step(self, node: Node, known: Mapping[str, Any], label: str) -> Result | StepFailed:
        prompt = filled(node.prompt, known)
        options: dict[str, Any] = {"label": label, "phase": node.name, **node.options}
        return await words.agent(prompt, node.agent, **options)

    async def _gated(self, node: Node, known: Mapping[str, Any]) -> gates.Approval:
        conductor = words.current("a gate")
        if node.by == "command":
            return await gates.by_command(conductor, node.name, node.prompt)
        if node.by == "person":
            question = filled(node.prompt, known)
            return await gates.by_person(conductor, node.name, question, node.automatic)
        judged = await self._step(
            msgspec.structs.replace(node, options={**node.options, "schema": gates.JUDGED}),
            known,
            node.name,
        )
        if isinstance(judged, StepFailed):
            return gates.Approval(node.name, False, "judge", judged.message)
        verdict: Any = judged.plain
        return gates.Approval(node.name, verdict["approved"], "judge", verdict["reason"])

    def _holds(self, when: When, known: Mapping[str, Any]) -> bool:
        return bool(when(known) if callable(when) else looked_up(when, known))

    def _skipped(self, node: Node, reason: str) -> Skipped:
        words.current("a flow").journal.put("skipped", name=node.name, reason=reason)
        return Skipped(reason)

    # ------------------------------------------------------------ looking

    def states(self) -> dict[str, str]:
        """How far each step is, of the last run that was started here: not begun, running, done,
        failed, skipped, waiting."""
        return drawing.states(self.nodes, None if self.last is None else Story(self.last.folder))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = [(node.name, node.kind, node.depends_on) for node in self.nodes.values()]
        return drawing.bundle(self.name, shown, self.states())

    def __str__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]

    __repr__ = __str__


def _items(node: Node, known: Mapping[str, Any]) -> list[Any]:
    assert node.over is not None
    given = looked_up(node.over, known)
    if isinstance(given, Result):
        given = given.plain
    if not isinstance(given, (list, tuple)):
        raise UsageProblem(
            f"step {node.name} goes over {node.over}, which is no list but"
            f" {type(given).__name__}: give that step a schema of a list, or name a part of it"
        )
    return list(cast(Sequence[Any], given))
