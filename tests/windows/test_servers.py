"""The server on Windows: the six tools in both eras of the protocol, several servers at once, and a killed one.

A process that has started a server counts as a client from then on, so this file is the last one of its folder.
"""

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, ElicitRequestURLParams, ElicitResult, TextContent

from claude_secrets.keys.custody import Custody
from claude_secrets.model import SHARED
from claude_secrets.prompt.page import InputPage
from claude_secrets.store import records
from claude_secrets.store.store import Store
from tests.support.machine import PROGRAM, Machine
from tests.support.page_client import Visitor

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="this is not Windows")

TOOLS = ["get_secret", "set_secret", "delete_secret", "list_secrets", "search_secrets", "input_secret"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path).use_key_file()


def value(machine: Machine, name: str) -> str:
    """Return a value from the store. A command of this process would be an agent's, because it has started servers."""
    store = Store(machine.store, Custody(environment=machine.environment), time.time)
    with store.read() as tx:
        record = records.find(tx, SHARED, name)
        assert record is not None
        found = records.value(tx, record)
    store.close()
    return found


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_all_six_tools_under_the_official_client(machine: Machine, mode: str) -> None:
    stored = "first line\r\nsecond 🔑 line\n"
    server = StdioServerParameters(
        command=PROGRAM[0], args=PROGRAM[1:], env=dict(machine.environment), cwd=str(machine.project("api", ["API_*"]))
    )

    def person(url: str) -> None:
        visitor = Visitor(cast("InputPage", SimpleNamespace(url=url, path=urlsplit(url).path)))
        visitor.claim()
        visitor.store("typed-canary\nsecond line", "readable")

    async def elicit(_context: object, params: object) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        threading.Thread(target=person, args=[params.url], daemon=True).start()
        return ElicitResult(action="accept")

    async def session() -> None:
        async with Client(server, mode=mode, elicitation_callback=elicit) as client:  # type: ignore[arg-type]  # the callback's context is of no interest here
            assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
            done = await client.call_tool("set_secret", {"name": "API_TOKEN", "value": stored})
            assert text(done) == "Stored 'API_TOKEN' (version 1)."
            assert text(await client.call_tool("get_secret", {"name": "API_TOKEN"})) == stored
            listed = await client.call_tool("list_secrets", {})
            assert json.loads(text(listed))["names"] == ["API_TOKEN"]
            found = await client.call_tool("search_secrets", {"pattern": "token$"})
            assert json.loads(text(found))["names"] == ["API_TOKEN"]
            assert text(await client.call_tool("get_secret", {"name": "OTHER"})).startswith("[NOT_ALLOWLISTED]")
            asked = await client.call_tool("input_secret", {"name": "API_KEY"})
            assert text(asked) == "Stored 'API_KEY' (version 1). The value went straight to the store."
            deleted = await client.call_tool("delete_secret", {"name": "API_TOKEN"})
            assert text(deleted).startswith("Deleted 'API_TOKEN'.")

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(session)
    assert value(machine, "API_KEY") == "typed-canary\nsecond line"


def test_two_servers_at_once_lose_no_write_and_the_other_works_on_after_one_was_killed(machine: Machine) -> None:
    project = machine.project("api")
    with machine.server(project) as killed, machine.server(project) as other:

        def write(number: int) -> None:
            for index in range(10):
                (killed, other)[number].text("set_secret", name=f"S{number}_{index}", value=f"value {number} {index}")

        writers = [threading.Thread(target=write, args=[number]) for number in range(2)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert json.loads(killed.text("list_secrets"))["total"] == 20
        assert killed.text("get_secret", name="S1_9") == "value 1 9"
        killed.text("set_secret", name="T", value="acknowledged")
        killed.process.kill()
        killed.process.wait(timeout=30)
        assert other.text("get_secret", name="T") == "acknowledged"
        assert other.text("set_secret", name="T", value="after") == "Stored 'T' (version 2)."
        assert other.close() == 0
    assert value(machine, "T") == "after"
