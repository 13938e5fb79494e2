"""What the workflows of the catalog share: prompts from files, and answers that must be there."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

from ... import config
from ...errors import WorkflowError
from ...patterns.prompts_of import filled_from
from .. import words
from ..values import Result, StepFailed

FOLDER = Path(__file__).with_name("prompts")
MOST = 400_000  # characters of a patch in a prompt; who reads it can look at the files


def prompt(name: str, **fields: str) -> str:
    """A prompt of the catalog, or the project's own in its place."""
    return filled_from(FOLDER, name, config.project_root(), **fields)


async def needed(step: Awaitable[Result | StepFailed], what: str) -> Any:
    """The value of a step without which there is nothing to go on with. WorkflowError."""
    result = await step
    if isinstance(result, StepFailed) or result.value is None:
        why = result.message if isinstance(result, StepFailed) else "it gave no answer"
        raise WorkflowError(
            f"{what}: {why}. What was finished is kept: the same call goes on from there.",
            words.current("the catalog").folder.id,
        )
    return result.value


def listed(values: Any) -> str:
    """Values as a prompt shows them to an agent."""
    return msgspec.json.format(msgspec.json.encode(values), indent=1).decode()


def shortened(patch: str) -> str:
    """A patch as far as a prompt takes it, and how much is left out."""
    if len(patch) <= MOST:
        return patch or "(nothing was changed)"
    return f"{patch[:MOST]}\n… {len(patch) - MOST:,} characters more: look at the files"
