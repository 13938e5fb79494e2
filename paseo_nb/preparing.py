"""From what a user wrote to a RunSpec: agent, prompt, place, limits, content key.

Everything that can be refused is refused here, before a file is written or a process started.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec

from . import attaching, budgets, config, refusing, setting_up, unfinished
from .conducting import offering
from .drivers import registry
from .drivers.differing import differences_of
from .drivers.filling import variables
from .drivers.holding import doubt, not_held, unreached
from .environments import environment, put_over, remember
from .errors import GitProblem, ReplayMiss, UsageProblem
from .finding import live_in
from .git import snapshots, worktrees
from .git.commands import Repository
from .git.fidelity import not_kept
from .host.base import Launch
from .host.local import LocalHost
from .mcp_secrets import lifted
from .mcp_sets import servers_of
from .model import MODES, Limits, Mode, Rule, RunSpec, now_us
from .orphans import note_home
from .recorder.pointing import NotRecorded, Pointed, point
from .typed import json_schema

LAUNCH_S = 60.0
STEP_IDLE_S = 1.0  # a step is one turn: its agent need not wait for another


class Cell(msgspec.Struct, omit_defaults=True):
    """Where a launch was written: the notebook and the cell, as far as the kernel knows."""

    notebook: str | None = None
    cell_id: str | None = None


class Wish(msgspec.Struct):
    """The options of `run` and `start`, as the user gave them."""

    agent: str | None
    prompt: str
    worktree: str | None = None
    base: str | None = None
    shared: bool = False
    repo: str | None = None
    mode: str | None = None
    agent_mode: str | None = None
    effort: str | None = None
    label: str | None = None
    title: str | None = None
    labels: Mapping[str, str] | None = None
    env: Mapping[str, str] | None = None
    mcp: Mapping[str, Any] | None = None
    schema: Any = None
    allow: Sequence[str] | None = None
    deny: Sequence[str] | None = None
    attach: attaching.Attachments = None
    budget: float | None = None
    token_budget: int | None = None
    timeout: float | None = None
    permission_timeout: float | None = None
    session: str | None = None
    cell: Cell | None = None
    conduct: bool = False
    steps: Sequence[str] | None = None
    record: Literal["calls", "content"] | None = None
    receivers: list[dict[str, Any]] = []  # `inbox.Receiver`s, as a spec has them
    most: Limits | None = None  # of whoever it is started by
    workflow_run: str | None = None
    match: str | None = None


class Prepared(msgspec.Struct):
    """A wish that can be carried out. `key` is its content key; nothing has been made yet."""

    wish: Wish
    resolved: registry.Resolved
    settings: config.Settings
    blocks: list[dict[str, Any]]
    mode: Mode
    repo: Path
    key: str
    mcp: list[dict[str, Any]] = []
    secrets: dict[str, str] = {}  # of its MCP servers: handed over, never written
    schema: dict[str, Any] | None = None
    rules: list[Rule] = []
    asking: dict[str, str] = {}
    asks: bool | None = None
    conduct: Literal["stdio", "http"] | None = None


def prepare(wish: Wish, host: LocalHost) -> Prepared:
    """Check a wish. UsageProblem, NotTrusted or GitProblem say what is wrong with it."""
    for name in ("allow", "deny", "steps"):
        if isinstance(getattr(wish, name), str):
            setattr(wish, name, [getattr(wish, name)])
    refusing.check_types(wish)
    prompt = refusing.checked_prompt(wish.prompt)
    root = project_of(host)
    settings = config.settings(root)
    agent = wish.agent or settings.agent
    if not agent:
        raise UsageProblem(
            f"no agent named for the prompt {prompt[:40]!r}: write provider/model before it, as"
            " demo/fixer, or set `agent` in the configuration (PASEO_NB_AGENT)"
        )
    environment = {**os.environ, **(wish.env or {})}
    resolved = registry.resolve(agent, root, environment, to_start=not settings.replay)
    mode = wish.mode or resolved.mode or settings.mode or ("edit" if wish.worktree else "ask")
    if mode not in MODES:
        raise UsageProblem(f"no mode {mode!r}; there are {', '.join(MODES)}")
    wanted = {**resolved.mcp_set, **(wish.mcp or {})}
    mcp, secrets = lifted(servers_of(wanted))
    refusing.check_mcp(resolved, mcp)
    conduct = offering.how(resolved.provider, resolved.mcp, mode, wanted) if wish.conduct else None
    if wish.steps and conduct is None:
        raise UsageProblem("steps= are done by an agent that has our tools: add conduct=True")
    budgets.check(wish.budget, resolved, settings)
    for name in variables(mcp):
        if name not in os.environ and name not in {**(wish.env or {}), **secrets}:
            raise UsageProblem(f"mcp: {name} is not set: os.environ[{name!r}] = …")
    schema = json_schema(wish.schema)
    rules = [*refusing.rules_of("deny", wish.deny), *refusing.rules_of("allow", wish.allow)]
    asking = put_over(
        resolved.made_to_ask(mode, rules), {**os.environ, **resolved.env, **(wish.env or {})}
    )
    if resolved.unnamed is not None:
        raise UsageProblem(resolved.unnamed)
    asks = bool(asking) if resolved.asking else resolved.asks
    why = not_held(resolved.provider, asks, resolved.asking_modes, mode, rules, wish.agent_mode)
    if why is not None:
        raise UsageProblem(why)
    # An agent that starts another works on in its own worktree, not in the project's root.
    repo = Path(wish.repo).expanduser().resolve() if wish.repo else config.git_top(config.here())
    if not repo.is_dir():
        raise UsageProblem(f"repo={wish.repo!r} is no folder")
    if wish.worktree is not None and not wish.worktree.strip():
        raise UsageProblem("worktree='' names none: leave it out to work in the folder itself")
    if wish.base is not None and wish.worktree is None:
        raise UsageProblem("base= says what a worktree's branch starts from: name one by worktree=")
    blocks = [{"type": "text", "text": prompt}, *attaching.blocks_of(wish.attach, host)]
    refusing.check_images(registry.providers(root)[resolved.provider], blocks)
    named = f"{resolved.provider}/{resolved.model}" if agent.strip()[:1] == "@" else agent
    key = content_key(
        wish, named, mode, blocks, os.path.relpath(repo, root), schema=schema,
        effort=wish.effort or resolved.effort, mcp=wanted,
    )  # fmt: skip
    return Prepared(
        wish,
        resolved,
        settings,
        blocks,
        mode,
        repo,
        key,
        mcp,
        secrets,
        schema,
        rules,
        asking,
        asks,
        conduct,
    )


def provider_of(agent: str, project: Path) -> str:
    """The provider of an agent, also of one named by a profile."""
    return registry.resolve(agent, project, os.environ).provider


def project_of(host: LocalHost) -> Path:
    """The project whose settings hold for a host's runs."""
    return host.home.parent if host.home.name == ".paseo_nb" else config.project_root()


