"""What a model request says and what may be answered: plain values, free of any API's spelling.

The dialects translate to and from these; scripts see nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Capability = Literal["read", "edit", "write", "shell", "mcp", "answer"]
Kind = Literal["main", "title", "summary"]

# Claude Code loads MCP tools by this one; what it gives back is no result of the plot
TOOL_SEARCH = "ToolSearch"


@dataclass(frozen=True)
class Tool:
    """One tool that the CLI offers; `schema` is the JSON schema of its arguments.

    A `custom` tool takes bare text instead (OpenAI Responses); some have a `namespace`.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = False
    namespace: str = ""


@dataclass(frozen=True)
class ToolCall:
    """One call that the model made: the CLI's own tool name and arguments.

    `text` is the input of a custom tool, which has no arguments.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    namespace: str = ""


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave back, as the text that the model gets to see."""

    call_id: str
    name: str
    text: str


@dataclass(frozen=True)
class Image:
    """One image that reached the model: its media type and its bytes (empty for a URL)."""

    media_type: str
    data: bytes = b""
    url: str = ""


@dataclass(frozen=True)
class Message:
    """One message; `role` is `user`, `assistant` or `tool` in every dialect."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """One request to the model. `schema` is the JSON schema that the answer has to follow."""

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    stream: bool = False
    include_usage: bool = True
    schema: Mapping[str, Any] | None = None

    @property
    def user_texts(self) -> tuple[str, ...]:
        return tuple(m.text for m in self.messages if m.role == "user")

    @property
    def prompt(self) -> str:
        """The last thing the user said."""
        return self.user_texts[-1] if self.user_texts else ""

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image in it, oldest first."""
        return tuple(image for m in self.messages for image in m.images)

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """The tool results since the user last spoke, oldest first; loading a tool is none."""
        found: list[ToolResult] = []
        for message in self.messages:
            if message.role == "user":
                found.clear()
            found += (r for r in message.tool_results if r.name != TOOL_SEARCH)
        return tuple(found)

    @property
    def kind(self) -> Kind:
        """`main`, or what a CLI asks on the side, without tools: a session title, a summary."""
        if self.tools:
            return "main"
        asked = f"{self.system}\n{self.prompt}"
        if re.search(r"\btitle\b", asked, re.IGNORECASE):
            return "title"
        if re.search(r"\b(summar(y|i[sz]e)|compact)\b", self.system, re.IGNORECASE):
            return "summary"
        return "main"


@dataclass(frozen=True)
class Usage:
    """Token counts to report. `input_tokens` includes cached ones, read and written;
    `output_tokens` includes reasoning.

    The defaults are numbers that nobody gets by accident: 8421 = 1111 fresh + 7007 read from the
    cache + 303 written to it. Only Anthropic's and the Responses API have a field for the latter.
    """

    input_tokens: int = 8421
    cached_tokens: int = 7007
    cache_write_tokens: int = 303
    output_tokens: int = 42
    reasoning_tokens: int = 9

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def fresh_tokens(self) -> int:
        """Input that was neither read from the cache nor written to it."""
        return self.input_tokens - self.cached_tokens - self.cache_write_tokens

    def __add__(self, other: Usage) -> Usage:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Usage(**sums)


NO_USAGE = Usage(0, 0, 0, 0, 0)


def nth_usage(n: int) -> Usage:
    """Other numbers for every call, so that a sum tells which calls are in it (n from 1)."""
    step = 10 ** min(n - 1, 3) * n
    return Usage() + Usage(1000 * n + step, 500 * n, 100 * n, 20 * n + step, 3 * n)


@dataclass(frozen=True)
class Use:
    """A tool call by capability; the CLI's own tool and argument names are found later.

    Arguments: read(path), edit(path, old, new), write(path, content), shell(command),
    mcp(server, tool, arguments), answer(value): a structured answer, by the tool that the CLI has
    for it, else as JSON text.
    """

    capability: Capability
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the model says next, in this order: reasoning, text, tool calls."""

    text: str = ""
    reasoning: str = ""
    uses: tuple[Use, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    """Calls by the CLI's own tool names, after `uses` have been looked up."""
    usage: Usage | None = None
    wait_s: float = 0.0
    """Silence before the first byte."""
    pause_s: float = 0.0
    """Silence between two pieces of a stream."""
    piece: int = 12
    """Characters in one piece of a stream."""
    hang_after: int | None = None
    """After so many events of a stream: silence, until the client hangs up."""
    cut_after: int | None = None
    """After so many events of a stream: the connection is broken."""


@dataclass(frozen=True)
class Failure:
    """An HTTP error instead of an answer."""

    status: int = 500
    message: str = "the model server was told to fail"
    retry_after_s: float | None = None
    """Sent as `retry-after-ms` and `Retry-After`, so that a CLI's retries take no minutes."""
    times: int | None = 1
    """How many requests get it, when it was enqueued; None: every one from now on."""
    overflow: bool = False
    """Spelled as each API says that the context is full."""


Answer = Reply | Failure | str
Script = Callable[[Conversation], Answer] | Answer | Sequence[Answer]


def pieces(text: str, size: int) -> list[str]:
    """`text` cut into parts of at most `size` characters."""
    return [text[i : i + size] for i in range(0, len(text), max(1, size))]
