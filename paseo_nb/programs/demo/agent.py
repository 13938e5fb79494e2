"""The agent's side of ACP: which method does what; turns run as tasks that this object owns.

Protocol: https://agentclientprotocol.com (schema v1). Requests are handled in the order they come;
only a prompt and a replay answer later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .catalog import Catalog
from .errors import BadScript, RpcError
from .options import EFFORTS, MODES, commands, config_options, mode_state
from .prompt import Prompt
from .replay import replay
from .runner import Play
from .sessions import Session, Shelf
from .turn import Stage
from .value import as_dict
from .wire import Wire

VERSION = "1"
_STUBBORN_FOR_S = 600
_Later = Coroutine[Any, Any, None]


class Agent:
    """One process's conversation with one client, over all its sessions. `ended` is set when the
    process should go."""

    def __init__(self, catalog: Catalog, pace: float) -> None:
        self.catalog = catalog
        self.pace = pace
        self.ended = asyncio.Event()
        self.wire = Wire(self._message, self.stop)
        self._can: dict[str, Any] = {}
        self._shelf = Shelf()
        self._sessions: dict[str, Session] = {}
        self._plays: dict[str, tuple[Play, asyncio.Task[None]]] = {}  # by session
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_wanted = False
        self._methods: dict[str, Callable[[dict[str, Any]], Any]] = {
            "initialize": self._initialize,
            "authenticate": lambda _: {},
            "session/new": self._new,
            "session/resume": self._resume,
            "session/list": self._list,
            "session/set_mode": self._set_mode,
            "session/set_config_option": self._set_config_option,
            "session/set_model": self._set_model,
            "session/close": self._close,
        }
        self._later: dict[str, Callable[[Any, dict[str, Any]], None]] = {
            "session/load": self._load,
            "session/prompt": self._prompt,
        }

    # -- life ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """stdin ended, or a signal: go, unless the scenario is to be stubborn about it."""
        launched_so = self.catalog.default == "stubborn"
        if launched_so or any(play.turn.stubborn for play, _ in self._plays.values()):
            if not self._stop_wanted:  # even so no test leaves one behind for ever
                asyncio.get_running_loop().call_later(_STUBBORN_FOR_S, self.ended.set)
            self._stop_wanted = True
        else:
            self.ended.set()

    async def close(self) -> None:
        """Cancel what runs; the commands of a turn die with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: _Later) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- messages ------------------------------------------------------------------------------

    def _message(self, message: dict[str, Any]) -> None:
        method = message["method"]
        given = as_dict(message.get("params"))
        if "id" not in message:
            if method == "session/cancel":
                self._cancel(str(given.get("sessionId")))
            return
        number = message["id"]
        try:
            if method in self._later:
                self._later[method](number, given)
            elif method in self._methods:
                result = self._methods[method](given)
                self._reply(number, result)
                self._announce(method, given | result)
            else:
                raise RpcError(-32601, f"Method not found: {method}", {"method": method})
        except RpcError as error:
            self._refuse(number, error)
        except (KeyError, TypeError, ValueError) as error:
            self._refuse(number, RpcError(-32602, f"Invalid params for {method}: {error!r}"))

    def _reply(self, number: Any, result: Any) -> None:
        self.wire.send({"jsonrpc": "2.0", "id": number, "result": result})

    def _refuse(self, number: Any, error: RpcError) -> None:
        self.wire.send({"jsonrpc": "2.0", "id": number, "error": error.wire()})

    def _tell(self, session: Session, update: dict[str, Any]) -> None:
        params = {"sessionId": session.id, "update": update}
        self.wire.send({"jsonrpc": "2.0", "method": "session/update", "params": params})

    # -- sessions ------------------------------------------------------------------------------

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        self._can = as_dict(params.get("clientCapabilities"))
        return {
            "protocolVersion": 1,
            "agentInfo": {
                "name": "paseo-demo",
                "title": "Demo (scripted, no model)",
                "version": VERSION,
            },
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": True, "embeddedContext": True},
                "mcpCapabilities": {"http": True},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
            },
            "authMethods": [],
        }

    def _new(self, params: dict[str, Any]) -> dict[str, Any]:
        servers: list[Any] = params.get("mcpServers") or []
        session = self._shelf.create(
            str(params["cwd"]), self.catalog.default, "default", "medium", servers
        )
        self._sessions[session.id] = session
        return {"sessionId": session.id} | self._state(session)

    def _state(self, session: Session) -> dict[str, Any]:
        return {"modes": mode_state(session.mode), "configOptions": self._options(session)}

    def _options(self, session: Session) -> list[dict[str, Any]]:
        return config_options(self.catalog.models, session.model, session.effort)

    def _announce(self, method: str, params: dict[str, Any]) -> None:
        """What follows an answer: the commands of a session, a setting that changed."""
        if method in ("session/new", "session/resume", "session/load"):
            listed = commands(self.catalog.models)
            update = {"sessionUpdate": "available_commands_update", "availableCommands": listed}
            self._tell(self._session(params), update)
        elif method == "session/set_model":
            session = self._session(params)
            options = self._options(session)
            self._tell(session, {"sessionUpdate": "config_option_update", "configOptions": options})

    def _session(self, params: dict[str, Any]) -> Session:
        session = self._sessions.get(str(params["sessionId"]))
        if session is None:
            what = "is not open here; session/load, session/resume or session/new opens one"
            raise RpcError(-32002, f"Session {params['sessionId']} {what}")
        return session

    def _open(self, params: dict[str, Any]) -> Session:
        name = str(params["sessionId"])
        session = self._sessions.get(name) or self._shelf.load(name)
        if session is None:
            raise RpcError(-32002, f"No such session: {name}; session/list names those there are")
        session.cwd = str(params.get("cwd") or session.cwd)
        session.servers = params.get("mcpServers") or session.servers
        self._sessions[name] = session
        return session

    def _resume(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._state(self._open(params))

    def _load(self, number: Any, params: dict[str, Any]) -> None:
        self._own(self._replay(number, self._open(params), params))

    async def _replay(self, number: Any, session: Session, params: dict[str, Any]) -> None:
        for update in replay(session.records()):
            self._tell(session, update)
            await self.wire.drain()
        self._reply(number, self._state(session))
        self._announce("session/load", params)

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self._shelf.summaries(params.get("cwd"))}

    def _set_mode(self, params: dict[str, Any]) -> dict[str, Any]:
        session, mode = self._session(params), str(params["modeId"])
        _known("mode", mode, MODES)
        session.choose(mode=mode)
        return {}

    def _set_config_option(self, params: dict[str, Any]) -> dict[str, Any]:
        session = self._session(params)
        option, value = str(params["configId"]), str(params["value"])
        if option == "model":
            self._choose_model(session, value)
        else:
            _known("config option", option, ("model", "effort"))
            _known("effort", value, EFFORTS)
            session.choose(effort=value)
        return {"configOptions": self._options(session)}

    def _set_model(self, params: dict[str, Any]) -> dict[str, Any]:
        self._choose_model(self._session(params), str(params["modelId"]))
        return {}

    def _choose_model(self, session: Session, name: str) -> None:
        try:
            self.catalog.check(name)
        except BadScript as error:
            raise RpcError(-32602, str(error)) from error
        session.choose(model=name)

    def _close(self, params: dict[str, Any]) -> dict[str, Any]:
        session = self._session(params)
        self._cancel(session.id)
        del self._sessions[session.id]
        session.close()
        return {}

    # -- turns ---------------------------------------------------------------------------------

    def _cancel(self, session_id: str) -> None:
        if session_id not in self._plays:
            return
        play, task = self._plays[session_id]
        play.turn.cancel_wanted = True
        if not play.turn.deaf and not play.turn.stubborn:
            # Not at once: a task cancelled before its first step would never answer.
            asyncio.get_running_loop().call_soon(task.cancel)

    def _prompt(self, number: Any, params: dict[str, Any]) -> None:
        session = self._session(params)
        if session.id in self._plays:
            raise RpcError(-32600, "A turn of this session is running; cancel it or wait")
        prompt = Prompt([dict[str, Any](block) for block in params["prompt"]])
        stage = Stage(self.wire, self._can, self.pace, self.catalog.models)
        play = Play(stage, self.catalog, session, prompt)
        self._plays[session.id] = (play, self._own(self._run(number, play)))

    async def _run(self, number: Any, play: Play) -> None:
        try:
            answer = await play.run()
        except asyncio.CancelledError:
            if self.ended.is_set():
                raise
            answer = play.result("cancelled")
        except RpcError as error:
            answer = error
        finally:
            del self._plays[play.session.id]
        if isinstance(answer, RpcError):
            self._refuse(number, answer)
        else:
            self._reply(number, answer)
        for afterwards in play.turn.afterwards:
            await afterwards()
        if self._stop_wanted:
            self.stop()


def _known(what: str, value: str, known: Any) -> None:
    if value not in known:
        raise RpcError(-32602, f"Unknown {what} {value!r}; known: {', '.join(known)}")
