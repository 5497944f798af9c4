"""The six tools, end to end: the real server as a subprocess, with the official client and over raw pipes."""

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, TextContent

from tests.support.machine import DEADLINE, PROGRAM, Machine, Wire
from tests.support.posix import is_root
from tests.support.requirements import require, require_real
from tests.support.rounds import rounds


def parameters(machine: Machine, project: Path) -> StdioServerParameters:
    return StdioServerParameters(command=PROGRAM[0], args=PROGRAM[1:], env=dict(machine.environment), cwd=str(project))


def text(result: CallToolResult) -> str:
    assert len(result.content) == 1
    block = result.content[0]
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
def test_all_six_tools_under_the_official_client(machine: Machine, mode: str) -> None:
    value = "first line\nsecond 🔑 line\n" + "".join(map(chr, range(1, 32)))

    async def session() -> None:
        async with Client(parameters(machine, machine.project("api", ["API_*"])), mode=mode) as client:
            listed = await client.list_tools()
            assert [tool.name for tool in listed.tools] == [
                "get_secret",
                "set_secret",
                "delete_secret",
                "list_secrets",
                "search_secrets",
                "input_secret",
            ]
            done = await client.call_tool("set_secret", {"name": "API_TOKEN", "value": value})
            assert text(done) == "Stored 'API_TOKEN' (version 1)."
            assert text(await client.call_tool("get_secret", {"name": "API_TOKEN"})) == value
            names = await client.call_tool("list_secrets", {})
            assert names.structured_content == {"total": 1, "visible": 1, "names": ["API_TOKEN"], "use_only": []}
            assert json.loads(text(names)) == names.structured_content
            found = await client.call_tool("search_secrets", {"pattern": "token$"})
            same = {"total": 1, "visible": 1, "names": ["API_TOKEN"], "use_only": []}
            assert found.structured_content == {"pattern": "token$", **same}
            denied = await client.call_tool("get_secret", {"name": "OTHER"})
            assert denied.is_error
            assert text(denied).startswith("[NOT_ALLOWLISTED]")
            asked = await client.call_tool("input_secret", {"name": "API_KEY"})
            assert asked.is_error
            assert text(asked).startswith("[NO_INPUT_CHANNEL]")
            deleted = await client.call_tool("delete_secret", {"name": "API_TOKEN"})
            assert text(deleted).startswith("Deleted 'API_TOKEN'.")

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(session)


def test_a_mebibyte_of_control_characters_survives_the_wire(machine: Machine) -> None:
    value = "".join(chr(code % 32) for code in range(1024 * 1024))
    with machine.server(machine.project("api")) as wire:
        assert wire.text("set_secret", name="BIG", value=value) == "Stored 'BIG' (version 1)."
        assert wire.text("get_secret", name="BIG") == value


