"""`%paseo`, `%%paseo`: parse, call the API, display.

`%%paseo` is awaited: an input transformer rewrites it to `await …`, the form in which Stop works
in JupyterLab on every ipykernel 7 and in which a front end stays alive; nbclient and papermill
take the same form. It blocks only where there is no running loop (a direct `run_cell_magic`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import re
import shlex
import time
from collections.abc import Callable, Generator
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from . import _portal, _sync, cells, people  # pyright: ignore[reportPrivateUsage]
from .errors import PaseoError, UsageProblem
from .handle import AsyncRun
from .model import BUSY_STATES
from .options import HelpShown, Parser, call_arguments, known_verb, parser_for
from .runview import raise_for
from .verbs import VERBS
from .widgets.live import LiveOutput, still_running_note

TICK_S = 0.1
STOP_S = 15.0
_CALL = re.compile(r"^get_ipython\(\)\.run_cell_magic\('paseo'")
_AWAITED = "await get_ipython().run_cell_magic('_paseo_awaited'"
_EMPTY = re.compile(r"^(await get_ipython\(\)\.run_cell_magic\('_paseo_awaited', .*, )''\)$", re.M)
HELP = "`%%paseo AGENT [options]` launches an agent on the cell's text; `%paseo VERB …`:"


def launch_parser() -> Parser:
    """The options of `%%paseo`: those of `start`, plus `-o`."""
    parser = parser_for(VERBS["start"], "%%paseo", without=("prompt",))
    parser.add_argument("-o", "--out", metavar="NAME", default=None, help="bind the run to a name")
    parser.add_argument("--allow-errors", action="store_true", help="do not fail the cell")
    return parser


@magics_class
class PaseoMagics(Magics):
    """The magics of paseo_nb."""

    @no_var_expand
    @cell_magic
    def paseo(self, line: str, cell: str) -> Any:
        """Launch an agent on the cell's text and block until its turn is done."""
        options = self._parse(line)
        if options is None:
            return
        with short_errors():
            run = _portal.call(VERBS["start"].function, options.pop("agent"), cell, **options)
            Watching(run, self.shell, options).block()

    @no_var_expand
    @cell_magic
    def _paseo_awaited(self, line: str, cell: str) -> Any:
        options = self._parse(line)
        return _nothing() if options is None else self._launch(options, cell)

    async def _launch(self, options: dict[str, Any], cell: str) -> None:
        with short_errors():
            starting = _portal.start_soon(
                VERBS["start"].function, options.pop("agent"), cell, **options
            )
            run = await asyncio.wrap_future(starting)
            await Watching(run, self.shell, options).follow()

    def _parse(self, line: str) -> dict[str, Any] | None:
        with short_errors():
            try:
                values = launch_parser().values(split(line))
            except HelpShown:
                return None
            values["cell"] = cells.current()
            self.out, self.allow_errors = values.pop("out"), values.pop("allow_errors")
            if self.out is not None and not self.out.isidentifier():
                raise UsageProblem(f"-o takes a Python name, not {self.out!r}")
            return values
        return None

    @no_var_expand
    @line_magic("paseo")  # pyright: ignore[reportUntypedFunctionDecorator]
    def paseo_line(self, line: str) -> Any:
        """Any verb: `%paseo ls`, `%paseo send RUN "…"`, `%paseo stop RUN`."""
        words = split(line)
        if not words or words[0] in ("help", "-h", "--help"):
            print(HELP)
            for verb in VERBS.values():
                print(f"  {verb.name:<12} {verb.summary}")
            return None
        with short_errors():
            verb = known_verb(words[0])
            parser = parser_for(verb, f"%paseo {verb.name}")
            try:
                values = parser.values(words[1:])
            except HelpShown:
                return None
            positional, keywords = call_arguments(verb, values)
            return self._do(verb.name, positional, keywords)
        return None

    def _do(self, name: str, positional: list[Any], keywords: dict[str, Any]) -> Any:
        result = getattr(_sync, name)(*positional, **keywords)
        if name == "attach" and result.state in BUSY_STATES:
            return Watching(result._run, self.shell, {}).look()
        if isinstance(result, str):
            print(result)
            return None
        return result


class Watching:
    """A cell that follows a run: its live output, Stop, permissions, the end."""

    def __init__(self, run: AsyncRun, shell: Any, options: dict[str, Any]) -> None:
        self.run, self.shell = run, shell
        self.magics: PaseoMagics = shell.magics_manager.registry["PaseoMagics"]
        self.ask_here = cells.can_ask()
        if options and self.magics.out is not None:
            shell.user_ns[self.magics.out] = _sync.Run(run)
        self.output = LiveOutput(run)

    def _tick(self) -> None:
        self.output.refresh()
        if self.ask_here:
            for permission in self.run.pending():
                people.ask(self.run, permission)

    def _holding(self) -> contextlib.AbstractContextManager[None]:
        return people.holding(self.run) if self.ask_here else contextlib.nullcontext()

    async def follow(self) -> None:
        """Awaited: the loop stays free, and ■ (or a KeyboardInterrupt) cancels the turn."""
        done = _portal.start_soon(self.run.wait, check=False)
        with self._holding():
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

    def _cancel(self, done: concurrent.futures.Future[Any]) -> None:
        """■: the turn ends, the kernel and the run stay. A second ■ stops waiting for that."""
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
        if not self.magics.allow_errors:
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
    """The input transformer: a top-level `%%paseo` becomes awaited."""
    return [_EMPTY.sub(r"\1' ')", _CALL.sub(_AWAITED, line)) for line in lines]


def awaits(shell: Any) -> bool:
    """Whether cells of this shell may await."""
    return bool(getattr(shell, "autoawait", False))


def load(shell: Any) -> None:
    """Register the magics; a second call does nothing."""
    if "PaseoMagics" not in shell.magics_manager.registry:
        shell.register_magics(PaseoMagics)
    transformers: list[Callable[[list[str]], list[str]]] = shell.input_transformers_post
    if awaits(shell) and rewrite not in transformers:
        transformers.append(rewrite)


def unload(shell: Any) -> None:
    """Take the magics, the transformer and the loop thread away."""
    with contextlib.suppress(ValueError):
        shell.input_transformers_post.remove(rewrite)
    shell.magics_manager.registry.pop("PaseoMagics", None)
    for kind, name in (("cell", "paseo"), ("cell", "_paseo_awaited"), ("line", "paseo")):
        shell.magics_manager.magics[kind].pop(name, None)
    _portal.close()
