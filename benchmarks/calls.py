"""Measures calls over the wire: the time of a tool on a warm server, the server's start, and its memory."""

import random
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.homes import SERVER, VISIBLE, Home, value
from benchmarks.wire import Client

EMPTY = [sys.executable, "-m", "benchmarks.empty_server"]
CHECKOUT = Path(__file__).parent.parent


SESSIONS = 5
"""Processes of each server in a whole measurement. The speed of a single process depends on where its threads run."""
WARMING = 20
"""Warm-up calls of each tool in each process, which are not counted."""


class Tool(NamedTuple):
    """A tool, and a function that draws its arguments."""

    name: str
    arguments: Callable[[random.Random], Mapping[str, object]]


TOOLS = {
    "get": Tool("get_secret", lambda chosen: {"name": chosen.choice(VISIBLE)}),
    "list": Tool("list_secrets", lambda _: {}),
    "search": Tool("search_secrets", lambda chosen: {"pattern": f"^visible_[{chosen.randrange(10)}z]"}),
    "set": Tool("set_secret", lambda chosen: {"name": chosen.choice(VISIBLE), "value": value(chosen)}),
}


class Warm(NamedTuple):
    """Medians of one tool: seconds of a call, seconds of the paired call of the empty tool, and the pairs' ratio."""

    seconds: float
    empty: float
    ratio: float


def warm(home: Home, rounds: int, *, sessions: int = SESSIONS) -> tuple[dict[str, Warm], int]:
    """Measure each tool against the empty one in `sessions` pairs of processes. Return peak memory in bytes, too."""
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in TOOLS}
    peak = 0
    for number in range(sessions):
        chosen = random.Random(number)
        with (
            Client(EMPTY, CHECKOUT, home.environment) as empty,
            Client(SERVER, home.project, home.environment) as server,
        ):
            for name, tool in TOOLS.items():
                each = [
                    (empty.call("empty", {}), server.call(tool.name, tool.arguments(chosen)))
                    for _ in range(rounds // sessions + WARMING)
                ]
                pairs[name] += each[WARMING:]
            peak = max(peak, server.peak_bytes())
    return {name: _medians(found) for name, found in pairs.items()}, peak


def _medians(pairs: list[tuple[float, float]]) -> Warm:
    ratio = median(ours / theirs for theirs, ours in pairs)
    return Warm(median(ours for _, ours in pairs), median(theirs for theirs, _ in pairs), ratio)


def durable_commit(directory: Path, rounds: int) -> float:
    """Return the seconds of the smallest durable transaction on the store's disk."""
    path, spent = directory / "commit.db", []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        for number in range(rounds):
            begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO t VALUES (1, ?)", (number.to_bytes(100, "big"),))
            connection.execute("COMMIT")
            spent.append(time.perf_counter() - begun)
    return median(spent)


def cold_start(home: Home, rounds: int) -> tuple[float, float, float]:
    """Measure the seconds from a server's start to its list of tools: ours, the empty one's, and the pairs' ratio."""
    pairs = []
    for number in range(rounds + 1):
        pair = _until_listed(EMPTY, CHECKOUT, home), _until_listed(SERVER, home.project, home)
        if number:
            pairs.append(pair)
    ratio = median(ours / theirs for theirs, ours in pairs)
    return median(ours for _, ours in pairs), median(theirs for theirs, _ in pairs), ratio


def _until_listed(command: list[str], at: Path, home: Home) -> float:
    with Client(command, at, home.environment) as client:
        client.ask("tools/list", {})
        return client.age


def writers(home: Home, servers: int, sets: int) -> tuple[int, float]:
    """Let `servers` store `sets` secrets each at once; return the number stored and the median seconds of one."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(SERVER, home.project, home.environment)) for _ in range(servers)]

        def store(number: int) -> list[float]:
            chosen = random.Random(number)
            return [
                clients[number].call("set_secret", {"name": f"VISIBLE_{number}_{each}", "value": value(chosen)})
                for each in range(sets)
            ]

        with ThreadPoolExecutor(servers) as pool:
            spent = [seconds for each in pool.map(store, range(servers)) for seconds in each]
        listed, _ = clients[0].ask("tools/call", {"name": "search_secrets", "arguments": {"pattern": r"^VISIBLE_\d_"}})
    return int(listed["structuredContent"]["total"]), median(spent)
