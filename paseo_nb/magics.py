"""`%paseo`, `%%paseo`: parse, call the API, display.

`%%paseo` is awaited: an input transformer rewrites it to `await …`, the form in which Stop works
in JupyterLab on every ipykernel 7 and in which a front end stays alive; nbclient and papermill
take the same form. It blocks only where there is no running loop (a direct `run_cell_magic`).
Longer than other files, as it is the one list of magics.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import inspect
import re
import shlex
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import msgspec
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from . import _portal, _sync, cells, hearing, people  # pyright: ignore[reportPrivateUsage]
from .completing import matcher
from .errors import PaseoError, UsageProblem
from .handle import AsyncRun
from .helping import overview
from .interpolation import fill
from .model import BUSY_STATES
from .notebook_things import Cells, things
from .options import HelpShown, Parser, call_arguments, known_verb, parser_for
from .runview import raise_for
from .verbs import VERBS, current_host
from .widgets.live import LiveOutput, show_background, still_running_note

TICK_S = 0.1
STOP_S = 15.0
_CALL = re.compile(r"^get_ipython\(\)\.run_cell_magic\('paseo'")
_AWAITED = "await get_ipython().run_cell_magic('_paseo_awaited'"
_ATTACH = re.compile(r"^get_ipython\(\)\.run_line_magic\('paseo', 'attach\b")
_ATTACHED = "await get_ipython().run_line_magic('_paseo_attached', 'attach"
_EMPTY = re.compile(r"^(await get_ipython\(\)\.run_cell_magic\('_paseo_awaited', .*, )''\)$", re.M)
OUT = ("-o", "--out")
FILL = "fill in {name} in the text from Python: names, attributes, indices; code stays as it is"


def launch_parser() -> Parser:
    """The options of `%%paseo`: those of `start`, and a cell's own."""
    parser = parser_for(VERBS["start"], "%%paseo", without=("prompt",))
    parser.description = "Launch an agent on the cell's text and show its turn live."
    parser.add_argument(*OUT, metavar="NAME", type=a_name, help="bind the run to a name")
    parser.add_argument("--fill", action="store_true", help=FILL)
    parser.add_argument("--bg", action="store_true", help="return at once; the run goes on")
    parser.add_argument("--allow-errors", action="store_true", help="do not fail the cell")
    return parser


def line_parser(name: str) -> Parser:
    """The options of `%paseo VERB`: the verb's, and a notebook's own."""
    verb = known_verb(name)
    parser = parser_for(verb, f"%paseo {verb.name}")
    parser.add_argument(*OUT, metavar="NAME", type=a_name, help="bind what it gives to a name")
    if "prompt" in inspect.signature(verb.function).parameters:
        parser.add_argument("--fill", action="store_true", help=FILL)
    return parser


def a_name(text: str) -> str:
    """A name that Python takes for a variable."""
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"it takes a Python name, not {text!r}")
    return text


class Asked(msgspec.Struct):
    """What a `%%paseo` cell asks for."""

    agent: str | None
    prompt: str
    options: dict[str, Any]
    out: str | None
    bg: bool
    allow_errors: bool


