"""`paseo-nb VERB …`: the same verbs for a terminal, `--json`, and exit codes that tell apart.

0 success, 1 other error, 2 usage, 3 the agent failed, 4 timeout, 5 permission needed,
6 interrupted, 130 cancelled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from . import __version__, _sync, config  # pyright: ignore[reportPrivateUsage]
from .engine.handles import WorkflowHandle
from .errors import PaseoError, UsageProblem
from .model import BUSY_STATES, short_id
from .options import HelpShown, call_arguments, known_verb, parser_for
from .patterns.results import Result
from .rundiff import RunDiff
from .runview import RunView, raise_for
from .store import background
from .store.columns import SHOWN
from .verbs import VERBS
from .widgets.live import runs_bundle, still_running_note
from .widgets.logs import Printer
from .widgets.render.text import one_line

_MCP = "Serve the tools that an agent conducts with, as an MCP server (stdio; --http)."
_SERVE = "Serve the project's runs to other machines and devices (docs/hosts.md)."
_WORKFLOW = "The workflows of cells and files: ls, runs, show, run, resume, stop."
FOLLOWS = {"run": True, "attach": False}  # verb -> whether Ctrl-C cancels the turn


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """One command; its exit code."""
    as_json = "--json" in arguments
    words = [word for word in arguments if word != "--json"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"paseo-nb {__version__}")
        return 0
    try:
        if words[0] == "mcp":
            return _mcp(words[1:])
        if words[0] == "serve":
            from .server.alone import main as serve

            return serve(words[1:])
        try:
            return (
                _workflow(words[1:], as_json) if words[0] == "workflow" else _verb(words, as_json)
            )
        finally:
            _tidy()
    except HelpShown:
        return 0
    except PaseoError as error:
        _say_error(error, as_json)
        return error.exit_code
    except PermissionError as error:
        print(
            f"paseo-nb: {error.filename or 'the project'} may not be read: it may be another"
            " user's. Set PASEO_NB_HOME to a folder of your own.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def usage() -> str:
    """What `paseo-nb` alone prints."""
    rows = "\n".join(f"  {verb.name:<12} {verb.summary}" for verb in VERBS.values())
    rows += f"\n  {'workflow':<12} {_WORKFLOW}\n  {'mcp':<12} {_MCP}"
    rows += f"\n  {'serve':<12} {_SERVE}"
    return f"usage: paseo-nb VERB … [--json]; `paseo-nb VERB -h` shows its options\n\n{rows}"


def _verb(words: list[str], as_json: bool) -> int:
    verb = known_verb(words[0])
    values = parser_for(verb, f"paseo-nb {verb.name}").values(words[1:])
    if values.get("prompt") == "-":
        values["prompt"] = sys.stdin.read()
    positional, keywords = call_arguments(verb, values)
    if verb.name in FOLLOWS and not as_json:
        return _follow(verb.name, positional, keywords)
    if verb.name in SHOWN and keywords.get("columns", ()) is None and not as_json:
        keywords["columns"] = SHOWN[verb.name].split()
    result = getattr(_sync, verb.name)(*positional, **keywords)
    print(to_json(result) if as_json else to_text(result))
    return 3 if isinstance(result, Result) and not result and result.state != "planned" else 0


def _workflow(words: list[str], as_json: bool) -> int:
    from . import workflow_commands

    try:
        result = workflow_commands.do(words, "paseo-nb workflow")
    except PaseoError:
        raise
    except Exception as error:
        told = _of_its_body(error)
        if told is None:
            raise
        print(f"{told}paseo-nb: mend it, then `paseo-nb workflow resume {words[1]}` goes on; what"
              " is finished is kept", file=sys.stderr)  # fmt: skip
        return 1
    print(to_json(result) if as_json else to_text(result))
    return 0


def _of_its_body(error: Exception) -> str | None:
    """An error of a workflow's own code, without the lines that are ours or Python's; None where
    it is none of its."""
    ours = (str(Path(__file__).parent), str(Path(os.__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    bodies = [one for one in frames if not one.filename.startswith((*ours, "<frozen"))]
    if not bodies:
        return None
    head = "Traceback (most recent call last):\n"
    said = [*traceback.format_list(bodies), *traceback.format_exception_only(error)]
    return head + "".join(said)


def _mcp(words: list[str]) -> int:
    """Serve the conductor's tools until whoever uses them is gone."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageProblem("paseo-nb mcp needs the MCP SDK: pip install 'paseo_nb[mcp]'")
    from .mcp_server import main as serve

    return serve(words)


