"""The columns of every table and frame, declared as data: DDL, docs, frames and tests share them.

Times are UTC; NULL means "not reported" (0 means zero); tokens in include cached ones; JSON
columns hold JSON text, in SQL (`raw->>'$.a'`) as in a DataFrame (`json.loads`). Longer than other
files, as it is that one list.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Type = Literal["VARCHAR", "BIGINT", "BOOLEAN", "DOUBLE", "JSON", "TIMESTAMPTZ"]


class Column(NamedTuple):
    """One column: its name, DuckDB type, unit ("" where it has none) and meaning in one line."""

    name: str
    type: Type
    unit: str
    meaning: str


def _text(name: str, meaning: str) -> Column:
    return Column(name, "VARCHAR", "", meaning)


def _json(name: str, meaning: str) -> Column:
    return Column(name, "JSON", "", meaning)


def _time(name: str, meaning: str) -> Column:
    return Column(name, "TIMESTAMPTZ", "UTC", meaning)


def _count(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, "BIGINT", unit, meaning)


RUN_ID = _text("run_id", "The run: a sortable id")
TURN = _count("turn", "The turn it belongs to, counted from 1; 0 is before the first")

USAGE = [
    _count("input_tokens", "Tokens in, cached ones included", "tokens"),
    _count("output_tokens", "Tokens out, reasoning included where the agent counts so", "tokens"),
    _count("cache_read_tokens", "Tokens in that came from the provider's cache", "tokens"),
    _count("cache_write_tokens", "Tokens in that were written to the provider's cache", "tokens"),
    _count("reasoning_tokens", "Tokens out that were reasoning", "tokens"),
]
"""What a model used, as reported."""

SPENT = [
    *USAGE,
    _count("total_tokens", "All tokens, as the agent counts them", "tokens"),
    Column("cost_usd", "DOUBLE", "USD", "Cost as the agent reports it"),
    _text("usage_source", "Who told the tokens: agent, session file, several; NULL: nobody did"),
    _text(
        "usage_scope",
        "What the tokens cover: turn (all of it); last model call (the agent tells no more, so they"
        " are NULL after several calls); some turns (a run's sum, not every turn reported)",
    ),
]
"""Tokens and money of a turn or a run."""

RUNS = [
    RUN_ID,
    _text("parent_run_id", "The run that started it"),
    _text("workflow_run_id", "The workflow run that started it"),
    _text("match_id", "The arena match it is a contestant of"),
    _text("forked_from_run", "The run that it was forked off"),
    _count("forked_from_turn", "After which turn of that run"),
    _text(
        "fork_kind",
        "How it knows that conversation: session (the agent forked its own), context (it was told"
        " in short); NULL before its first prompt",
    ),
    _text("label", "The short name its user gave it"),
    _text("title", "The title the agent or the user gave it"),
    _json("labels", "Further labels, an object of texts"),
    _text("session_id", "The agent's own conversation id"),
    _text("session_name", "The name of the session in the notebook (`--session`)"),
    _text("provider", "The way the agent was reached: claude, codex, …"),
    _text("model_asked", "The model that was asked for last; NULL: the agent's default"),
    _text("model_answered", "The model that the agent says it uses"),
    _text("agent_version", "The agent's version"),
    _text("permission_mode", "ask, edit, auto or read"),
    _text("agent_mode", "The agent's own mode (plan, build, …)"),
    _text("effort", "The reasoning effort that was asked for last"),
    _text("host", "The machine it ran on"),
    _text("notebook", "The notebook that started it"),
    _text("cell_id", "The cell that started it"),
    _text("cell_hash", "Hash of what the cell asked"),
    _text("repo", "The repository it works for"),
    _text("worktree", "The name of its worktree"),
    _text("branch", "The git branch it works on"),
    _text("git_base", "The commit it started from"),
    _text("git_head", "The commit of its last snapshot"),
    _text("cwd", "The folder it works in"),
    _text("prompt", "Its first prompt"),
    _text("state", "One of the states of a run; true at the time of the query"),
    _text("error", "What went wrong in its last turn"),
    _time("created_at", "When it was asked for"),
    _time("started_at", "When its processes first started"),
    _time("finished_at", "When its last turn ended; NULL while one goes on"),
    _count("turns", "How many turns it has had"),
    _count("tool_calls", "How many tool calls it has made"),
    *SPENT,
]
"""One row per run. Filters `since=` and `until=` look at `created_at`."""

TURNS = [
    RUN_ID,
    _count("turn", "Its number, counted from 1"),
    _text("origin", "Who prompted: user, or the part of paseo_nb that did"),
    _text("prompt", "The prompt's text"),
    _text("text", "The agent's text after the turn's last tool call, else its last text"),
    _json("value", "The answer that fits the run's schema, where it has one"),
    _text("outcome", "end_turn, cancelled, refused, limit, error, interrupted; NULL: it goes on"),
    _text("stop_reason", "Why it stopped, in the agent's word"),
    _text("error", "What went wrong"),
    _time("started_at", "When the prompt was given"),
    _time("finished_at", "When it ended"),
    Column("duration_ms", "DOUBLE", "ms", "From prompt to end"),
    _count("tool_calls", "How many tool calls it has made"),
    _text("git_before", "The commit of the files as they were at its start; NULL: not kept"),
    _text("git_after", "The commit of the files as they were at its end; NULL: not kept"),
    _count("files_changed", "How many files differ between the two"),
    _count("lines_added", "Lines added to text files", "lines"),
    _count("lines_removed", "Lines removed from text files", "lines"),
    *SPENT,
    _count("context_used", "How full the model's context was at its end", "tokens"),
    _count("context_size", "How much the model's context holds", "tokens"),
    _count("first_seq", "Its first event"),
    _count("last_seq", "Its last event: the turn's end"),
]
"""One row per turn. Filters `since=` and `until=` look at `started_at`."""

EVENTS = [
    RUN_ID,
    _count("seq", "Its number in the run, counted from 1 without a gap; -1: a damaged line"),
    _time("time", "When it was written down"),
    TURN,
    _text("dir", "in: the agent said it; out: it was told; own: paseo_nb's own fact"),
    _text("kind", "ACP's update kind, the method of a message, `retry`, or the kind of our fact"),
    _text("text", "Its plain text, where it has any"),
    _text("tool_call_id", "The tool call it is about"),
    _json("raw", "The message itself, secrets masked"),
]
"""One row per line of a run's journal. Filters `since=` and `until=` look at `time`."""