def test_without_an_allowlist_every_tool_is_denied_and_nothing_is_made(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    directory = machine.home / "work" / "plain"
    directory.mkdir(parents=True)
    with machine.server(directory) as wire:
        for tool, arguments in ARGUMENTS.items():
            assert wire.code(tool, **arguments) == "NO_PROJECT"
    assert not machine.store.parent.exists()


ARGUMENTS: dict[str, dict[str, str]] = {
    "get_secret": {"name": "T"},
    "set_secret": {"name": "T", "value": "v"},
    "delete_secret": {"name": "T"},
    "list_secrets": {},
    "search_secrets": {"pattern": "."},
    "input_secret": {"name": "T"},
}


def test_four_servers_at_once_lose_no_write(machine: Machine) -> None:
    machine.write_limit(100_000)
    project, each = machine.project("api"), rounds(15, 50)
    failures: list[str] = []

    def write(number: int, wire: Wire) -> None:
        for index in range(each):
            try:
                wire.text("set_secret", name=f"S{number}_{index}", value=f"value {number} {index}")
            except AssertionError as error:
                failures.append(str(error))

    with ExitStack() as stack:
        wires = [stack.enter_context(machine.server(project)) for _ in range(4)]
        threads = [threading.Thread(target=write, args=given) for given in enumerate(wires)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for wire in wires:
            assert json.loads(wire.text("list_secrets"))["total"] == 4 * each
            assert wire.text("get_secret", name=f"S3_{each - 1}") == f"value 3 {each - 1}"


def test_two_first_runs_at_once_make_one_store_and_one_key(tmp_path: Path, unlocked_keyring: dict[str, str]) -> None:
    machine = Machine(tmp_path)
    project = machine.project("api")
    wires = [machine.server(project, environment=unlocked_keyring) for _ in range(2)]
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda wire=wire, n=n: results.append(wire.text("set_secret", name=f"T{n}", value="v")))
        for n, wire in enumerate(wires)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wire in wires:
        assert json.loads(wire.text("list_secrets"))["names"] == ["T0", "T1"]
        assert wire.close() == 0
    assert sorted(results) == ["Stored 'T0' (version 1).", "Stored 'T1' (version 1)."]
    assert [path.name for path in machine.store.parent.iterdir() if ".new-" in path.name] == []


def test_many_writes_from_two_processes_under_changing_names_store_thirty_in_the_minute(machine: Machine) -> None:
    project = machine.project("api")
    refusals: list[str] = []
    half, stored, began = rounds(60, 500), 0, time.monotonic()
    for start in (0, half):  # both processes are restarted in between
        wires = [Wire(PROGRAM, project, machine.environment) for _ in range(2)]
        for number, wire in enumerate(wires):
            wire.shake_hands(client=f"client-{start}-{number}")
        for number in range(start, start + half):
            result = wires[number % 2].call("set_secret", name=f"T{number}", value="v")
            refusals += [result["content"][0]["text"]] if result.get("isError") else []
            stored += not result.get("isError")
        for wire in wires:
            assert wire.close() == 0
    # The limit's window slides: on a slow machine, the first writes leave the window before all writes were tried.
    assert 30 <= stored <= 30 + 30 * (time.monotonic() - began) / 60
    assert stored + len(refusals) == 2 * half
    told = r"\[RATE_LIMITED\] .* wait [0-9]+ seconds \(rule /tools/set_secret/limits/set_secret_rate\)\."
    assert all(re.fullmatch(told, text) for text in refusals)
    events = json.loads(machine.run("log", "--json", "--denied").stdout)
    assert sum(event["count"] for event in events) == len(refusals)
    assert {event["client"] for event in events} == {f"client-{a}-{b} 1" for a in (0, half) for b in (0, 1)}


def break_key_missing(machine: Machine) -> None:
    machine.key_file.unlink()


def break_key_wrong(machine: Machine) -> None:
    machine.key_file.write_text("A" * 43 + "=\n")


def break_format(machine: Machine) -> None:
    connection = sqlite3.connect(machine.store)
    connection.execute("PRAGMA user_version = 2")
    connection.close()


def break_foreign(machine: Machine) -> None:
    machine.store.write_bytes(b"SQLite format 3\x00" + bytes(100))


def break_empty(machine: Machine) -> None:
    machine.store.write_bytes(b"")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (break_key_missing, "KEY_MISSING"),
        (break_key_wrong, "KEY_WRONG"),
        (break_format, "STORE_FORMAT"),
        (break_foreign, "STORE_FORMAT"),
        (break_empty, "STORE_FORMAT"),
    ],
    ids=["key missing", "key wrong", "newer format", "not a store", "empty file"],
)
def test_a_fault_of_key_or_store_has_its_code_and_changes_nothing(machine: Machine, fault: Any, code: str) -> None:
    project = machine.project("api")
    machine.keep("T", "v", at=project)
    fault(machine)
    before = machine.store.read_bytes()
    with machine.server(project) as wire:
        for tool, arguments in ARGUMENTS.items():
            assert wire.code(tool, **arguments) == code
    assert machine.store.read_bytes() == before


def test_a_read_only_directory_has_its_code_and_changes_nothing(machine: Machine) -> None:
    wrapper = without_override()
    project = machine.project("api")
    machine.keep("T", "v", at=project)
    before = machine.store.read_bytes()
    machine.store.chmod(0o400)
    machine.store.parent.chmod(0o500)
    try:
        with machine.server(project, wrapper=wrapper) as wire:
            assert wire.code("set_secret", name="T", value="w") == "STORE_UNAVAILABLE"
            assert wire.code("get_secret", name="T") == "STORE_UNAVAILABLE"
    finally:
        machine.store.parent.chmod(0o700)
    assert machine.store.read_bytes() == before


