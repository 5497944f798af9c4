"""Say what to do after `init`: the .env files that hold secrets, what git does with them, and the next commands."""

import os
from pathlib import Path
from typing import Final

from claude_secrets.cli import guide, registering
from claude_secrets.cli.env_files import EnvFile, env_files
from claude_secrets.cli.git_state import git_state
from claude_secrets.cli.opening import Invocation
from claude_secrets.cli.output import counted, hint, say, warn
from claude_secrets.paths import command, home_directories, working_directory
from claude_secrets.policy.project import place_at, real_path
from claude_secrets.shell_words import quoted

_NAMES: Final = 5
"""The largest number of a file's names that are shown."""


class NextSteps:
    """The steps after `init`, for the project in `directory`, or for a store alone if that is None."""

    def __init__(self, invocation: Invocation, directory: Path | None) -> None:
        self._typed = " ".join([command(), *_repeated(invocation)])
        self._directory = directory
        self._files = [] if directory is None else env_files(directory)

    def say_found(self) -> None:
        """Say which .env files hold secrets, and what may be a mistake in git. A pipe gets only hints."""
        if guide.is_shown() and self._files:
            say()
            for file in self._files:
                guide.paragraph(_about(file, self._import_of(file)))
        elif not guide.is_shown():
            for file in self._with_secrets():
                hint(f"{_about(file, '')} To move their values into the store: {self._import_of(file)} --rewrite")
        self._say_git_state()

    def say_commands(self) -> None:
        """Name the next commands, if the store can be used."""
        if self._directory is None:
            say(f"Next, in a project's directory: {self._typed} init")
            return
        if not guide.is_shown():
            say(f"Next: {self._typed} allow NAME, then {self._typed} set NAME")
            return
        commands = [
            (f"{self._import_of(file)} --rewrite", "moves its values into the store") for file in self._with_secrets()
        ]
        commands += self._allow_and_set()
        if not registering.registered():
            commands.append((f"{command()} setup", "connects your clients"))
        say()
        say("Next:")
        guide.steps(commands)
        guide.paragraph("Or type to an agent in this project: Use input_secret to ask me for NAME.")

    def say_locked(self, why: str, remedy: str) -> None:
        """Say that a store exists which cannot be opened here."""
        text = f"the store cannot be opened here, so no secret can be allowed or stored yet: {why}"
        guide.caution(text)
        guide.advice(remedy)

    def say_key_is_missing(self, why: str, remedy: str, *, was_asked: bool) -> None:
        """Name the commands that choose a place for the key, and those that work then."""
        if was_asked:
            say()
        else:
            warn(f"there is no place yet to keep the store's key: {why}")
        guide.paragraph("Next, choose where to keep the key, and run one of these commands:")
        say(f"  {self._typed} init --key-file ~/claude-secrets.key")
        guide.paragraph("keeps the key in a file, which your clients' servers also read", indent=6)
        say(f"  {self._typed} init --passphrase")
        words = "keeps no key: you type a passphrase for each command, and servers read it with --passphrase-fd"
        guide.paragraph(words, indent=6)
        if not was_asked:  # the question has just said it
            guide.paragraph(f"Or use a keyring. {remedy}")
        if guide.is_shown():
            say("Then:")
            guide.steps(self._allow_and_set())
        else:
            say(f"Then: {self._typed} allow NAME, and {self._typed} set NAME")

    def _allow_and_set(self) -> list[tuple[str, str]]:
        return [
            (f"{self._typed} allow NAME", "lets agents use the secret"),
            (f"{self._typed} set NAME", "asks you for the value"),
        ]

    def _with_secrets(self) -> list[EnvFile]:
        return [file for file in self._files if file.names]

    def _import_of(self, file: EnvFile) -> str:
        is_here = self._directory == Path(real_path(working_directory()))
        path = file.path.name if is_here else str(file.path)
        return f"{self._typed} import {quoted(path)}"

    def _say_git_state(self) -> None:
        directory = self._directory
        if directory is None or place_at(directory, home_directories()).work_tree is None:
            return
        state = git_state(directory, [file.path for file in self._with_secrets()], os.environ)
        for name in state.tracked:
            guide.caution(f"git tracks {name}, and its history may have the values: get new ones from their issuers")
        for name in state.open:
            guide.advice(f"git does not ignore {name}: do not commit it before the import has replaced its values")
        if state.ignores_allowlist:
            guide.advice(
                "git ignores .claude/secrets.yml, so other clones have no allowlist; it contains no values, and "
                "`git add --force .claude/secrets.yml` shares it"
            )


def _about(file: EnvFile, importing: str) -> str:
    """Say how many variables of a file look like secrets, or that `importing`, a command, says why it is not read."""
    name = file.path.name
    if not file.is_readable:
        return f"{name} cannot be read as a .env file; `{importing}` says why."
    if not file.names:
        return f"{name}: no variable looks like a secret ({counted(file.variables, 'variable')})."
    shown = ", ".join(file.names[:_NAMES])
    more = f" and {len(file.names) - _NAMES} more" if len(file.names) > _NAMES else ""
    what = "looks like a secret" if len(file.names) == 1 else "look like secrets"
    number = "its variable" if file.variables == 1 else f"{len(file.names)} of {file.variables} variables"
    return f"{name}: {number} {what}: {shown}{more}."


def _repeated(invocation: Invocation) -> list[str]:
    """Return those options of this command that the next commands need, too."""
    words = []
    for name, value in (("project", invocation.project), ("store", invocation.store)):
        if value:
            words += [f"--{name}", quoted(value)]
    return words