TOOL_TRACES = [
    RUN_ID,
    TURN,
    _text("tool_call_id", "The agent's id of the call; unique within a turn"),
    _count("seq", "The event that began it"),
    _text("tool_name", "The tool's name where the agent tells it, else its kind"),
    _text("kind", "read, edit, delete, move, search, execute, think, fetch, other"),
    _text("title", "What the agent calls it"),
    _json("input", "The arguments"),
    _json("output", "The result, else the content shown for it"),
    _time("started_at", "When it began; NULL: the agent told of it when it was over"),
    _time("finished_at", "When it ended"),
    Column("latency_ms", "DOUBLE", "ms", "From request to result, by the monotonic clock"),
    _count("input_tokens", "What its result added to the next request", "tokens"),
    _count("output_tokens", "Its share of the answer that asked for it", "tokens"),
    *(
        _count(column.name, "Of a tool call nobody tells it: NULL", "tokens")
        for column in USAGE[2:]
    ),
    _text("error", "What went wrong"),
    _text("outcome", "completed, failed, cancelled, interrupted; NULL: it goes on"),
    _text(
        "tokens_source", "Of `input_tokens`: reported (by the next request), estimated (by size)"
    ),
]
"""One row per tool call. Filters `since=` and `until=` look at `started_at`, else `finished_at`."""

PERMISSIONS = [
    RUN_ID,
    _text("permission_id", "p and the seq of the question's event"),
    TURN,
    _text("tool_call_id", "The tool call it is about"),
    _text("title", "What the agent asks for"),
    _text("kind", "The kind of tool"),
    _json("input", "The arguments of the tool"),
    _json("options", "The answers that the agent offered"),
    _text("outcome", "allowed, denied or cancelled; NULL: it waits"),
    _text("option_id", "The option that was chosen; NULL: none, as the turn was cancelled"),
    _text(
        "answered_by",
        "user (a person), callback (`on_permission=`), policy (a rule or the mode), timeout,"
        " cancel (of the turn), agent (it took the question back), turn end",
    ),
    _text("rule", "The rule of `allow=` and `deny=`, or of the mode, that decided"),
    _text("message", "What was said with the answer"),
    _json("edited", "The input that was given in place of the agent's own"),
    _time("asked_at", "When the agent asked"),
    _time("answered_at", "When it was answered"),
    Column("wait_ms", "DOUBLE", "ms", "From question to answer"),
]
"""One row per question of an agent. Filters `since=` and `until=` look at `asked_at`."""

