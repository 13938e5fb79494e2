"""What a dashboard shows: one line per run and the questions that wait, as values.

Runs under `live/` are read from their journals, again only where those have grown; the others come
from the store, in one query, when one has joined them. A look blocks: it is made in a thread.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

from ... import config
from ...errors import GitProblem, PaseoError
from ...git.values import DiffSummary
from ...handle import AsyncRun
from ...history import History
from ...host.local import LocalHost
from ...journal import size_of
from ...model import BUSY_STATES, now_us, short_id
from ..render.states import sign
from ..render.story import Teller
from ..render.text import clean, one_line
from ..run_view.head import ENDS, SHAPES, Beyond, head_of, number
from ..run_view.rows import Rows

Json = dict[str, Any]
MOST = 500
STATE_S = 3.0  # between two looks at the processes of a run whose journal does not grow
MERGED_S = 10.0
NOTE, PREVIEW = 90, 600
GROUPS = ("waiting", "running", "review", "interrupted", "failed", "done", "stopped")
"""The kinds of line, in the order in which they are shown."""
_GROUP_OF = {
    "starting": "running",
    "running": "running",
    "waiting": "waiting",
    "unresponsive": "interrupted",
    "interrupted": "interrupted",
    "error": "failed",
    "stopped": "stopped",
    "unknown": "stopped",
}


_OVER = ("idle", "stopped")


class Board:
    """The lines of one project, newest first, archived runs left out."""

    def __init__(self, host: LocalHost) -> None:
        self.host = host
        self.lines: dict[str, Json] = {}
        self.asks: list[Json] = []
        self.head: Json = {}
        self._runs: dict[str, AsyncRun] = {}  # those under live/
        self._seen: dict[str, tuple[Any, float]] = {}
        self._asked: dict[str, list[Json]] = {}
        self._diffs: dict[str, DiffSummary | None] = {}
        self._stored: dict[str, Json] = {}
        self._known: set[str] = set()
        self._merged_at = self._cost_at = 0.0
        self._cost: Json = {"cost_usd": None, "today_usd": None, "runs": 0}

    def look(self) -> None:
        """Bring it up to date."""
        listed = list(reversed(self.host.list()))
        live = self._live()
        newest = set(listed[:MOST]) | live
        rest = newest - live
        if rest - self._known:
            self._stored = self._from_store(rest)
            self._known = rest
        changed = self._look_at(live)
        made: dict[str, Json] = {}
        for run_id in listed:
            line = self._of(run_id) if run_id in newest else None
            if line is not None:
                made[run_id] = line
        self._review(made)
        self.lines = made
        self.asks = [ask for run_id in made for ask in self._asked.get(run_id, ())]
        if changed or time.monotonic() - self._cost_at > 60:
            self._spent()
        counts = Counter(line["group"] for line in made.values())
        self.head = {
            "project": one_line(self.host.home.parent.name, 60),
            "counts": {name: counts[name] for name in GROUPS},
            "background": sum(line["background"] for line in made.values()),
            "shown": len(made),
            **self._cost,
        }

    def _live(self) -> set[str]:
        try:
            return {name for name in os.listdir(self.host.home / "live") if name[:2] != "wf"}
        except FileNotFoundError:
            return set()

    # ------------------------------------------------------------ runs at work

    def _look_at(self, live: set[str]) -> bool:
        """Read the journals that have grown; whether one had."""
        for gone in self._runs.keys() - live:
            del self._runs[gone]
            self._asked.pop(gone, None)
        changed = False
        for run_id in live:
            size = size_of(self.host.folder(run_id).journal)
            if not size:
                continue
            before, looked = self._seen.get(run_id, (None, 0.0))
            busy = self.lines.get(run_id, {}).get("busy", True)
            if size == before and not (busy and time.monotonic() - looked > STATE_S):
                continue
            with contextlib.suppress(PaseoError, OSError):
                self._read(run_id)
                self._seen[run_id] = (size, time.monotonic())
                changed = changed or size != before
        return changed

    def _read(self, run_id: str) -> None:
        run = self._runs.setdefault(run_id, AsyncRun(self.host, run_id))
        state = run.state
        if state in _OVER and run_id not in self._diffs and run.spec.worktree:
            self._diffs[run_id] = _diff_of(run)
        if state in BUSY_STATES:
            self._diffs.pop(run_id, None)
        with run.reading() as history:
            beyond = Beyond(self._diffs.get(run_id))
            head = head_of(history, run.spec, state, beyond)
            self._asked[run_id] = [
                {**ask, "id": f"{run_id}:{ask['id']}", "run": run_id, "about": _about(head)}
                for ask in Rows(history, run.spec, state, now_us()).asks()
            ]
            note, tone = _note(run, history, state)
            if self._asked[run_id]:
                note, tone = _asking(self._asked[run_id][0]), "warn"
        can = [verb for verb in ("cancel", "resume", "retry") if head["can"][verb] is True]
        line = {
            "id": run_id,
            "short": head["short"],
            "state": state,
            "busy": state in BUSY_STATES,
            "group": "done" if head["shape"] == "done" else _GROUP_OF.get(state, "done"),
            "shape": head["shape"],
            "word": head["word"],
            "title": head["title"],
            "note": note,
            "tone": tone,
            "agent": head["agent"],
            "branch": head["branch"],
            "worktree": run.spec.worktree is not None,
            "diff": head["diff"],
            "started_us": head["turn_started_us"] if state in BUSY_STATES else None,
            "took_s": head["turn_took_s"],
            "tokens": head["tokens"],
            "cost_usd": head["cost_usd"],
            "can": can,
            "at_us": run.spec.created_us,
            "background": "background" in run.spec.labels,
            "preview": _preview(history.text) if "background" in run.spec.labels else "",
        }
        if head["shape"] in ("failed", "stopped") and line["group"] == "done":
            line["group"] = head["shape"]
        self._stored[run_id] = line if state != "archived" else {}

    def _of(self, run_id: str) -> Json | None:
        return self._stored.get(run_id) or None

    # ------------------------------------------------------------ runs that are in the store

    def _from_store(self, wanted: set[str]) -> dict[str, Json]:
        from ...store import query

        marks = ", ".join("?" * len(wanted))
        found = query.query(
            self.host.home,
            "select r.run_id, r.state, r.turns, r.provider, r.model_asked, r.title, r.prompt,"
            " r.branch, r.worktree, r.cost_usd, r.total_tokens, epoch_us(r.created_at) as at_us,"
            " r.labels->>'$.background' is not null as background,"
            " t.outcome, t.text, coalesce(t.error, r.error) as error, t.duration_ms"
            " from runs r left join (select run_id, max_by(outcome, turn) as outcome,"
            " max_by(text, turn) as text, max_by(error, turn) as error,"
            " max_by(duration_ms, turn) as duration_ms from turns group by run_id) t"
            f" using (run_id) where r.run_id in ({marks})",
            sorted(wanted),
        )
        lines = {run_id: self._stored[run_id] for run_id in wanted if run_id in self._stored}
        for row in cast(list[Json], found.to_pylist()):
            if row["run_id"] not in lines:
                lines[row["run_id"]] = self._stored_line(row)
        kept = {run_id: self._stored[run_id] for run_id in self._runs if run_id in self._stored}
        return {**lines, **kept}

    def _stored_line(self, row: Json) -> Json:
        state, outcome = str(row["state"]), row["outcome"]
        if state == "archived":
            return {}
        shape = ENDS.get(outcome or "", "done") if state == "idle" else SHAPES.get(state, "queued")
        group = _GROUP_OF.get(state, shape if shape in GROUPS else "done")
        if row["worktree"] and row["run_id"] not in self._diffs and state in _OVER:
            with contextlib.suppress(PaseoError, OSError):
                self._diffs[row["run_id"]] = _diff_of(AsyncRun(self.host, row["run_id"]))
        diff = self._diffs.get(row["run_id"])
        model = row["model_asked"]
        title = row["title"] or str(row["prompt"] or "").strip().split("\n", 1)[0]
        note, tone = (row["error"], "bad") if row["error"] else (_last(row["text"]), "")
        if state == "interrupted":
            note, tone = f"cut off in turn {row['turns']}", "warn"
        return {
            "id": row["run_id"],
            "short": short_id(row["run_id"]),
            "state": state,
            "busy": state in BUSY_STATES,
            "group": group,
            "shape": shape,
            "word": sign(state, outcome).word,
            "title": one_line(title, 70) or "Untitled run",
            "note": one_line(note or "", NOTE),
            "tone": tone,
            "agent": one_line(f"{row['provider']}/{model}" if model else row["provider"], 80),
            "branch": one_line(row["branch"] or "", 80) or None,
            "worktree": row["worktree"] is not None,
            "diff": [len(diff.files), diff.added, diff.removed] if diff is not None else None,
            "started_us": None,
            "took_s": None if row["duration_ms"] is None else number(row["duration_ms"] / 1000),
            "tokens": row["total_tokens"],
            "cost_usd": number(row["cost_usd"]),
            "can": ["resume"] if state in ("interrupted", "stopped") else [],
            "at_us": row["at_us"],
            "background": row["background"],
            "preview": _preview(row["text"]) if row["background"] else "",
        }

    def _spent(self) -> None:
        from ...store import query

        self._cost_at = time.monotonic()
        with contextlib.suppress(PaseoError, OSError):
            found = query.query(
                self.host.home,
                "select count(*) as runs, sum(cost_usd) as cost_usd, sum(cost_usd) filter"
                " (where created_at >= date_trunc('day', now())) as today_usd from runs",
            )
            [row] = found.to_pylist()
            self._cost = {
                "runs": int(row["runs"]),
                "cost_usd": number(row["cost_usd"]),
                "today_usd": number(row["today_usd"]),
            }

    # ------------------------------------------------------------ review

    def _review(self, lines: dict[str, Json]) -> None:
        """What is done in a worktree of its own, and changed something that is not in the project's
        own folder yet, is for review until it is (applied), or until the run is archived."""
        if time.monotonic() - self._merged_at < MERGED_S:
            merged = {i for i, one in lines.items() if one.get("applied")}
        else:
            merged = {i for i, one in lines.items() if one["worktree"] and self._applied(i)}
            self._merged_at = time.monotonic()
        for run_id, line in lines.items():
            changed = bool(line["diff"] and line["diff"][0])
            line["applied"] = run_id in merged
            line.setdefault("plain_group", line["group"])
            review = changed and run_id not in merged and line["state"] in _OVER
            line["group"] = "review" if review else line["plain_group"]

    def _applied(self, run_id: str) -> bool:
        """Whether each file that it changed is the same in the project's own folder."""
        diff = self._diffs.get(run_id)
        try:
            spec = self.host.spec(run_id)
        except PaseoError:
            return False
        if diff is None or not diff.files or spec.repo is None:
            return False
        there, here = Path(spec.cwd), Path(spec.repo)
        return all(_same(there / file.path, here / file.path) for file in diff.files)


