"""A session's MCP servers, stdio and HTTP, and their tools as ours. The protocol is the official
SDK's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, cast

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp import types as mcp_types
from mcp.client.streamable_http import streamable_http_client

from ..common.content import text_content
from .tools import Done, Tool, ToolFailed, Work

_START_S = 30.0
_CALL_S = 600.0
_LONGEST = 100_000


class McpCall(Tool):
    """A call of an MCP server's tool. `arguments` are as the model wrote them."""

    NAME: ClassVar[str] = "mcp"
    KIND: ClassVar[str] = "other"

    offer: McpTool
    arguments: dict[str, Any]

    def title(self) -> str:
        """See Tool."""
        return f"{self.offer.server} · {self.offer.tool}"

    def subject(self) -> str:
        """See Tool."""
        return self.offer.name

    async def run(self, work: Work) -> Done:
        """See Tool."""
        try:
            result = await self.offer.client.call_tool(
                self.offer.tool, self.arguments, read_timeout_seconds=_CALL_S
            )
        except Exception as error:
            raise ToolFailed(f"MCP server {self.offer.server}: {error}") from error
        texts: list[str] = []
        image: tuple[bytes, str] | None = None
        for block in result.content:
            if isinstance(block, mcp_types.TextContent):
                texts.append(block.text)
            elif isinstance(block, mcp_types.ImageContent):
                image = base64.b64decode(block.data), block.mime_type
            else:
                texts.append(f"[{block.type}]")
        text = "\n".join(texts)[:_LONGEST] or "[no text]"
        if result.is_error:
            raise ToolFailed(text)
        raw = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return Done(text, [text_content(text)], raw, image)


class McpTool:
    """A tool that a server offers; `name` is the one that the model sees."""

    def __init__(self, server: str, client: Client, tool: mcp_types.Tool) -> None:
        self.server = server
        self.client = client
        self.tool = tool.name
        self.name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}__{tool.name}")[:64]
        self.description = tool.description or ""
        self.schema: dict[str, Any] = tool.input_schema

    def call(self, arguments: dict[str, Any]) -> McpCall:
        """A call of it."""
        return McpCall(self, arguments)


class McpServers:
    """The servers of one session. A connection has a task of its own, as the SDK wants it."""

    def __init__(self, servers: list[dict[str, Any]], cwd: str) -> None:
        self.tools: dict[str, McpTool] = {}
        self._servers = servers
        self._cwd = cwd
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> list[str]:
        """Connect to all of them, side by side; what to say of those that cannot be used."""
        loop = asyncio.get_running_loop()
        ready = [loop.create_future() for _ in self._servers]
        self._tasks = [
            loop.create_task(self._live(server, future))
            for server, future in zip(self._servers, ready, strict=True)
        ]
        problems: list[str] = []
        try:
            for tools in await asyncio.gather(*ready, return_exceptions=True):
                if isinstance(tools, BaseException):
                    problems.append(str(tools))
                else:
                    self.tools |= {tool.name: tool for tool in tools}
        except BaseException:
            await self.close()
            raise
        return problems

    async def close(self) -> None:
        """Disconnect, and end what was launched."""
        self._closing.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=5.0)
            for task in late:
                task.cancel()
        self._tasks = []

    async def _live(self, server: dict[str, Any], ready: asyncio.Future[list[McpTool]]) -> None:
        name = str(server.get("name"))
        try:
            async with self._client(server) as client:
                async with asyncio.timeout(_START_S):
                    found = await _all_tools(client)
                if not ready.done():
                    ready.set_result([McpTool(name, client, tool) for tool in found])
                await self._closing.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(_problem(name, server, error))
                ready.exception()  # the one who waits may be gone
            elif isinstance(error, asyncio.CancelledError):
                raise

    @contextlib.asynccontextmanager
    async def _client(self, server: dict[str, Any]) -> AsyncGenerator[Client]:
        async with contextlib.AsyncExitStack() as stack:
            if server.get("type") == "http":
                headers = {str(h["name"]): str(h["value"]) for h in server.get("headers") or ()}
                timeout = httpx2.Timeout(_START_S, read=_CALL_S)
                http = httpx2.AsyncClient(headers=headers, timeout=timeout)
                await stack.enter_async_context(http)
                transport = streamable_http_client(str(server["url"]), http_client=http)
            else:
                given = {str(e["name"]): str(e["value"]) for e in server.get("env") or ()}
                # so that whoever cleans up after a run finds its processes
                ours = {k: v for k, v in os.environ.items() if k.startswith("PASEO_")}
                parameters = StdioServerParameters(
                    command=str(server["command"]),
                    args=[str(argument) for argument in server.get("args") or ()],
                    env=ours | given,
                    cwd=self._cwd,
                )
                transport = stdio_client(parameters)
            async with asyncio.timeout(_START_S):
                client = await stack.enter_async_context(Client(transport))
            yield client


async def _all_tools(client: Client) -> list[mcp_types.Tool]:
    found: list[mcp_types.Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def _problem(name: str, server: dict[str, Any], error: BaseException) -> ToolFailed:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    where = server.get("url") or server.get("command")
    said = "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
    return ToolFailed(
        f"MCP server {name!r} ({where}) cannot be used: {said or type(error).__name__}. Check its"
        " command or address, or leave it out of mcp="
    )
