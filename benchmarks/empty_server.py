"""The baseline: an MCP server on the SDK's own stdio transport, with one tool that does nothing."""

from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

TEXT = "x" * 100
"""A text as long as the values in the measurements."""


async def _list_tools(_context: object, _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="empty", input_schema={"type": "object"})])


async def _call_tool(_context: object, _params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=TEXT)])


async def main() -> None:
    """Serve until the input ends."""
    server: Server[Any] = Server("empty", on_list_tools=_list_tools, on_call_tool=_call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(main)
