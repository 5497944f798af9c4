"""Asking at a stand-in for a Windows console: hidden input is not shown, and no input is cut or split unnoticed.

`tests/windows/test_console.py` runs the same code with Windows' own `msvcrt`.
"""

from functools import partial
from itertools import repeat

import pytest

from claude_secrets.errors import CallerError, Cancelled, Code, InputError
from claude_secrets.prompt import console_line, terminal
from claude_secrets.prompt.console_line import Clock
from tests.support.console_stand_in import DELETE, F1, F12, UP, ConsoleStandIn, Pause

PROMPT = "Wert 🔑: "
ENTER = "\r"


def read(console: ConsoleStandIn) -> str:
    return console_line.ask(console, PROMPT, hidden=True, clock=Clock(console.now, console.sleep))


@pytest.fixture
def confirmed(monkeypatch: pytest.MonkeyPatch) -> partial[bool]:
    """Ask a yes-or-no question on a console."""

    def confirm(console: ConsoleStandIn) -> bool:
        clock = Clock(console.now, console.sleep)
        monkeypatch.setattr(terminal, "ask", partial(console_line.ask, console, clock=clock))
        return terminal.confirm("Trust it?")

    return partial(confirm)


@pytest.mark.parametrize(
    "value",
    [
        *("s3cret", " with spaces ", "schlüssel", "🔑", "a🔑b", "x" * 10_000, "\x00"),
        # The unit of "à" is also the first half of an arrow key. Here no key follows, but the code of one.
        *("à", "voilà", "àH", "àS", "àà", "perchéàK"),
    ],
)
def test_what_is_typed_arrives_exactly_and_is_not_shown(value: str) -> None:
    console = ConsoleStandIn([*value, ENTER])
    assert read(console) == value
    assert console.shown.encode("utf-16-le", "surrogatepass").decode("utf-16-le") == f"{PROMPT}\r\n"


@pytest.mark.parametrize(
    "end", [["\r"], ["\n"], ["\r", "\n"]], ids=["Enter", "Ctrl-Enter", "the end of a Windows line"]
)
def test_every_end_of_one_line_is_only_an_end(end: list[str]) -> None:
    console = ConsoleStandIn([*"value", *end])
    assert (read(console), console.left_over()) == ("value", "")


def test_a_slow_writer_and_a_key_after_the_answer_are_no_paste() -> None:
    assert read(ConsoleStandIn(["a", Pause(9), "b", Pause(9), ENTER, Pause(1), "c"])) == "ab"


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ([*"rihgt", "\b", "\b", "\x7f", *"ght"], "right"),
        (["\b", *"x"], "x"),
        ([*"x🔑", "\b", "y"], "xy"),
        ([*"🔑🔑", "\b"], "🔑"),
        ([UP, "a", F1, DELETE, "b", F12], "ab"),
        (["à", UP, "H"], "àH"),
    ],
    ids=["backspace", "backspace before text", "backspace on an emoji", "on the second", "function keys", "à and keys"],
)
def test_keys_for_editing_work(keys: list[str], value: str) -> None:
    assert read(ConsoleStandIn([*keys, ENTER])) == value


def test_an_empty_line_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    console = ConsoleStandIn([ENTER])
    monkeypatch.setattr(terminal, "ask", partial(console_line.ask, console))
    with pytest.raises(InputError, match="empty"):
        terminal.read_hidden(PROMPT)


@pytest.mark.parametrize("key", ["\x03", "\x1a", "^C between two keys"], ids=["Ctrl-C", "Ctrl-Z", "a signal"])
@pytest.mark.parametrize("half", ["", "canary"])
def test_breaking_off_is_no_answer_and_leaves_nothing_for_the_shell(key: str, half: str) -> None:
    console = ConsoleStandIn([*half, key, *"canary", ENTER])
    with pytest.raises(Cancelled):
        read(console)
    assert (console.left_over(), "canary" in console.shown) == ("", False)


