"""The public names: all there, all callable, the same in every surface, nothing shadowed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import paseo_nb
from paseo_nb import aio, codegen
from paseo_nb.handle import AsyncRun
from paseo_nb.verbs import VERBS

WANTED = (
    "run start ls attach send logs wait cancel stop resume archive unarchive inspect doctor trust"
    " runs turns events tool_traces permissions sql"
).split()


def test_every_public_name_is_callable_after_every_module_was_imported() -> None:
    for module in pkgutil.walk_packages(paseo_nb.__path__, "paseo_nb."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in paseo_nb.__all__:
        if name not in ("db_path", "args", "budget", "catalog"):
            assert callable(getattr(paseo_nb, name)), name
    assert set(WANTED) <= set(VERBS)


def test_sync_and_async_names_and_signatures_are_the_same() -> None:
    for name in VERBS:
        sync, with_await = getattr(paseo_nb, name), getattr(aio, name)
        assert not inspect.iscoroutinefunction(sync)
        assert inspect.iscoroutinefunction(with_await)
        assert list(inspect.signature(sync).parameters) == list(
            inspect.signature(with_await).parameters
        )
    assert set(VERBS) <= set(aio.__all__)
    assert set(VERBS) <= set(paseo_nb.__all__)
    for name, member in vars(AsyncRun).items():
        if inspect.iscoroutinefunction(member) and not name.startswith("_") and name != "hold":
            assert callable(getattr(paseo_nb.Run, name)), name


def test_the_generated_file_is_up_to_date() -> None:
    assert codegen.main(["--check"]) == 0, "run `python -m paseo_nb.codegen`"
