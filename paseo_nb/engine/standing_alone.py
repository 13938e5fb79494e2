"""A workflow's text as a module that runs in any process: what it needs from elsewhere is imported,
and what cannot be is an error that names it.

Names come from the text itself (symtable), so that a name which only one branch uses counts, too.
"""

from __future__ import annotations

import builtins
import importlib.util
import symtable
import sys
import textwrap
import types
from collections.abc import Mapping
from typing import Any

from ..errors import UsageProblem

WORDS = (
    "agent", "args", "budget", "Flow", "log", "now", "parallel", "phase", "pipeline", "random",
    "run_workflow", "StepFailed", "uuid", "workflow",
)  # fmt: skip
PRELUDE = f"import paseo_nb as paseo\nfrom paseo_nb import {', '.join(WORDS)}\n"
_IMPLIED = frozenset(vars(builtins)) | {"__name__", "__file__", "__doc__", "__annotations__"}


def free_names(text: str) -> list[str]:
    """The names that a module's text uses and nothing in it gives. UsageProblem for a text that is
    no Python."""
    try:
        module = symtable.symtable(text, "<workflow>", "exec")
    except SyntaxError as error:
        raise UsageProblem(f"line {error.lineno}: {error.msg}") from None
    given = {
        one.get_name() for one in module.get_symbols() if one.is_assigned() or one.is_imported()
    }
    used: set[str] = set()
    tables = [module]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for one in table.get_symbols():
            anywhere = table is module or one.is_global()
            if anywhere and one.is_referenced():
                used.add(one.get_name())
            if one.is_declared_global() and one.is_assigned():
                given.add(one.get_name())
    return sorted(used - given - _IMPLIED)


def module_of(text: str, known: Mapping[str, Any], name: str) -> str:
    """The text with imports before it of what it takes from elsewhere. known: what the names are
    here. UsageProblem with the names that cannot be imported."""
    text = textwrap.dedent(text)
    lines: list[str] = []
    left: list[str] = []
    for free in free_names(text):
        line = _import_of(free, known[free]) if free in known else None
        if line is not None:
            lines.append(line)
        else:
            left.append(free)
    if left:
        raise UsageProblem(
            f"{name} cannot run in a process of its own: it uses {', '.join(left)}, which"
            f" {'is' if len(left) == 1 else 'are'} not defined in it. Give"
            f" {'that' if len(left) == 1 else 'those'} as arguments, import or define them inside"
            f" it, or write it as a whole in a cell with `%%paseo_workflow {name}` or in a file"
            f" paseo_workflows/{name}.py."
        )
    return "".join(f"{line}\n" for line in lines) + text


def _import_of(name: str, value: Any) -> str | None:
    """The statement that gives the name this value in another process."""
    import paseo_nb

    if isinstance(value, types.ModuleType):
        there = value.__name__
        return f"import {there} as {name}" if _importable(there) else None
    if name in paseo_nb.__all__ and getattr(paseo_nb, name) is value:
        return f"from paseo_nb import {name}"
    there, called = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(there, str) or not isinstance(called, str) or not _importable(there):
        return None
    if getattr(sys.modules.get(there), called, None) is not value:
        return None
    return f"from {there} import {called} as {name}"


def _importable(module: str) -> bool:
    if module.partition(".")[0] in ("__main__", "builtins") or module.startswith("paseo_workflow_"):
        return False
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
