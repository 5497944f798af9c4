"""The real program as whole-program tests run it, with settings from environment variables that only tests use.

The variables set what a real environment must not choose, such as the account's home and the directories of programs.
The program itself never sees them.
"""

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

ACCOUNT_HOME = "TESTS_ACCOUNT_HOME"
"""Names the account's home if it differs from HOME."""

CLIENT_RECORDS = "TESTS_CLIENT_RECORDS"
"""The directory in which servers record their clients. By default they record nothing, because in most tests the client
also acts as the person.
"""

ASKED = "TESTS_ASKED"
"""Names a file that gets a line for each question at the terminal: the functions of the command line that led to it."""

HOOK_SECONDS = "TESTS_HOOK_SECONDS"
"""The seconds after which a hook gives up."""

GIT_SECONDS = "TESTS_GIT_SECONDS"
"""The seconds without output after which git is ended."""

SECURITY = "TESTS_SECURITY"
"""The program that replaces `/usr/bin/security`. The key is then kept as on macOS."""

PLACES = "TESTS_PLACES"
"""The directories, written as a PATH, that replace the system's directories of programs."""

BUSY_SECONDS = "TESTS_BUSY_SECONDS"
"""The seconds that the program waits for another process that writes the store."""

KEY_FILE_ACCESS = "TESTS_KEY_FILE_ACCESS"
"""The person's account on Windows and the key file's security descriptor in hexadecimal. The key file is then checked
as on Windows.
"""

KERNEL = "TESTS_KERNEL"
"""Names the directory with the files that replace the kernel's files about WSL. Each file has the name of a field of
`wsl.Machine`.
"""

LOADED = "TESTS_LOADED"
"""Names a file that a server makes when it has loaded the modules of later calls. It then cannot import anything, as if
all files were removed, and writes the name of each module that it tries to import into the file.
"""

OWN_KEYRINGS = {"darwin": "keyring.backends.macOS", "win32": "keyring.backends.Windows"}
"""The modules that reach the developer's own keyring. No variable leads them to another one, unlike on Linux."""

_KEYCHAIN_PROGRAM = "/usr/bin/security"
"""The program of macOS that reaches the developer's own keychain."""


def bar_own_keyring(platform: str = sys.platform) -> None:
    """Bar this process from the developer's own keyring on macOS and Windows, until the process ends.

    The program then finds no keyring, as on a machine without one. On Linux the environment already decides this.
    """
    module = OWN_KEYRINGS.get(platform)
    if module is not None:
        sys.modules[module] = None  # type: ignore[assignment]  # this makes the import fail
    if platform == "darwin":
        sys.addaudithook(_refuse_keychain_program)


def _refuse_keychain_program(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"subprocess.Popen", "os.posix_spawn", "os.exec"}:
        return
    program, words = arguments[0], arguments[1] or [""]
    if _KEYCHAIN_PROGRAM in {os.fsdecode(program or ""), os.fsdecode(words[0])}:
        raise PermissionError("Tests do not use the developer's own keychain.")


def main() -> None:
    """Run the program on this process's arguments."""
    bar_own_keyring()
    from claude_secrets import interrupts

    interrupts.begin()
    from claude_secrets import paths
    from claude_secrets.agent import client_records
    from claude_secrets.cli.main import entry

    sys.argv[0] = str(Path(paths.__file__).with_name("__main__.py"))
    home = os.environ.pop(ACCOUNT_HOME, None) or os.environ.get("HOME")
    if home is not None:
        paths.account_home = lambda: Path(home)
    records = os.environ.pop(CLIENT_RECORDS, None) or "/dev/null/clients"
    client_records.directory = lambda: Path(records)
    replace_system()
    security = os.environ.pop(SECURITY, None)
    if security is not None:
        _keep_keys_as_on_macos(Path(security))
    asked = os.environ.pop(ASKED, None)
    if asked is not None:
        _note_who_asks(asked)
    access = os.environ.pop(KEY_FILE_ACCESS, None)
    if access is not None:
        _check_key_files_as_on_windows(*access.split())
    seconds = os.environ.pop(BUSY_SECONDS, None)
    if seconds is not None:
        from claude_secrets.store import schema

        vars(schema)["BUSY_SECONDS"] = float(seconds)
    seconds = os.environ.pop(HOOK_SECONDS, None)
    if seconds is not None:
        from claude_secrets.cli.commands import hook

        hook.SECONDS = hook.OUTPUT_SECONDS = float(seconds)
    seconds = os.environ.pop(GIT_SECONDS, None)
    if seconds is not None:
        from claude_secrets.exec import git_process

        git_process.SECONDS = float(seconds)
    loaded = os.environ.pop(LOADED, None)
    if loaded is not None:
        _import_nothing_after_loading(Path(loaded))
    entry()


def _import_nothing_after_loading(file: Path) -> None:
    from claude_secrets.server import preload

    last = "tests_after_loading"

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == last:
                file.touch()
            elif file.exists():
                with file.open("a") as names:
                    names.write(f"{name}\n")
                raise ImportError(name)

    modules = preload.modules
    vars(preload).update(AFTER_SECONDS=0.0, modules=lambda environment: (*modules(environment), last))
    sys.meta_path.insert(0, Finder)


def replace_system() -> None:
    """Replace the directories of programs and the kernel's files about WSL, if the environment says so."""
    places = os.environ.pop(PLACES, None)
    if places is not None:
        _take(places)
    kernel = os.environ.pop(KERNEL, None)
    if kernel is not None:
        from claude_secrets.prompt import wsl

        wsl.SYSTEM = wsl.Machine(*(Path(kernel) / name for name in wsl.Machine._fields))


def _check_key_files_as_on_windows(person: str, descriptor: str) -> None:
    from claude_secrets.access_list import parsed
    from claude_secrets.keys import key_file

    access = parsed(bytes.fromhex(descriptor))
    vars(key_file)["_check_private"] = lambda path, _opened: key_file.refuse_access(path, access, person)


def _note_who_asks(file: str) -> None:
    from claude_secrets.prompt import terminal

    ask = terminal.ask

    def asking(*arguments: Any, **options: Any) -> str:
        names = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            module = frame.f_globals["__name__"]
            if module == terminal.__name__ or module.startswith("claude_secrets.cli."):
                function = frame.f_code.co_qualname.partition(".<locals>")[0]
                names.append(f"{module.rpartition('.')[2]}.{function}")
            frame = frame.f_back
        with Path(file).open("a") as lines:
            lines.write(" ".join(reversed(names)) + "\n")
        return ask(*arguments, **options)

    terminal.ask = asking


def _keep_keys_as_on_macos(security: Path) -> None:
    from claude_secrets.keys import mac_keychain
    from claude_secrets.keys.custody import Custody

    vars(mac_keychain)["SECURITY"] = security
    defaults = Custody.__init__.__kwdefaults__
    assert defaults is not None
    defaults["platform"] = "darwin"


def _take(places: str) -> None:
    # This does not use `tests.support.program_places`, which is not on the program's own import path.
    from claude_secrets import programs

    directories = [Path(os.path.realpath(each)) for each in places.split(os.pathsep)]
    below = Path(os.path.commonpath(directories))
    if sys.platform != "win32":  # owners decide only there
        programs.SYSTEM = programs.Places(directories=directories, owner=os.getuid(), below=below)


if __name__ == "__main__":
    main()