MODEL_CALLS = [
    RUN_ID,
    TURN,
    _text("message_id", "The model's own id of its answer, else m and the seq of its first event"),
    _count("seq", "The event that first told of it"),
    _text("model", "The model that answered"),
    *USAGE,
    Column("cost_usd", "DOUBLE", "USD", "What it cost, where the agent tells that by the call"),
    _text("usage_source", "Who told its tokens: agent, session file, or recorder"),
    _text("stop_reason", "Why the model stopped, in its own word"),
    _text("error", "What went wrong"),
    _time(
        "started_at", "When it began, where a session file tells; else when it was first told of"
    ),
    _time("finished_at", "When it ended, where a session file tells; else when last told of"),
    _count("status", "HTTP's, where a recorder saw it"),
    Column("first_token_ms", "DOUBLE", "ms", "Until its first token, where a recorder saw it"),
    _count("attempt", "Which try of the same request it is, from 1, where a recorder saw it"),
]
"""One row per request to a model, where the agent tells of it or a recorder saw it. Filters
`since=` and `until=` look at `started_at`."""

TRANSCRIPT = [
    _count("seq", "The event that began it"),
    TURN,
    _text("role", "user, agent or system"),
    _text("kind", "message, thought, plan, tool_call, permission, note"),
    _text("text", "Its plain text"),
    _text("title", "A tool call's or permission's title; who prompted, where not the user"),
    _text("outcome", "How a tool call, permission or failed turn ended"),
    _time("started_at", "When it began"),
    _time("finished_at", "When it ended"),
]
"""One row per message, thought, plan, tool call and permission of one run (`run.transcript()`)."""

WORKTREES = [
    _text("worktree", "Its name, under `.paseo_nb/worktrees`"),
    _text("run_id", "The newest run that worked in it; NULL: none that is here"),
    _text("state", "That run's state, true now; archived: what it held is kept, and it is gone"),
    _text("branch", "The branch it is on; NULL: its HEAD is detached"),
    _text("base", "The commit that its run started from"),
    _text("head", "The commit it stands on; of an archived one, that it stood on"),
    _text("onto", "What it is compared with: the branch of the repository's main folder"),
    _count("ahead", "Commits that it has and `onto` has not", "commits"),
    _count("behind", "Commits that `onto` has and it has not", "commits"),
    _count("dirty", "Files changed or untracked in it, not committed", "files"),
    _count("size_bytes", "What its files take on the disk, ignored ones too", "bytes"),
    _text("path", "Where it lies"),
    _text("repo", "The repository that it belongs to"),
    _text("problem", "Why something of it could not be told"),
]
"""One row per worktree of the project, as it stands now (`paseo.worktrees()`)."""

DISK = [
    _text(
        "kind",
        "worktrees, journals, packed journals, run files, blobs, workflow runs, index, refs",
    ),
    _count("items", "How many of them"),
    _count("bytes", "What they take on the disk; of refs, what only they keep in git", "bytes"),
    _text("path", "Where they lie"),
]
"""One row per kind of thing that the project keeps (`paseo.disk()`)."""

PRUNE = [
    _text(
        "kind",
        "run, workflow (folder and refs), journal (to be packed), worktree, unfinished, refs (of a"
        " run whose folder was deleted), blob, leftover",
    ),
    _text("name", "Its name, or its run's id"),
    _text("run_id", "The run that it is of"),
    _count(
        "bytes", "What it takes on the disk; of a journal, about what packing it frees", "bytes"
    ),
    Column("goes", "BOOLEAN", "", "Whether it goes, or has gone; what cannot is listed too"),
    _text("why", "Why it may go, or must stay"),
    _text("path", "Where it lies"),
]
"""One row per thing that `paseo.prune()` removes, or keeps although nobody uses it."""

