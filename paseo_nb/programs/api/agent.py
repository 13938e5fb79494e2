"""The agent's side of ACP: which method does what. Turns run as tasks that this object owns.

Sessions open without the model library, which is imported in a thread right after: whoever prompts
meanwhile waits for it.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import traceback
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from ..common.errors import RpcError
from ..common.peer import Peer, fork_wish, known, no_such_session
from ..common.replay import replay
from .endpoints import Endpoint, NoEndpoint, find
from .options import EFFORTS, MODES, config_options, mode_state
from .sessions import Session, Shelf

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from .conversation import Conversation
    from .mcp_servers import McpServers
    from .turn import Turn

VERSION = "1"


class Limits(NamedTuple):
    """`requests`: model calls in a turn; `timeout_s`: how long an endpoint may be silent."""

    requests: int = 200
    timeout_s: float = 600.0


class _Open:
    """A session that is open here, with what was made for it when it was first needed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.conversation: Conversation | None = None
        self.mcp: McpServers | None = None
        self.task: asyncio.Task[None] | None = None
        self.turn: Turn | None = None


class Agent(Peer):
    """One process's conversation with one client, over all its sessions. `model` is what new
    sessions begin with."""

    def __init__(self, model: str | None, limits: Limits) -> None:
        super().__init__()
        self._default = model
        self._limits = limits
        self._shelf = Shelf()
        self._open_ones: dict[str, _Open] = {}
        self._models: dict[Endpoint, Model[Any]] = {}
        self._making = asyncio.Lock()
        self.methods = {
            "initialize": self._initialize,
            "authenticate": lambda _: {},
            "session/new": self._new,
            "session/fork": self._fork,
            "session/resume": self._resume,
            "session/list": lambda params: {"sessions": self._shelf.summaries(params.get("cwd"))},
            "session/set_mode": self._set_mode,
            "_paseo_nb/steer": self._steer,
        }
        self.later = {
            "session/load": self._answered(self._load),
            "session/set_config_option": self._answered(self._set_config_option),
            "session/close": self._answered(self._close),
            "session/prompt": self._prompt,
        }

    async def close(self) -> None:
        """End every turn and every MCP server."""
        await super().close()
        for one in self._open_ones.values():
            if one.mcp is not None:
                await one.mcp.close()

    def _answered(
        self, work: Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]
    ) -> Callable[[Any, dict[str, Any]], None]:
        """A method that takes its time."""

        async def answer(number: Any, params: dict[str, Any]) -> None:
            try:
                self.reply(number, await work(params))
            except RpcError as error:
                self.refuse(number, error)
            except (KeyError, TypeError, ValueError) as error:
                self.refuse(number, RpcError(-32602, f"Invalid params: {error!r}"))

        def begin(number: Any, params: dict[str, Any]) -> None:
            self.own(answer(number, params))

        return begin

    # -- sessions ------------------------------------------------------------------------------

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        return {
            "protocolVersion": 1,
            "agentInfo": {"name": "paseo-api", "title": "paseo_nb api", "version": VERSION},
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": True, "embeddedContext": True},
                "mcpCapabilities": {"http": True},
                "sessionCapabilities": {"list": {}, "fork": {}, "resume": {}, "close": {}},
                "_meta": {"paseo_nb": {"fork": True, "steer": True, "tells_mcp": True}},
            },
            "authMethods": [],
        }

    def _new(self, params: dict[str, Any]) -> dict[str, Any]:
        cwd, servers = _where(params)
        endpoint = _find(self._default)
        session = self._shelf.create(cwd, self._default or endpoint.model)
        return {"sessionId": session.id} | self._opened(session, servers)

    def _fork(self, params: dict[str, Any]) -> dict[str, Any]:
        name = str(params["sessionId"])
        cwd, servers = _where(params)
        session = self._shelf.fork(name, cwd, fork_wish(params))
        if session is None:
            raise no_such_session(name)
        if self._default is not None:
            session.choose(model=self._default)
        return {"sessionId": session.id} | self._opened(session, servers)

    def _resume(self, params: dict[str, Any]) -> dict[str, Any]:
        name = str(params["sessionId"])
        cwd, servers = _where(params)
        if name in self._open_ones:
            session = self._open_ones[name].session
            if self._open_ones[name].task is not None:
                raise RpcError(-32600, "A turn of this session is running; cancel it or wait")
        else:
            session = self._shelf.load(name)
        if session is None:
            raise no_such_session(name)
        session.cwd = cwd
        return self._opened(session, servers)

    def _opened(self, session: Session, servers: list[dict[str, Any]]) -> dict[str, Any]:
        one = self._open_ones.setdefault(session.id, _Open(session))
        if one.mcp is not None and servers != session.servers:
            self.own(one.mcp.close())
            one.mcp = None
        session.servers = servers
        return {"modes": mode_state(session.mode), "configOptions": self._options(session)}

    def announce(self, method: str, params: dict[str, Any]) -> None:
        """An opened session will be prompted: the model's library can be made ready meanwhile."""
        if method in ("session/new", "session/fork", "session/resume"):
            self.own(self._warm(self._session(params).session))

    async def _warm(self, session: Session) -> None:
        await asyncio.sleep(0.05)  # the answer is read first, and a choice of model may follow
        try:
            await self._model(_find(session.model))
        except Exception:  # whoever prompts is told of it
            return

    def _options(self, session: Session) -> list[dict[str, Any]]:
        names = [name for name in (session.model, self._default) if name]
        return config_options(list(dict.fromkeys(names)), session.model, session.effort)

    def _session(self, params: dict[str, Any]) -> _Open:
        one = self._open_ones.get(str(params["sessionId"]))
        if one is None:
            what = "is not open here; session/load, session/resume or session/new opens one"
            raise RpcError(-32002, f"Session {params['sessionId']} {what}")
        return one

    async def _load(self, params: dict[str, Any]) -> dict[str, Any]:
        answer = self._resume(params)
        one = self._session(params)
        for update in replay(one.session.story()):
            self.tell(one.session.id, update)
            await self.wire.drain()
        self.own(self._warm(one.session))
        return answer

    def _set_mode(self, params: dict[str, Any]) -> dict[str, Any]:
        one, mode = self._session(params), str(params["modeId"])
        known("mode", mode, MODES)
        one.session.choose(mode=mode)
        return {}

    async def _set_config_option(self, params: dict[str, Any]) -> dict[str, Any]:
        session = self._session(params).session
        option, value = str(params["configId"]), str(params["value"])
        known("config option", option, ("model", "effort"))
        if option == "model":
            _find(value)
            session.choose(model=value)
            self.own(self._warm(session))
        else:
            known("effort", value, EFFORTS)
            if value != "default":
                from .models import settings

                endpoint = _find(session.model)
                settings(endpoint, await self._model(endpoint), value, self._limits.timeout_s)
            session.choose(effort=value)
        return {"configOptions": self._options(session)}

    async def _close(self, params: dict[str, Any]) -> dict[str, Any]:
        one = self._session(params)
        self.cancel(one.session.id)
        if one.task is not None:
            await asyncio.wait({one.task})
        del self._open_ones[one.session.id]
        if one.mcp is not None:
            await one.mcp.close()
        one.session.close()
        return {}

    # -- models --------------------------------------------------------------------------------

    async def _model(self, endpoint: Endpoint) -> Model[Any]:
        """The model of an endpoint, made once. In a thread: imports take up to a second."""
        async with self._making:
            if endpoint not in self._models:
                self._models[endpoint] = await asyncio.to_thread(_make, endpoint)
            return self._models[endpoint]

    # -- turns ---------------------------------------------------------------------------------

    def cancel(self, session_id: str) -> None:
        """The client cancels a session's turn."""
        one = self._open_ones.get(session_id)
        if one is not None and one.task is not None:
            # Not at once: a task cancelled before its first step would never answer.
            asyncio.get_running_loop().call_soon(one.task.cancel)

    def _steer(self, params: dict[str, Any]) -> dict[str, Any]:
        """Say something into the running turn; not `taken` where it is over."""
        turn = self._session(params).turn
        if turn is None:
            return {"taken": False}
        turn.steer([dict[str, Any](block) for block in params["prompt"]])
        return {"taken": True}

    def _prompt(self, number: Any, params: dict[str, Any]) -> None:
        one = self._session(params)
        if one.task is not None:
            raise RpcError(-32600, "A turn of this session is running; cancel it or wait")
        blocks = [dict[str, Any](block) for block in params["prompt"]]
        one.task = self.own(self._run(number, one, blocks))

    async def _run(self, number: Any, one: _Open, blocks: list[dict[str, Any]]) -> None:
        turn: Turn | None = None
        try:
            turn = one.turn = await self._prepare(one, blocks)
            answer = _result(await self._play(turn), turn)
            answer["_meta"] = {"paseo_nb": {"turn": one.session.turns}}
        except asyncio.CancelledError:
            if self.ended.is_set():
                raise
            answer = _result("cancelled", turn)
        except RpcError as error:
            answer = error
        except Exception as error:  # a mistake of ours: the client must not wait for ever
            traceback.print_exc()
            answer = RpcError(-32603, f"the agent made a mistake: {type(error).__name__}: {error}")
        finally:
            one.task = one.turn = None
            if turn is not None:
                turn.take_steered()
        if isinstance(answer, RpcError):
            self.refuse(number, answer)
        else:
            self.reply(number, answer)

    async def _prepare(self, one: _Open, blocks: list[dict[str, Any]]) -> Turn:
        """All that a turn needs, made where this is the first; the prompt is kept."""
        session = one.session
        await self._model(_find(session.model))
        from .conversation import Conversation
        from .turn import Turn

        if one.conversation is None:
            one.conversation = Conversation(session)
        if one.mcp is None and session.servers:
            from .mcp_servers import McpServers  # half a second, for those who have servers

            mcp = McpServers(session.servers, session.cwd)
            for said in await mcp.start():
                told = {"sessionId": session.id, "message": said}
                self.wire.send({"jsonrpc": "2.0", "method": "_paseo_nb/warning", "params": told})
            one.mcp = mcp
        one.conversation.ask(blocks)
        if session.title is None:
            session.choose(title=_title(blocks))
            self.tell(session.id, {"sessionUpdate": "session_info_update", "title": session.title})
        return Turn(
            self.wire,
            session,
            one.conversation,
            one.mcp.tools if one.mcp is not None else {},
            max_requests=self._limits.requests,
        )

    async def _play(self, turn: Turn) -> str:
        from .calls import Calls
        from .models import settings

        session = turn.session
        endpoint = _find(session.model)
        model = await self._model(endpoint)
        chosen = settings(endpoint, model, session.effort, self._limits.timeout_s)
        return await turn.run(Calls(endpoint, model, chosen, turn))


