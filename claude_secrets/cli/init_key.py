"""Ask the person, at the terminal, where `init` keeps the key of a new store."""

from pathlib import Path
from typing import Final, NamedTuple

from claude_secrets.cli.guide import item, paragraph
from claude_secrets.cli.listing import short
from claude_secrets.cli.output import flush, say
from claude_secrets.errors import CallerError, Code
from claude_secrets.paths import expanded, home

_TRIES: Final = 3
"""How often the person may type something that is no answer."""


class KeyPlace(NamedTuple):
    """Where a new store's key is kept: in `file`, or nowhere because a passphrase opens the store.

    If both are unset, nothing is decided yet.
    """

    file: Path | None = None
    by_passphrase: bool = False

    @property
    def is_decided(self) -> bool:
        """Whether `init` makes the store."""
        return self.file is not None or self.by_passphrase


def ask_for_key_place(why: str, remedy: str) -> KeyPlace:
    """Ask where to keep the key. `why` says why the keyring cannot keep it, and `remedy` how to change that.

    Raises:
        Cancelled: Ctrl-C or Ctrl-D.
        CallerError: INVALID_ARGUMENTS if the person answers something else three times, or types an unknown home.
        InputError: there is no terminal.
    """
    file = _free_name()
    paragraph(f"The OS keyring cannot keep the key of your secrets: {why}")
    say()
    say("Where do you want to keep the key?")
    item("1", f"In a file: {short(str(file))}", "Your commands and your clients' servers read the key there.")
    item("2", "Nowhere", "You type a passphrase for each command, and servers read it with --passphrase-fd.")
    item("3", "Decide later", remedy or "Start a keyring, or run init again.")
    say()
    match _number():
        case "1":
            return KeyPlace(file=_path(file))
        case "2":
            return KeyPlace(by_passphrase=True)
    return KeyPlace()


def _number() -> str:
    from claude_secrets.prompt.terminal import read_line

    flush()
    for _ in range(_TRIES):
        answer = read_line("Type 1, 2 or 3:")
        if answer in ("1", "2", "3"):
            return answer
    raise CallerError(Code.INVALID_ARGUMENTS, "That is none of the choices; nothing was changed.")


def _path(proposed: Path) -> Path:
    from claude_secrets.prompt.terminal import read_line

    typed = read_line(f"Path of the key file [{short(str(proposed))}]:")
    return expanded(typed) if typed else proposed


def _free_name() -> Path:
    """Return the usual path of a key file, or a similar path if a file, perhaps another store's key, is there."""
    number, path = 1, home() / "claude-secrets.key"
    while path.is_symlink() or path.exists():
        number += 1
        path = path.with_name(f"claude-secrets-{number}.key")
    return path
