"""Words in hints are quoted for the shells of the system."""

import shlex

import pytest

from claude_secrets.shell_words import joined, quoted, removal


@pytest.mark.parametrize(
    ("word", "on_windows"),
    [
        ("claude-secrets", "claude-secrets"),
        (r"C:\Users\me\.env.before-import", r"C:\Users\me\.env.before-import"),
        (r"C:\Users\Jane Doe\.env", r'"C:\Users\Jane Doe\.env"'),
        (r"C:\Users\O'Neil\k", r'''"C:\Users\O'Neil\k"'''),
        (r"C:\a&b\k", r'"C:\a&b\k"'),
        (r"C:\Müller\k", r'"C:\Müller\k"'),
        ("", '""'),
    ],
)
def test_windows_gets_double_quotes_and_other_systems_single_ones(word: str, on_windows: str) -> None:
    assert quoted(word, platform="win32") == on_windows
    assert shlex.split(quoted(word, platform="linux")) == [word]


def test_a_removal_is_the_command_of_the_system() -> None:
    assert removal(r"C:\a b", platform="win32") == r'del "C:\a b"'
    assert removal("/a b", platform="darwin") == "rm '/a b'"
    assert joined(["a b", "c"], platform="win32") == '"a b" c'
