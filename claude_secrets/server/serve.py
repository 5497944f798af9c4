"""Start the MCP server. This is a separate module so that only the serving command imports the SDK."""

from collections.abc import MutableMapping
from pathlib import Path

from claude_secrets.installation import Installation
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
    """Serve MCP until the client is gone, and return the exit code.

    `project` is the directory from `--project`, if given. `store_argument` is the path from `--store`, if given.
    `tighten` is the trust mode from the arguments or the environment. `passphrase` opens the store if the store has a
    key slot with a passphrase. If `bound` is true, only the working directory's project is served. If `asks` is false,
    the person is never asked.
    """
    installation = Installation.of_this_process()  # before the slow imports, during which the files could be replaced
    from claude_secrets.server.app import run

    run(project, store_argument, environment, tighten, passphrase, bound=bound, asks=asks, installation=installation)
    return 0