PASTES = {
    "a key": [*"-----BEGIN KEY-----\rcanary\r-----END KEY-----\r"],
    "a key with both characters at the line's end": [*"-----BEGIN KEY-----\r\ncanary\r\n-----END KEY-----\r\n"],
    "a last line without an end": [*"y\rcanary"],
    "an answer to the next question": [*"y\ry\r"],
    "an empty line": [*"y\r\r"],
    "a slow paste": [*"y\r", Pause(0.04), *"can", Pause(0.04), *"ary\r"],
    "a key without a character at the end": [*"y\ry", UP],
    "a lone half of a character": [*"y\r\ud83d"],
}


@pytest.mark.parametrize("paste", PASTES)
def test_several_pasted_lines_are_refused_and_do_not_reach_the_shell(paste: str) -> None:
    console = ConsoleStandIn(PASTES[paste])
    with pytest.raises(CallerError, match="More than one line") as refused:
        console_line.ask(console, PROMPT, hidden=True, other_way="Use a file.", clock=Clock(console.now, console.sleep))
    assert (refused.value.code, refused.value.hint) == (Code.INVALID_VALUE, "Use a file.")
    assert (console.left_over(), "canary" in console.shown + str(refused.value)) == ("", False)


def test_several_pasted_lines_answer_no_question(confirmed: partial[bool]) -> None:
    console = ConsoleStandIn([*"y\rcanary\r"])
    with pytest.raises(CallerError, match="More than one line"):
        confirmed(console)
    assert (console.left_over(), "canary" in console.shown) == ("", False)


def test_a_key_that_is_held_down_does_not_hold_up_the_program() -> None:
    console = ConsoleStandIn([*repeat(ENTER, 1000)], seconds_a_key=0.03)
    with pytest.raises(CallerError, match="More than one line"):
        read(console)
    assert console.now() < 6


@pytest.mark.parametrize(
    "before", [[*"y\r"], [*"y\ry"], ["\x03"], [*"y\r", UP]], ids=["a line", "two", "Ctrl-C", "a key"]
)
def test_what_was_typed_before_the_question_is_no_answer(before: list[str], confirmed: partial[bool]) -> None:
    assert not confirmed(ConsoleStandIn([*"n\r"], before=before))
    assert confirmed(ConsoleStandIn([*"y\r"], before=before))
    assert read(ConsoleStandIn([*"value\r"], before=before)) == "value"


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDD11)], ids=["the first", "the second"])
def test_half_a_character_is_refused_and_not_repeated(half: str) -> None:
    console = ConsoleStandIn([*"canary", half, ENTER])
    with pytest.raises(CallerError) as refused:
        read(console)
    assert refused.value.code is Code.INVALID_VALUE
    assert refused.value.__suppress_context__
    assert "canary" not in str(refused.value)


def test_without_a_console_nobody_is_asked() -> None:
    console = ConsoleStandIn(["\uffff"])
    with pytest.raises(InputError) as refused:
        read(console)
    assert refused.value.code is Code.NO_INPUT_CHANNEL


@pytest.mark.parametrize(
    ("keys", "answer"),
    [("y\r", True), ("Yes\r", True), (" y \r", True), ("yx\b\r", True), ("n\r", False), ("\r", False),
     ("yes!\r", False), ("ja\r", False), ("yy\r", False)],
)  # fmt: skip
def test_only_a_clear_yes_is_a_yes(keys: str, answer: bool, confirmed: partial[bool]) -> None:
    assert confirmed(ConsoleStandIn([*keys])) is answer


def test_an_answer_is_shown_but_cannot_move_the_cursor(confirmed: partial[bool]) -> None:
    console = ConsoleStandIn([*"n\x1b[2K🔑", "\b", "ä", UP, ENTER])
    assert not confirmed(console)
    assert console.shown == "Trust it? [y/N] n?[2K??\b \b\b \bä\r\n"
