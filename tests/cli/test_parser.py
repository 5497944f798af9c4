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


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("sett canary", "set"),
        ("rm canary", "delete"),
        ("remove canary", "delete"),
        ("show canary", "get"),
        ("add canary", "set"),
        ("help canary", "--help"),
        ("key rm canary", "key remove"),
        ("key add-pasphrase", "key add-passphrase"),
        ("canary", None),
    ],
)
def test_an_unknown_word_gets_a_suggestion(line: str, meant: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(line.split())
    error = capsys.readouterr().err
    assert (meant is not None) == ("did you mean" in error)
    assert meant is None or f"did you mean `{command()} {meant}`?" in error
    assert "canary" not in error


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("access T", "one of the arguments --use-only --readable is required"),
        ("set T --use-only --readable", "argument --readable: not allowed with argument --use-only"),
        ("get", "the following arguments are required: NAME"),
        ("list --scope", "argument --scope: expected one argument"),
        ("list --passphrase-fd canary", "argument --passphrase-fd: the value must be a whole number"),
        ("list --passphrase-fd 'canary:argument--x:expectedoneargument", "the value must be a whole number"),
        ("list --json=canary", "argument --json: this option takes no value"),
        ("import f --from canary", "argument --from: invalid choice (choose from dotenv, json, typescript)"),
        ("list --canary", "unknown option (not shown"),
        ("--canary", "unknown option (not shown"),
        ("--store s --canary=x", "unknown option (not shown"),
        ("list canary", "too many arguments (not shown"),
        ("set T canary", "the rest is not shown, because it may be the value"),
        ("recover use canary-canary", "the rest is not shown, because it may be the code"),
        ("key add-passphrase canary", "the rest is not shown, because it may be the passphrase"),
    ],
)
def test_an_error_says_what_is_wrong_without_words_that_were_typed(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line.split())
    error = capsys.readouterr().err
    assert (ended.value.code, said in error, "canary" in error) == (2, True, False), error
    assert ("If the" in error) == ("the rest" in error)
    assert "hint: run `" in error or error.endswith("--help\n")


def test_an_unknown_option_at_a_terminal_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for line, code in (([], 0), (["--store", "s.db"], 0), (["--bogus"], 2), (["--store=s.db", "-x"], 2)):
        with pytest.raises(SystemExit) as ended:
            parse(line)
        assert ended.value.code == code, line
    assert f"hint: {command()} --help\n" in capsys.readouterr().err


LOOSENING = {"access", "allow", "backup", "export", "install", "key", "recover", "setup", "trust", "uninstall"}


def test_these_commands_loosen_something() -> None:
    assert {name for name in COMMANDS if hasattr(module_of(name), "loosens")} == LOOSENING
