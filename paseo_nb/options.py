"""Options from a verb's signature: one parser for the magics' lines and the terminal's commands."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from .errors import UsageProblem
from .verbs import VERBS, Verb, told

HIDDEN = {"cell", "until"}
SHORT = {"all": "-a", "tail": "-n"}


class Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """The parsed words. What is no option may stand before and after options; the first such
        word may be missing (a configured agent's name)."""
        self.usage = self.format_usage().removeprefix("usage: ").replace("%", "%%")
        return vars(self.parse_intermixed_args(words))  # would take the usage as it is, as a format

    @property
    def arguments(self) -> list[argparse.Action]:
        """What it takes: options, which have `option_strings`, and positional ones, in order."""
        return [action for action in self._actions if action.dest != "help"]

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(f"{self.prog}: {message}; `{self.prog} -h` shows its options")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown(message or "")


class HelpShown(Exception):
    """`-h` was given: the help has been printed."""


def parser_for(verb: Verb, prog: str, *, without: Sequence[str] = ()) -> Parser:
    """The parser of one verb; `without` leaves parameters out (a cell's body is its prompt)."""
    text, meanings = told(verb.function)
    parser = Parser(
        prog=prog,
        description=_for_a_reader(text),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=True,
        allow_abbrev=False,
    )
    for name, parameter in inspect.signature(verb.function).parameters.items():
        if name not in HIDDEN and name not in without:
            _add(parser, name, parameter, meanings.get(name, "").replace("%", "%%"))
    return parser


def _for_a_reader(text: str) -> str:
    """A docstring's text without what only Python code can meet: exceptions."""
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("Raises "))


def _add(parser: Parser, name: str, parameter: inspect.Parameter, meaning: str) -> None:
    note = str(parameter.annotation)
    required = parameter.default is parameter.empty
    if parameter.kind is parameter.VAR_POSITIONAL:
        parser.add_argument(name, nargs="*", metavar=name.upper(), help=meaning)
        return
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
        nargs = None if required and not note.endswith("| None") else "?"
        more: dict[str, Any] = {"default": None}
        if note.startswith("int"):
            more["type"] = int
            if not required:  # `--turn 2`, too, as other verbs have it
                parser.add_argument(f"--{name}", type=int, metavar="N", help=argparse.SUPPRESS)
                more["action"] = _IfGiven
        parser.add_argument(name, nargs=nargs, metavar=name.upper(), help=meaning, **more)
        return
    flags = [SHORT[name]] if name in SHORT else []
    flags.append("--" + name.rstrip("_").replace("_", "-"))
    more = {"dest": name, "default": parameter.default, "help": meaning}
    if required:
        more["default"] = None
    if note.startswith("bool"):
        by_default = parameter.default is True
        more["action"] = argparse.BooleanOptionalAction if by_default else "store_true"
    elif note.startswith("Mapping"):
        more |= {"action": _Pairs, "metavar": "NAME=VALUE"}
    elif note.startswith(("Sequence", "Attachments")):
        more |= {
            "action": _Several if name in ("columns", "for_") else _Listed,
            "metavar": "VALUE",
        }
    elif note.startswith("When"):
        more["choices"] = ("queue", "steer", "interrupt")
    elif note.startswith("OnPermission"):
        more["choices"] = ("wait", "raise")
    elif note.startswith("float"):
        more |= {
            "type": seconds if name.endswith(("timeout", "time_limit")) else float,
            "metavar": "NUMBER",
        }
    elif note.startswith("int"):
        more |= {"type": int, "metavar": "N"}
    else:
        more["metavar"] = "TEXT"
    parser.add_argument(*flags, **more)


class _IfGiven(argparse.Action):
    """Leaves what an option of the same name has said."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        if values is not None:
            setattr(namespace, self.dest, values)


class _Listed(argparse.Action):
    """Given once or often; what is given takes the place of the default."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        before = getattr(namespace, self.dest)
        kept: list[str] = [] if before is None or before is self.default else before
        setattr(namespace, self.dest, [*kept, values])


class _Several(argparse.Action):
    """Given once or often, with commas between or not."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        words = [word.strip() for word in str(values).split(",")]
        before: list[str] = getattr(namespace, self.dest) or []
        setattr(namespace, self.dest, [*before, *filter(None, words)])


class _Pairs(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        name, found, value = str(values).partition("=")
        if not found or not name:
            parser.error(f"{option_string} takes NAME=VALUE, not {values!r}")
        pairs = dict(getattr(namespace, self.dest) or {})
        pairs[name] = value
        setattr(namespace, self.dest, pairs)


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """`90`, `90s`, `5m` or `1h` in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"not a time: {text!r} (write 90, 90s, 5m or 1h)")
    return float(match[1]) * _UNITS[match[2]]


def call_arguments(verb: Verb, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Parsed values as positional and keyword arguments for the verb's function."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for name, parameter in inspect.signature(verb.function).parameters.items():
        if name not in values:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += values[name]
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(values[name])
        else:
            keywords[name] = values[name]
    return positional, keywords


def known_verb(name: str) -> Verb:
    """The verb of a name, which may be written with `-`; UsageProblem with the nearest names."""
    import difflib

    name = name.replace("-", "_")
    if name in VERBS:
        return VERBS[name]
    near = difflib.get_close_matches(name, VERBS, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(VERBS)}"
    raise UsageProblem(f"no verb {name!r}; {hint}")
