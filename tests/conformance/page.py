"""Makes docs/providers.md: provider × case from the suite's table, and what each provider is.

python -m tests.conformance.page           writes it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

from paseo_nb.drivers import registry  # noqa: E402
from paseo_nb.drivers.provider import Provider  # noqa: E402
from paseo_nb.pinned import AGENTS  # noqa: E402

from .cases import CASES  # noqa: E402
from .differences import DIFFERENCES, NOT_REPORTED  # noqa: E402
from .recipes import RECIPES, providers  # noqa: E402

PAGE = CHECKOUT / "docs" / "providers.md"
PASS = "✓"
_HEAD = """\
# Providers

Made by `python -m tests.conformance.page` from the providers' files and from the conformance suite
(`tests/conformance`), which CI runs with the real CLIs, in the versions named here, against a model
server of its own. A ✓ is a case that passes; any other cell is an expected difference, and why.

Failures of the model are measured with the CLIs' own retries turned off where they can be. As they
come, claude and gemini try ten times over minutes, pi three times, copilot and opencode five; where
the connection is refused, codex tries for ever and gemini for minutes. A retry is no
sign of life: the limit `silence` (900 s) ends such a turn at the latest.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_facts(), "", *_cases(), "", *_failures(), "", *_usage()]) + "\n"


def _facts() -> Iterator[str]:
    known = registry.built_in()
    yield "## What each is"
    yield ""
    yield "| provider | command | tested version | MCP servers | goes on by | notes |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in providers():
        command = RECIPES[name].command
        yield _row(_foreign_cells(name, command) if command else _provider_cells(name, known[name]))


def _provider_cells(name: str, provider: Provider) -> list[str]:
    can = provider.capabilities
    return [
        f"`{name}`",
        "comes with paseo_nb" if provider.needs is None else f"`{' '.join(provider.command)}`",
        AGENTS[name].version if name in AGENTS else "–",
        "?" if can.mcp is None else ", ".join(can.mcp) or "none",
        {"resume": "resume", "load": "load (replays)"}.get(can.returns or "", "?"),
        provider.notes,
    ]


def _foreign_cells(name: str, command: tuple[str, ...]) -> list[str]:
    shown = " ".join(command)
    about = "any ACP command of your own; here a CLI that paseo_nb does not know by this name"
    return [f"`{name}`", f"`{shown}`", "–", "?", "?", about]


def _cases() -> Iterator[str]:
    yield "## What each does"
    yield ""
    names = providers()
    yield _row(["case", *(f"`{name}`" for name in names)])
    yield _row(["---"] * (1 + len(names)))
    for case in CASES.values():
        yield _row([case.title, *(_cell(provider, case.name) for provider in names)])


def _cell(provider: str, case: str) -> str:
    difference = DIFFERENCES.get((provider, case))
    return PASS if difference is None else difference.reason


def _failures() -> Iterator[str]:
    yield "## A command that ends with an exit code"
    yield ""
    yield "A command whose exit code is not 0 is a tool call with the outcome `failed` with `demo`,"
    yield "`api`, `claude`, `codex` and `pi`. `copilot`, `gemini` and `opencode` tell such a call as"
    yield "`completed`, and so does its row: look for the exit code in its output."


def _usage() -> Iterator[str]:
    yield "## Usage that is NULL"
    yield ""
    yield "What a provider does not report is NULL, never a guess; the other fields of `run.usage`"
    yield "equal what the model reported, over five turns with a resume in between. Cost is checked"
    yield "where the agent was told what its model costs."
    yield ""
    yield "| provider | field | why |"
    yield "| --- | --- | --- |"
    for provider, fields in NOT_REPORTED.items():
        if provider not in providers():
            continue
        reasons = dict.fromkeys(fields.values())
        for reason in reasons:
            names = ", ".join(f"`{field}`" for field, why in fields.items() if why == reason)
            yield _row([f"`{provider}`", names, reason])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
