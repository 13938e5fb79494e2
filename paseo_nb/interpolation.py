"""`--fill`: `{name}` in a prompt becomes the value of that Python name.

Filled in are names, with attributes and indices after them: `{n}`, `{df.shape}`, `{rows[0]}`,
`{conf["port"]}`. Everything else in braces stays as it is: `{{…}}`, `${…}`, JSON, sets and calls,
and whatever stands in code: between backticks, in a fenced block, in an f-string, in LaTeX.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import re
from collections.abc import Mapping
from typing import Any

from .describing import is_table, table
from .errors import UsageProblem

_KEY = r"""(?:-?\d+|'[^'\n{}]*'|"[^"\n{}]*"|[A-Za-z_]\w*)"""
_EXPRESSION = rf"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[{_KEY}\])*"
_CODE = (
    r"^[ \t]*(?P<fence>```+|~~~+)[^`\n]*\n.*?(?:^[ \t]*(?P=fence)|\Z)"  # a fenced block
    r"|(?P<ticks>`+)[^\n]*?(?P=ticks)"
    r"|(?<![\w'\"])[rR]?[fF][rR]?(?P<quote>\"\"\"|''').*?(?P=quote)"
    r"|(?<![\w'\"])[rR]?[fF][rR]?(?P<mark>\"|')(?:\\.|(?!(?P=mark))[^\n])*(?P=mark)"
    r"|\\[A-Za-z]+\*?(?:\[[^\]\n]*\])?(?:\{[^{}\n]*\})+"  # LaTeX
)
_PARTS = re.compile(
    rf"(?P<code>{_CODE})|(?<![{{$])\{{(?P<expression>{_EXPRESSION})\}}(?!\}})",
    re.DOTALL | re.MULTILINE,
)


def fill(prompt: str, names: Mapping[str, Any]) -> str:
    """The prompt with values in place of names, shown by `str()`; tables as bounded Markdown.
    UsageProblem for a name that there is not, or an attribute or index of it."""

    def value(match: re.Match[str]) -> str:
        expression = match["expression"]
        if expression is None or keyword.iskeyword(re.split(r"\W", expression)[0]):
            return match[0]
        try:
            found = look_up(expression, names)
            return table(found) if is_table(found) else str(found)
        except NameError:
            raise UsageProblem(
                f"--fill: there is no name for {{{expression}}}."
                f"{_near(expression, names)} Braces that are code go between backticks"
            ) from None
        except Exception as error:  # whatever the value's own code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageProblem(f"--fill: {{{expression}}}: {reason}") from None

    return _PARTS.sub(value, prompt)


def is_expression(text: str) -> bool:
    """Whether it is a name, with attributes and indices after it or not."""
    return re.fullmatch(_EXPRESSION, text) is not None


def look_up(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of a name with attributes and indices. NameError for an unknown name; what the
    value's own code raises for the rest."""
    return _value(ast.parse(expression, mode="eval").body, names)


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, names), node.attr)
    if isinstance(node, ast.Subscript):
        return _value(node.value, names)[_value(node.slice, names)]
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise NameError(node.id)
        return names[node.id]
    return ast.literal_eval(node)


def _near(expression: str, names: Mapping[str, Any]) -> str:
    root = re.split(r"\W", expression)[0]
    near = difflib.get_close_matches(root, [name for name in names if name[:1] != "_"], n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