def without_override() -> list[str]:
    """Return the command prefix that makes root obey file modes. It is empty if the tests do not run as root."""
    if not is_root():
        return []
    require("setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]


def test_a_full_disk_has_its_code_and_loses_nothing(machine: Machine) -> None:
    disk = machine.home / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and os.system(f"mount -t tmpfs -o size=700k tmpfs '{disk}' 2>/dev/null") == 0
    require_real(bool(mounted), "a small tmpfs that can be mounted")
    try:
        store = disk / "store" / "secrets.db"
        key = machine.home / ".keys" / "second.key"
        project = machine.project("api")
        made = machine.run("--store", str(store), "init", "--key-file", str(key), at=project)
        assert made.returncode == 0, made.stderr
        with machine.server(project, "--store", str(store)) as wire:
            assert wire.text("set_secret", name="SMALL", value="kept") == "Stored 'SMALL' (version 1)."
            assert wire.code("set_secret", name="BIG", value="x" * 1_000_000) == "STORE_FULL"
            assert wire.text("get_secret", name="SMALL") == "kept"
            assert json.loads(wire.text("list_secrets"))["names"] == ["SMALL"]
            assert wire.text("set_secret", name="NEXT", value="fits").startswith("Stored")
    finally:
        os.system(f"umount '{disk}'")


def test_three_hundred_calls_and_then_the_end_are_all_answered(machine: Machine) -> None:
    with machine.server(machine.project("api")) as wire:
        calls = [
            json.dumps(
                {
                    "jsonrpc": "2.0",
                    "id": f"burst-{number}",
                    "method": "tools/call",
                    "params": {"name": "list_secrets", "arguments": {}},
                }
            )
            for number in range(300)
        ]
        assert wire.process.stdin
        wire.process.stdin.write("\n".join(calls).encode() + b"\n")
        wire.process.stdin.close()
        answered = {wire.receive()["id"] for _ in range(300)}
        assert answered == {f"burst-{number}" for number in range(300)}
        assert wire.process.wait(timeout=DEADLINE) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_server_cleanly(machine: Machine, name: str) -> None:
    number = signal.Signals[name]
    with machine.server(machine.project("api")) as wire:
        wire.text("set_secret", name="T", value="v")
        wire.process.send_signal(number)
        assert wire.process.wait(timeout=DEADLINE) == 0
    assert wire.stderr == b""


STRANGE_LINES = {
    "not JSON": b"hello\n",
    "invalid UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"set_secret","arguments":'
    b'{"name":"T","value":"\xff\xfe"}}}\n',
    "lone surrogate": b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"set_secret","arguments":'
    b'{"name":"T","value":"\\ud800"}}}\n',
    "null id": b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n',
    "float id": b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}\n',
    "boolean id": b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n',
    "params is a list": b'{"jsonrpc":"2.0","id":8,"method":"ping","params":[]}\n',
    "deep nesting": b'{"jsonrpc":"2.0","id":9,"method":"ping","params":' + b"[" * 100_000 + b"\n",
    "an array": b"[1,2,3]\n",
    "50 MB": b'{"jsonrpc":"2.0","id":10,"method":"ping","params":{"x":"' + b"x" * 50_000_000 + b'"}}\n',
}


@pytest.fixture(scope="module")
def long_lived(shared_machine: Machine) -> Iterator[Wire]:
    """A server that gets one strange line after another. It must neither end nor write to its standard error."""
    with shared_machine.server(shared_machine.project("api")) as wire:
        yield wire
        assert wire.close() == 0
        assert wire.stderr == b""


@pytest.mark.parametrize("line", STRANGE_LINES.values(), ids=STRANGE_LINES.keys())
def test_a_strange_line_is_answered_with_an_error_and_the_next_call_works(long_lived: Wire, line: bytes) -> None:
    long_lived.send_line(line)
    answer = long_lived.receive()
    assert answer.get("error") or answer["result"]["isError"], answer
    assert json.loads(long_lived.text("list_secrets"))["total"] == 0