def board_of_project() -> Board:
    """The board of the project that the current folder belongs to."""
    return Board(LocalHost(config.home()))


def _same(one: Path, other: Path) -> bool:
    try:
        if not one.exists() or not other.exists():
            return one.exists() == other.exists()
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _diff_of(run: AsyncRun) -> DiffSummary | None:
    try:
        return run.diff_summary()
    except (GitProblem, OSError):
        return None


def _about(head: Json) -> str:
    return one_line(f"{head['title']}, {head['agent']}.", 160)


def _asking(ask: Json) -> str:
    subject = one_line(str(ask["subject"]), 60)
    return f"{ask['question']} {subject}" if subject else str(ask["question"])


def _note(run: AsyncRun, history: History, state: str) -> tuple[str, str]:
    """What it does now, or what came of it; and its tone."""
    turn = history.turn
    if state in BUSY_STATES:
        calls = [call for call in history.tool_calls.values() if call.outcome is None]
        if calls:
            teller = Teller(history, run.spec, state, now_us(), True)
            step = teller.step(calls[-1])
            return one_line(f"{step.word} {step.target}", NOTE), ""
        return ("writing an answer" if history.text else "thinking"), ""
    if history.error is not None:
        return one_line(history.error.message, NOTE), "bad"
    if state == "interrupted":
        return f"cut off in turn {turn.turn if turn else 1}", "warn"
    return _last(history.text), ""


def _preview(text: str | None) -> str:
    """The beginning of an answer, its lines as they are."""
    told = (text or "").strip()
    return clean(told[:PREVIEW]).rstrip() + (" …" if len(told) > PREVIEW else "")


def _last(text: str | None) -> str:
    """The first line of an answer that says something: the preview of a result."""
    lines = (line.replace("`", "").strip("#*- \t") for line in (text or "").splitlines())
    told = [line for line in lines if line]
    best = next((line for line in told if len(line) > 12), told[0] if told else "")
    return one_line(best, NOTE)
