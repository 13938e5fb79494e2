"""Keeping an output small: each block within its share, the middle dropped if need be."""

from __future__ import annotations

from collections.abc import Callable

from .blocks import Ask, Block, Gap, Limits, Message, Notice, Story

Render = Callable[[Block, Limits], str]


def size(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def fit(story: Story, render: Render, limits: Limits) -> list[tuple[Block, str]]:
    """The story's blocks with their renderings, together within `limits.total` bytes.

    Steps in the middle go first, the earliest of them first, and are counted in the gap; questions,
    notices and the last message stay.
    """
    done = [(block, _within(block, render, limits)) for block in story.blocks]
    total = sum(size(text) for _, text in done)
    if total <= limits.total:
        return done
    kept = dict(enumerate(done))
    gone = 0
    for index in _by_worth(story):
        if total <= limits.total - limits.piece:
            break
        block, text = kept.pop(index)
        total -= size(text)
        gone += block.count if isinstance(block, Gap) else 1
    before = [kept[i] for i in sorted(kept) if i < story.head]
    after = [kept[i] for i in sorted(kept) if i >= story.head]
    old = [block for block, _ in after if isinstance(block, Gap)]
    gap = Gap(gone + sum(g.count for g in old), [p for g in old for p in g.prompts])
    rest = [pair for pair in after if not isinstance(pair[0], Gap)]
    return [*before, (gap, _within(gap, render, limits)), *rest]


def _within(block: Block, render: Render, limits: Limits) -> str:
    room = limits.piece
    text = render(block, limits)
    for _ in range(12):
        if size(text) <= room:
            break
        limits = limits.less()
        text = render(block, limits)
    return text


def _by_worth(story: Story) -> list[int]:
    """Indices of what may be dropped, the least missed first."""
    blocks = story.blocks
    messages = [i for i, block in enumerate(blocks) if isinstance(block, Message)]
    last = messages[-1] if messages else -1
    fixed = {i for i, block in enumerate(blocks) if isinstance(block, (Ask, Notice, Gap))}
    middle = [i for i in range(story.head, len(blocks)) if i != last and i not in fixed]
    notices = [i for i in sorted(fixed) if isinstance(blocks[i], Notice)]
    beginning = list(range(story.head - 1, 0, -1))
    return middle + beginning + notices[:-1]