STEPS = [
    _text("workflow_run_id", "The workflow run: a sortable id"),
    _text("workflow", "The workflow's name"),
    _text("step", "The step within it: the beginning of its key, and which of that key it is"),
    _text("label", "Its label"),
    _text("phase", "The phase that it belongs to"),
    _text("part", "The workflows within the workflow that it is in, joined by `/`"),
    _text("agent", "`provider/model`"),
    _text(
        "state",
        "running, done, cached (taken from another workflow run), failed, cancelled, superseded (it"
        " was asked for otherwise), unclaimed (not asked for again), interrupted",
    ),
    _count("attempt", "How often it was tried"),
    _text("run_id", "The run of its last attempt; of a cached one, of the step it is taken from"),
    _text("origin", "The workflow run that a cached one is taken from"),
    _time("started_at", "When it was first issued"),
    _time("ended_at", "When it ended"),
    Column("duration_ms", "DOUBLE", "ms", "From its issue to its end, waiting included"),
    *USAGE,
    Column("cost_usd", "DOUBLE", "USD", "What all its attempts cost; 0 of a cached one"),
    _text("cause", "Why it did not end well"),
    _text("message", "The same in words"),
    _text("commit", "The files when it ended, where it may have changed some"),
    _text("branch", "The branch of its own worktree"),
    _text("key", "SHA-256 over what it asks for"),
]
"""One row per step of workflow runs (`paseo.steps()`)."""

WORKFLOW_RUNS = [
    _text("workflow_run_id", "The workflow run: a sortable id"),
    _text("workflow", "The workflow's name"),
    _text("state", "running, done, failed, stopped, interrupted (its process died)"),
    _time("started_at", "When it was first called"),
    _time("ended_at", "When it ended; NULL while it goes on, or was cut off"),
    _count("steps", "Its steps so far"),
    _count("running", "How many of them go on"),
    _count("cached", "How many were taken from other workflow runs"),
    _count("failed", "How many failed"),
    _count("tokens", "Tokens of all attempts, in and out", "tokens"),
    Column("cost_usd", "DOUBLE", "USD", "What all attempts of its steps cost"),
    Column("budget_usd", "DOUBLE", "USD", "What it may spend; NULL: no budget"),
    _text("args", "What it was called with, as JSON"),
    _text("message", "Why it did not end well"),
]
"""One row per call of a workflow that began a run of it (`paseo.workflow_runs()`)."""

TIMELINE = [
    RUN_ID,
    _count("depth", "0, or how many forks deep the run is below the one that was asked for"),
    _text("agent", "`provider/model`, as asked"),
    _count("turn", "The turn that it is, or happened in or after; 0: before the first"),
    _text("kind", "turn, permission, steer, resume, undo, apply, archive, fork"),
    _text("text", "The prompt, or what happened"),
    _time("started_at", "When it began"),
    _time("finished_at", "When it ended; NULL while it goes on, and where it took no time"),
    _count("duration_ms", "How long it took", "ms"),
    _count("waited_ms", "Of a turn: how long it waited for answers to permissions", "ms"),
    _text("outcome", "How a turn or a permission ended; of a fork: session or context"),
    _count("tokens", "Tokens of a turn, in and out", "tokens"),
    Column("cost_usd", "DOUBLE", "USD", "Cost of a turn as the agent reports it"),
    _count("tool_calls", "Tool calls of a turn"),
    _count("files_changed", "Files that differ between a turn's start and end"),
]
"""One row per turn, and what happened in and between turns (`run.timeline().frame`)."""

FRAMES: dict[str, list[Column]] = {
    "runs": RUNS,
    "turns": TURNS,
    "events": EVENTS,
    "tool_traces": TOOL_TRACES,
    "permissions": PERMISSIONS,
    "model_calls": MODEL_CALLS,
}
"""The tables of the index, which are the frames and the views of `paseo.sql` too."""

LOOKED_AT: dict[str, list[Column]] = {
    "worktrees": WORKTREES,
    "disk": DISK,
    "prune": PRUNE,
    "steps": STEPS,
    "workflow_runs": WORKFLOW_RUNS,
}
"""Frames that are no tables of the index: what they tell is looked at when they are asked for."""

_MS = "ms"
_SHARE = "0 to 1"


def _real(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "DOUBLE", unit, meaning)


