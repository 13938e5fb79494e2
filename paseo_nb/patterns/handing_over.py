"""Handoff: another agent takes a task over, with a briefing that needs no context.

The briefing is made from the run's own records, so it costs nothing and can be had of a run whose
agent is gone: prompts, plan, last words, changed files, failed tools. With `note` the first agent
is asked, too, for what only it knows: decisions, and what is open.
"""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from ..describing import cut
from ..errors import GitProblem, UsageProblem
from ..git.values import DiffSummary
from ..handle import AsyncRun
from ..model import BUSY_STATES, short_id
from .working import Start, ended_well

TEXT, LINE, FILES, TOLD = 12_000, 400, 60, 10


async def handed_over(
    start: Start,
    run: AsyncRun,
    to: str | None,
    task: str | None,
    acceptance: str | None,
    note: bool,
    prompts: Any,
    options: dict[str, Any],
) -> AsyncRun:
    """The run of the agent that takes over, started in the folder of the first."""
    if run.state in BUSY_STATES or run.state == "archived":
        still = "archived: unarchive" if run.state == "archived" else "still at work: wait for"
        raise UsageProblem(f"run {short_id(run.id)} is {still} it first")
    asked = task or _tasks(run)
    try:
        changed = await anyio.to_thread.run_sync(run.diff_summary)
    except (GitProblem, OSError):
        changed = None
    told = {
        "task": asked,
        "state": _state(run, changed),
        "context": _context(run),
        "files": _files(run, changed),
        "tried": _tried(run),
        "acceptance": acceptance
        or "what the task asks for is done, and you have seen that it works",
    }
    if note:
        await run.send(prompts("handoff_note", task=task or "the one you are at"))
        await run.wait(check=False)
        if ended_well(run):
            told["context"] += f"\n\n## Its note for you\n{cut(run.text.strip(), TEXT)}"
    prompt = prompts("handoff", **told)
    spec = run.spec
    given = dict(options)
    given["worktree"] = given.get("worktree") or spec.worktree
    given["repo"] = str(run.repository) if given["worktree"] else spec.cwd
    labels = {"handed_over_from": run.id}
    title = f"[Handoff] {asked.splitlines()[0][:70]}"
    return await start(to, prompt, labels=labels, title=given.pop("title", None) or title, **given)


def _tasks(run: AsyncRun) -> str:
    prompts = [turn.prompt for turn in run.history().turns if turn.prompt.strip()]
    if len(prompts) <= 1:
        return cut(prompts[0], TEXT) if prompts else "(none was given)"
    told = [f"{number}. {cut(text, 4_000)}" for number, text in enumerate(prompts[-TOLD:], 1)]
    return "The person asked for this, one after the other:\n\n" + "\n\n".join(told)


def _state(run: AsyncRun, changed: DiffSummary | None) -> str:
    turn = run.history().turn
    outcome = "it never began" if turn is None else turn.outcome or "it is still at work"
    lines = [f"Run {short_id(run.id)} of {run.agent}: {outcome}."]
    if turn is not None and turn.error is not None:
        lines.append(f"Its last turn failed: {turn.error.message}")
    if changed is not None:
        where = f" on branch {run.branch}" if run.branch else ""
        count = len(changed.files)
        lines.append(
            f"It changed {count} file{'s' * (count != 1)}{where}; the changes are in this folder."
            if count
            else f"It changed no file{where}."
        )
    return "\n".join(lines)


def _context(run: AsyncRun) -> str:
    history = run.history()
    plan = next((item for item in reversed(history.items) if item.kind == "plan"), None)
    said = [turn.text.strip() for turn in history.turns if turn.text.strip()]
    parts = [f"## Its plan\n{plan.text}"] if plan is not None else []
    parts += [f"## Its last words\n{cut(said[-1], TEXT)}"] if said else []
    return "\n\n".join(parts) or "It said nothing."


def _files(run: AsyncRun, changed: DiffSummary | None) -> str:
    told: dict[str, str] = {}
    for one in changed.files if changed is not None else ():
        told[one.path] = "changed" if one.added is None else f"+{one.added} -{one.removed or 0}"
    root = f"{run.path}/"
    for call in run.history().tool_calls.values():
        for place in call.locations:
            told.setdefault(place.removeprefix(root), call.kind or "looked at")
    lines = [f"- {path} ({how})" for path, how in list(told.items())[:FILES]]
    left = len(told) - len(lines)
    return "\n".join([*lines, *([f"- and {left} more"] if left else [])]) or "None are known."


def _tried(run: AsyncRun) -> str:
    failed = [call for call in run.history().tool_calls.values() if call.outcome == "failed"]
    lines = [
        f"- {call.kind or 'tool'} {_flat(call.title or '')}: "
        + _flat(call.error or (call.output if isinstance(call.output, str) else "") or "failed")
        for call in failed[-TOLD:]
    ]
    return "\n".join(lines) or "Nothing is known to have failed."


def _flat(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LINE else flat[: LINE - 1] + "…"
