"""Add this server to a client's configuration, find it there, and remove it again.

Always: a client gets one entry. An entry that starts this server is updated, and keeps the person's own arguments and
settings. Entries of other servers stay as they are.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

from claude_secrets.clients import json_text, toml_text
from claude_secrets.clients.known import Client, Format
from claude_secrets.clients.program import Program, is_wrapped, own_arguments
from claude_secrets.errors import CallerError, Code

NAMES: Final = ("secrets", "claude-secrets")
"""The name of a new entry. The second name is used if another server has the first."""


_SERVE: Final = "serve"
"""The command of this program that runs the server, which may be left out."""

_WITH_VALUE: Final = frozenset({"--passphrase-fd", "--project", "--store", "--trust"})
"""The options of the server, each of which takes a value."""

_PASSED_ON: Final = "env_vars"
"""The key of an entry of Codex with the names of variables that Codex passes on."""


class Registered(NamedTuple):
    """An entry that starts this server: its name, its value, and what it starts.

    `arguments` are those of this server, without those of a launcher.
    """

    name: str
    value: Mapping[str, Any]
    program: Program
    arguments: tuple[str, ...]

    @property
    def project(self) -> str | None:
        """The directory that the entry names with `--project`."""
        return option(self.arguments, "--project")


def option(arguments: Sequence[str], name: str) -> str | None:
    """Return the value of an option in arguments. Return None if the option is absent."""
    for number, word in enumerate(arguments):
        if word == name and number + 1 < len(arguments):
            return arguments[number + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def serves(arguments: Sequence[str] | None) -> bool:
    """Return whether this program runs the server with these arguments. None stands for another program."""
    if arguments is None:
        return False
    words = iter(arguments)
    for word in words:
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word == _SERVE
    return True


def _without_option(arguments: Sequence[str], name: str) -> list[str]:
    words, kept = iter(arguments), []
    for word in words:
        if word == name:
            next(words, None)
        elif not word.startswith(f"{name}="):
            kept.append(word)
    return kept


def find_entries(client: Client, data: bytes | None) -> list[Registered]:
    """Return the entries that start this server, the one that `with_entry` updates first.

    An entry that starts another command of this program belongs to the person. For example, `exec` starts another
    server with secrets.

    Raises:
        UnreadableFileError: the client cannot read this content.
    """
    found = []
    for name, value in _servers(client, data).items():
        program = _program(value)
        arguments = own_arguments(program.words)
        if arguments is not None and serves(arguments):
            found.append(Registered(name, value, program, arguments))
    return sorted(found, key=lambda one: one.name not in NAMES)


def wrapped_entries(client: Client, data: bytes | None) -> list[str]:
    """Return the names of entries that start this server through another program, such as `wsl.exe`.

    Raises:
        UnreadableFileError: the client cannot read this content.
    """
    servers = {name: _program(value).words for name, value in _servers(client, data).items()}
    return [name for name, words in servers.items() if own_arguments(words) is None and is_wrapped(words)]


def with_entry(client: Client, data: bytes | None, program: Program, project: str | None) -> bytes:
    """Return the content with an entry that starts `program`. `project` is the new directory of `--project`.

    If `project` is None, an entry keeps its directory. An entry that starts this server through another program, such
    as `wsl.exe`, is left as it is, and no second entry is added.

    Raises:
        CallerError: INVALID_ARGUMENTS if other servers have both names.
        UnreadableFileError: the client cannot read this content.
    """
    text, content = _text(client), data or b""
    ours = find_entries(client, data)
    servers = _servers(client, data)
    if not ours and wrapped_entries(client, data):
        return content
    if ours:
        name, own, kept = ours[0].name, servers[ours[0].name], ours[0].arguments
    else:
        free = [one for one in NAMES if one not in servers]
        if not free:
            problem = f"{client.title} already has other servers with the names {' and '.join(NAMES)}."
            raise CallerError(Code.INVALID_ARGUMENTS, problem, "Rename one of them in the client's configuration.")
        name, own, kept = free[0], {}, ()
    if project is not None:
        kept = (*_without_option(kept, "--project"), "--project", project)
    variables = {**_variables(own), **program.environment}
    wanted = client.entry(program.command, (*program.arguments, *kept), variables)
    if not isinstance(own.get("command", ""), str) or not own:
        return bytes(text.put(content, (*client.keys, name), wanted))
    named = own.get(_PASSED_ON)
    if isinstance(named, list):  # the person may have named more variables
        wanted[_PASSED_ON] = list(dict.fromkeys((*named, *cast("list[str]", wanted[_PASSED_ON]))))
    for key, value in wanted.items():
        if own.get(key) != value and (value or key in own):
            content = text.put(content, (*client.keys, name, key), value)
    return content


def without_entry(client: Client, data: bytes) -> bytes:
    """Return the content without the entries that start this server.

    Raises:
        UnreadableFileError: the client cannot read this content.
    """
    for entry in find_entries(client, data):
        data = _text(client).drop(data, (*client.keys, entry.name))
    return data


def as_before(client: Client, data: bytes, original: bytes | None) -> bytes:
    """Return the content with this server's entries as they were in `original`. Other changes since then stay.

    Raises:
        UnreadableFileError: the client cannot read this content.
    """
    earlier = _servers(client, original)
    for entry in find_entries(client, data):
        place = (*client.keys, entry.name)
        if entry.name not in earlier:
            made = _text(client).missing_containers(original or b"", place)
            data = _text(client).drop(data, place, containers=made)
        elif serves(own_arguments(_program(earlier[entry.name]).words)):
            data = _text(client).put(data, (*client.keys, entry.name), earlier[entry.name])
    return data


def _text(client: Client) -> ModuleType:
    return toml_text if client.format is Format.TOML else json_text


def _servers(client: Client, data: bytes | None) -> dict[str, Mapping[str, Any]]:
    found = None if data is None else _text(client).read(data, client.keys)
    if not isinstance(found, Mapping):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, Mapping)}


def _program(value: Mapping[str, Any]) -> Program:
    """Return what an entry starts. An entry of an older Zed has the command in an object of its own."""
    inner = value.get("command")
    if isinstance(inner, Mapping):
        value = {**inner, "command": inner.get("path")}
    command, arguments = value.get("command"), value.get("args")
    if not isinstance(command, str):  # a server on the network
        return Program("")
    words = tuple(one for one in arguments if isinstance(one, str)) if isinstance(arguments, list) else ()
    return Program(command, words, _variables(value))


def _variables(value: Mapping[str, Any]) -> dict[str, str]:
    found = value.get("env")
    if not isinstance(found, Mapping):
        return {}
    return {name: text for name, text in found.items() if isinstance(text, str)}
