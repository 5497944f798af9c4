"""Starts the MCP server. A module of its own, so that a command imports the SDK only when it serves."""

from collections.abc import MutableMapping
from pathlib import Path

from claude_secrets.policy.config import Trust


def serve(
    *,
    project: Path | None,
    store_argument: str | None,
    environment: MutableMapping[str, str],
    tighten: Trust,
    passphrase: str | None,
    bound: bool,
    asks: bool,
) -> int:
    """Serve MCP until the client is gone; returns the exit code.

    `project` is the directory of `--project`, `store_argument` the path of `--store`, where given; `tighten` the mode
    of trust that arguments or environment ask for; `passphrase` opens the store where a slot of it has one; `bound`:
    no other project is served than that of the working directory; without `asks` nobody is asked anything.
    """
    from claude_secrets.server.app import run

    run(project, store_argument, environment, tighten, passphrase, bound=bound, asks=asks)
    return 0
