"""An agent built on the official SDK's agent side: `python sdk_agent.py FOLDER [--resume]`.

The prompt's words say what it does: files, terminal, ask, settings, plan, content, usage, slow,
extension, late, refuse, fail. Sessions are kept in FOLDER, so that another process can load them,
with their history told again; with `--resume` they can be resumed without that.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION, Agent, RequestError, run_agent, schema
from acp import helpers as tell

MODES = ["default", "plan"]
MODELS = ["small", "large"]


class SdkAgent(Agent):
    """Each method is one of the protocol."""

    conn: Any

    def __init__(self, folder: Path, resumes: bool) -> None:
        self.folder, self.resumes = folder, resumes
        self.sessions: dict[str, dict[str, Any]] = {}
        self.going: dict[str, asyncio.Event] = {}
        self.client = schema.ClientCapabilities()

    def on_connect(self, conn: Any) -> None:
        self.conn = conn

    # ------------------------------------------------------------ sessions

    async def initialize(
        self,
        protocol_version: int,
        client_capabilities: Any = None,
        client_info: Any = None,
        **_: Any,
    ) -> schema.InitializeResponse:
        self.client = client_capabilities
        assert client_info.name == "paseo_nb"
        resume = schema.SessionResumeCapabilities() if self.resumes else None
        return schema.InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_info=schema.Implementation(name="sdk-agent", title="SDK agent", version="0.12.1"),
            agent_capabilities=schema.AgentCapabilities(
                load_session=True,
                prompt_capabilities=schema.PromptCapabilities(image=True, embedded_context=True),
                session_capabilities=schema.SessionCapabilities(resume=resume),
            ),
            auth_methods=[schema.AuthMethodAgent(id="password", name="Password")],
        )

    async def authenticate(self, method_id: str, **_: Any) -> schema.AuthenticateResponse:
        if method_id != "password":
            raise RequestError.invalid_params({"details": f"no method {method_id}"})
        self.authenticated = True
        return schema.AuthenticateResponse()

    async def new_session(
        self, cwd: str, mcp_servers: Any = None, **_: Any
    ) -> schema.NewSessionResponse:
        if not getattr(self, "authenticated", False):
            raise RequestError.auth_required()
        ident = uuid.uuid4().hex
        self.sessions[ident] = {"cwd": cwd, "mode": "default", "model": "small", "told": []}
        self.save(ident)
        asyncio.get_running_loop().create_task(self.commands(ident))
        return schema.NewSessionResponse(
            session_id=ident, modes=self.modes(ident), config_options=self.options(ident)
        )

    async def commands(self, ident: str) -> None:
        command = schema.AvailableCommand(name="init", description="guided set-up")
        await self.conn.session_update(ident, tell.update_available_commands([command]))

    def open(self, ident: str) -> None:
        try:
            self.sessions[ident] = json.loads((self.folder / ident).read_text())
        except OSError:
            raise RequestError.resource_not_found(ident) from None

    def save(self, ident: str) -> None:
        (self.folder / ident).write_text(json.dumps(self.sessions[ident]))

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> schema.LoadSessionResponse:
        self.open(session_id)
        for who, words in self.sessions[session_id]["told"]:
            made = (
                tell.update_user_message_text if who == "user" else tell.update_agent_message_text
            )
            await self.conn.session_update(session_id, made(words))
        done = tell.start_tool_call("old-1", "An old call", kind="read", status="completed")
        await self.conn.session_update(session_id, done)
        await self.commands(session_id)
        return schema.LoadSessionResponse(
            modes=self.modes(session_id), config_options=self.options(session_id)
        )

    async def resume_session(
        self, cwd: str, session_id: str, **_: Any
    ) -> schema.ResumeSessionResponse:
        self.open(session_id)
        return schema.ResumeSessionResponse(
            modes=self.modes(session_id), config_options=self.options(session_id)
        )

    # ------------------------------------------------------------ settings

    def modes(self, ident: str) -> schema.SessionModeState:
        known = [schema.SessionMode(id=mode, name=mode.title()) for mode in MODES]
        return schema.SessionModeState(
            current_mode_id=self.sessions[ident]["mode"], available_modes=known
        )

    def options(self, ident: str) -> list[Any]:
        values = [schema.SessionConfigSelectOption(value=model, name=model) for model in MODELS]
        return [
            schema.SessionConfigOptionSelect(
                type="select",
                id="model",
                name="Model",
                category="model",
                current_value=self.sessions[ident]["model"],
                options=values,
            )
        ]

    async def set_session_mode(
        self, session_id: str, mode_id: str, **_: Any
    ) -> schema.SetSessionModeResponse:
        self.sessions[session_id]["mode"] = mode_id
        self.save(session_id)
        await self.conn.session_update(session_id, tell.update_current_mode(mode_id))
        return schema.SetSessionModeResponse()

    async def set_config_option(
        self, config_id: str, session_id: str, value: Any, **_: Any
    ) -> schema.SetSessionConfigOptionResponse:
        assert config_id == "model"
        self.sessions[session_id]["model"] = value
        self.save(session_id)
        return schema.SetSessionConfigOptionResponse(config_options=self.options(session_id))

    # ------------------------------------------------------------ a turn

    async def cancel(self, session_id: str, **_: Any) -> None:
        self.going[session_id].set()

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> schema.PromptResponse:
        words = "".join(block.text for block in prompt if block.type == "text")
        self.going[session_id] = asyncio.Event()
        self.words: list[str] = []
        self.ident = session_id
        stop, usage = "end_turn", None
        for word in words.split():
            done = await getattr(self, f"do_{word}", self.do_other)(prompt)
            stop = done if isinstance(done, str) else stop
            usage = done if isinstance(done, schema.Usage) else usage
        session = self.sessions[session_id]
        session["told"] += [("user", words), ("agent", "".join(self.words))]
        self.save(session_id)
        return schema.PromptResponse(stop_reason=stop, usage=usage)

    async def say(self, words: str) -> None:
        self.words.append(words)
        await self.conn.session_update(self.ident, tell.update_agent_message_text(words))

    async def show(self, shown: Any) -> None:
        await self.conn.session_update(self.ident, shown)

    async def do_other(self, prompt: list[Any]) -> None:
        told = self.sessions[self.ident]["told"]
        kinds = ",".join(block.type for block in prompt)
        await self.say(f"Heard {len(told) // 2 + 1} prompts; blocks {kinds}. ")

    async def do_files(self, prompt: list[Any]) -> None:
        cwd = Path(self.sessions[self.ident]["cwd"])
        assert self.client.fs.read_text_file
        got = await self.conn.read_text_file(self.ident, str(cwd / "in.txt"), line=2, limit=1)
        await self.say(f"Read {got.content!r}. ")
        path = str(cwd / "out.txt")
        await self.show(tell.start_edit_tool_call("edit-1", "Write out.txt", path, "x"))
        await self.conn.write_text_file(self.ident, path, "written by the SDK\n")
        diff = tell.tool_diff_content(path, "written by the SDK\n")
        await self.show(tell.update_tool_call("edit-1", status="completed", content=[diff]))
        try:
            await self.conn.read_text_file(self.ident, str(cwd / "gone.txt"))
        except RequestError as error:
            await self.say(f"Gone: {error.code}. ")

    async def do_terminal(self, prompt: list[Any]) -> None:
        env = [schema.EnvVariable(name="WORD", value="spoken")]
        made = await self.conn.create_terminal(
            self.ident, "/bin/sh", ["-c", "echo $WORD; pwd; exit 4"], env, "/"
        )
        shown = [tell.tool_terminal_ref(made.terminal_id)]
        await self.show(tell.start_tool_call("t-1", "Run", kind="execute", content=shown))
        ended = await self.conn.wait_for_terminal_exit(self.ident, made.terminal_id)
        got = await self.conn.terminal_output(self.ident, made.terminal_id)
        await self.conn.release_terminal(self.ident, made.terminal_id)
        await self.say(f"Ran: {got.output!r} exit {ended.exit_code} {got.exit_status.exit_code}. ")
        made = await self.conn.create_terminal(self.ident, "/bin/sh", ["-c", "sleep 100"])
        await self.conn.kill_terminal(self.ident, made.terminal_id)
        ended = await self.conn.wait_for_terminal_exit(self.ident, made.terminal_id)
        await self.say(f"Killed by {ended.signal}. ")
        await self.show(tell.update_tool_call("t-1", status="completed", raw_output={"exit": 4}))

    async def do_ask(self, prompt: list[Any]) -> None:
        await self.show(
            tell.start_tool_call("ask-1", "Delete all", kind="delete", raw_input={"path": "/"})
        )
        options = [
            schema.PermissionOption(option_id="y", name="Yes", kind="allow_once"),
            schema.PermissionOption(option_id="n", name="No", kind="reject_once"),
        ]
        asked = schema.ToolCallUpdate(tool_call_id="ask-1")
        answer = await self.conn.request_permission(self.ident, asked, options)
        chosen = getattr(answer.outcome, "option_id", None)
        await self.show(
            tell.update_tool_call("ask-1", status="completed" if chosen == "y" else "failed")
        )
        await self.say(f"Permission: {answer.outcome.outcome} {chosen}. ")

    async def do_settings(self, prompt: list[Any]) -> None:
        self.sessions[self.ident]["mode"] = "plan"
        await self.show(tell.update_current_mode("plan"))
        await self.show(
            schema.SessionInfoUpdate(session_update="session_info_update", title="Named by the SDK")
        )
        self.sessions[self.ident]["model"] = "large"
        options = self.options(self.ident)
        await self.show(
            schema.ConfigOptionUpdate(session_update="config_option_update", config_options=options)
        )

    async def do_plan(self, prompt: list[Any]) -> None:
        await self.show(tell.update_agent_thought_text("A plan is needed."))
        entries = [
            tell.plan_entry("Look", priority="high", status="completed"),
            tell.plan_entry("Mend"),
        ]
        await self.show(tell.update_plan(entries))
        made = schema.PlanUpdateMarkdown(type="markdown", plan_id="p", content="# In words")
        await self.show(schema.AgentPlanContentUpdate(session_update="plan_update", plan=made))
        await self.show(schema.AgentPlanRemovedUpdate(session_update="plan_removed", plan_id="p"))

    async def do_content(self, prompt: list[Any]) -> None:
        await self.show(tell.update_agent_message(tell.image_block("AAAA", "image/png")))
        await self.show(tell.update_agent_message(tell.resource_link_block("name", "file:///x")))

    async def do_usage(self, prompt: list[Any]) -> schema.Usage:
        cost = schema.Cost(amount=0.25, currency="USD")
        await self.show(
            schema.UsageUpdate(session_update="usage_update", used=500, size=1000, cost=cost)
        )
        return schema.Usage(
            total_tokens=130, input_tokens=100, output_tokens=20, cached_read_tokens=10
        )

    async def do_slow(self, prompt: list[Any]) -> str:
        made = await self.conn.create_terminal(
            self.ident, "/bin/sh", ["-c", "sleep 200 & sleep 100"]
        )
        await self.say(f"Waiting for {made.terminal_id}. ")
        await self.going[self.ident].wait()
        ended = await self.conn.wait_for_terminal_exit(self.ident, made.terminal_id)
        await self.say(f"Ended by {ended.signal}. ")
        return "cancelled"

    async def do_extension(self, prompt: list[Any]) -> None:
        await self.conn.ext_notification("vendor/notice", {"a": 1})
        try:
            await self.conn.ext_method("vendor/question", {"b": 2})
        except RequestError as error:
            await self.say(f"Extension: {error.code}. ")

    async def do_late(self, prompt: list[Any]) -> None:
        async def later(ident: str) -> None:
            await asyncio.sleep(0.2)
            await self.conn.session_update(ident, tell.update_agent_message_text("Late words."))

        self.later = asyncio.get_running_loop().create_task(later(self.ident))

    async def do_refuse(self, prompt: list[Any]) -> str:
        return "refusal"

    async def do_fail(self, prompt: list[Any]) -> None:
        raise RequestError.internal_error({"details": "the model is on fire"})


if __name__ == "__main__":
    agent = SdkAgent(Path(sys.argv[1]), "--resume" in sys.argv)
    asyncio.run(run_agent(agent, use_unstable_protocol=True))
