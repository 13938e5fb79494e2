"""The plot of the sample task: a model that mends known bugs as a careful engineer would."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .capabilities import capability_of, plain, took_place
from .conversation import Answer, Conversation, Reply, Use

# the last lines of pytest and of unittest
_VERDICT = re.compile(r"\d+ (passed|failed|error)|FAILED|OK\b|Ran \d+ test")
_BAD = re.compile(r"\d+ (failed|error)|FAILED|Error\b")


@dataclass(frozen=True)
class Fix:
    """One known bug: in `file`, `old` (exact text, may have several lines) has to become `new`."""

    file: str
    old: str
    new: str


# the two bugs of paseo_nb.programs.demo.copy_sample, whose tests run by `python3 -m unittest`
SAMPLE_FIXES = (
    Fix(
        "tidelog/offsets.py",
        "sign = -1 if int(hours) < 0 else 1",
        'sign = -1 if hours.startswith("-") else 1',
    ),
    Fix(
        "tidelog/durations.py",
        "millis = int(fraction)",
        'millis = int(fraction.ljust(3, "0"))',
    ),
)


def sample_fixer(test_command: str = "python3 -m unittest") -> Callable[[Conversation], Answer]:
    """`fixer` for the repository that paseo_nb.programs.demo.copy_sample writes."""
    first, *others = SAMPLE_FIXES
    return fixer(
        file=first.file, old=first.old, new=first.new, test_command=test_command, also=others
    )


def fixer(
    *, file: str, old: str, new: str, test_command: str, also: Sequence[Fix] = ()
) -> Callable[[Conversation], Answer]:
    """Runs the tests, reads and edits each file, runs the tests again, says what it did.

    An edit is made only if `old` stands in what the read tool showed, and the report tells what
    the second test run really printed; on any other course of events it says so and stops.
    """
    fixes = (Fix(file, old, new), *also)
    course = ["shell", *["read", "edit"] * len(fixes), "shell"]

    def script(conversation: Conversation) -> Answer:
        done = [capability_of(r.name) for r in conversation.results]
        if not done:
            return Reply(
                "I will run the tests first.",
                reasoning="Before I change anything I want to see the failure.",
                uses=(Use("shell", {"command": test_command}),),
            )
        # an agent without tools for files does everything by its shell
        if any(d not in (c, "shell") for d, c in zip(done, course, strict=False)):
            return f"I stopped: I did not expect these tool results: {done}."
        last = plain(conversation.results[-1].text)
        fix = fixes[min((len(done) - 1) // 2, len(fixes) - 1)]
        step = course[len(done) - 1]
        if step == "read":
            return _edit(fix, last)
        if step == "edit" and not took_place(last):
            return f"I stopped: an edit was not made. {last}"
        if len(done) == len(course):
            return _report(fixes, _verdict(last))
        if course[len(done)] == "shell":
            return Reply("Now the tests again.", uses=(Use("shell", {"command": test_command}),))
        said = f"The tests say: {_verdict(last)}. " if len(done) == 1 else ""
        return Reply(f"{said}I will read {fix.file}.", uses=(Use("read", {"path": fix.file}),))

    return script


def _edit(fix: Fix, seen: str) -> Answer:
    if fix.old not in seen:
        known = "it is mended already" if fix.new in seen else "the code is not as I expected"
        return f"I changed nothing in {fix.file}: {known}."
    return Reply(
        f"I found a bug in {fix.file}.",
        reasoning=f"`{fix.old.strip()}` is wrong; it has to be `{fix.new.strip()}`.",
        uses=(Use("edit", {"path": fix.file, "old": fix.old, "new": fix.new}),),
    )


def _report(fixes: Sequence[Fix], verdict: str) -> str:
    changes = "\n".join(f"- `{f.file}`: `{f.old.strip()}` is now `{f.new.strip()}`" for f in fixes)
    if _BAD.search(verdict):
        return f"The tests still say: {verdict}. What I changed:\n\n{changes}"
    return f"Fixed; the tests now say: {verdict}. What I changed:\n\n{changes}"


def _verdict(output: str) -> str:
    """The line of a test run's output that tells how it went: the last known one, else the last."""
    lines = [line.strip(" =.") for line in output.splitlines() if line.strip(" =.")]
    telling = [line for line in lines if _VERDICT.match(line)]
    return (telling or lines or ["nothing"])[-1]
