"""Workflows that come along: `paseo.catalog.deep_research(…)`, `workflow_of("deep-research")`.

Each is a workflow like any other, written with the words of `engine.words`; its prompts are files
in `prompts/`, which a project may put its own in place of. `discovery` lists them as built-in.
"""

from ..values import Origin
from . import green, research, review

deep_research, fix_until_green, multi_review = (
    one.with_text(one.source(), Origin())
    for one in (research.deep_research, green.fix_until_green, review.multi_review)
)
BUILT_IN = {one.name: one for one in (deep_research, fix_until_green, multi_review)}
