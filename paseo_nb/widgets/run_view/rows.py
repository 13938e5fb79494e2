"""A run as rows: what a live view shows of each item of its story, as values for the front end.

Row i is item i for ever; an item that shows nothing (yet) is a row of kind "". Pure functions over
the fold; the words are those of the static forms (`render.story`, `render.steps`). Texts are still
the agent's, cut to what a page can bear.
"""

from __future__ import annotations

import json
import re
import shlex
from bisect import bisect_left
from typing import Any

from ...drivers.acp_reading import as_dict, as_list, as_str
from ...history import History
from ...model import BUSY_STATES, Item, Permission, RunSpec, ToolCall
from ..render.blocks import Message, Notice, Plan, Prompt, Thought
from ..render.diffs import FileDiff
from ..render.steps import TARGETS, Step, untold_input
from ..render.story import Teller, question_of, subject_text
from ..render.text import clean, one_line, spelled
from ..render.units import plural

Row = dict[str, Any]
TEXT, OUTPUT, FULL, NAME = 200_000, 12_000, 20_000, 200
DIFF_LINES, DIFF_FILES, WIDTH = 400, 20, 2000
WHOLE = 1_500_000  # characters of an output that somebody asks to see
_SURROGATES = re.compile("[\ud800-\udfff]")
NOTHING: Row = {"k": ""}


