"""What a model request says and what may be answered: plain values, free of any API's spelling.

The dialects translate to and from these; scripts see nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Capability = Literal["read", "edit", "write", "shell"]


@dataclass(frozen=True)
class Tool:
    """One tool that the CLI offers; `schema` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolCall:
    """One call that the model made: the CLI's own tool name and arguments."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave back, as the text that the model gets to see."""

    call_id: str
    name: str
    text: str


@dataclass(frozen=True)
class Message:
    """One message; `role` is `user`, `assistant` or `tool` in every dialect."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """One request to the model."""

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    stream: bool = False
    include_usage: bool = True

    @property
    def user_texts(self) -> tuple[str, ...]:
        return tuple(m.text for m in self.messages if m.role == "user")

    @property
    def prompt(self) -> str:
        """The last thing the user said."""
        return self.user_texts[-1] if self.user_texts else ""

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """The tool results since the user last spoke, oldest first."""
        found: list[ToolResult] = []
        for message in self.messages:
            if message.role == "user":
                found.clear()
            found += message.tool_results
        return tuple(found)

    @property
    def wants_title(self) -> bool:
        """A CLI's side request for a session title: no tools, and the system prompt says so."""
        return not self.tools and re.search(r"\btitle\b", self.system, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Usage:
    """Token counts to report. `input_tokens` includes cached, `output_tokens` includes reasoning.

    The defaults are numbers that nobody gets by accident: 8118 = 1111 fresh + 7007 cached.
    """

    input_tokens: int = 8118
    cached_tokens: int = 7007
    output_tokens: int = 42
    reasoning_tokens: int = 9

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Use:
    """A tool call by capability; the CLI's own tool and argument names are found later.

    Arguments: read(path), edit(path, old, new), write(path, content), shell(command).
    """

    capability: Capability
    arguments: Mapping[str, str]


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


@dataclass(frozen=True)
class Failure:
    """An HTTP error instead of an answer."""

    status: int = 500
    message: str = "the model server was told to fail"
    retry_after_s: float | None = None
    """Sent as `retry-after-ms` and `Retry-After`, so that a CLI's retries take no minutes."""


Answer = Reply | Failure | str
Script = Callable[[Conversation], Answer] | Answer | Sequence[Answer]


def pieces(text: str, size: int) -> list[str]:
    """`text` cut into parts of at most `size` characters."""
    return [text[i : i + size] for i in range(0, len(text), max(1, size))]