def _make(endpoint: Endpoint) -> Model[Any]:
    importlib.import_module(f"{__package__}.turn")  # what a turn needs, in this thread too
    from .models import make

    return make(endpoint)


def _find(model: str | None) -> Endpoint:
    """RpcError where the model's endpoint is not known or has no key."""
    try:
        return find(model, os.environ)
    except NoEndpoint as error:
        hint = f"Set {error.variable}." if error.variable else None
        data = {"cause": "no_endpoint"} | ({"hint": hint} if hint else {})
        raise RpcError(-32010, str(error), data) from error


def _where(params: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The folder and the MCP servers of a session. RpcError for what cannot be."""
    cwd = str(params["cwd"])
    if "\0" in cwd or not os.path.isabs(cwd) or not os.path.isdir(cwd):
        raise RpcError(-32602, f"cwd is {cwd!r}, which is no absolute path of a folder")
    servers = [dict[str, Any](server) for server in params.get("mcpServers") or ()]
    for server in servers:
        kind = server.get("type", "stdio")
        if kind not in ("stdio", "http"):
            name = server.get("name")
            raise RpcError(-32602, f"MCP server {name!r}: {kind} is not taken; stdio and http are")
    return cwd, servers


def _title(blocks: list[dict[str, Any]]) -> str:
    text = "\n".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")
    line = next((x.strip() for x in text.splitlines() if x.strip()), "Untitled")
    return line if len(line) <= 60 else line[:59] + "…"


def _result(stop_reason: str, turn: Turn | None) -> dict[str, Any]:
    """A `PromptResponse`, with the usage of the turn's calls that told theirs."""
    usage = turn.calls.usage if turn is not None and turn.calls is not None else None
    return {"stopReason": stop_reason} | ({"usage": usage} if usage else {})