TRACE = [
    RUN_ID,
    _text("span_id", "The span: its run's id, its turn, and the event that began it"),
    _text("parent_id", "The span that it lies in; NULL: the run that was asked for"),
    _count("depth", "How deep it lies; 0 is the run that was asked for"),
    _count("turn", "The turn it belongs to; 0: a run"),
    _text(
        "kind",
        "workflow, step, run, turn, model_call, tool_call, permission, retry, compaction",
    ),
    _text("name", "What it is called"),
    _text("detail", "A turn's prompt, a permission's answer, why a model call stopped"),
    _text("agent", "`provider/model`, as asked"),
    _text("model", "The model that answered"),
    _text("tool_name", "The tool's name where the agent tells it, else its kind"),
    _text("tool_kind", "read, edit, delete, move, search, execute, think, fetch, other"),
    _text("tool_call_id", "The agent's id of the call; unique within a turn"),
    _text("asked_by", "Of a tool call: the span of the model call that asked for it, where told"),
    Column(
        "parallel",
        "BOOLEAN",
        "",
        "Of a tool call: whether one answer of the model asked for others too, or others went on"
        " meanwhile",
    ),
    _time("started_at", "When it began; NULL: a tool call that was told when it was over"),
    _time("finished_at", "When it ended; NULL: it goes on, or that is not known"),
    _real("latency_ms", _MS, "From beginning to end; a tool call's wait for a permission counts"),
    _real(
        "first_token_ms",
        _MS,
        "Of a turn: until its first text, thought or tool call; of a model call: where a recorder"
        " saw it",
    ),
    _text("outcome", "How it ended, as in turns, tool_traces and permissions"),
    _text(
        "error_class",
        "What went wrong in one word: denied, rate_limit, auth, context_overflow, timeout,"
        " not_found, test_failure, exit_code, …, other; NULL: nothing did",
    ),
    _text("error", "What went wrong"),
    *USAGE,
    _real("cost_usd", "USD", "Cost as the agent reports it"),
    _count(
        "call_output_tokens",
        "Of a tool call: the output of the model call that asked for it, split over its tool calls",
        "tokens",
    ),
    _count(
        "result_tokens",
        "Of a tool call: what the next request grew by, split over the results by their bytes; else"
        " estimated from its bytes",
        "tokens",
    ),
    _text("tokens_source", "Where result_tokens are from: reported or estimated"),
    _json("paths", "Of a tool call: the files that it names, a list"),
    _json("input", "A prompt, or a tool's arguments"),
    _json("output", "A turn's text, or a tool's result"),
]
"""One row per span of a run and of the runs that it started (`paseo.trace(run).frame`)."""

TOOL_NAME = _text("tool_name", "The tool's name where the agent tells it, else its kind")

CACHE_SHAPE = [
    RUN_ID,
    TURN,
    _count("request", "Its number in the run, counted from 1"),
    _text("message_id", "As in model_calls"),
    _text("model", "The model that answered"),
    _time("started_at", "When it began"),
    _count("input_tokens", "Tokens in, cached ones included", "tokens"),
    _count("cache_read_tokens", "Those that came from the provider's cache", "tokens"),
    _count("cache_write_tokens", "Those that were written to it", "tokens"),
    _real("hit_rate", _SHARE, "cache_read / input"),
    _real("cumulative_hit_rate", _SHARE, "The same of all requests so far, weighted by tokens"),
    _count("shared_tokens", "What leads the last request too; NULL: not seen", "tokens"),
    _count("reusable_tokens", "What could have been read, had nothing been in the way", "tokens"),
    _count("lost_tokens", "Of these, those that were billed again", "tokens"),
    _text(
        "cause",
        "Why: system prompt, timestamp, tool added, tool removed, tool changed, tool order, message"
        " edited, new attachment, model switch, ttl, below minimum, compaction, no breakpoint,"
        " provider, unseen change; NULL: no miss",
    ),
    _text("reason", "The same in words"),
    _text("changed", "The segment that was changed"),
    _text("diff", "What changed in it, where its text was kept (`record_content=True`)"),
    _text("seen", "exact: what was sent is known; estimated: from sizes and times alone"),
    _real("input_usd", "USD", "What the input cost, by the price table"),
    _real("without_cache_usd", "USD", "What it had cost without a cache"),
    _real("saved_usd", "USD", "The difference; negative: writing cost more than reading saved"),
    _real("saved_so_far_usd", "USD", "The same of all requests so far"),
    _real("lost_usd", "USD", "What the miss cost more than a hit"),
    _json("segments", "What was sent, in order: kind, name, hash, size in bytes; NULL: not seen"),
]
"""One row per model request (`paseo.cache_shape(run).frame`)."""

