"""Test the pure functions that decide how a program is started on Windows. `tests/windows` starts real programs."""

import errno

import pytest

from claude_secrets.errors import CallerError, Code
from claude_secrets.exec.windows_words import command_line, is_batch, merged, refuse_unsafe, signed

CMD = r"C:\Windows\System32\cmd.exe"
BATCH = r"C:\Users\me\AppData\Roaming\npm\npx.cmd"
MARKER = "s3cret"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (BATCH, True),
        (r"C:\x\TOOL.BAT", True),
        (r"C:\x\tool.cmd. ", True),  # Windows ignores the end, and runs tool.cmd
        (r"C:\x\tool.cmd  ..", True),
        (r"C:\x\tool.exe", False),
        (r"C:\x\cmd", False),
        (r"C:\x.cmd\tool.exe", False),
        (r"C:\x\tool.command", False),
    ],
)
def test_a_batch_file_is_recognised_by_the_end_of_its_name(program: str, *, expected: bool) -> None:
    assert is_batch(program) is expected


WORDS = {
    "npm, npx, yarn": ["run", "build", "--", "--port=3000", "-w", "packages/a", "@scope/name@^1".replace("^", "~")],
    "paths": [r"C:\Program Files\x", "dir/*.js", "file (1).txt", "ü 漢.txt", r"C:\ends with\ "],
    "text": ["", "two words", "it's", "a=b,c;d", "key: value", "[x] {y} #z $HOME `w` ~ ? + @", "100 percent"],
}
"""Arguments that people give to batch files, which must go on working."""


@pytest.mark.parametrize("why", WORDS)
def test_what_people_give_to_batch_files_is_accepted(why: str) -> None:
    refuse_unsafe(BATCH, WORDS[why])


@pytest.mark.parametrize("character", list('&|<>^%!"\r\n'))
@pytest.mark.parametrize("place", ["{}", "x{}y", "two words {}"])
def test_what_cmd_would_run_or_change_is_refused_for_a_batch_file_only(character: str, place: str) -> None:
    word = MARKER + place.format(character)
    refuse_unsafe(r"C:\x\tool.exe", [word])
    for start in (refuse_unsafe, lambda program, words: command_line(program, words, CMD)):
        with pytest.raises(CallerError) as caught:
            start(BATCH, ["fine", word])
        assert caught.value.code is Code.INVALID_ARGUMENTS
        assert "Argument 2" in caught.value.message
        assert MARKER not in f"{caught.value} {caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("path", [r"C:\100%\t.cmd", r"C:\%TOKEN%\t.cmd", r"C:\a!b\t.cmd"])
def test_a_batch_files_own_path_cannot_be_changed_by_cmd(path: str) -> None:
    with pytest.raises(CallerError):
        refuse_unsafe(path, [])
    refuse_unsafe(path.replace(".cmd", ".exe"), [])


@pytest.mark.parametrize("path", [r"C:\R&D\t.cmd", r"C:\Tom & Jerry (x86)\t.cmd", r"C:\a^b\t.cmd"])
def test_a_batch_files_path_is_always_quoted(path: str) -> None:
    assert command_line(path, ["x"], CMD) == (CMD, f'"{CMD}" /e:ON /v:OFF /d /c ""{path}" x"')


@pytest.mark.parametrize("word", ["a=b", "a,b", "a;b", ")else,whoami", "(x)", "@x y", "~", "[x]", "`w`", "ü", "a\tb"])
def test_cmd_cannot_split_an_argument_or_end_a_block_with_it(word: str) -> None:
    assert command_line(BATCH, [word], CMD) == (CMD, f'"{CMD}" /e:ON /v:OFF /d /c ""{BATCH}" "{word}""')


@pytest.mark.parametrize("word", ["run", "--port", "-w", "packages/a", r"C:\x\y.txt", "100", "a_b.c:d+e?f*g#h$i"])
def test_a_plain_argument_of_a_batch_file_gets_no_quotes(word: str) -> None:
    """Batch files compare such words without removing quotes: `if "%1"=="run"`."""
    assert command_line(BATCH, [word], CMD) == (CMD, f'"{CMD}" /e:ON /v:OFF /d /c ""{BATCH}" {word}"')


@pytest.mark.parametrize("word", ["x\\", r"C:\ends with\\"])
def test_a_program_that_a_batch_file_starts_reads_a_backslash_at_the_end(word: str) -> None:
    doubled = word + "\\" * (len(word) - len(word.rstrip("\\")))
    assert command_line(BATCH, [word], CMD)[1].endswith(f' "{doubled}""')


@pytest.mark.parametrize(("program", "longest"), [(BATCH, 8_191), (r"C:\x\tool.exe", 32_766)])
@pytest.mark.parametrize("letter", ["x", "\N{GRINNING FACE}"])
def test_a_line_that_windows_would_refuse_or_cut_is_refused(program: str, longest: int, letter: str) -> None:
    def units(text: str) -> int:
        return len(text.encode("utf-16-le")) // 2

    rest = longest - units(command_line(program, ["x"], CMD)[1]) + 1
    command_line(program, ["x" * rest], CMD)
    for word in ("x" * (rest + 1), letter * (rest // units(letter) + 1)):
        with pytest.raises(OSError, match="too long") as caught:
            command_line(program, [word], CMD)
        assert caught.value.errno == errno.E2BIG


def test_the_first_word_is_the_whole_path_of_the_program() -> None:
    program = r"C:\Python\python.exe"
    assert command_line(program, [], CMD) == (program, f'"{program}"')
    assert command_line(program, ["-c", "a b", "", 'q"q'], CMD) == (program, f'"{program}" -c "a b" "" q\\"q')
    assert command_line(BATCH, ["a b", ""], CMD) == (CMD, f'"{CMD}" /e:ON /v:OFF /d /c ""{BATCH}" "a b" """')


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, 0), (7, 7), (255, 255), (0x7FFFFFFF, 0x7FFFFFFF), (0x80000000, -(1 << 31)), (0xC0000005, -1073741819)],
)
def test_an_exit_code_keeps_its_32_bits(code: int, expected: int) -> None:
    assert signed(code) == expected
    assert expected % (1 << 32) == code


def test_a_given_variable_replaces_the_one_whose_name_differs_in_case_only_on_windows() -> None:
    environment, given = {"TOKEN": "old", "OTHER": "x"}, {"Token": "first", "token": "new"}
    assert merged(environment, given, platform="win32") == {"OTHER": "x", "token": "new"}
    assert merged(environment, given, platform="linux") == {**environment, **given}


def test_the_environment_is_in_the_order_that_windows_requires() -> None:
    assert list(merged({"b": "", "_x": "", "USERPROFILE": ""}, {"TOKEN": "", "A": ""}, platform="win32")) == [
        *("A", "b", "TOKEN", "USERPROFILE", "_x"),
    ]
