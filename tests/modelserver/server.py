"""ModelServer: a scripted model on an ephemeral loopback port, and the ledger of what was asked.

A test or a terminal starts it; the CLI under test is pointed at `url` and cannot tell.
The HTTP side is in wire.py, each API's spelling in one file per dialect, the plots in scripts.py,
single answers to enqueue in behaviours.py.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from . import anthropic, chat_completions, gemini, responses
from .capabilities import NoSuchTool, tool_call
from .conversation import (
    NO_USAGE,
    TOOL_SEARCH,
    Answer,
    Conversation,
    Failure,
    Reply,
    Script,
    Usage,
    Use,
)
from .dialect import Dialect
from .prefix_cache import PrefixCache
from .scripts import echo
from .wire import HttpServer, Request

DIALECTS: tuple[Dialect, ...] = (gemini, chat_completions, responses, anthropic)
SIDE_USAGE = Usage(311, 0, 0, 7, 0)


class ModelServer:
    """A context manager; `script` may be exchanged while it runs.

    What was enqueued is answered first, one answer per main request. Then `script`: a callable
    from Conversation to text, Reply or Failure; or one such value; or a list of them, one per
    request, the last one for all further requests. Requests on the side (a session title, a
    summary) get `side[kind]` and SIDE_USAGE and touch neither.

    `usage`: what main requests report, or a function of their number, from 1 (`nth_usage`).
    `cache`: counts their input instead, as a provider that keeps prompts.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        usage: Usage | Callable[[int], Usage] | None = None,
        models: tuple[str, ...] = ("fake-model",),
        title: str = "A scripted session",
        port: int = 0,
        cache: PrefixCache | None = None,
    ) -> None:
        self.script: Script = echo() if script is None else script
        self.usage = usage or Usage()
        self.models = models
        self.cache = cache
        self.side = {"title": title, "summary": "What was said so far, in short."}
        self.requests: list[Request] = []
        self._changed = threading.Condition()
        self._queues: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._failed: defaultdict[str, int] = defaultdict(int)
        self._taken = 0
        self._told = 0
        self._script_errors: list[Exception] = []
        self._http = HttpServer(self, DIALECTS, port)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`; any path prefix may follow."""
        return f"http://127.0.0.1:{self._http.port}"

    def url_for(self, tag: str) -> str:
        """A URL of its own for one session: its queue, and its part of the ledger."""
        return f"{self.url}/t/{tag}"

    def enqueue(self, *answers: Answer, tag: str = "") -> None:
        """What the model says next, one after the other, to the main requests under `tag`."""
        with self._changed:
            self._queues[tag].extend(answers)

    # --- the ledger ---

    def ledger(self, kind: str = "main", *, tag: str | None = None) -> list[Request]:
        """The requests of a kind (see Request.kind), oldest first."""
        return [r for r in list(self.requests) if r.kind == kind and tag in (None, r.tag)]

    def spent(self, kind: str = "main", *, tag: str | None = None) -> Usage:
        """The sum of what clients were told of their usage."""
        return sum((r.usage for r in self.ledger(kind, tag=tag) if r.usage), NO_USAGE)

    @property
    def conversations(self) -> list[Conversation]:
        """The main requests as conversations, in order."""
        return [r.conversation for r in self.ledger() if r.conversation]

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
                self._changed.wait(min(left, 60.0))

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

    def answer(self, conversation: Conversation, tag: str) -> Reply | Failure:
        """What the model says, with its usage, and tool calls spelled as the CLI offered them."""
        if conversation.kind != "main":
            return _on_the_side(self.side[conversation.kind], conversation)
        with self._changed:
            try:
                said, done = self._next(conversation, tag)
            except Exception as error:
                self._script_errors.append(error)
                return Failure(500, f"the script raised {error!r}")
            said = Reply(said) if isinstance(said, str) else said
            if isinstance(said, Reply):
                said = _spelled(said, conversation)
                self._told += 1
                usage = self.usage(self._told) if callable(self.usage) else self.usage
                said = dataclasses.replace(said, usage=said.usage or usage)
                if any(call.name == TOOL_SEARCH for call in said.calls):
                    return said  # the CLI only loads the tool now: the answer stays due
            done()
            return said

    def _next(self, conversation: Conversation, tag: str) -> tuple[Answer, Callable[[], None]]:
        """The answer that is due, and what to call once it is given."""
        queue = self._queues[tag]
        if queue:
            return queue[0], lambda: self._given(tag)
        script = self.script
        if callable(script):
            return script(conversation), lambda: None
        if isinstance(script, str | Reply | Failure):
            return script, lambda: None

        def taken() -> None:
            self._taken += 1

        return script[min(self._taken, len(script) - 1)], taken

    def _given(self, tag: str) -> None:
        queue = self._queues[tag]
        if isinstance(queue[0], Failure):
            self._failed[tag] += 1
            if queue[0].times is None or self._failed[tag] < queue[0].times:
                return
        self._failed[tag] = 0
        queue.popleft()


def _on_the_side(text: str, conversation: Conversation) -> Reply:
    if conversation.schema:
        text = json.dumps(dict.fromkeys(conversation.schema.get("properties", {}), text))
    return Reply(text, usage=SIDE_USAGE)


def _spelled(said: Reply, conversation: Conversation) -> Reply:
    """`uses` as the calls that this CLI knows; what it has no tool for is said in the text."""
    calls, text = said.calls, said.text
    for use in said.uses:
        try:
            calls = (*calls, tool_call(use, conversation))
        except NoSuchTool as error:
            text = f"{text} {_without_tool(use, error)}".strip()
    return dataclasses.replace(said, uses=(), calls=calls, text=text)


def _without_tool(use: Use, error: NoSuchTool) -> str:
    return json.dumps(use.arguments["value"]) if use.capability == "answer" else f"[{error}]"
