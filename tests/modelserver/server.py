"""ModelServer: a scripted model on an ephemeral loopback port, and the record of what was asked.

A test or a terminal starts it; the CLI under test is pointed at `url` and cannot tell.
The HTTP side is in wire.py, each API's spelling in one file per dialect, the plots in scripts.py.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

from . import chat_completions, gemini
from .capabilities import NoSuchTool, tool_call
from .conversation import Answer, Conversation, Failure, Reply, Script, Usage
from .dialect import Dialect
from .scripts import echo
from .wire import HttpServer, Request

DIALECTS: tuple[Dialect, ...] = (gemini, chat_completions)


class ModelServer:
    """A context manager; `script` may be exchanged while it runs.

    `script`: a callable from Conversation to text, Reply or Failure; or one such value; or a list
    of them, one per request, the last one for all further requests. Requests for a session title
    are answered by `title` and do not reach the script.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        usage: Usage | None = None,
        models: tuple[str, ...] = ("fake-model",),
        title: str = "A scripted session",
        port: int = 0,
    ) -> None:
        self.script: Script = echo() if script is None else script
        self.usage = usage or Usage()
        self.models = models
        self.title = title
        self.requests: list[Request] = []
        self._changed = threading.Condition()
        self._taken = 0
        self._script_errors: list[Exception] = []
        self._http = HttpServer(self, DIALECTS, port)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; any path prefix may follow."""
        return f"http://127.0.0.1:{self._http.port}"

    @property
    def conversations(self) -> list[Conversation]:
        """The requests that reached the script, in order."""
        found = [r.conversation for r in list(self.requests) if r.conversation]
        return [c for c in found if not c.wants_title]

    def wait_for(self, condition: Callable[[Request], bool], timeout: float = 10.0) -> Request:
        """The first request that fulfils `condition`, as soon as there is one.

        Raises TimeoutError, naming what did arrive.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for request in self.requests:
                    if condition(request):
                        return request
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = [f"{r.path} {r.status} {r.outcome}" for r in self.requests]
                    raise TimeoutError(f"no such request in {timeout} s; there were: {seen}")
                self._changed.wait(left)

    def __enter__(self) -> ModelServer:
        self._http.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Raises what a script raised, unless an error is on its way already."""
        self.close()
        if self._script_errors and kind is None:
            raise self._script_errors[0]

    def close(self) -> None:
        """Ends open answers, closes the port, joins every thread."""
        self._http.close()

    # --- what wire.py calls ---

    def record(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)

    def update(self, request: Request, **changes: Any) -> None:
        with self._changed:
            for name, value in changes.items():
                setattr(request, name, value)
            self._changed.notify_all()

    def answer(self, conversation: Conversation) -> Reply | Failure:
        """What the script says, with tool calls spelled as the CLI offered them."""
        if conversation.wants_title:
            return Reply(self.title)
        try:
            said = self._ask_script(conversation)
        except Exception as error:
            self._script_errors.append(error)
            return Failure(500, f"the script raised {error!r}")
        if isinstance(said, str):
            said = Reply(said)
        if isinstance(said, Failure) or not said.uses:
            return said
        try:
            calls = tuple(tool_call(use, conversation) for use in said.uses)
        except NoSuchTool as error:
            return dataclasses.replace(said, uses=(), text=f"{said.text} [{error}]".strip())
        return dataclasses.replace(said, calls=calls + said.calls)

    def _ask_script(self, conversation: Conversation) -> Answer:
        script = self.script
        if callable(script):
            return script(conversation)
        if isinstance(script, str | Reply | Failure):
            return script
        with self._changed:
            at = min(self._taken, len(script) - 1)
            self._taken += 1
        return script[at]
