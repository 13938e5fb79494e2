"""What the model does: ready scripts. Each function returns a script, made from its arguments.

A script looks at one conversation and says the next thing. It keeps no state of its own: what
was done before is read from the conversation, so that resumed sessions and retries just work.
"""

from __future__ import annotations

from collections.abc import Callable

from .capabilities import plain, took_place
from .conversation import Answer, Conversation, Failure, Reply, Use
from .fixer import fixer, sample_fixer

_Script = Callable[[Conversation], Answer]


def echo() -> _Script:
    """How many user messages the conversation has, and the last one: proves that resume works."""

    def script(conversation: Conversation) -> Answer:
        return f"user messages: {len(conversation.user_texts)}; last: {conversation.prompt}"

    return script


def writer(path: str = "hello.txt", content: str = "hello from the model server\n") -> _Script:
    """Writes one file, then says whether it was allowed to."""

    def script(conversation: Conversation) -> Answer:
        if not conversation.results:
            return Reply(
                f"I will write {path}.", uses=(Use("write", {"path": path, "content": content}),)
            )
        result = conversation.results[-1].text
        return f"I wrote {path}." if took_place(result) else f"I could not write: {result}"

    return script


def shell(command: str) -> _Script:
    """Runs one command, then quotes its output."""

    def script(conversation: Conversation) -> Answer:
        if not conversation.results:
            return Reply(uses=(Use("shell", {"command": command}),))
        return f"The command said: {plain(conversation.results[-1].text).strip()}"

    return script


def slow(chunks: int = 200, pause_s: float = 0.05) -> _Script:
    """A long text at a steady pace: something to cancel, or to watch."""

    def script(conversation: Conversation) -> Answer:
        words = "".join(f"word{i:05d} " for i in range(chunks))
        return Reply(words, pause_s=pause_s, piece=10)

    return script


def silent(wait_s: float = 60.0) -> _Script:
    """Accepts the request and says nothing for a long time."""

    def script(conversation: Conversation) -> Answer:
        return Reply("at last", wait_s=wait_s)

    return script


def err500(
    status: int = 500,
    message: str = "the model server was told to fail",
    retry_after_s: float = 0.05,
) -> _Script:
    """Fails every request with this HTTP status.

    CLIs try again and again; opencode waits as long as the answer asks for, gemini does not.
    """

    def script(conversation: Conversation) -> Answer:
        return Failure(status, message, retry_after_s)

    return script


def by_word(otherwise: _Script, **scripts: _Script) -> _Script:
    """The script whose name stands in the prompt: one server for a whole test module."""

    def script(conversation: Conversation) -> Answer:
        chosen = next((s for word, s in scripts.items() if word in conversation.prompt), otherwise)
        return chosen(conversation)

    return script


SCRIPTS: dict[str, Callable[..., _Script]] = {
    f.__name__: f for f in (echo, writer, shell, fixer, sample_fixer, slow, silent, err500)
}
