"""The agent's side of ACP: which method does what; turns run as tasks that this object owns.

Protocol: https://agentclientprotocol.com (schema v1). Requests are handled in the order they come;
only a prompt and a replay answer later.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..common.errors import RpcError
from ..common.peer import Peer, fork_wish, known, no_such_session
from ..common.replay import replay
from ..common.value import as_dict
from .catalog import Catalog
from .errors import BadScript
from .options import EFFORTS, MODES, commands, config_options, mode_state
from .prompt import Prompt
from .runner import Play
from .sessions import Session, Shelf
from .turn import Stage

VERSION = "1"
_STUBBORN_FOR_S = 600


class Agent(Peer):
    """One process's conversation with one client, over all its sessions."""

    def __init__(self, catalog: Catalog, pace: float) -> None:
        super().__init__()
        self.catalog = catalog
        self.pace = pace
        self._can: dict[str, Any] = {}
        self._shelf = Shelf()
        self._sessions: dict[str, Session] = {}
        self._plays: dict[str, tuple[Play, asyncio.Task[None]]] = {}  # by session
        self._stop_wanted = False
        self.methods = {
            "initialize": self._initialize,
            "authenticate": lambda _: {},
            "session/new": self._new,
            "session/fork": self._fork,
            "session/resume": self._resume,
            "session/list": self._list,
            "session/set_mode": self._set_mode,
            "session/set_config_option": self._set_config_option,
            "session/set_model": self._set_model,
            "session/close": self._close,
        }
        self.later = {
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
                "sessionCapabilities": {"list": {}, "fork": {}, "resume": {}, "close": {}},
                "_meta": {"paseo_nb": {"fork": True}},
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

    def _fork(self, params: dict[str, Any]) -> dict[str, Any]:
        name = str(params["sessionId"])
        session = self._shelf.fork(name, str(params["cwd"]), fork_wish(params))
        if session is None:
            raise no_such_session(name)
        session.servers = params.get("mcpServers") or []
        session.choose(model=self.catalog.default)
        self._sessions[session.id] = session
        return {"sessionId": session.id} | self._state(session)

    def _state(self, session: Session) -> dict[str, Any]:
        return {"modes": mode_state(session.mode), "configOptions": self._options(session)}

    def _options(self, session: Session) -> list[dict[str, Any]]:
        return config_options(self.catalog.models, session.model, session.effort)

    def announce(self, method: str, params: dict[str, Any]) -> None:
        """What follows an answer: the commands of a session, a setting that changed."""
        if method in ("session/new", "session/fork", "session/resume", "session/load"):
            listed = commands(self.catalog.models)
            update = {"sessionUpdate": "available_commands_update", "availableCommands": listed}
            self.tell(self._session(params).id, update)
        elif method == "session/set_model":
            session = self._session(params)
            options = self._options(session)
            self.tell(
                session.id, {"sessionUpdate": "config_option_update", "configOptions": options}
            )

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
            raise no_such_session(name)
        session.cwd = str(params.get("cwd") or session.cwd)
        session.servers = params.get("mcpServers") or session.servers
        self._sessions[name] = session
        return session

    def _resume(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._state(self._open(params))

    def _load(self, number: Any, params: dict[str, Any]) -> None:
        self.own(self._replay(number, self._open(params), params))

    async def _replay(self, number: Any, session: Session, params: dict[str, Any]) -> None:
        for update in replay(session.story()):
            self.tell(session.id, update)
            await self.wire.drain()
        self.reply(number, self._state(session))
        self.announce("session/load", params)

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self._shelf.summaries(params.get("cwd"))}

    def _set_mode(self, params: dict[str, Any]) -> dict[str, Any]:
        session, mode = self._session(params), str(params["modeId"])
        known("mode", mode, MODES)
        session.choose(mode=mode)
        return {}

    def _set_config_option(self, params: dict[str, Any]) -> dict[str, Any]:
        session = self._session(params)
        option, value = str(params["configId"]), str(params["value"])
        if option == "model":
            self._choose_model(session, value)
        else:
            known("config option", option, ("model", "effort"))
            known("effort", value, EFFORTS)
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
        self.cancel(session.id)
        del self._sessions[session.id]
        session.close()
        return {}

    # -- turns ---------------------------------------------------------------------------------

    def cancel(self, session_id: str) -> None:
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
        self._plays[session.id] = (play, self.own(self._run(number, play)))

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
            self.refuse(number, answer)
        else:
            self.reply(number, answer)
        for afterwards in play.turn.afterwards:
            await afterwards()
        if self._stop_wanted:
            self.stop()
