"""Completion of `%paseo` and `%%paseo` lines: verbs, options and their values, agents, runs.

An IPython matcher (API v2). Everything offered comes from tables and files that are there: no agent
is started, no network asked; what a run was started with never changes and is read once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
from IPython.core import completer
from IPython.core.completer import CompletionContext, SimpleCompletion

from . import config
from .drivers import registry
from .errors import PaseoError, UsageProblem
from .git.worktrees import branches
from .host.local import LocalHost
from .model import MODES, short_id
from .notebook_things import CELL, RUN, TRACEBACK, own_names
from .options import Parser, parser_for
from .verbs import VERBS, current_host

RUNS = 50  # newest runs that are offered
KNOWN = 300  # newest runs whose models and session names are offered
_LINE = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%paseo\s+(?P<words>.*)$")
_CELL = re.compile(r"^%%paseo\s+(?P<words>.*)$")
FILES = 200  # files of a folder that are offered
_SAME = {
    "runs": "run",
    "providers": "provider",
    "agents": "provider",
    "names": "provider",
    "schema": "path",
    "repo": "path",
}
Offer = tuple[str, str]  # what is inserted, and what it is


class Started(msgspec.Struct):
    """What is offered of a run."""

    agent: str
    provider: str
    model: str | None
    session: str | None


_started: dict[tuple[Path, str], Started | None] = {}


def matcher(
    shell: Any, launch: Callable[[], Parser], line: Callable[[str], Parser]
) -> Callable[[CompletionContext], Any]:
    """The matcher of a shell; `launch` gives the parser of `%%paseo`, `line` of `%paseo VERB`."""

    def match(context: CompletionContext) -> Any:
        found = _CELL.match(context.text_until_cursor) if context.cursor_line == 0 else None
        parser = launch() if found else None
        found = found or _LINE.match(context.text_until_cursor)
        if found is None:
            return {"completions": [], "suppress": False}
        *words, fragment = re.split(r"\s+", found["words"])
        offers, fragment = complete(words, fragment, parser, line, shell.user_ns)
        if not offers and fragment:
            # Where nothing is offered IPython has the others offer Python names, after seconds.
            offers = [(fragment, "text")]
        return {
            "completions": [SimpleCompletion(text=text, type=kind) for text, kind in offers],
            "matched_fragment": fragment,
            "suppress": True,
            "ordered": True,
        }

    return cast(Any, completer).context_matcher(identifier="paseo_nb")(match)


def complete(
    words: list[str],
    fragment: str,
    parser: Parser | None,
    line: Callable[[str], Parser],
    names: dict[str, Any],
) -> tuple[list[Offer], str]:
    """What may stand for the fragment after these words of a line, and what part of it that
    replaces. `parser`: of a line that launches; None for one that begins with a verb, for which
    `line` tells it.
    """
    verb = "start"
    if parser is None:
        if not words or words[0] == "help":
            told = [*VERBS] if words else [*VERBS, "workflow", "help"]
            return _fitting([(name, "verb") for name in told], fragment), fragment
        verb, *words = words
        known = VERBS
        if verb == "workflow":
            from .workflow_commands import COMMANDS as known

            if not words:
                return _fitting([(name, "verb") for name in known], fragment), fragment
            verb, *words = words
        if verb not in known:
            return [], fragment
        parser = line(verb) if known is VERBS else parser_for(known[verb], verb)
    by_flag = {flag: one for one in parser.arguments for flag in one.option_strings}
    option, equals, value = fragment.partition("=")
    argument: argparse.Action | None
    if equals and option in by_flag:
        argument, fragment = by_flag[option], value
    elif words and words[-1] in by_flag and by_flag[words[-1]].nargs != 0:
        argument = by_flag[words[-1]]
    elif fragment.startswith("-"):
        told = [(flag, "option") for flag in by_flag if len(flag) > 2]
        return _fitting(told, fragment), fragment
    else:
        argument = _positional(words, parser, by_flag)
    if argument is None:
        return [], fragment
    if argument.dest in ("attach", "columns"):
        fragment = fragment.rpartition(",")[2]
    return _fitting(_values(argument, verb, fragment, names), fragment), fragment


def _positional(
    words: list[str], parser: Parser, by_flag: dict[str, argparse.Action]
) -> argparse.Action | None:
    """The positional argument that comes after these words."""
    places = [one for one in parser.arguments if not one.option_strings]
    before = 0
    for last, word in zip(["", *words], words, strict=False):
        takes = last in by_flag and by_flag[last].nargs != 0
        before += not takes and word not in by_flag and not word.startswith("--")
    if before < len(places):
        return places[before]
    return places[-1] if places and places[-1].nargs == "*" else None


def _fitting(offers: Iterable[Offer], fragment: str) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(fragment)]


def _values(
    argument: argparse.Action, verb: str, fragment: str, names: dict[str, Any]
) -> Iterable[Offer]:
    """What may stand for an argument, as far as that is known."""
    if argument.choices is not None:
        return [(str(choice), argument.dest) for choice in argument.choices]
    offers: dict[str, Callable[[], Iterable[Offer]]] = {
        "mode": lambda: [(mode, "mode") for mode in MODES],
        "agent": lambda: _agents(fragment),
        "provider": lambda: [(name, "provider") for name in registry.providers(_project())],
        "worktree": lambda: [(name, "branch") for name in branches(Path.cwd())],
        "session": lambda: [(name, "session") for name in _sessions()],
        "run": lambda: _runs(fragment),
        "workflow_run": lambda: _workflow_runs(fragment),
        "attach": lambda: _things(fragment, names),
        "columns": lambda: _columns(verb),
        "path": lambda: _files(fragment),
    }
    dest = _SAME.get(argument.dest, argument.dest)
    offer = offers.get(dest)
    try:
        return offer() if offer is not None else []
    except (PaseoError, OSError):  # a broken settings file, no repository: nothing to offer
        return []


def _project() -> Path:
    return config.project_root()


def _agents(fragment: str) -> Iterable[Offer]:
    known = {name: one for name, one in registry.providers(_project()).items() if one.trusted}
    profiles = [f"{registry.PROFILE}{name}" for name in config.settings(_project()).profiles]
    names = [name for name in known if name.startswith(fragment)]
    offers = [*((name, "provider") for name in names), *((name, "profile") for name in profiles)]
    provider = fragment.partition("/")[0] if "/" in fragment else "".join(names[:1])
    if provider in known and (len(names) == 1 or "/" in fragment):
        one = known[provider]
        used = [run.model for run in _known_runs().values() if run.provider == provider]
        models = dict.fromkeys(
            [*one.models, *registry.told_models.get(provider, ()), one.default_model, *used]
        )
        offers += [(f"{provider}/{model}", "model") for model in models if model]
    return offers


def _known_runs() -> dict[str, Started]:
    """The newest runs with what they were started with, newest first."""
    host = current_host()
    newest = list(reversed(host.list()))[:KNOWN]
    told = {run_id: _told(host, run_id) for run_id in newest}
    return {run_id: one for run_id, one in told.items() if one is not None}


def _told(host: LocalHost, run_id: str) -> Started | None:
    key = (host.home, run_id)
    if key not in _started:
        try:
            spec = host.spec(run_id)
        except UsageProblem:  # half made, or gone: another look next time
            return None
        agent = f"{spec.provider}/{spec.model}" if spec.model else spec.provider
        _started[key] = Started(agent, spec.provider, spec.model, spec.session_name)
    return _started[key]


def _runs(fragment: str) -> Iterable[Offer]:
    wanted = fragment.upper()
    for run_id, run in list(_known_runs().items())[:RUNS]:
        if run_id.startswith(wanted):
            shown = run_id if len(fragment) > len(short_id(run_id)) else short_id(run_id)
            yield fragment + shown[len(fragment) :], run.agent


def _workflow_runs(fragment: str) -> Iterable[Offer]:
    from .engine.journal import folders

    for one in list(reversed(folders(current_host().home)))[:RUNS]:
        if one.id.startswith(fragment.upper()):
            shown = one.id if len(fragment) > len(short_id(one.id)) else short_id(one.id)
            yield fragment + shown[len(fragment) :], str((one.header() or {}).get("name"))


def _sessions() -> Iterable[str]:
    return dict.fromkeys(run.session for run in _known_runs().values() if run.session)


def _things(fragment: str, names: dict[str, Any]) -> Iterable[Offer]:
    if fragment.startswith(RUN):
        ident = fragment.removeprefix(RUN)
        return [(f"{RUN}{text}", kind) for text, kind in _runs(ident)]
    own = [(name, type(names[name]).__name__) for name in reversed(own_names(names))]
    named = [("_", "last result"), (TRACEBACK, "last error"), (CELL, "cell"), (RUN, "run")]
    return [*own, *named, *_files(fragment)]


def _files(fragment: str) -> Iterable[Offer]:
    folder, slash, begun = fragment.rpartition("/")
    found = sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir())
    fitting = [path for path in found if path.name.startswith(begun)]
    for path in fitting[:FILES]:
        if begun.startswith(".") or not path.name.startswith("."):
            yield f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}", "file"


def _columns(verb: str) -> Iterable[Offer]:
    from .store.columns import FRAMES, LOOKED_AT

    return [(column.name, "column") for column in {**FRAMES, **LOOKED_AT}.get(verb, ())]
