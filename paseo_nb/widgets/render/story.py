"""What is told of a run, and in which order.

A live story is the last few steps, a final one the first few and the last forty; only what is
shown is looked at, so that a long run costs no more than a short one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any

from ...drivers.acp_reading import as_dict, as_list, as_str
from ...git.values import DiffSummary
from ...history import History
from ...model import Item, Permission, Problem, RunSpec, ToolCall, short_id
from .blocks import (
    Ask,
    Block,
    Gap,
    Message,
    Notice,
    Plan,
    Prompt,
    Row,
    Span,
    SpanStyle,
    Story,
    Thought,
    counts,
)
from .facts import meta_of, title_of
from .states import Tone, sign
from .steps import Step, step_of, untold_input
from .text import one_line
from .units import ago, between, plural, when

LIVE_ITEMS = 1, 14  # the beginning, the end
FINAL_ITEMS = 6, 40
_GAP_TURNS = 12
_ASKS = 3
_OPEN_EDITS, _OPEN_LINES = 8, 30


def tell(
    history: History,
    spec: RunSpec,
    *,
    state: str,
    diff: DiffSummary | None,
    now_us: int,
    live: bool,
    cached: bool,
) -> Story:
    """The story of a run as it stands."""
    short = short_id(spec.run_id)
    turn = history.turn
    teller = Teller(history, spec, state, now_us, live)
    blocks, head = teller.blocks()
    code: Span = ("code", f'paseo.attach("{short}")')
    if live:
        closing: list[Span] = [("", f"As of {when(now_us, seconds=True)}. To follow it: "), code]
    else:
        closing = [("", f"Saved {when(now_us)}. To look at it again: "), code]
    return Story(
        run_id=spec.run_id,
        sign=sign(state, turn.outcome if turn else None),
        title=title_of(history, spec),
        meta=meta_of(history, spec, state=state, diff=diff, now_us=now_us, live=live),
        blocks=blocks,
        head=head,
        closing=closing,
        more=f'paseo.attach("{short}")',
        cached=f"Cached: the answer of run {short}, nothing was spent." if cached else "",
        diff=None if live else diff,
    )


def answer_lines(run_id: str, permission: Permission) -> list[str]:
    """How to answer a permission from a cell and from a terminal."""
    target = f"{short_id(run_id)} {permission.id}"
    return [
        f"%paseo allow {target}",
        f'%paseo deny {target} "reason"',
        f"paseo-nb allow {target}",
    ]


_QUESTIONS = {
    "execute": "Run this command?",
    "edit": "Make this edit?",
    "delete": "Delete this?",
    "move": "Move this?",
    "read": "Read this?",
    "fetch": "Fetch this?",
}
_ANSWERS = {
    "allow_once": "allowed once",
    "allow_always": "allowed from now on",
    "reject_once": "denied",
    "reject_always": "denied from now on",
}


def subject_text(call: ToolCall, step: Step) -> str:
    """What is asked about, in full."""
    return "\n".join(filter(None, (step.full or step.target, untold_input(call, step))))


def question_of(permission: Permission, call: ToolCall) -> str:
    """The question in words."""
    return _QUESTIONS.get(permission.kind or call.kind or "", "Allow this?")


class Teller:
    """Turns items into blocks, as the run stands at one moment."""

    def __init__(
        self, history: History, spec: RunSpec, state: str, now_us: int, live: bool
    ) -> None:
        self.history, self.spec, self.state = history, spec, state
        self.now_us, self.live = now_us, live
        self.opened = 0
        self.more = f'paseo.attach("{short_id(spec.run_id)}")'

    def blocks(self) -> tuple[list[Block], int]:
        """The blocks in true order, and how many of them are the beginning."""
        items = self.history.items
        first, end = LIVE_ITEMS if self.live else FINAL_ITEMS
        last = len(items) - end
        if last <= first + 1:
            first = last = 0
        head, tail = self._told(items[:first]), self._told(items[last:])
        if last:
            tail.insert(0, self._gap(last - first, items[first - 1].seq, items[last].seq))
            self._keep_plan(tail)
        return head + tail + self._endings(), len(head)

    def _told(self, items: list[Item]) -> list[Block]:
        blocks = (self.block(item) for item in items)
        return [block for block in blocks if block is not None]

    def _gap(self, count: int, after: int, before: int) -> Gap:
        turns = self.history.turns
        first = bisect_right(turns, after, key=lambda turn: turn.first_seq)
        last = bisect_left(turns, before, key=lambda turn: turn.first_seq)
        shown = turns[max(first, last - _GAP_TURNS) : last]
        prompts = [Prompt(f"Turn {turn.turn}", turn.prompt) for turn in shown]
        return Gap(count, prompts)

    def _keep_plan(self, tail: list[Block]) -> None:
        """While a turn goes on its plan stays in sight."""
        plan = self.history.plan
        if plan and self.history.turn_open and not any(isinstance(b, Plan) for b in tail):
            tail.insert(1, self._plan(plan, True))

    def _endings(self) -> list[Block]:
        """What waits, and why the run is not as one would wish."""
        out: list[Block] = []
        if self.live or self.state == "waiting":
            waiting = self.history.open_permissions()
            out += [self._ask(permission) for permission in waiting[:_ASKS]]
            if len(waiting) > _ASKS:
                rest = plural(len(waiting) - _ASKS, "more request")
                out.append(Notice("warn", f"{rest}: `{self.more}.permissions()`"))
        out += self.unsaid()
        return out

    def unsaid(self) -> list[Notice]:
        """The run's state in words where no item says it."""
        history, turn = self.history, self.history.turn
        problem = history.error
        if self.state == "interrupted" and history.turn_open and turn is not None:
            text = f"The run's processes ended during turn {turn.turn}."
            kept = f"Everything up to event {history.seq:,} is kept."
            hint = f"{kept} `{self.more}.resume()` continues in the agent's own session."
            return [Notice("warn", text, hint)]
        if problem is not None and (turn is None or turn.error is None):
            return [self._problem(problem, "bad")]
        if self.state == "error" and problem is None:
            ended = one_line(history.ended or "", 200)
            text = f"The run ended: {ended}" if ended else "The run ended without a message."
            return [Notice("bad", text, f"`{self.more}.inspect()` has the details.")]
        return []

    def _problem(self, problem: Problem, tone: Tone) -> Notice:
        return Notice(tone, problem.message, problem.hint or "")

    # ------------------------------------------------------------ one item

    def block(self, item: Item) -> Block | None:
        """What one item shows; None where that is nothing, or nothing yet."""
        ref: Any = item.ref
        if item.kind == "message" and item.role == "user":
            return self._prompt(item)
        if item.kind == "message":
            streaming = self.live and self.history.turn_open and item is self.history.items[-1]
            return Message(item.text, streaming) if item.text.strip() else None
        if item.kind == "thought":
            return self._thought(item) if item.text.strip() else None
        if item.kind == "plan":
            turn = self.history.turn
            going = self.live and self.history.turn_open and turn is not None
            return self._plan(as_list(ref), going and turn is not None and turn.turn == item.turn)
        if isinstance(ref, ToolCall):
            return self._row(ref)
        if isinstance(ref, Permission):
            return self._answered(ref)
        return self._note(item)

    def _prompt(self, item: Item) -> Prompt:
        label = f"Turn {item.turn}" if item.turn > 1 else "Prompt"
        if item.title:
            label += f" ({one_line(item.title, 30)})"
        return Prompt(label, item.text, item.ref or [])

    def _thought(self, item: Item) -> Thought:
        time = between(item.started_us, item.finished_us or item.started_us)
        now = self.live and self.history.turn_open and item is self.history.items[-1]
        label = "Thinking" if now else f"Thought for {time}"
        return Thought(label, item.text)

    def _plan(self, entries: list[Any], going: bool) -> Plan:
        """An entry in progress is marked so only while its turn goes on."""
        read = map(as_dict, entries[:100])
        told = [(str(e.get("status")), as_str(e.get("content")) or "") for e in read]
        return Plan([(s if going or s == "completed" else "pending", t) for s, t in told])

    def step(self, call: ToolCall) -> Step:
        """A tool call, ready to be shown."""
        step = step_of(call, cwd=self.spec.cwd, now_us=self.now_us, live=self.live)
        if step.result == "unfinished" and self.state == "interrupted":
            step.result = "cut off"
        return step

    def _row(self, call: ToolCall) -> Row:
        step = self.step(call)
        result = _result(step)
        line: list[Span] = [("strong", step.word), ("", " "), ("code", step.target)]
        if result:
            line.append(("", ": "))
            line += result
        if step.time and not step.diffs:
            line.append(("quiet", (", " if result else ": ") + step.time))
        if step.running:
            line.insert(0, ("now", "◔ "))
        ends = step.failed or call.kind == "execute"
        row = Row(
            line,
            step.failed and step.is_command and self.live,
            step.full,
            step.diffs,
            step.output,
            ends,
        )
        if step.diffs:
            row.output = ""  # "File written" says nothing that the diff does not
            self.opened += 1
            small = sum(len(diff.lines) for diff in step.diffs) <= _OPEN_LINES
            row.opened = self.live or (small and self.opened <= _OPEN_EDITS)
        return row

    def _answered(self, permission: Permission) -> Row | None:
        """An answered permission; what a rule let pass is told by its tool call alone."""
        if permission.answered_us is None:
            return None if self.live else self._unanswered(permission)
        chosen = next(
            (o for o in permission.options if o.get("optionId") == permission.option_id), None
        )
        kind = str((chosen or {}).get("kind"))
        outcome = permission.outcome or "answered"
        denied = kind.startswith("reject") or outcome in ("deny", "denied", "rejected")
        if permission.rule and not denied and permission.outcome != "cancelled":
            return None
        word = _ANSWERS.get(kind) or {"allow": "allowed", "deny": "denied"}.get(outcome, outcome)
        line = self._asked(permission)
        tone: SpanStyle = "warn" if denied else ""
        line.append(("", ": "))
        line.append((tone, one_line(word, 40)))
        line.append(("quiet", f" after {between(permission.asked_us, permission.answered_us)}"))
        reason = permission.message or permission.rule
        if permission.edited is not None and not denied:
            line.append(("quiet", ", with another input"))
        if denied and reason:
            line.append(("quiet", f", {one_line(reason, 120)}"))
        return Row(line)

    def _unanswered(self, permission: Permission) -> Row | None:
        if self.state == "waiting":
            return None
        return Row([*self._asked(permission), ("", ": "), ("warn", "not answered")])

    def _asked(self, permission: Permission) -> list[Span]:
        step = step_of(self.subject(permission), cwd=self.spec.cwd, now_us=0, live=False)
        return [("", f"Permission to {step.word.lower()} "), ("code", step.target)]

    def subject(self, permission: Permission) -> ToolCall:
        """The tool call that a permission is about; where the agent named none, one made of what
        the request says."""
        known = self.history.tool_calls.get(f"{permission.turn}/{permission.tool_call_id}")
        if known is not None:
            return known
        return ToolCall(
            tool_call_id=permission.tool_call_id or permission.id,
            turn=permission.turn,
            seq=0,
            tool_name=None,
            kind=permission.kind,
            title=permission.title,
            input=permission.input,
            output=None,
            content=[],
            locations=[],
            started_us=permission.asked_us,
        )

    def _ask(self, permission: Permission) -> Ask:
        call = self.subject(permission)
        step = step_of(call, cwd=self.spec.cwd, now_us=self.now_us, live=False)
        options = [str(o.get("name") or o.get("optionId")) for o in permission.options]
        return Ask(
            question=question_of(permission, call),
            asked=f"asked {ago(permission.asked_us, self.now_us)}",
            subject=subject_text(call, step),
            diffs=step.diffs,
            options=options[:8],
            answers=answer_lines(self.spec.run_id, permission),
        )

    def _note(self, item: Item) -> Notice | None:
        if item.outcome is None:
            return Notice("warn", item.text) if item.text.strip() else None
        tone: Tone = "warn" if item.outcome in ("interrupted", "limit", "cancelled") else "bad"
        at = bisect_left(self.history.turns, item.turn, key=lambda turn: turn.turn)
        error = self.history.turns[at].error if at < len(self.history.turns) else None
        return Notice(tone, item.text, (error.hint if error is not None else None) or "")


def _result(step: Step) -> list[Span]:
    """How the call ended; an edit's counts in their tones."""
    if step.diffs and step.result and not step.tone:
        added = sum(diff.added or 0 for diff in step.diffs)
        return counts(added, sum(diff.removed or 0 for diff in step.diffs))
    return [(step.tone, step.result)] if step.result else []
