"""A workflow from the text of a module: a file's, a cell's, or one made of a function's."""

from __future__ import annotations

import inspect
import linecache
import sys
import types
from typing import Any

from ..errors import UsageProblem
from .flows import Flow
from .standing_alone import PRELUDE
from .workflows import Workflow


def loaded(
    text: str | bytes, name: str, function: str | None, where: str, file: str | None = None
) -> Workflow | Flow:
    """Run the text; the one workflow or flow that it defines, or the function that is to be one.
    Without a file it has the words of workflows. UsageProblem where it does not run, or defines
    another number of them."""
    module = types.ModuleType(f"paseo_workflow_{name}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look their module up
    if file is None:
        exec(PRELUDE, module.__dict__)
        lines = str(text).splitlines(keepends=True)
        linecache.cache[where] = len(text), None, lines, where  # for tracebacks
    try:
        exec(compile(text, where, "exec"), module.__dict__)
    except Exception as error:
        raise UsageProblem(f"{where} does not run: {type(error).__name__}: {error}") from error
    made: list[Any] = [
        value
        for value in vars(module).values()
        if isinstance(value, (Workflow, Flow))
        and (isinstance(value, Flow) or value.function.__module__ == module.__name__)
    ]
    wanted = [value for value in made if value.name == name] or made
    written = function or name.replace("-", "_")
    if not wanted and inspect.iscoroutinefunction(vars(module).get(written)):
        wanted = [Workflow(vars(module)[written], name)]
    if len(wanted) != 1:
        what = "none" if not made else ", ".join(value.name for value in made)
        raise UsageProblem(f"{where} should define one workflow, named {name!r}; it defines {what}")
    return wanted[0]
