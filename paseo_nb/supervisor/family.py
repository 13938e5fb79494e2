"""A run's family: whom its turns are told, and what its children tell it, cost it and keep it for.

`Kin` is the fold of the journal's lines on that; a supervisor keeps it up to date as it writes
them, and the next one reads it from the journal. Each piece of news is journaled once
(`child_told`) and said to the agent once, by the `turn_start` line that names it in `delivers`;
what the agent has heard already, as the answer of a tool (`heard`), it is not told again, unless
that turn was cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec

from .. import inbox
from ..drivers.acp_reading import as_dict, as_list, as_str, decode
from ..drivers.reading import reading_for
from ..inbox import News, Receiver
from ..journal import Journal, RunFolder, last_own, lock_held
from ..model import RunSpec
from ..wire import socket_path
from .answers import answer_text

if TYPE_CHECKING:
    from .main import Supervisor

Ident = tuple[str, str]
NUDGE_S = 10.0
VERBS = frozenset({"expect", "heard", "on_finish", "step", "told"})


class Kin(msgspec.Struct):
    """What the journal tells of a run's family."""

    expected: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict[str, dict[str, Any]])
    cost: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    tokens: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    news: dict[Ident, News] = msgspec.field(default_factory=dict[Ident, News])
    known: set[Ident] = msgspec.field(default_factory=set[Ident])
    heard: set[Ident] = msgspec.field(default_factory=set[Ident])  # in the running turn
    heard_before: set[Ident] = msgspec.field(default_factory=set[Ident])
    receivers: list[Receiver] = []
    told: set[Ident] = msgspec.field(default_factory=set[Ident])  # (key, receiver)
    begun: set[str] = msgspec.field(default_factory=set[str])  # steps
    done: set[str] = msgspec.field(default_factory=set[str])  # steps

    def note(self, kind: str, facts: dict[str, Any]) -> None:
        """Take a line of ours into account. A second time it changes nothing."""
        if kind == "command":
            self._command(str(facts.get("verb")), as_dict(facts.get("args")))
        elif kind == "child_told":
            one = msgspec.convert(facts, News)
            self.known.add(one.ident)
            self.cost[one.child] = one.cost_usd or self.cost.get(one.child, 0.0)
            self.tokens[one.child] = one.tokens or self.tokens.get(one.child, 0)
            if one.about == "turn":
                self.expected.pop(one.child, None)
            if one.prompt and one.ident not in self.heard_before:
                self.news[one.ident] = one
        elif kind == "turn_start":
            for ident in _idents(facts.get("delivers")):
                self.news.pop(ident, None)
        elif kind == "turn_end":
            if facts.get("outcome") != "interrupted":
                self.heard_before |= self.heard
                for ident in self.heard:
                    self.news.pop(ident, None)
            self.heard = set()
        elif kind == "told":
            self.told.add((str(facts.get("key")), str(facts.get("to"))))

    def _command(self, verb: str, args: dict[str, Any]) -> None:
        if verb == "expect":
            child = str(args.get("child"))
            if args.get("over"):
                self.expected.pop(child, None)
            else:
                self.expected[child] = args
        elif verb == "heard":
            self.heard |= set(_idents(args.get("news")))
        elif verb == "on_finish":
            receiver = msgspec.convert(args, Receiver)
            if receiver not in self.receivers:
                self.receivers = [*self.receivers, receiver]
        elif verb == "told":  # by a process of the user's
            self.note("told", args)
        elif verb == "step":
            (self.done if args.get("done") else self.begun).add(str(args.get("name")))

    def cost_usd(self) -> float:
        """What the children cost: those at work all that they may, the others what they did."""
        return sum({**self.cost, **self._caps("cost_usd")}.values())

    def used(self) -> int:
        """The same in tokens."""
        return int(sum({**self.tokens, **self._caps("tokens")}.values()))

    def _caps(self, name: str) -> dict[str, Any]:
        return {c: args[name] for c, args in self.expected.items() if args.get(name) is not None}


