"""The outputs of a cell: one story in every form, and what goes beside it as metadata."""

from __future__ import annotations

from typing import Any

from ...git.values import DiffSummary
from ...history import History
from ...model import RunSpec
from . import as_html, as_markdown, as_plain
from .facts import agent_of, total_tokens
from .story import tell


def bundle(
    history: History,
    spec: RunSpec,
    *,
    state: str,
    diff: DiffSummary | None,
    now_us: int,
    live: bool,
    cached: bool = False,
) -> dict[str, str]:
    """A run as a mime bundle: `text/html`, `text/markdown`, `text/plain`.

    `live` renders the compact view of a run that goes on (at most 40 kB in all), else the story
    that stays in the notebook (at most 200 kB). `state` is the run's derived state; `diff` what it
    changed so far, None where not known; `cached` marks an answer that was found, not paid for.
    """
    story = tell(history, spec, state=state, diff=diff, now_us=now_us, live=live, cached=cached)
    return {
        "text/html": as_html.html_of(story, as_html.LIVE if live else as_html.FINAL),
        "text/markdown": as_markdown.markdown_of(
            story, as_markdown.LIVE if live else as_markdown.FINAL
        ),
        "text/plain": as_plain.plain_of(story, as_plain.LIVE if live else as_plain.FINAL),
    }


def metadata(
    history: History, spec: RunSpec, state: str | None = None, project: str | None = None
) -> dict[str, Any]:
    """Display metadata: which run this output shows, by whom, at what cost (USD), in which state
    (as derived, where that is given); unknown: None. `project`: the folder of its project as seen
    from the notebook's, where that is of another."""
    usage = history.usage
    elsewhere = {} if project is None else {"project": project}
    return {
        "paseo_nb": {
            "run_id": spec.run_id,
            **elsewhere,
            "agent": agent_of(history, spec),
            "model_asked": history.asked.get("model", spec.model),
            "model_answered": history.model_answered,
            "state": state or history.state,
            "turns": len(history.turns),
            "tokens": total_tokens(usage),
            "cost_usd": usage.cost_usd,
        }
    }