def check_no_replay(host: LocalHost) -> None:
    """ReplayMiss where no agent is to be started, nor to be sent anything."""
    if config.settings(project_of(host)).replay:
        raise ReplayMiss(
            "PASEO_NB_REPLAY=1 answers from journals only: nothing is sent to an agent."
            " Unset it to go on with a run, or to start one."
        )


def content_key(
    wish: Wish,
    agent: str,
    mode: str,
    blocks: list[dict[str, Any]],
    repo: str,
    turn: int = 1,
    schema: dict[str, Any] | None = None,
    effort: str | None = None,
    mcp: Mapping[str, Any] | None = None,
) -> str:
    """SHA-256 over what makes a launch what it is; the base commit is not in it."""
    parts = {
        "prompt": blocks,
        "agent": agent,
        "session": [wish.session, turn],
        "mode": mode,
        "agent_mode": wish.agent_mode,
        "effort": effort,
        "mcp": mcp or {},
        "schema": schema,
        "rules": [list(wish.allow or ()), list(wish.deny or ())],
        "repo": repo,
        "worktree": wish.worktree,
    }
    if wish.conduct:
        parts["conduct"] = list(wish.steps or ())
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _masked(text: str | None, env: Mapping[str, str]) -> str | None:
    """Text without the secrets that it may repeat: labels and titles are kept and shown."""
    if not text:
        return text
    from .supervisor.masking import Masker, secrets_in

    return Masker(secrets_in({**os.environ, **env}))(text.encode()).decode()


def _pointed(
    wish: Wish, resolved: registry.Resolved, env: Mapping[str, str], cwd: Path
) -> tuple[Pointed | None, str | None]:
    """How the agent is pointed at a recorder, where one is wished for, or why it is not."""
    if wish.record is None:
        return None, None
    try:
        return point(resolved.extends, resolved.model, {**os.environ, **env}, cwd), None
    except NotRecorded as why:
        return None, f"not recorded: {why}"