@magics_class
class PaseoMagics(Magics):
    """The magics of paseo_nb."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.cells = Cells(shell)

    @no_var_expand
    @cell_magic
    def paseo(self, line: str, cell: str) -> Any:
        """Launch an agent on the cell's text and block until its turn is done."""
        asked = self._parse(line, cell)
        if asked is None:
            return
        with short_errors():
            start = VERBS["start"].function
            run = _portal.call(start, asked.agent, asked.prompt, **asked.options)
            watching = self._shown(run, asked, blocking=True)
            if watching is not None:
                watching.block()

    @no_var_expand
    @cell_magic
    def _paseo_awaited(self, line: str, cell: str) -> Any:
        asked = self._parse(line, cell)
        return _nothing() if asked is None else self._launch(asked)

    async def _launch(self, asked: Asked) -> None:
        with short_errors():
            starting = _portal.start_soon(
                VERBS["start"].function, asked.agent, asked.prompt, **asked.options
            )
            run = await asyncio.wrap_future(starting)
            watching = self._shown(run, asked)
            if watching is not None:
                await watching.follow()

    def _shown(self, run: AsyncRun, asked: Asked, blocking: bool = False) -> Watching | None:
        """Bind the run; what follows it, or None where it is at work in the background."""
        self._bind(asked.out, _sync.Run(run))
        if asked.bg and run.state in BUSY_STATES:
            show_background(run)
            return None
        return Watching(run, allow_errors=asked.allow_errors, blocking=blocking)

    def _bind(self, out: str | None, value: Any) -> None:
        if out is not None:
            cast(Any, self.shell).user_ns[out] = value

    def _parse(self, line: str, cell: str) -> Asked | None:
        with short_errors():
            try:
                values = launch_parser().values(split(line))
            except HelpShown:
                return None
            own = {name: values.pop(name) for name in ("agent", "out", "bg", "allow_errors")}
            if own["bg"]:  # the dashboard has a filter for those
                values["labels"] = {**(values.get("labels") or {}), "background": "yes"}
            values["prompt"] = cell
            self._fill_in(values)
            prompt = values.pop("prompt")
            return Asked(prompt=prompt, options={**values, "cell": cells.current()}, **own)
        return None

    def _fill_in(self, values: dict[str, Any]) -> None:
        """Put what a notebook has in place of its names: in the prompt, and in what is attached."""
        names = cast(Any, self.shell).user_ns
        if values.pop("fill") and values["prompt"]:
            values["prompt"] = fill(values["prompt"], names)
        if values.get("attach"):
            values["attach"] = things(values["attach"], self.cells, current_host())

    @no_var_expand
    @line_magic("paseo")  # pyright: ignore[reportUntypedFunctionDecorator]
    def paseo_line(self, line: str) -> Any:
        """Any verb: `%paseo ls`, `%paseo send RUN "…"`, `%paseo stop RUN`."""
        words = split(line)
        if not words or words[0] in ("help", "-h", "--help"):
            words = [*words[1:2], "-h"]
            if words[0] == "-h":
                print(overview())
                return None
        with short_errors():
            if words[0] == "workflow":
                return self._workflow(words[1:])
            verb = known_verb(words[0])
            try:
                values = line_parser(verb.name).values(words[1:])
            except HelpShown:
                return None
            out = values.pop("out")
            if "fill" in values:
                self._fill_in(values)
            positional, keywords = call_arguments(verb, values)
            return self._do(verb.name, positional, keywords, out)
        return None

    @no_var_expand
    @line_magic
    async def _paseo_attached(self, line: str) -> Any:
        """`%paseo attach` as a statement of its own: awaited, so that the view's buttons work."""
        with short_errors():
            try:
                values = line_parser("attach").values(split(line)[1:])
            except HelpShown:
                return None
            out = values.pop("out")
            run = await asyncio.wrap_future(_portal.start_soon(VERBS["attach"].function, **values))
            self._bind(out, _sync.Run(run))
            if run.state not in BUSY_STATES:
                return _sync.Run(run)
            await Watching(run).look_on()
        return None

    def _workflow(self, words: list[str]) -> Any:
        from . import workflow_commands

        try:
            return _shown(workflow_commands.do(words, "%paseo workflow"))
        except HelpShown:
            return None

    @no_var_expand
    @cell_magic
    def paseo_arena(self, line: str, cell: str) -> Any:
        """`%%paseo_arena A B [C D E]`: a match on the cell's text, shown live; votes are given in
        what is shown, or by `vote()` of what `-o NAME` binds."""
        from . import arena_commands

        with short_errors(), contextlib.suppress(HelpShown):
            match, out = arena_commands.begun(split(line), cell)
            self._bind(out, match)
            return match
        return None

    @no_var_expand
    @cell_magic
    def paseo_workflow(self, line: str, cell: str) -> None:
        """`%%paseo_workflow NAME`: define a workflow by the cell's text, which stands by itself."""
        from . import workflow_commands

        with short_errors():
            words = split(line)
            if len(words) != 1 or not words[0].replace("-", "_").isidentifier():
                raise UsageProblem(f"%%paseo_workflow NAME: one name, not {line.strip()!r}")
            name = words[0]
            made = workflow_commands.define(name, cell)
            variable = name.replace("-", "_")
            cast(Any, self.shell).user_ns[variable] = made
            print(f"{name} is defined: {variable}(…), or %paseo workflow run {name} [--bg]")

    def _do(
        self, name: str, positional: list[Any], keywords: dict[str, Any], out: str | None
    ) -> Any:
        result = getattr(_sync, name)(*positional, **keywords)
        self._bind(out, result)
        if name == "attach" and result.state in BUSY_STATES:
            return Watching(result._run, blocking=True).look()
        return _shown(result)


def _shown(result: Any) -> Any:
    """What a line gives; a text is printed."""
    if isinstance(result, str):
        print(result)
        return None
    return result


