"""What a provider is: a way to get an agent, as plain data.

Each driver file declares one, with the same parts in the same order: find, launch, differences
from plain ACP, capabilities, usage, measured. `registry` collects them and the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

ModelBy = Literal["argv", "session"]
Source = Literal["built-in", "user", "project", "registered"]

_OWN_FOLDER = re.compile(r"\$\{(\w+):-([^}]*)\}")


def place(text: str, environment: Mapping[str, str]) -> str:
    """A path as a person reads it, with a variable's value (or the default) for `${VAR:-default}`;
    `~` stays."""
    return _OWN_FOLDER.sub(lambda found: environment.get(found[1]) or found[2], text)


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of an agent. None: not known.

    images: whether they reach the model; mcp: the transports really used; returns: how it goes on
    with a session in a new process (`resume`, or `load`, which replays); asks: whether it asks for
    permission (with `Provider.asking`, where that is needed), asking_modes: its agent modes in
    which the policy holds (None: all of them), asks_to_look: whether before it reads and searches,
    too, where a rule denies that, permissions: the kinds of answer that it offers;
    effort: whether it offers a choice of effort; steer: whether a message may be said into a
    running turn; cost: whether it tells what it cost; usage: what it tells of tokens and money, in
    words.
    """

    images: bool | None = None
    mcp: tuple[str, ...] | None = None
    returns: Literal["resume", "load"] | None = None
    asks: bool | None = None
    asking_modes: tuple[str, ...] | None = None
    asks_to_look: bool = False
    permissions: tuple[str, ...] | None = None
    effort: bool | None = None
    steer: bool | None = None
    cost: bool | None = None
    usage: str = ""


class Provider(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A way to get an agent. `command` may still be relative, `env` values may hold `${VAR}`;
    `registry.resolve` settles both.

    args: what the dialect needs on the command line, whatever the command is. `new_session` and
    `old_session`: arguments that choose a new session's id (a UUID for `{session_id}`) or name the
    one to go on with. `budget_args`: arguments by which it keeps to so many US dollars (`{usd}`)
    itself, within a turn.
    model_by: `argv` adds `model_args` (with `{model}` filled in) to the command, `session` has the
    supervisor choose it in the session. `models` empty: any name goes. `needs` is the binary to
    look for. `auth_method` is used where `auth_needs` (a variable) is set, if that is given.
    wants_model: no session can be opened before a model is named.
    `switches` are variables that the agent gets unless the environment has them already; the value
    `{scratch}` is a folder of the run's own, which goes with the pair.
    `asking` are variables by which it is made to ask for permission; `asking_all` the same where a
    rule denies some looking, too. It gets them, whatever the environment has, unless the run lets
    everything pass. `asking_args`, `asking_all_args`: arguments to the same end.
    For the doctor: `version_of` tells the version (else `needs` does); one of the variables `keys`
    or of the files `signed_in` (path, a regular expression found in it then) lets it work;
    `sign_in` is what to do where there is none; `sessions` is where it keeps them. A path may begin
    with `${VAR:-default}`, see `place`.
    `packages`: Python packages that must be importable, beside the program.
    `folder` is where a user's relative paths start; `extends` the built-in provider it is at heart.
    """

    name: str
    command: list[str]
    args: list[str] = []
    new_session: list[str] = []
    old_session: list[str] = []
    budget_args: list[str] = []
    env: dict[str, str] = {}
    switches: dict[str, str] = {}
    asking: dict[str, str] = {}
    asking_all: dict[str, str] = {}
    asking_args: list[str] = []
    asking_all_args: list[str] = []
    dialect: str = "acp"
    model_by: ModelBy = "session"
    model_args: list[str] = []
    models: list[str] = []
    default_model: str | None = None
    auth_method: str | None = None
    auth_needs: str | None = None
    install: str = ""
    scripted: bool = False
    wants_model: bool = False
    source: Source = "built-in"
    needs: str | None = None
    version_of: str | None = None
    keys: tuple[str, ...] = ()
    signed_in: tuple[tuple[str, str], ...] = ()
    sign_in: str = ""
    sessions: str | None = None
    packages: list[str] = []
    notes: str = ""
    extends: str = "acp"
    trusted: bool = True
    folder: str | None = None
    capabilities: Capabilities = Capabilities()

    def __repr__(self) -> str:
        """Without the values of its environment: they may be secrets."""
        shown = " ".join(self.command)
        return f"<Provider {self.name} ({self.source}): {shown}, env {sorted(self.env)}>"


class ProviderTable(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`[providers.NAME]` in a file, and the arguments of `register_provider`."""

    extends: Annotated[
        str | None,
        Meta(
            description="What it starts from: `acp` or a built-in provider, whose name it may be."
        ),
    ] = None
    command: Annotated[
        list[str] | None,
        Meta(description="The program and its arguments; files beside this one may be relative."),
    ] = None
    env: Annotated[
        dict[str, str] | None,
        Meta(description="Variables for the agent; `${VAR}` takes a value from your environment."),
    ] = None
    models: Annotated[
        list[str] | None, Meta(description="The models it knows; without a list any name goes.")
    ] = None
    default_model: Annotated[
        str | None, Meta(description="The model where none is named; else the agent's own choice.")
    ] = None
    model_args: Annotated[
        list[str] | None,
        Meta(
            description='Arguments that choose a model, as in `["--model", "{model}"]`;'
            " without them it is chosen in the session."
        ),
    ] = None
    auth_method: Annotated[
        str | None, Meta(description="The ACP authentication method to call first.")
    ] = None
    install: Annotated[
        str | None, Meta(description="What to say where the program is missing.")
    ] = None
    images: Annotated[
        bool | None,
        Meta(description="Whether its model takes images; with `false` they are refused at once."),
    ] = None
    notes: Annotated[str | None, Meta(description="A line about it.")] = None

    def over(self, base: Provider, **identity: Any) -> Provider:
        """The base with what this table says changed."""
        changes = {
            name: getattr(self, name)
            for name in self.__struct_fields__
            if name not in ("extends", "env", "images") and getattr(self, name) is not None
        }
        changes["env"] = {**base.env, **(self.env or {})}
        if self.command is not None:
            changes["needs"] = self.command[0] if self.command else None
            changes.setdefault("install", "")
            changes["scripted"], changes["version_of"] = False, None
            changes["packages"] = []
        if self.images is not None:
            changes["capabilities"] = msgspec.structs.replace(base.capabilities, images=self.images)
        if self.model_args is not None:
            changes["model_by"] = "argv" if self.model_args else "session"
        return msgspec.structs.replace(base, **changes, **identity)
