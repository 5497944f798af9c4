"""Start the MCP server. This is a separate module so that only the serving command imports the SDK."""

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
    """Serve MCP until the client is gone; return the exit code.

    `project` is the directory of `--project`, and `store_argument` the path of `--store`, if given. `tighten` is the
    trust mode that arguments or environment ask for. `passphrase` opens the store if one of its key slots has one.
    `bound`: only the working directory's project is served. If `asks` is false, the person is never asked.
    """
    from claude_secrets.server.app import run

    run(project, store_argument, environment, tighten, passphrase, bound=bound, asks=asks)
    return 0