TRACED: dict[str, list[Column]] = {
    "trace": TRACE,
    "cost": [
        RUN_ID,
        _text("level", "run, turn or model_call; rows of one level can be summed"),
        _count("turn", "The turn; NULL: a run"),
        _text("span_id", "The span in trace"),
        _text("agent", "`provider/model`, as asked"),
        _text("model", "The model that was priced"),
        _time("started_at", "When it began"),
        *USAGE,
        _real("computed_usd", "USD", "Cost by the price table; NULL: see `why`"),
        _real("reported_usd", "USD", "Cost as the agent reports it"),
        _real("difference_usd", "USD", "reported - computed"),
        Column("differs", "BOOLEAN", "", "Whether they differ by more than 1 %"),
        _real("without_cache_usd", "USD", "What it had cost had nothing been cached"),
        _real("saved_usd", "USD", "without_cache - computed; negative: the cache cost more"),
        _text("price_source", "The price table and its version, or [prices] of the settings"),
        _text("why", "Why no cost is computed"),
    ],
    "cache_shape": CACHE_SHAPE,
    "cache_misses": CACHE_SHAPE,
    "cache_turns": [
        RUN_ID,
        TURN,
        _count("requests", "Model requests of the turn"),
        _count("input_tokens", "Tokens in, of those that tell their cache", "tokens"),
        _count("cache_read_tokens", "Those from the cache", "tokens"),
        _real("hit_rate", _SHARE, "cache_read / input"),
        _real("cumulative_hit_rate", _SHARE, "The same of all turns so far"),
    ],
    "slowest_tools": [
        TOOL_NAME,
        _count("calls", "Its calls whose times are known"),
        _real("total_ms", _MS, "What they took together"),
        _real("median_ms", _MS, "The median"),
        _real("max_ms", _MS, "The longest"),
        _real("share", _SHARE, "Of the time of all tools"),
    ],
    "error_rates": [
        TOOL_NAME,
        _count("calls", "How often it was called"),
        _count("failed", "How often that failed, was denied or broken off"),
        _real("rate", _SHARE, "failed / calls"),
        _text("error_class", "The most frequent class of error"),
    ],
    "time_spent": [
        _text("what", "waiting (for a person), sub-agents, tools, model, between turns"),
        _real("seconds", "s", "How long; each moment counts once, for the first of these"),
        _real("share", _SHARE, "Of the run's time"),
    ],
    "retries": [RUN_ID, TURN, _time("time", "When"), _text("text", "What the agent told of it")],
    "repeated_steps": [
        RUN_ID,
        TOOL_NAME,
        _json("input", "The arguments"),
        _count("times", "How often it was called with them"),
        _count("failed", "How often that failed"),
    ],
    "files_read": [
        _text("path", "The file, as the agent names it"),
        _count("reads", "Tool calls of kind read or search that name it"),
        _count("result_tokens", "What their results took, as in trace", "tokens"),
    ],
    "first_tokens": [
        RUN_ID,
        TURN,
        _text("agent", "`provider/model`, as asked"),
        _real("first_token_ms", _MS, "From the turn's start to its first text or tool call"),
    ],
}
"""Frames that `tracing` makes from journals."""

SHOWN = {
    "runs": "run_id state provider model_asked title created_at turns cost_usd total_tokens branch",
    "turns": "run_id turn outcome prompt text started_at duration_ms total_tokens cost_usd",
    "events": "run_id seq time turn dir kind text",
    "tool_traces": "run_id turn tool_name title outcome started_at latency_ms error",
    "permissions": "run_id permission_id title outcome answered_by rule asked_at wait_ms",
    "model_calls": "run_id turn model input_tokens output_tokens cache_read_tokens error",
    "steps": "workflow step label phase agent state attempt duration_ms cost_usd run_id message",
    "workflow_runs": "workflow_run_id workflow state started_at steps cached failed cost_usd args",
    "trace": "kind name detail outcome started_at latency_ms input_tokens output_tokens cost_usd",
    "worktrees": "worktree run_id state branch ahead behind dirty size_bytes problem",
}
"""What is shown of a frame where nobody named columns, the most telling first."""

NOTE = "paseo"
"""The key of a DataFrame's `attrs` that says which frame it is."""

TIME_OF = {
    "runs": "created_at",
    "turns": "started_at",
    "events": "time",
    "tool_traces": "coalesce(started_at, finished_at)",
    "permissions": "asked_at",
    "model_calls": "started_at",
}
"""The column that `since=` and `until=` look at."""


def names(columns: list[Column]) -> list[str]:
    """Their names, in order."""
    return [column.name for column in columns]
