"""What a front end asks of a run, carried out through the run's verbs, and what it is told then.

A reply says in the user's words why something was not done; nothing of it raises. Runs in the
portal's loop.
"""

from __future__ import annotations

import logging
from typing import Any

import anyio.to_thread

from ... import preparing
from ...answering import Answer
from ...drivers import registry
from ...drivers.acp_reading import as_str
from ...errors import PaseoError, UsageProblem
from ...handle import AsyncRun
from ...model import Allow, Deny, Permission, When
from ..render.diffs import of_patch
from ..render.story import Teller
from ..render.text import clean, one_line
from .rows import Rows, diffs_of, edited

Json = dict[str, Any]
_WHEN: dict[str, When] = {"queue": "queue", "steer": "steer", "interrupt": "interrupt"}
DIFF_LINES, DIFF_FILES = 20_000, 500


async def act(run: AsyncRun, message: Json) -> Json:
    """Carry out `{"k":"do","id","verb",…}`; the `done` message that answers it."""
    said, told = "", {"k": "done", "id": message.get("id")}
    try:
        if message.get("verb") in ("undo", "apply"):
            return {**told, "ok": True, **await _with_files(run, message)}
        await _do(run, str(message.get("verb")), message)
    except (PaseoError, OSError) as error:
        said = str(error)
    except Exception as error:
        logging.getLogger(__name__).exception("a view's command failed")
        said = f"{type(error).__name__}: {error}"
    return {**told, "ok": not said, "said": said}


async def _do(run: AsyncRun, verb: str, given: Json) -> None:
    if verb == "send":
        await run.send(_text(given, "text"), when=_WHEN.get(str(given.get("when")), "queue"))
    elif verb == "cancel":
        await run.cancel()
    elif verb == "stop":
        await run.stop(force=given.get("force") is True)
    elif verb == "resume":
        await run.resume(as_str(given.get("text")) or None)
    elif verb == "retry":
        turn = run.history().turn
        if turn is None:
            raise UsageProblem("No turn has begun yet.")
        await run.send(turn.prompt)
    elif verb in ("allow", "deny"):
        await _answer(run, verb, given)
    elif verb == "set_model":
        await run.set_model(_text(given, "value"))
    elif verb == "set_mode":
        await run.set_mode(_text(given, "value"))
    elif verb == "set_agent_mode":
        await run.set_agent_mode(_text(given, "value"))
    elif verb == "set_effort":
        await run.set_effort(_text(given, "value"))
    elif verb == "unqueue":
        await run.unqueue(_text(given, "queued"))
    else:
        raise UsageProblem(f"this view knows no command {one_line(verb, 40)!r}")


async def _with_files(run: AsyncRun, given: Json) -> Json:
    """Undo the last turn, or apply; with `dry_run` only what that would do, and whether it can
    (`clear`), onto which branch."""
    dry = given.get("dry_run") is True
    if given["verb"] == "undo":
        files = (await run.undo()).summary.files
        names = one_line(", ".join(change.path for change in files), 200)
        return {"said": f"Put back as it was before the turn: {names}." if names else ""}
    applied = await run.apply(as_str(given.get("onto")), dry_run=dry)
    told = clean(str(applied).partition("\n\n")[0] if not applied.conflicts else str(applied))
    clear = bool(applied.summary.files) and not applied.conflicts
    return {"said": told, "clear": clear, "onto": applied.onto}


async def _answer(run: AsyncRun, verb: str, given: Json) -> None:
    permission = next((p for p in run.pending() if p.id == given.get("permission")), None)
    if permission is None:
        raise UsageProblem("It needs no answer any more.")
    if verb == "deny":
        reason = as_str(given.get("reason")) or None
        option = as_str(given.get("option"))
        kinds = {str(one.get("optionId")): one.get("kind") for one in permission.options}
        answer: Answer = Deny(reason, given.get("cancel") is True)
        if kinds.get(option or "") == "reject_always":
            answer = Allow(option=option, message=reason)  # an option by its id, whatever it says
        await run.answer(answer, permission.id)
        return
    text = given.get("input")
    changed = _edited(run, permission, text) if isinstance(text, str) else None
    option = as_str(given.get("option"))
    await run.answer(Allow(option=option, input=changed), permission.id)


def _edited(run: AsyncRun, permission: Permission, text: str) -> Json | None:
    """The tool's input with what the person wrote. UsageProblem for text that is no command."""
    with run.reading() as history:
        call = Teller(history, run.spec, history.state, run.host.now_us(), True).subject(permission)
    try:
        return edited(permission, call, text)
    except ValueError as error:
        raise UsageProblem(f"the changed text cannot be read: {error}") from None


def _text(given: Json, name: str) -> str:
    text = given.get(name)
    if not isinstance(text, str) or not text.strip():
        raise UsageProblem("There is nothing to send." if name == "text" else f"no {name} given")
    return text


async def more_of(run: AsyncRun, index: Any) -> Json:
    """The whole of one row: the answer to `{"k":"more","row":i}`."""
    with run.reading() as history:
        if not isinstance(index, int) or not 0 <= index < len(history.items):
            return {"k": "more", "row": index}
        rows = Rows(history, run.spec, history.state, run.host.now_us())
        return {"k": "more", "row": index, **rows.whole(history.items[index])}


async def diff_of(run: AsyncRun) -> Json:
    """The run's whole diff: the answer to `{"k":"diff"}`."""
    try:
        summary = await anyio.to_thread.run_sync(run.diff_summary)
    except (PaseoError, OSError) as error:
        return {"k": "diff", "files": [], "said": str(error)}
    status = {change.path: change.status for change in summary.files}
    files = diffs_of(of_patch(summary.patch), DIFF_LINES, DIFF_FILES)
    told = [{**file, "status": status.get(file["path"], "")} for file in files]
    return {"k": "diff", "files": told, "said": "" if told else "Nothing changed."}


def takes_steering(run: AsyncRun) -> bool | None:
    """Whether its agent takes a message in mid-turn; None where that is not known."""
    try:
        known = registry.providers(preparing.project_of(run.host))
    except (PaseoError, OSError):
        return None
    provider = known.get(run.spec.provider) or known.get(run.spec.at_heart)
    return provider.capabilities.steer if provider is not None else None