class Family:
    """The supervisor's part in it."""

    def __init__(
        self, supervisor: Supervisor, kin: Kin, last: tuple[int, dict[str, Any]] | None
    ) -> None:
        self.supervisor, self.kin = supervisor, kin
        self._last, self._offset = last, 0
        self._asked: set[str] = set()
        self._nudging: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ what children tell

    def collect(self) -> None:
        """Journal what lies in the inbox, then remove it."""
        supervisor = self.supervisor
        for one in inbox.left(supervisor.folder):
            if one.ident not in self.kin.known:
                facts = as_dict(msgspec.to_builtins(one))
                supervisor.own("child_told", **facts)
                supervisor.recorder.durable()
                if supervisor.recorder.full:
                    return
                self.kin.note("child_told", facts)
                supervisor.wanted.set()
            inbox.take_back(supervisor.folder, one.child, one.key)

    def give_back(self) -> None:
        """Let go what was reserved for children that never came: whoever was launching them has
        died with the last pair."""
        for child in [one for one in self.kin.expected if not self._folder(one).spec.exists()]:
            args, ident = {"child": child, "over": True}, f"unborn-{child}"
            self.supervisor.own("command", id=ident, verb="expect", args=args)
            self.supervisor.own("command_result", id=ident, ok=True)
            self.kin.note("command", {"verb": "expect", "args": args})

    def prompt(self) -> tuple[list[dict[str, Any]], list[list[str]]] | None:
        """What the agent, which is idle, is to hear now, and what that delivers. A turn that was
        cut off is gone on with first, by whoever brings the run back."""
        self.collect()
        news = [one for one in self.kin.news.values() if not self._outdated(one)]
        if not news or self.supervisor.turns.cut_off:
            return None
        delivers = [list(ident) for ident in self.kin.news]
        self.kin.news.clear()  # whatever becomes of it: never twice
        return inbox.as_prompt(news), delivers

    def _outdated(self, one: News) -> bool:
        if one.about != "permission":
            return False
        state = last_own(self._folder(one.child).journal, "state")
        return state is None or as_dict(decode(state.raw)).get("state") != "waiting"

    def waits(self) -> bool:
        """Whether a child is at work, so that the pair must be there when it has news."""
        return any(lock_held(self._folder(child).lock) for child in self.kin.expected)

    # ------------------------------------------------------------ what we tell

    def receivers(self) -> list[Receiver]:
        """Whom our turns are told."""
        told = [msgspec.convert(one, Receiver) for one in self.supervisor.spec.receivers]
        return [*told, *self.kin.receivers]

    def started(self, facts: dict[str, Any]) -> None:
        """Journal that a turn starts."""
        self._offset = self.supervisor.recorder.journal.size
        self.supervisor.own("turn_start", **facts)
        self.kin.note("turn_start", facts)

    def ended(self, turn: int, facts: dict[str, Any]) -> None:
        """Journal how a turn ended."""
        supervisor = self.supervisor
        left = [name for name in supervisor.spec.steps if name not in self.kin.done]
        if left and facts["outcome"] == "end_turn":
            idle = [name for name in left if name not in self.kin.begun]
            begun = [name for name in left if name in self.kin.begun]
            said = f"steps that were declared and never begun: {', '.join(idle)}" if idle else ""
            said += "; " if idle and begun else ""
            said += f"steps that were begun and never done: {', '.join(begun)}" if begun else ""
            supervisor.own("warning", message=said)
        supervisor.own("turn_end", **facts)
        self.kin.note("turn_end", facts)
        self._last = (turn, facts)

    def tell(self) -> None:
        """Tell of the end of the last turn, each receiver once."""
        if self._last is None:
            return
        (turn, facts), supervisor = self._last, self.supervisor
        key = f"t{turn}"
        due = [one for one in self.receivers() if (key, one.name) not in self.kin.told]
        if not due:
            return
        spec, problem = supervisor.spec, as_dict(msgspec.to_builtins(facts.get("error")))
        reading = reading_for(spec.dialect, spec.at_heart)
        text = answer_text(supervisor.folder, reading, self._offset)
        outcome, error = str(facts["outcome"]), as_str(problem.get("message"))
        cost, tokens = supervisor.turns.spent()
        news = turn_news(supervisor.spec, turn, outcome, error, text, cost, tokens)
        for receiver in due:
            if receiver.run is not None:
                self._leave(receiver, news)
            self._told(key, receiver)  # before a command runs: once, rather than twice
            if receiver.shell is not None:
                self._run(receiver.shell, news)

    def asks(self, waiting: set[str]) -> None:
        """Tell which permissions are waited for now."""
        runs = [one for one in self.receivers() if one.run is not None and one.prompt]
        for ident in waiting - self._asked if runs else ():
            spec, turn = self.supervisor.spec, self.supervisor.turns.done
            title = self.supervisor.asking.pending[ident].decision.rule
            news = News(spec.run_id, ident, "permission", turn, agent_of(spec), title=title)
            for receiver in runs:
                self._leave(receiver, news)
        for ident in self._asked - waiting:
            for receiver in runs:
                inbox.take_back(self._folder(str(receiver.run)), self.supervisor.spec.run_id, ident)
        self._asked = set(waiting)

    def _leave(self, receiver: Receiver, news: News) -> None:
        folder = self._folder(str(receiver.run))
        with contextlib.suppress(OSError):  # a full disk: the next pair tells it
            inbox.leave(folder, msgspec.structs.replace(news, prompt=receiver.prompt))
        task = asyncio.get_running_loop().create_task(nudge(folder))
        self._nudging.add(task)
        task.add_done_callback(self._nudging.discard)

    def _told(self, key: str, receiver: Receiver) -> None:
        self.supervisor.own("told", key=key, to=receiver.name)
        self.supervisor.recorder.durable()
        self.kin.note("told", {"key": key, "to": receiver.name})

    def _run(self, command: str, news: News) -> None:
        supervisor = self.supervisor
        env = {
            **supervisor.environment,
            "PASEO_CHILD": news.child,
            "PASEO_TURN": str(news.turn),
            "PASEO_OUTCOME": str(news.outcome),
            "PASEO_TEXT": news.text.replace("\0", ""),
        }
        with contextlib.suppress(OSError):
            null = subprocess.DEVNULL
            words = ["/bin/sh", "-c", command]
            supervisor.children.spawn(
                words, env=env, cwd=supervisor.spec.cwd, stdout=null, stderr=null
            )

    def _folder(self, run_id: str) -> RunFolder:
        return RunFolder(self.supervisor.folder.home / "runs" / run_id)


