"""The parser: command lines of `key`, `recover` and `policy` that scripts use, and the options of each verb."""

import pytest

from claude_secrets.cli.parser import COMMANDS, module_of, parse
from claude_secrets.paths import command


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("key list", {"verb": "list", "json": False}),
        ("key list --json", {"verb": "list", "json": True}),
        ("key list --store s.db --passphrase-fd 3", {"verb": "list", "store": "s.db", "passphrase_fd": 3}),
        ("--store s.db key list", {"verb": "list", "store": "s.db"}),
        ("key --store s.db list", {"verb": "list", "store": "s.db"}),
        ("key add-passphrase --new-passphrase-fd 0", {"new_passphrase_fd": 0}),
        ("key add-file k", {"path": "k"}),
        ("key remove ab12 --yes", {"slot": "ab12", "yes": True}),
        ("key rotate", {"data": False, "yes": False, "new_passphrase_fd": None}),
        ("key rotate --data --yes --new-passphrase-fd 0", {"data": True, "yes": True, "new_passphrase_fd": 0}),
        ("recover create --replace", {"verb": "create", "replace": True}),
        ("recover use --key-file k --project d", {"verb": "use", "key_file": "k", "project": "d"}),
        ("policy check", {"verb": "check", "file": None}),
        ("policy explain get_secret TOKEN --project d", {"tool": "get_secret", "name": "TOKEN", "project": "d"}),
        ("backup FILE", {"words": ["FILE"]}),
        ("backup restore FILE --aside", {"words": ["restore", "FILE"], "aside": True}),
    ],
)
def test_what_scripts_write_is_understood(line: str, taken: dict[str, object]) -> None:
    options = vars(parse(line.split()))
    assert {name: options[name] for name in taken} == taken


@pytest.mark.parametrize(
    "line",
    [
        "key",
        "key list extra",
        "key list --data",
        "key add-file",
        "key add-passphrase --data",
        "key remove",
        "key rotate --json",
        "recover create --key-file k",
        "recover use --replace",
        "key rot",
    ],
)
def test_a_verb_takes_its_own_words_only(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line.split())
    assert ended.value.code == 2
    assert "extra" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "asked"),
    [("key list extra", "key list"), ("list extra", "list"), ("--store s key rotate x", "key rotate"), ("nope", "")],
)
def test_the_hint_names_the_help_of_what_was_typed(line: str, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(line.split())
    assert f"hint: {' '.join([command(), *asked.split()])} --help\n" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "said"), [("gett canary", "unknown command"), ("key canary", "unknown verb")])
def test_an_unknown_command_or_verb_is_named_as_such(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(line.split())
    error = capsys.readouterr().err
    assert (said in error, "canary" in error) == (True, False)


LOOSENING = {"access", "allow", "backup", "export", "key", "recover", "trust"}


def test_these_commands_loosen_something() -> None:
    assert {name for name in COMMANDS if hasattr(module_of(name), "loosens")} == LOOSENING
