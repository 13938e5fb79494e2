"""Advisor: one second opinion, read-only, from another family of models where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread

from .. import config
from ..drivers import registry
from ..handle import AsyncRun
from .families import family, others
from .working import Start


async def advised(
    start: Start,
    project: Path,
    question: str,
    run: AsyncRun | None,
    agent: str | None,
    prompts: Any,
    options: dict[str, Any],
) -> AsyncRun:
    """The adviser's run, just started; an earlier run goes along in short."""
    if agent is None:
        agent = await anyio.to_thread.run_sync(chosen, project, run)
    given = dict(options)
    if run is not None:
        given |= {"attach": [run, *(given.pop("attach", None) or [])]}
        if given.get("repo") is None and run.path.is_dir():
            given["repo"] = str(run.path)
    labels = {"advises": run.id} if run is not None else {}
    title = f"[Advice] {question.strip().splitlines()[0][:70]}"
    return await start(
        agent, prompts("advisor", question=question), mode="read", labels=labels, title=title,
        **given,
    )  # fmt: skip


def chosen(project: Path, run: AsyncRun | None) -> str:
    """Who advises where nobody is named: the profile `@advisor`, else a signed-in agent of another
    family than the run's."""
    if "advisor" in config.settings(project).profiles:
        return "@advisor"
    not_of: set[str] = set()
    if run is not None:
        model = run.history().model_answered or run.spec.model
        not_of = {family(run.spec.at_heart, model)}
    else:
        asked = config.settings(project).agent
        if asked:
            resolved = registry.resolve(asked, project)
            not_of = {family(resolved.extends or resolved.provider, resolved.model)}
    return others(project, not_of)[0]
