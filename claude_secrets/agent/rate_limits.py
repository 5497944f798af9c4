"""Limits on agents: the rate limits of rules, and the limits on the number of bytes that agents store.

Always: a call is counted only if it is carried out.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final, NamedTuple

from claude_secrets.errors import Code, DeniedError, StoreError
from claude_secrets.model import Tool
from claude_secrets.policy.refusals import said_by
from claude_secrets.policy.rules import Applied
from claude_secrets.policy.snapshot import PolicySnapshot
from claude_secrets.store import counters
from claude_secrets.store.counters import Window
from claude_secrets.store.transaction import Transaction

MIB: Final = 1 << 20

_PERIODS: Final = {60: "a minute", 3600: "an hour", 86_400: "a day"}

_BYTES: Final = "bytes"
"""The name of the counter for bytes that agents store."""


class Spent(NamedTuple):
    """The new state of a counter after one more call or value. This state is not in the store yet."""

    project: str
    what: str
    window: Window


def spent_on(
    tx: Transaction, snapshot: PolicySnapshot, tool: Tool, limits: Sequence[Applied], value: str
) -> list[Spent]:
    """Return the new state of all counters for a call of `tool` that stores `value`. Write nothing.

    `value` is empty if the call stores no value.

    Raises:
        DeniedError: RATE_LIMITED.
        StoreError: STORE_FULL, STORE_TAMPERED.
    """
    projects, config = snapshot.counted_as, snapshot.config
    return check(tx, projects=projects, applied=limits, tool=tool) + check_size(
        tx,
        projects=projects,
        size=len(value.encode()),
        per_minute=config.agent_mib_per_minute * MIB,
        total=config.agent_mib_total * MIB,
    )


def check(tx: Transaction, *, projects: Iterable[str], applied: Sequence[Applied], tool: Tool) -> list[Spent]:
    """Return the new state of the counters for one more call of `tool`. Write nothing.

    There is one counter for each project and limit.

    Raises:
        DeniedError: RATE_LIMITED.
        StoreError: STORE_TAMPERED.
    """
    spent = []
    for project in projects:
        for one in applied:
            window = with_one_more(counters.window(tx, project, one.counter), applied=one, tool=tool, now=tx.now)
            spent.append(Spent(project, one.counter, window))
    return spent


def check_size(tx: Transaction, *, projects: Iterable[str], size: int, per_minute: int, total: int) -> list[Spent]:
    """Return the new state of each project's byte counter for a value of `size` bytes from an agent. Write nothing.

    Agents may store `per_minute` bytes a minute in each project. A value that would make the store larger than `total`
    bytes is refused.

    Raises:
        DeniedError: RATE_LIMITED.
        StoreError: STORE_FULL if the store would exceed `total`; STORE_TAMPERED.
    """
    if not size:
        return []
    if tx.size() + size > total:
        raise store_too_large(total)
    windows = ((project, counters.window(tx, project, _BYTES)) for project in projects)
    return [
        Spent(project, _BYTES, with_bytes(window, size=size, limit=per_minute, now=tx.now))
        for project, window in windows
    ]


def spend(tx: Transaction, spent: Iterable[Spent]) -> None:
    """Write the counters that `spent_on` returned to the store."""
    for one in spent:
        counters.write(tx, *one)


def with_bytes(window: Window | None, *, size: int, limit: int, now: float) -> Window:
    """Return a project's one-minute window after the bytes of a value are added.

    Raises:
        DeniedError: RATE_LIMITED, with the seconds to wait.
    """
    window = Window(now) if window is None else window.at(now)
    wait = window.wait(limit, now, size)
    if wait > 0:
        raise DeniedError(
            Code.RATE_LIMITED,
            f"Agents may store {limit // MIB} MiB a minute in one project; wait {ceil(wait)} seconds.",
            "The person can raise agent_mib_per_minute in config.yml.",
            rule="agent_mib_per_minute",
        )
    return window._replace(calls=window.calls + size)


def store_too_large(limit: int) -> StoreError:
    """The error for a value from an agent that would make the store too large."""
    return StoreError(
        Code.STORE_FULL,
        f"This value would make the store larger than {limit // MIB} MiB, which is the limit for agents.",
        "The person can permanently remove secrets (purge) or raise agent_mib_total in config.yml.",
    )


def with_one_more(window: Window | None, *, applied: Applied, tool: Tool, now: float) -> Window:
    """Return a limit's window after one more call is added.

    Raises:
        DeniedError: RATE_LIMITED, with the rule's id and the seconds to wait.
    """
    rule = applied.rule
    if window is None or window.seconds != rule.seconds:  # the first call, or the limit's period was changed
        window = Window(now, seconds=rule.seconds)
    window = window.at(now)
    wait = window.wait(rule.limit, now)
    if wait > 0:
        per = _PERIODS.get(rule.seconds, f"in {rule.seconds} seconds")
        times = "once" if rule.limit == 1 else f"{rule.limit} times"
        raise DeniedError(
            Code.RATE_LIMITED,
            f"{tool.value} may be called {times} {per} in one project; wait {ceil(wait)} seconds "
            f"(rule {rule.rule_id}).{said_by(rule)}",
            rule=rule.rule_id,
        )
    return window._replace(calls=window.calls + 1)
