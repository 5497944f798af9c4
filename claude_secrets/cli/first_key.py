"""Plan where `setup` keeps the key of a new store, and show a recovery code.

Always: a plan changes nothing. An existing store and its keys are not changed. Without the person's answer, only the OS
keyring or the key file that the environment names is used.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from claude_secrets.atomic_file import make_private
from claude_secrets.cli import guide
from claude_secrets.cli.asking import new_passphrase
from claude_secrets.cli.init_key import KeyPlace, ask_for_key_place
from claude_secrets.cli.listing import short
from claude_secrets.cli.output import flush, say
from claude_secrets.errors import Cancelled, SecretsError
from claude_secrets.keys.passphrase import check, known_words
from claude_secrets.paths import command
from claude_secrets.person.person import Person
from claude_secrets.prompt.terminal import read_line
from claude_secrets.store.store import Store


class StorePlan(NamedTuple):
    """What will be done about the store, in a sentence for the person.

    `make` makes the store, or is None if there is nothing to do. `works` is whether the store can then be opened. If it
    cannot, `hint` says what the person can do.
    """

    message: str
    works: bool = True
    make: Callable[[], None] | None = None
    hint: str | None = None


def plan_store(person: Person, *, asks: bool) -> StorePlan:
    """Plan to open the store, or to make it. If no keyring works and `asks` is set, ask where to keep the key.

    Raises:
        Cancelled: the person cancelled a question.
        CallerError: INVALID_VALUE for a weak passphrase, and the errors of the questions.
    """
    store, path = person.store, short(str(person.store.path))
    if store.exists():
        return _existing(store, path)
    named, status = store.custody.named_file, store.custody.keyring_status()
    if named is not None or status.ok:
        where = f"your keyring ({status.name})" if named is None else f"the key file {short(str(named))}"
        return StorePlan(f"Make the store {path}, with its key in {where}.", make=lambda: _written(person))
    place = ask_for_key_place(status.message, status.hint or "") if asks else KeyPlace()
    if (file := place.file) is not None:

        def make() -> None:
            with suppress(OSError):  # making the key file reports this error
                make_private(file.parent)
            store.create_with_key_file(file)

        return StorePlan(f"Make the store {path}, with its key in the file {short(str(file))}.", make=make)
    if place.by_passphrase:
        words = check(new_passphrase("the store", None), known_words())
        message = f"Make the store {path}, which only your passphrase opens."
        return StorePlan(message, make=lambda: store.create_with_passphrase(words))
    other = f"Or keep the key in a file: {command()} init --key-file ~/claude-secrets.key"
    hint = f"{status.hint or ''} {other}".strip()
    return StorePlan(f"[{status.code}] {status.message}", works=False, hint=hint)


def can_have_code(person: Person) -> bool:
    """Return whether the store has no recovery code yet, or will be made."""
    return not person.store.exists() or not any(slot.is_recovery for slot in person.store.slots())


def show_code(code: str) -> None:
    """Show a new recovery code."""
    guide.notice("This is your recovery code. Write it down, and keep it away from your computer.")
    guide.notice("The code opens your secrets without any other key. It is not shown again.")
    say(code)


def wait_until_written_down() -> None:
    """Wait until the person presses Enter or cancels: the code is valid in both cases."""
    flush()
    with suppress(Cancelled):
        read_line("Press Enter when you have written the code down.")


def _existing(store: Store, path: str) -> StorePlan:
    try:
        store.unlock()
    except SecretsError as error:
        return StorePlan(f"[{error.code}] {error.message}", works=False, hint=error.hint)
    return StorePlan(f"The store {path} is there, and its key opens it.")


def _written(person: Person) -> None:
    with person.store.write() as tx:
        person.log(tx, "setup")
