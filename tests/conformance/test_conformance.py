"""Every provider through every case; a declared difference has to fail as declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from paseo_nb.drivers import registry

from .cases import CASES
from .differences import DIFFERENCES, NOT_REPORTED
from .recipes import RECIPES, providers
from .reporting import COST, FIELDS
from .world import world_of

PAIRS = [
    pytest.param(
        provider,
        name,
        id=f"{provider}-{name}",
        marks=[pytest.mark.real_agent] if RECIPES[provider].cli else [],
    )
    for provider in providers()
    for name in CASES
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("provider", "name"), PAIRS)
def test_case(provider: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, declared = CASES[name], DIFFERENCES.get((provider, name))
    with world_of(provider, tmp_path, monkeypatch, patient=case.patient) as world:
        try:
            case.play(world)
        except (Exception, pytest.fail.Exception) as error:
            if declared is None:
                raise
            said = f"{type(error).__name__}: {error}"
            assert re.search(declared.shows, said), (
                f"declared as {declared.reason!r}, but it fails in another way: {said}"
            )
            return
    assert declared is None, (
        f"{provider} passes {name!r} now: take its row out of tests/conformance/differences.py"
        " and run python -m tests.conformance.page"
    )


def test_every_built_in_provider_goes_through_it() -> None:
    assert set(registry.built_in()) <= set(RECIPES), "add a row to tests/conformance/recipes.py"


def test_the_table_names_providers_and_cases_that_there_are() -> None:
    assert {provider for provider, _ in DIFFERENCES} <= set(RECIPES)
    assert {name for _, name in DIFFERENCES} <= set(CASES)
    assert set(NOT_REPORTED) <= set(RECIPES)
    assert {field for fields in NOT_REPORTED.values() for field in fields} <= {*FIELDS, COST}