def safe(text: str) -> str:
    """The text with nothing in it that UTF-8 cannot carry."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def cut(text: str, limit: int) -> str:
    """The beginning of a text."""
    return safe(text[:limit])


class Rows:
    """Turns items into rows, as the run stands at one moment."""

    def __init__(self, history: History, spec: RunSpec, state: str, now_us: int) -> None:
        self.history, self.spec = history, spec
        self.live = state in BUSY_STATES
        self.teller = Teller(history, spec, state, now_us, self.live)

    def row(self, item: Item) -> Row:
        """One item."""
        if isinstance(item.ref, ToolCall):
            return self._call(item.ref)
        block = self.teller.block(item)
        if isinstance(block, Message):
            return _with_text({"k": "text"}, block.text)
        if isinstance(block, Thought):
            return _with_text({"k": "thought", "label": block.label}, block.text)
        if isinstance(block, Prompt):
            row: Row = {"k": "prompt", "turn": item.turn, "label": block.label}
            if block.pictures:
                row["pictures"] = [[one_line(name, NAME), uri] for name, uri in block.pictures]
            return _with_text(row, block.text)
        if isinstance(block, Plan):
            return {"k": "plan", "entries": [[s, cut(t, WIDTH)] for s, t in block.entries]}
        if isinstance(block, Notice):
            return {"k": "note", **notice(block)}
        if block is None:
            return NOTHING
        line = getattr(block, "line", [])  # an answered permission
        return {"k": "answered", "spans": [[style, clean(text)] for style, text in line]}

    def is_settled(self, item: Item) -> bool:
        """Whether the row stays as it is while the item does, whatever becomes of the run."""
        if item.kind == "permission":
            return item.outcome is not None
        if item.kind in ("tool_call", "plan", "thought"):
            return item.kind == "tool_call" and item.outcome is not None
        return True

    def notices(self) -> list[Row]:
        """How the run stands, where no item says it."""
        return [notice(block) for block in self.teller.unsaid()]

    def asks(self) -> list[Row]:
        """The questions that wait for an answer."""
        if not self.live:
            return []
        return [self._ask(permission) for permission in self.history.open_permissions()]

    def whole(self, item: Item) -> Row:
        """Everything of one item that its row has cut."""
        call = item.ref
        if not isinstance(call, ToolCall):
            return {"text": cut(item.text, WHOLE), "cut": len(item.text) > WHOLE}
        step = self.teller.step(call)
        return {
            "full": cut(step.full, WHOLE),
            "input": cut(_input(call), WHOLE),
            "output": cut(step.output, WHOLE),
            "diffs": diffs_of(step.diffs, 20_000, 200),
            "cut": len(step.output) > WHOLE,
        }

    # ------------------------------------------------------------ the kinds that need more

    def _call(self, call: ToolCall) -> Row:
        step = self.teller.step(call)
        keep_end = step.is_command or step.failed
        shown = "" if step.diffs and not step.failed else step.output
        output, short = _output(shown, call.outcome is None or keep_end)
        diffs = diffs_of(step.diffs, DIFF_LINES, DIFF_FILES)
        untold = untold_input(call, step)
        over = short or len(untold) > FULL or len(step.full) > FULL or any(d["note"] for d in diffs)
        ended = call.finished_us
        return {
            "k": "call",
            "kind": call.kind if call.kind in KINDS else "other",
            "word": step.word,
            "target": step.target,
            "full": cut(step.full, FULL),
            "result": "" if step.running else step.result,
            "tone": step.tone,
            "started_us": call.started_us,
            "took_s": None if ended is None else max(ended - call.started_us, 0) / 1e6,
            "running": step.running,
            "failed": step.failed,
            "open": bool(diffs) or (step.failed and step.is_command),
            "input": cut(untold, FULL),
            "output": output,
            "output_lines": None if step.running else _lines(shown),
            "keep": "end" if keep_end else "both",
            "diffs": diffs,
            **({"more": True} if over and not step.running else {}),
        }

    def _ask(self, permission: Permission) -> Row:
        call = self.teller.subject(permission)
        step = self.teller.step(call)
        edit = editable(permission, call)
        subject = spelled(edit[1]) if edit else subject_text(call, step)
        item = self.history.call_item(permission.turn, permission.tool_call_id)
        return {
            "id": permission.id,
            "question": question_of(permission, call),
            "kind": permission.kind or call.kind or "other",
            "why": one_line(_why(permission, step), 300),
            "asked_us": permission.asked_us,
            "subject": _both_ends(subject, FULL),
            "editable": edit is not None and subject == edit[1] and len(subject) <= FULL,
            "diffs": diffs_of(step.diffs, DIFF_LINES, DIFF_FILES),
            "options": [
                {
                    "id": str(option.get("optionId")),
                    "kind": str(option.get("kind")),
                    "name": one_line(str(option.get("name") or option.get("optionId")), NAME),
                }
                for option in permission.options[:20]
            ],
            "row": None if item is None else index_of(self.history.items, item),
        }


KINDS = frozenset(
    {"execute", "read", "edit", "delete", "move", "search", "fetch", "think", "switch_mode"}
)


def notice(block: Notice) -> Row:
    """A notice as a value."""
    return {"tone": block.tone, "text": cut(block.text, FULL), "hint": cut(block.hint, FULL)}


def index_of(items: list[Item], item: Item) -> int:
    """Where an item stands: they are in order of `seq`, several may share one."""
    at = bisect_left(items, item.seq, key=lambda one: one.seq)
    while items[at] is not item:
        at += 1
    return at


def _with_text(row: Row, text: str) -> Row:
    if len(text) > TEXT:
        row["cut"] = len(text)
    row["text"] = cut(text, TEXT)
    return row


def _output(text: str, keep_end: bool) -> tuple[str, bool]:
    """What a row shows of an output, whole lines where it can be, and whether that is not all."""
    if len(text) <= OUTPUT:
        return safe(text), False
    if keep_end:
        return safe(_end(text, OUTPUT)), True
    at = text.rfind("\n", 0, OUTPUT * 2 // 3)
    head = text[: at if at > 0 else OUTPUT * 2 // 3]
    return safe(f"{head}\n⋮\n{_end(text, OUTPUT // 3)}"), True


def _lines(text: str) -> int:
    return text.strip("\n").count("\n") + 1 if text.strip() else 0


def _end(text: str, limit: int) -> str:
    start = len(text) - limit
    at = text.find("\n", start)
    return text[at + 1 if at >= 0 else start :]


def diffs_of(diffs: list[FileDiff], lines: int, files: int) -> list[Row]:
    """Diffs as values, so many lines and files of them at most."""
    out: list[Row] = []
    for diff in diffs[:files]:
        shown = diff.lines[: max(lines, 0)]
        lines -= len(shown)
        left = len(diff.lines) - len(shown)
        note = f"{plural(left, 'more line')}." if left else diff.note
        out.append(
            {
                "path": one_line(diff.path, NAME),
                "lines": [cut(line, WIDTH) for line in shown],
                "added": diff.added,
                "removed": diff.removed,
                "note": note,
            }
        )
    if len(diffs) > files:
        more = f"{plural(len(diffs) - files, 'more file')}."
        out.append({"path": "", "lines": [], "added": None, "removed": None, "note": more})
    return out


def _both_ends(text: str, limit: int) -> str:
    """A text that somebody is to allow; what is left out of a very long one is said in it."""
    if len(text) <= limit:
        return safe(text)
    half = limit // 2 - 50
    left = f"\n… {len(text) - 2 * half} characters that are not shown …\n"
    return safe(text[:half] + left + text[-half:])


def _why(permission: Permission, step: Step) -> str:
    """What the agent says of a request, where its title is more than the command itself."""
    title = (permission.title or "").strip().strip("`")
    told = step.full or step.target
    given = as_str(as_dict(permission.input).get("description")) or ""
    return given or (title if title and title not in told and told not in title else "")


def _input(call: ToolCall) -> str:
    if not call.input:
        return ""
    try:
        return json.dumps(call.input, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def editable(permission: Permission, call: ToolCall) -> tuple[str, str, bool] | None:
    """The part of a request's input that a person may write anew as text: its name in the input,
    its text, and whether it is a list of words."""
    given = as_dict(permission.input or call.input)
    for key in TARGETS.get(permission.kind or call.kind or "", ()):
        value = given.get(key)
        if isinstance(value, str) and value.strip():
            return key, value, False
        if isinstance(value, list) and value:
            return key, shlex.join(str(part) for part in as_list(value)), True
    return None


def edited(permission: Permission, call: ToolCall, text: str) -> dict[str, Any] | None:
    """The whole input of a request with that part as a person wrote it; None where there is none,
    or it is as it was."""
    found = editable(permission, call)
    if found is None or found[1].strip() == text.strip():
        return None
    key, _, is_list = found
    given = as_dict(permission.input or call.input)
    return {**given, key: shlex.split(text) if is_list else text}


def ops_between(index: int, old: Row, new: Row) -> list[list[Any]]:
    """The smallest operations that make the row `old` into `new`; none where they are equal."""
    if old["k"] != new["k"] or not old.keys() <= new.keys():
        return [] if old == new else [["r", index, new]]
    ops: list[list[Any]] = []
    fields = {key: value for key, value in new.items() if key not in old or old[key] != value}
    for name, op in (("text", "t"), ("output", "o")):
        if name in fields and name in old:
            appended = _appended(op, index, old[name], new[name])
            if appended is not None:
                ops.append(appended)
                del fields[name]
    if fields:
        ops.append(["m", index, fields])
    return ops


def _appended(op: str, index: int, old: str, new: str) -> list[Any] | None:
    if new.startswith(old):
        return [op, index, new[len(old) :]]
    if op == "t" or len(old) < 1000:
        return None
    tail = old[-500:]  # a window on the end of an output: it has moved on
    at = new.find(tail)
    if at < 0:
        return None
    both = old + new[at + len(tail) :]
    drop = both[: max(len(both) - len(new), 0)].count("\n")
    return [op, index, both[len(old) :], drop] if dropped(both, drop) == new else None


def dropped(text: str, lines: int) -> str:
    """A text without its first lines."""
    for _ in range(lines):
        text = text[text.find("\n") + 1 :]
    return text


def apply(rows: list[Row], ops: list[list[Any]]) -> None:
    """What a front end does with operations on rows: kept here so that tests and readers have it
    in one place, and so that the feed never says other than it keeps."""
    for op in ops:
        if op[0] == "r":
            rows[op[1] : op[1] + 1] = [op[2]]
        elif op[0] == "m":
            rows[op[1]] = {**rows[op[1]], **op[2]}
        elif op[0] == "t":
            rows[op[1]] = {**rows[op[1]], "text": rows[op[1]]["text"] + op[2]}
        elif op[0] == "o":
            output = f"{rows[op[1]]['output']}{op[2]}"
            rows[op[1]] = {**rows[op[1]], "output": dropped(output, op[3] if len(op) > 3 else 0)}
