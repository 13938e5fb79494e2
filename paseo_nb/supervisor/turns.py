"""Turns: the queue of prompts, one turn at a time, and the limits that end one.

A turn ends by the agent's own answer, its death, a cancel, a limit, or the pair's end; whatever it
is, one `turn_end` line says so and is on the disk before anything else is done. Longer than other
files, as all that can end a turn is here.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from ..drivers.attached import whole
from ..drivers.reading import reading_for
from ..drivers.seat import AgentProblem, TurnResult
from ..model import TURN_STATES, Common, Problem
from .answers import TRIES, again, answer_text, judged, wish
from .costing import Costing, Spoken
from .not_started import EarlyExit, cannot_launch, early_exit, unmet
from .recovery import Past, was_cut_off
from .spending import Spending

if TYPE_CHECKING:
    from .family import Kin
    from .link import AgentLink
    from .main import Supervisor

CANCEL_GRACE_S = 10.0
TICK_S = 0.25
STEER_S = 2.0  # after the end of a turn
TRIED = (
    "Why they failed is told with each: see whether the agent is signed in, and whether its model's"
    " endpoint can be reached. Then send again."
)
CONTINUE = (
    "You were interrupted in the middle of your last turn: your process was ended, and a command"
    " that was running was cut off. Look at the present state of the files, then go on with the"
    " task from where you stopped."
)


class Prompt(msgspec.Struct):
    """One prompt in the queue."""

    blocks: list[dict[str, Any]]
    origin: str = "user"
    command_id: str | None = None
    delivers: list[list[str]] = []  # news of children
    most: dict[str, Any] = {}  # limits of its turn in place of the run's: timeout_s, cost_usd


class Turns:
    """Runs prompts one after another."""

    def __init__(self, supervisor: Supervisor, past: Past) -> None:
        self.supervisor = supervisor
        self.queue: collections.deque[Prompt] = collections.deque()
        self.running = False
        self.problem: Problem | None = None  # why the pair is ending, where something is wrong
        self.session_id = past.session_id or supervisor.spec.load_session_id
        self.cut_off = past.turn_open or past.cut_off
        self.unsent = past.unsent
        self.notes = past.notes
        self.done = past.turn
        self._cancelled_by: str | None = None
        self._cancel_at = 0.0
        self._limit: Problem | None = None
        self._timeout_s = supervisor.spec.limits.timeout_s  # of this turn
        self._most_usd = supervisor.spec.limits.cost_usd  # of the run, while this turn lasts
        self._spent = past.spent
        self._noted_usd = past.spent.usd  # for the budgets that all runs share
        self._tokens = past.tokens
        self._ending = ""
        self._started = 0.0
        spec = supervisor.spec
        self.spending = Spending(supervisor.folder.home, spec.run_id, spec.limits.common)
        self.share({} if past.common is None else {"common": past.common})
        waiting = msgspec.convert(past.waiting, list[Spoken])
        self.costing = Costing(supervisor, past.spent.calls_usd, waiting)
        self._reported: float | None = None  # what the agent told of its cost in this turn
        self._refused: tuple[str | None, Problem] | None = None  # by the model that was chosen
        self._played = False  # the agent has ended the turn

    # ------------------------------------------------------------ the queue

    async def recover(self, past: Past) -> None:
        """Take up what is owed: the first prompt, and commands that were acknowledged."""
        spec = self.supervisor.spec
        self.costing.recover()
        if past.turn == 0 and spec.prompt:
            self.queue.append(Prompt(spec.prompt))
        for ident, (verb, args) in past.owed.items():
            await self.supervisor.commands.apply_owed(verb, args, ident)

    def next(self) -> Prompt | None:
        """The next prompt, if any; with nothing else to do, the news of its children."""
        if self.queue:
            return self.queue.popleft()
        news = self.supervisor.family.prompt()
        return None if news is None else Prompt(news[0], "child", None, news[1])

    async def steer(self, blocks: list[dict[str, Any]]) -> bool:
        """Say something into the running turn; False where the agent did not take it before the
        turn was over. That may take as long as a tool that it runs."""
        link, turn = self.supervisor.link, self.done
        if link is None or not self.running or self._cancelled_by is not None:
            return False
        try:
            blocks = whole(blocks, self.supervisor.folder.blobs)
        except OSError:
            return False
        saying = asyncio.ensure_future(link.dialect.steer(blocks))
        saying.add_done_callback(retrieved)
        over = 0.0
        while not saying.done() and over < STEER_S:
            await asyncio.wait({saying}, timeout=TICK_S)
            if not self.running or self.done != turn or self._cancelled_by is not None:
                over += TICK_S
        saying.cancel()
        try:
            return await saying
        except (AgentProblem, asyncio.CancelledError):
            return False

    def interrupt_with(self, prompt: Prompt) -> None:
        """Put a prompt first and end the running turn for it."""
        self.queue.appendleft(prompt)
        self.supervisor.wanted.set()
        self.cancel("interrupt")

    # ------------------------------------------------------------ ending a turn early

    @property
    def cancelling(self) -> bool:
        """Whether the running turn was asked to end."""
        return self.running and self._cancelled_by is not None

    def cancel(self, by: str) -> bool:
        """Ask the agent to end the turn; False where none is running."""
        if not self.running:
            return False
        if self._cancelled_by is None:
            self._cancelled_by = by
            self._cancel_at = time.monotonic()
            self.supervisor.asking.cancel()
            link = self.supervisor.link
            if link is not None:
                link.dialect.cancel()
        return True

    def abort(self, reason: str) -> None:
        """The pair is ending: the turn ends with it, a cancel that is under way sooner."""
        self.cancel(reason)
        self._ending = reason

    def _over(self, which: str, message: str, hint: str | None = None) -> None:
        if self._limit is None:
            self._limit = Problem(which, message, hint)
            self.supervisor.own("limit", limit=which, message=message)
            if not self._played:
                self.cancel(which)

    def meter(self, cost_usd: float | None, tokens: int | None, call: Spoken | None = None) -> None:
        """The agent told what it has spent in this run so far, or of a model call."""
        if cost_usd is not None:
            self._reported = cost_usd
            self._spent.note(cost_usd)
        if call is not None:
            tokens = call.tokens
            self.costing.take(call, self._dollars())
        self.counted(tokens, call is not None)

    def counted(self, tokens: int | None = None, called: bool = True) -> None:
        """What was spent has grown: note it for whoever takes the run up, and hold it against the
        limits."""
        limits, spent, costing = self.supervisor.spec.limits, self._spent, self.costing
        spent.calls_usd = costing.usd
        self.spending.add(spent.usd - self._noted_usd, tokens or 0)
        self._noted_usd = max(spent.usd, self._noted_usd)
        facts: dict[str, Any] = {}
        if tokens is not None and limits.tokens is not None:
            self._tokens += tokens
            facts["tokens"] = self._tokens
        if called and costing.pricing is not None and self._dollars():
            facts["usd"] = round(costing.usd, 9)
            if costing.waiting:
                facts["waiting"] = costing.waiting
        if facts:
            self.supervisor.own("metered", **facts)
        over = self._overspent()
        if over is None and costing.missing is not None and self._never_told():
            over = self._unpriced(costing.missing)
        if over is not None and self.running:
            self._over(over.code, over.message, over.hint)

    def _dollars(self) -> bool:
        """Whether a budget in US dollars holds."""
        common = self.spending.budgets
        return self._most_usd is not None or any(one.usd is not None for one in common)

    def share(self, args: dict[str, Any]) -> None:
        """Take on the budgets of the day and project that came with a prompt."""
        if "common" in args:
            with contextlib.suppress(msgspec.ValidationError):  # another version's front end
                self.spending.budgets = msgspec.convert(args["common"], list[Common])

    def _never_told(self) -> bool:
        """Whether the agent is known not to tell its cost by itself."""
        pricing = self.costing.pricing
        return pricing is not None and pricing.tells is False

    def _unpriced(self, problem: Problem) -> Problem | None:
        """A model call has no price: the turn ends where its budget was asked for, else it is
        said."""
        pricing = self.costing.pricing
        if pricing is not None and pricing.firm and self._most_usd is not None:
            self._refused = self.supervisor.spec.model, problem
            return problem
        self.costing.say(problem)
        return None

    @property
    def budget_left(self) -> float | None:
        """US dollars that the run may still cost."""
        most = self._most_usd
        return None if most is None else most - self._spent.usd - self._kin.cost_usd()

    @property
    def _kin(self) -> Kin:
        return self.supervisor.family.kin

    def spent(self) -> tuple[float, int]:
        """US dollars and tokens that the run and those below it have used, as far as is told."""
        return self._spent.usd + self._kin.cost_usd(), self._tokens + self._kin.used()

    def _overspent(self) -> Problem | None:
        limits, (spent, tokens) = self.supervisor.spec.limits, self.spent()
        most = self._most_usd
        if most is not None and spent >= most:
            how = ", by its tokens and their prices" if self._spent.computed else ""
            said = f"the run has cost ${spent:.4g}{self._with()}{how}, its limit is ${most:.4g}"
            return Problem("cost", said, "Start a new run, with a higher budget=….")
        if limits.tokens is not None and tokens >= limits.tokens:
            said = (
                f"the run has used {tokens:,} tokens{self._with()}, its limit is {limits.tokens:,}"
            )
            return Problem("tokens", said, "Start a new run, with a higher token_budget=….")
        return self.spending.over()

    def _with(self) -> str:
        kin = self._kin
        return " with what its children used or may use" if kin.cost_usd() or kin.used() else ""

    def _used_up(self) -> Problem | None:
        """Why the run may have no further turn, if so."""
        most = self.supervisor.spec.limits.max_turns
        if most is not None and self.done >= most:
            said = f"the run has had its {most} turns"
            return Problem("max_turns", said, "Start a new run, or one with a higher limit.")
        if self._refused is not None and self._refused[0] == self.supervisor.spec.model:
            return self._refused[1]
        return self._overspent()

    def _check_limits(self, link: AgentLink, started: float) -> None:
        limits, now = self.supervisor.spec.limits, time.monotonic()
        if self.spending.any and (over := self.spending.over()) is not None:
            self._over(over.code, over.message, over.hint)
        if self._timeout_s is not None and now - started > self._timeout_s:
            said = f"the turn took longer than {self._timeout_s:g} s"
            if link.retries:
                said += f"; {link.retries} failed tries of its model came last"
            self._over("timeout", said, TRIED if link.retries else None)
        waiting = bool(self.supervisor.asking.pending)
        if waiting:
            link.last_heard = now
        elif limits.silence_s is not None and now - link.last_heard > limits.silence_s:
            silent_s, tried = f"{now - link.last_heard:.1f} s", link.retries
            log = self.supervisor.folder.stderr
            said = f"nothing came from the agent for {silent_s}"
            hint = f"It may try its model again without a word: see {log}. Send again, or resume."
            if tried:
                said = f"nothing but {tried} failed tries of its model came for {silent_s}"
                hint = TRIED
            self._over("silence", said, hint)

    # ------------------------------------------------------------ one turn

    async def run(self, prompt: Prompt) -> None:
        """One turn, from its first line to its last."""
        recorder = self.supervisor.recorder
        self._bound(prompt.most)
        used_up = self._used_up()
        self.done += 1
        recorder.journal.turn = self.done
        self._cancelled_by = self._limit = self._reported = None
        self._played = False
        self.costing.begin()
        self.unsent = prompt.blocks
        self.running = True
        facts: dict[str, Any] = {
            "origin": prompt.origin,
            "prompt": prompt.blocks,
            "command_id": prompt.command_id,
        }
        if prompt.delivers:
            facts["delivers"] = prompt.delivers
        self.supervisor.family.started(facts)
        if prompt.command_id is not None:
            recorder.own("command_result", id=prompt.command_id, ok=True)
        if used_up is not None:
            recorder.own("limit", limit=used_up.code, message=used_up.message)
            self._end(self._ended(TurnResult("limit", None, used_up)))
        elif self.problem is not None:
            self._end(self._ended(TurnResult("error")))
        else:
            result = await self._play(prompt)
            self._played = True
            await self.costing.settle()
            self._check_told(result)
            facts = self._ended(result)  # a cancel comes too late from here on
            snapshots, outside = self.supervisor.snapshots, self.supervisor.outside
            settled = self.supervisor.recording.settle(facts["outcome"])
            await asyncio.gather(snapshots.note(self.done, "end"), outside.end(), settled)
            self._end(facts)

    def _bound(self, most: dict[str, Any]) -> None:
        """Take on a turn's limits: its own, or else the run's."""
        limits, cost = self.supervisor.spec.limits, most.get("cost_usd")
        self._timeout_s = most.get("timeout_s", limits.timeout_s)
        self._most_usd = limits.cost_usd if cost is None else self.spent()[0] + float(cost)

    async def _play(self, prompt: Prompt) -> TurnResult:
        supervisor = self.supervisor
        starting = asyncio.ensure_future(supervisor.ensure_agent(self.session_id))
        starting.add_done_callback(retrieved)
        getting_ready = asyncio.ensure_future(self._get_ready())
        try:
            while not (starting.done() and getting_ready.done()):
                await asyncio.wait({starting, getting_ready}, timeout=TICK_S)
                if starting.done() and not starting.cancelled() and starting.exception():
                    break
                if self._cancelled_by is not None:
                    supervisor.setting_up.stop()
                if self._cancelled_by is not None and not starting.done():
                    starting.cancel()
                    await asyncio.wait({starting})
                    await supervisor.end_agent(eof_s=0.5, term_s=0.5)
                    return TurnResult("cancelled")
            link = starting.result()
        except AgentProblem as error:
            await supervisor.end_agent(eof_s=1.0, term_s=1.0)
            return TurnResult("error", None, unmet(supervisor.spec, error.problem))
        except EarlyExit as error:
            problem = early_exit(supervisor.spec.command, error)
            return TurnResult("error", None, unmet(supervisor.spec, problem))
        except OSError as error:
            return TurnResult("error", None, cannot_launch(supervisor.spec, error))
        finally:
            supervisor.setting_up.stop()
            getting_ready.cancel()
        self.session_id = link.dialect.session_id
        if self._cancelled_by is not None:
            return TurnResult("cancelled")
        if (problem := getting_ready.result()) is not None:
            return TurnResult("error", None, problem)
        supervisor.set_state("running")
        supervisor.recorder.durable()  # before the agent is told: no power cut prompts it twice
        self._started = time.monotonic()
        self.spending.begin()
        if supervisor.spec.schema is None:
            return await self._converse(link, prompt.blocks)
        return await self._ask_for_value(link, prompt.blocks, supervisor.spec.schema)

    async def _get_ready(self) -> Problem | None:
        """The worktree set up, where that is due, then the files as they are for the agent; why
        that failed."""
        problem = await self.supervisor.setting_up.run()
        if problem is None:
            snapshots, outside = self.supervisor.snapshots, self.supervisor.outside
            await asyncio.gather(snapshots.note(self.done, "start"), outside.begin())
        return problem

    async def _ask_for_value(
        self, link: AgentLink, blocks: list[dict[str, Any]], schema: dict[str, Any]
    ) -> TurnResult:
        """A turn that must end with a value of the run's schema: asked again where it does not."""
        spec, recorder = self.supervisor.spec, self.supervisor.recorder
        if not link.dialect.takes_schema:
            blocks = [*blocks, wish(schema)]
        wrong = ""
        for left in reversed(range(TRIES)):
            offset = recorder.journal.size
            result = await self._converse(link, blocks)
            if result.outcome != "end_turn" or self._limit is not None:
                return result
            reading = reading_for(spec.dialect, spec.at_heart)
            text = answer_text(self.supervisor.folder, reading, offset)
            children = self.supervisor.children
            value, why = await judged(children, schema, text, result.value)
            if self._cancelled_by is not None:
                return TurnResult("cancelled")
            if why is None:
                recorder.own("value", value=value)
                return result
            wrong = why
            if left:
                recorder.own("schema_retry", message=wrong)
                blocks = [again(schema, wrong)]
        said = f"the answer does not fit the schema, after {TRIES} tries: {wrong}"
        return TurnResult("error", None, Problem("schema", said, "Simplify the schema, or send()."))

    async def _converse(self, link: AgentLink, blocks: list[dict[str, Any]]) -> TurnResult:
        told = [{"type": "text", "text": note} for note in self.notes]
        try:
            blocks = whole(blocks, self.supervisor.folder.blobs)
        except OSError as error:
            said = f"what went along with the prompt is not kept any more: {error}"
            return TurnResult("error", None, Problem("attachment", said, "Send it again."))
        self.notes = []
        answering = asyncio.ensure_future(link.dialect.prompt([*told, *blocks]))
        answering.add_done_callback(retrieved)
        leaving = asyncio.ensure_future(link.exited.wait())
        link.last_heard = time.monotonic()
        await asyncio.sleep(0)  # the prompt is sent
        self.unsent = []
        if self._cancelled_by is not None:
            link.dialect.cancel()  # it came in between, and counts for this prompt
        try:
            while True:
                done, _ = await asyncio.wait(
                    {answering, leaving}, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED
                )
                if answering in done:
                    return answering.result()
                if leaving in done:
                    return self._died(link)
                if self._cancelled_by is None:
                    self._check_limits(link, self._started)
                elif time.monotonic() - self._cancel_at > self._grace():
                    quick = self._grace() == 0.0
                    await self.supervisor.end_agent(0.0 if quick else 0.5, 0.0 if quick else 0.5)
                    return TurnResult("cancelled", "killed")
        finally:
            answering.cancel()
            leaving.cancel()

    def _grace(self) -> float:
        """How long the agent may take to end a cancelled turn before it is killed."""
        return {
            "warden gone": 0.0,
            "disk full": 0.0,
            "internal": 0.0,
            "stopped": 3.0,
            "terminated": 2.0,
        }.get(self._ending, CANCEL_GRACE_S)

    def _died(self, link: AgentLink) -> TurnResult:
        code = link.returncode or 0
        tail = link.stderr_tail.decode("utf-8", "replace").strip()[-1500:]
        if self._cancelled_by is not None:
            return TurnResult("cancelled", "exited")
        if code < 0 or 128 < code <= 192:  # as shells tell of a signal
            how = f"signal {-code if code < 0 else code - 128}"
            problem = Problem(
                "agent_killed",
                f"the agent's process was ended by {how} in the middle of the turn",
                "Everything up to here is kept. resume() goes on in the agent's own session.",
            )
            return TurnResult("interrupted", None, problem)
        problem = Problem(
            "agent_exit",
            f"the agent ended with exit code {code} in the middle of the turn"
            + (f": {tail}" if tail else ""),
            "Everything up to here is kept. resume() goes on in the agent's own session.",
        )
        return TurnResult("error", None, problem)

    def _check_told(self, result: TurnResult) -> None:
        """At a turn's end: whether what it cost was told at all, where that is held."""
        costing = self.costing
        if costing.pricing is None or not self._dollars() or self._reported:
            return
        missing = costing.missing
        silent = not costing.seen and self._reported is None and result.outcome == "end_turn"
        if missing is None and silent:
            missing = costing.problem("it tells neither tokens nor cost")
        if missing is not None and self._reported is None:
            missing = self._unpriced(missing)
        elif missing is not None:  # 0 may be true: a model of one's own, or one that is free
            costing.say(missing)
            missing = None
        if missing is not None:
            self._over(missing.code, missing.message, missing.hint)

    def _ended(self, result: TurnResult) -> dict[str, Any]:
        """The turn is over: what its last line says."""
        problem = self.problem or self._limit or result.problem
        outcome = result.outcome
        if self.problem is not None:
            outcome = "error"
        elif self._limit is not None and outcome in ("cancelled", "end_turn"):
            outcome = "limit"
        elif self._ending in ("warden gone", "terminated"):
            outcome = "interrupted"
        facts: dict[str, Any] = {"outcome": outcome, "stop_reason": result.stop_reason}
        if problem is not None:
            facts["error"] = problem
        if self._cancelled_by is not None:
            facts["by"] = self._cancelled_by
        self.supervisor.asking.cancel()
        self.running = False
        self.cut_off = was_cut_off(outcome, problem.code if problem is not None else None)
        return facts

    def _end(self, facts: dict[str, Any]) -> None:
        self.spending.end()
        self.supervisor.family.ended(self.done, facts)
        self.supervisor.set_state(TURN_STATES.get(facts["outcome"], "idle"))
        self.supervisor.recorder.durable()
        self.supervisor.family.tell()


def retrieved(task: asyncio.Future[Any]) -> None:
    """Look at a task's error, so that one that nobody waits for any more is no alarm."""
    if not task.cancelled():
        task.exception()
