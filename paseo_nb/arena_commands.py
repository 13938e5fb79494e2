"""What a `%%paseo_arena` cell asks for: a match on the cell's text, and the name that it gets."""

from __future__ import annotations

from collections.abc import Sequence

from . import _sync  # pyright: ignore[reportPrivateUsage]
from .contests.match import Match
from .errors import UsageProblem
from .options import Parser, parser_for
from .verbs import VERBS


def arena_parser() -> Parser:
    """The options of `%%paseo_arena`: those of `arena`, and a cell's own."""
    parser = parser_for(VERBS["arena"], "%%paseo_arena", without=("prompt", "agents"))
    parser.add_argument("agents", nargs="+", metavar="AGENT", help="two to five")
    parser.add_argument("-o", "--out", metavar="NAME", default=None, help="bind the match")
    return parser


def begun(words: Sequence[str], prompt: str) -> tuple[Match, str | None]:
    """The match, at once, and the name to bind it to. UsageProblem, HelpShown."""
    values = arena_parser().values(words)
    out = values.pop("out")
    if out is not None and not out.isidentifier():
        raise UsageProblem(f"-o takes a Python name, not {out!r}")
    return _sync.arena(prompt, **values), out