STRANGE_CALLS: dict[str, dict[str, object]] = {
    "missing name": {"name": "get_secret", "arguments": {}},
    "name is a number": {"name": "get_secret", "arguments": {"name": 5}},
    "value is a list": {"name": "set_secret", "arguments": {"name": "T", "value": ["canary-value"]}},
    "extra argument": {"name": "set_secret", "arguments": {"name": "T", "value": "canary-value", "x": "canary-value"}},
    "arguments is text": {"name": "set_secret", "arguments": "canary-value"},
    "no arguments": {"name": "set_secret"},
    "unknown tool": {"name": "print_secret", "arguments": {"value": "canary-value"}},
    "tool is a number": {"name": 5, "arguments": {"value": "canary-value"}},
    "no tool": {"arguments": {"value": "canary-value"}},
}


@pytest.mark.parametrize("params", STRANGE_CALLS.values(), ids=STRANGE_CALLS.keys())
def test_a_strange_call_is_refused_without_an_echo_and_the_next_call_works(
    long_lived: Wire, params: dict[str, object]
) -> None:
    answer = long_lived.request("tools/call", params)
    assert answer.get("error") or answer["result"]["isError"], answer
    assert "canary" not in json.dumps(answer)
    assert json.loads(long_lived.text("list_secrets"))["total"] == 0


def hostile_allowlists() -> dict[str, bytes]:
    bomb = "a: &a [x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(20)
    )
    return {
        "100,000 brackets": b"[" * 100_000,
        "16 KiB of brackets": b"allow: " + b"[" * 16_000,
        "a bomb": bomb.encode(),
        "a tag": b"allow: !!python/object/apply:os.system ['touch /tmp/never']\n",
        "invalid UTF-8": b"allow: [\xff]\n",
        "not a mapping": b"- allow\n",
    }


@pytest.mark.parametrize("content", hostile_allowlists().values(), ids=hostile_allowlists().keys())
def test_a_hostile_allowlist_denies_and_the_next_call_after_mending_works(
    shared_machine: Machine, long_lived: Wire, content: bytes
) -> None:
    project = shared_machine.project("api")
    (project / ".claude" / "secrets.yml").write_bytes(content)
    assert long_lived.code("list_secrets") == "ALLOWLIST_INVALID"
    shared_machine.project("api")
    assert json.loads(long_lived.text("list_secrets"))["total"] == 0


def test_hostile_patterns_are_answered_at_once(machine: Machine) -> None:
    with machine.server(machine.project("api", ["*a*a*a*a*a*b", "TOKEN"])) as wire:
        assert wire.code("get_secret", name="a" * 128) == "NOT_ALLOWLISTED"
        wire.text("set_secret", name="TOKEN", value="v")
        assert json.loads(wire.text("search_secrets", pattern="(a+)+$"))["total"] == 0
        assert wire.code("search_secrets", pattern="(a{1000}){1000}") == "INVALID_PATTERN"


def test_a_store_removed_under_a_running_server_is_noticed(machine: Machine) -> None:
    with machine.server(machine.project("api")) as wire:
        wire.text("set_secret", name="T", value="v")
        shutil.rmtree(machine.store.parent)
        assert wire.code("get_secret", name="T") == "STORE_UNAVAILABLE"


def test_a_directory_whose_name_is_not_unicode_is_told_of_without_harm(machine: Machine) -> None:
    directory = machine.home / os.fsdecode(b"work\xff")
    directory.mkdir()
    with machine.server(directory) as wire:
        assert wire.code("list_secrets") == "NO_PROJECT"
        assert wire.code("list_secrets") == "NO_PROJECT"
    done = machine.run("init", at=directory)
    assert (done.returncode, "secrets.yml" in done.stdout) == (0, True)
    assert machine.run("allow", "T", at=directory).returncode == 0
    with machine.server(directory) as wire:
        assert wire.text("set_secret", name="T", value="v").startswith("Stored")
        assert wire.text("get_secret", name="T") == "v"