class Watching:
    """A cell that follows a run: its live output, Stop, permissions, the end."""

    def __init__(
        self, run: AsyncRun, *, allow_errors: bool = False, blocking: bool = False
    ) -> None:
        self.run, self.allow_errors, self.blocking = run, allow_errors, blocking
        self.ask_here = cells.can_ask()
        self.output = LiveOutput(run, blocking=blocking)

    def _tick(self) -> None:
        """In a blocking cell a question is asked by `input()`, as the kernel hears no button; else
        only where no browser shows the widget."""
        self.output.refresh()
        if self.ask_here and (self.blocking or not self.output.may_answer):
            for permission in self.run.pending():
                people.ask(self.run, permission)

    def _holding(self) -> contextlib.AbstractContextManager[None]:
        return people.holding(self.run) if self.ask_here else contextlib.nullcontext()

    async def follow(self) -> None:
        """Awaited: the loop stays free, and ■ (or a KeyboardInterrupt) cancels the turn."""
        done = _portal.start_soon(self.run.wait, check=False)
        with self._holding(), hearing.comms():
            try:
                while not done.done():
                    self._tick()
                    await asyncio.sleep(TICK_S)
            except (asyncio.CancelledError, KeyboardInterrupt):
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                self._cancel(done)
        self._finish(done)

    def block(self) -> None:
        """The same without a loop."""
        done = _portal.start_soon(self.run.wait, check=False)
        with self._holding():
            try:
                while not done.done():
                    self._tick()
                    time.sleep(TICK_S)
            except KeyboardInterrupt:
                self._cancel(done)
        self._finish(done)

    def look(self) -> None:
        """Watch only: ■ stops the watching, the run goes on."""
        done = _portal.start_soon(self.run.wait, check=False)
        try:
            while not done.done():
                self.output.refresh()
                time.sleep(TICK_S)
        except KeyboardInterrupt:
            done.cancel()
            self.output.freeze()
            print(still_running_note(self.run))
            return
        self.output.freeze()

    async def look_on(self) -> None:
        """The same, awaited."""
        done = _portal.start_soon(self.run.wait, check=False)
        try:
            with hearing.comms():
                while not done.done():
                    self.output.refresh()
                    await asyncio.sleep(TICK_S)
        except (asyncio.CancelledError, KeyboardInterrupt):
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            done.cancel()
            print(still_running_note(self.run))
        self.output.freeze()

    def _cancel(self, done: concurrent.futures.Future[Any]) -> None:
        """■: the turn ends, the kernel and the run stay. A second ■ stops waiting for that. Where
        the kernel is restarted, which begins like ■, the turn goes on."""
        if cells.is_ending():
            return
        _portal.call(self.run.cancel)
        deadline = time.monotonic() + STOP_S
        while not done.done() and time.monotonic() < deadline:
            self.output.refresh()
            time.sleep(TICK_S)

    def _finish(self, done: concurrent.futures.Future[Any]) -> None:
        done.cancel()
        self.output.freeze()
        if not done.cancelled():
            error = done.exception()
            if error is not None:
                raise error
        if not self.allow_errors:
            raise_for(self.run)


@contextlib.contextmanager
def short_errors() -> Generator[None]:
    """Wrong arguments as IPython's one-line usage error."""
    try:
        yield
    except UsageProblem as error:
        raise UsageError(str(error)) from None
    except PaseoError as error:
        raise error.with_traceback(None) from None


def split(line: str) -> list[str]:
    """A line into words, quotes taken off; UsageError where one is not closed."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%paseo: {error}: {line}") from None


async def _nothing() -> None:
    return None


def rewrite(lines: list[str]) -> list[str]:
    """The input transformer: a top-level `%%paseo` or `%paseo attach` is awaited."""
    awaited = (_ATTACH.sub(_ATTACHED, _CALL.sub(_AWAITED, line)) for line in lines)
    return [_EMPTY.sub(r"\1' ')", line) for line in awaited]


def awaits(shell: Any) -> bool:
    """Whether cells of this shell may await."""
    return bool(getattr(shell, "autoawait", False))


def load(shell: Any) -> None:
    """Register the magics; a second call does nothing."""
    if "PaseoMagics" not in shell.magics_manager.registry:
        shell.register_magics(PaseoMagics)
        shell.events.register("post_run_cell", _magics(shell).cells.note)
        if getattr(shell, "Completer", None) is not None:
            shell.Completer.custom_matchers.append(matcher(shell, launch_parser, line_parser))
    transformers: list[Callable[[list[str]], list[str]]] = shell.input_transformers_post
    if awaits(shell) and rewrite not in transformers:
        transformers.append(rewrite)


def unload(shell: Any) -> None:
    """Take the magics, the transformer, the completion and the loop thread away."""
    with contextlib.suppress(ValueError):
        shell.input_transformers_post.remove(rewrite)
    if "PaseoMagics" in shell.magics_manager.registry:
        shell.events.unregister("post_run_cell", _magics(shell).cells.note)
        matchers: list[Any] = getattr(shell.Completer, "custom_matchers", [])
        matchers[:] = [one for one in matchers if one.__module__ != matcher.__module__]
    shell.magics_manager.registry.pop("PaseoMagics", None)
    for kind, name in (
        ("cell", "paseo"),
        ("cell", "_paseo_awaited"),
        ("cell", "paseo_workflow"),
        ("line", "paseo"),
        ("line", "_paseo_attached"),
    ):
        shell.magics_manager.magics[kind].pop(name, None)
    _portal.close()


def _magics(shell: Any) -> PaseoMagics:
    return shell.magics_manager.registry["PaseoMagics"]