def _tidy() -> None:
    """Runs that have ended leave `live/` for the index, so that later queries need not read their
    journals. The work is another process's: this one is about to leave."""
    with contextlib.suppress(PaseoError):
        background.advance_apart(config.home())


def _follow(name: str, positional: list[Any], keywords: dict[str, Any]) -> int:
    on_permission = keywords.pop("on_permission", "wait")
    launches = name == "run"
    made = (_sync.start if launches else _sync.attach)(*positional, **keywords)
    printer = Printer(made.id)
    spec = made.spec
    off = f" off {spec.git_base[:8]}" if spec.git_base else ""
    on = f"  branch {one_line(spec.branch, 80)}{off}" if spec.worktree and spec.branch else ""
    print(f"run {short_id(made.id)}  {made.agent}{on}", file=sys.stderr)

    def show(view: RunView) -> None:
        for piece in printer.news(view.history()):
            sys.stdout.write(piece)
        sys.stdout.flush()

    if not launches and made.state not in BUSY_STATES:
        show(made)
        return 0
    try:
        made.wait(on_permission=on_permission, check=False, watch=show)
    except KeyboardInterrupt:
        if not FOLLOWS[name]:
            print(f"\n{still_running_note(made)}", file=sys.stderr)
            return 0
        made.cancel()
        made.wait(15, check=False, watch=show)
    show(made)
    if launches:
        raise_for(made)
    return 0


def _say_error(error: PaseoError, as_json: bool) -> None:
    if as_json:
        told = {"code": type(error).__name__, "message": str(error)}
        run = getattr(error, "run", None)
        if run is not None:
            told["run_id"] = run.id
        print(msgspec.json.encode({"error": told}).decode(), file=sys.stderr)
    else:
        kind = "" if isinstance(error, UsageProblem) else f"{type(error).__name__}: "
        print(f"paseo-nb: {kind}{error}", file=sys.stderr)


def run_facts(run: RunView) -> dict[str, Any]:
    """A run as JSON tells it."""
    history = run.history()
    turn = history.turn
    return {
        "run_id": run.id,
        "agent": run.agent,
        "state": run.state,
        "outcome": turn.outcome if turn else None,
        "text": run.text,
        "usage": msgspec.to_builtins(run.usage),
        "branch": run.branch,
        "cwd": run.spec.cwd,
        "error": msgspec.to_builtins(run.error) if run.error else None,
        "cached": bool(getattr(run, "cached", False)),
    }


def to_json(result: Any) -> str:
    """Any verb's result as JSON."""
    if isinstance(result, RunView):
        value: Any = run_facts(result)
    elif isinstance(result, RunDiff):
        value = {**msgspec.to_builtins(result.summary), **result.more}
    elif hasattr(result, "frame"):  # a timeline, a trace
        return to_json(result.frame)
    elif isinstance(result, WorkflowHandle):
        value = {"workflow_run_id": result.id, "workflow": result.name, "state": result.state}
    elif hasattr(result, "to_json"):
        return str(result.to_json(orient="records", date_format="iso"))
    elif isinstance(result, list):
        rows = cast(list[Any], result)
        value = [run_facts(one) if isinstance(one, RunView) else one for one in rows]
    else:
        value = result
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _plain(value: Any) -> str:
    return value.id if isinstance(value, RunView) else str(value)


def to_text(result: Any) -> str:
    """Any verb's result as text."""
    if isinstance(result, RunView):
        return f"{short_id(result.id)}  {result.state}  {result.agent}"
    if isinstance(result, list):
        rows = cast(list[Any], result)
        if all(isinstance(one, RunView) for one in rows):
            return runs_bundle(rows, window_width())["text/plain"]
        from .checks import Check, as_text

        if all(isinstance(one, Check) for one in rows):
            return as_text(rows)
        return "\n".join(str(one) for one in rows)
    if isinstance(result, dict):
        facts = cast(dict[str, Any], result)
        return "\n".join(f"{name:<20} {value}" for name, value in facts.items())
    if hasattr(result, "to_string"):
        from .widgets.frame_text import frame_text

        return frame_text(result, window_width())
    return str(result)


def window_width() -> int | None:
    """Columns of the terminal's window (COLUMNS goes first); None where the output is no window."""
    if "COLUMNS" in os.environ or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


if __name__ == "__main__":
    main()
