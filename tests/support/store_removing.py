"""The real program, with a stand-in for the command `uninstall --purge-store`: `delete NAME [--yes]` removes the store.

The stand-in replaces only the command's function. Arguments, errors and exit codes are those of the real program.
"""

from argparse import Namespace

from tests.support import program


def _run(options: Namespace) -> int:
    from claude_secrets.cli import store_removal
    from claude_secrets.cli.opening import invocation_of

    return 0 if store_removal.purge_store(invocation_of(options), yes=options.yes) else 1


def main() -> None:
    from claude_secrets.cli.commands import delete

    vars(delete)["run"] = _run
    program.main()


if __name__ == "__main__":
    main()