def make(prepared: Prepared, host: LocalHost, run_id: str) -> Launch:
    """Make the worktree and the spec of a new run. GitProblem."""
    wish, resolved, settings = prepared.wish, prepared.resolved, prepared.settings
    cwd, branch, base = prepared.repo, None, None
    setup, said = None, list[str]()
    if wish.worktree:
        name = wish.worktree
        unfinished.check(host, host.home / "worktrees" / name, run_id)

        def made(repository: Repository, commit: str) -> None:
            setting_up.check(settings, repository, commit)
            unfinished.note(host, run_id, repository, name, commit)

        tree = worktrees.ensure_worktree(
            prepared.repo,
            wish.worktree,
            host.home,
            lambda path: None if wish.shared else live_in(host, path),
            wish.base,
            made,
        )
        cwd, branch = tree.path, tree.branch
        setup, said = setting_up.for_run(settings, tree)
        if tree.dirty:
            files = f"{tree.dirty} file{'s' if tree.dirty > 1 else ''}"
            said.append(
                f"worktree {wish.worktree!r} was there already, on {branch or 'no branch'} at"
                f" {tree.base[:8]}, with {files} not committed"
            )
    try:
        with ThreadPoolExecutor(2) as beside:
            unfaithful = beside.submit(not_kept, cwd)
            on = None if branch else beside.submit(worktrees.current_branch, cwd)
            note_home(host, Repository(cwd), run_id)
            base = snapshots.snapshot(cwd, ref=f"refs/paseo/{run_id}/base")
            branch = on.result() if on is not None else branch
            said += unfaithful.result()
    except GitProblem:
        if wish.worktree:
            raise
    limits = Limits(
        timeout_s=wish.timeout if wish.timeout is not None else settings.timeout,
        silence_s=settings.silence,
        permission_timeout_s=(
            settings.permission_timeout
            if wish.permission_timeout is None
            else wish.permission_timeout
        ),
        idle_s=min(settings.idle, STEP_IDLE_S) if wish.workflow_run else settings.idle,
        start_s=settings.start_timeout,
        cost_usd=wish.budget if wish.budget is not None else settings.budget,
        tokens=wish.token_budget if wish.token_budget is not None else settings.token_budget,
        depth=settings.conduct_depth if wish.conduct else 0,
        children=settings.conduct_children if wish.conduct else 0,
        common=budgets.common(settings),
    )
    if wish.most is not None:
        limits = offering.within(limits, wish.most)
    env = {**resolved.env, **(wish.env or {}), **prepared.secrets, **prepared.asking}
    pointed, unrecorded = _pointed(wish, resolved, env, cwd)
    env |= {} if pointed is None else put_over(pointed.env, {**os.environ, **env})
    doubtful = doubt(
        resolved.provider, prepared.asks, resolved.asks_to_look, prepared.mode, prepared.rules
    )
    allows = differences_of(resolved.extends).allows
    listed = None if allows is None else allows(cwd, {**os.environ, **env})
    past = unreached(resolved.provider, listed, prepared.mode, prepared.rules)
    # of a workflow's budget each step has what is left: one that tells nothing counts none of it
    asked = wish.budget is not None and wish.workflow_run is None
    pricing, unkept = budgets.pricing(limits, asked, resolved, settings)
    remember(run_id, prepared.secrets)
    labels = {name: _masked(value, env) or "" for name, value in (wish.labels or {}).items()}
    labels |= {"session": wish.session} if wish.session else {}
    cell = wish.cell or Cell()
    spec = RunSpec(
        run_id=run_id,
        created_us=now_us(),
        provider=resolved.provider,
        command=[
            *resolved.launched(None, limits.cost_usd, prepared.mode, prepared.rules),
            *([] if pointed is None else pointed.args),
        ],
        cwd=str(cwd),
        dialect=resolved.dialect,
        extends=resolved.extends,
        tested=resolved.tested,
        model=resolved.model,
        model_by=resolved.model_by,
        prompt=prepared.blocks,
        mode=prepared.mode,
        rules=prepared.rules,
        agent_mode=wish.agent_mode,
        asks=prepared.asks,
        asking_modes=None if resolved.asking_modes is None else list(resolved.asking_modes),
        warnings=[*(one for one in (doubtful, past, unkept, unrecorded) if one is not None), *said],
        effort=wish.effort or resolved.effort,
        label=_masked(wish.label, env),
        title=_masked(wish.title, env),
        labels=labels,
        env_names=sorted({*env, *variables(prepared.mcp)}),
        auth_method=resolved.auth_method,
        mcp=[*prepared.mcp, *offering.servers(prepared.conduct, run_id, host.home)],
        schema=prepared.schema,
        limits=limits,
        pricing=pricing,
        write_roots=[str(cwd)],
        parent_run_id=os.environ.get("PASEO_RUN"),
        workflow_run_id=wish.workflow_run,
        match_id=wish.match,
        session_name=wish.session,
        notebook=cell.notebook,
        cell_id=cell.cell_id,
        cell_hash=prepared.key,
        repo=str(prepared.repo),
        worktree=wish.worktree,
        branch=branch,
        git_base=base,
        setup=setup,
        conduct=prepared.conduct,
        receivers=wish.receivers,
        steps=list(wish.steps or ()),
        record=None if pointed is None else wish.record,
    )
    more = {**env, **(setup.env if setup is not None else {})}
    return Launch(spec, environment(more, apart=wish.match is not None))