def turn_news(
    spec: RunSpec,
    turn: int,
    outcome: str,
    error: str | None,
    text: str,
    cost: float | None,
    tokens: int | None,
) -> News:
    """What is told of the end of a turn."""
    return News(
        spec.run_id, f"t{turn}", "turn", turn, agent_of(spec), outcome, spec.title or spec.label,
        text[: inbox.TEXT], len(text), error, cost, tokens,
    )  # fmt: skip


def agent_of(spec: RunSpec) -> str:
    """`provider/model`."""
    return f"{spec.provider}/{spec.model}" if spec.model else spec.provider


def settle(folder: RunFolder, journal: Journal) -> None:
    """Tell other runs of the last turn of one whose pair died before it could."""
    from .recovery import read_past

    spec = folder.read_spec()
    runs = [one for one in msgspec.convert(spec.receivers, list[Receiver]) if one.run is not None]
    if not runs:
        return
    reading = reading_for(spec.dialect, spec.at_heart)
    past = read_past(folder, reading)
    if past.last_turn is None:
        return
    turn, facts = past.last_turn
    error = as_str(as_dict(facts.get("error")).get("message"))
    cost, tokens = past.spent.usd + past.kin.cost_usd(), past.tokens + past.kin.used()
    text = answer_text(folder, reading, 0)
    news = turn_news(spec, turn, str(facts.get("outcome")), error, text, cost, tokens)
    for one in runs:
        if (news.key, one.name) not in past.kin.told:
            receiver = RunFolder(folder.home / "runs" / str(one.run))
            inbox.leave(receiver, msgspec.structs.replace(news, prompt=one.prompt))
            journal.own("told", key=news.key, to=one.name)


async def nudge(folder: RunFolder) -> None:
    """Have a run look into its inbox now; it looks every few seconds anyway."""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(NUDGE_S):
            reader, writer = await asyncio.open_unix_connection(str(socket_path(folder.path)))
            try:
                writer.write(b'{"id":"nudge","verb":"nudge"}\n')
                await reader.readline()  # its hello; who meets a closed socket reads no further
                await reader.readline()  # it has looked
            finally:
                writer.close()


def _idents(given: Any) -> list[Ident]:
    pairs = [as_list(pair) for pair in as_list(given)]
    return [(str(pair[0]), str(pair[1])) for pair in pairs if len(pair) == 2]
