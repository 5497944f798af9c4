"""Passphrases and recovery codes: a code is accepted in every spelling, and every typing error in it is found."""

import random
import string
import time
import traceback
import unicodedata
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.errors import CallerError, Code, CustodyError
from claude_secrets.keys import passphrase, recovery_code
from claude_secrets.keys.passphrase import Stretching
from claude_secrets.keys.recovery_code import ALPHABET, GROUPS, new_code, read_code
from claude_secrets.keys.strength import _REASONS as REASONS

CODES = st.integers().map(lambda seed: _code(random.Random(seed)))


def _code(dice: random.Random) -> str:
    groups = ["".join(dice.choices(ALPHABET, k=4)) for _ in range(GROUPS)]
    return "-".join(
        group + recovery_code._check_character(number, group) for number, group in enumerate(groups, start=1)
    )


def refusal(text: str) -> str:
    with pytest.raises(CallerError) as caught:
        read_code(text)
    assert caught.value.code is Code.INVALID_VALUE
    said = caught.value.message + str(caught.value.hint)
    assert not any(group and group in said for group in text.replace("-", " ").split() if len(group) > 2)
    return caught.value.message


# Recovery codes


def test_codes_are_drawn_anew_and_well_spread() -> None:
    codes = {new_code() for _ in range(200)}
    assert len(codes) == 200
    assert {character for code in codes for character in code} == {*ALPHABET, "-"}
    assert len(ALPHABET) == 31
    assert not set("01OIL") & set(ALPHABET)


@given(CODES, st.booleans(), st.sampled_from(["-", " ", "", "  ", " - ", "\n"]))
def test_a_code_is_read_however_it_is_typed(code: str, lower: bool, between: str) -> None:
    typed = between.join(code.split("-"))
    assert read_code(f" {typed.lower() if lower else typed}\n") == code


@given(CODES, st.integers(0, 34), st.sampled_from(string.ascii_uppercase + string.digits))
def test_one_wrong_character_names_its_group(code: str, at: int, wrong: str) -> None:
    characters = list(code.replace("-", ""))
    if characters[at] != wrong:
        characters[at] = wrong
        assert refusal("".join(characters)) == f"Group {at // 5 + 1} of the recovery code is mistyped."


@given(CODES, st.integers(0, 6), st.integers(0, 4), st.integers(0, 4))
def test_two_characters_that_changed_places_are_found(code: str, group: int, one: int, two: int) -> None:
    characters = list(code.replace("-", ""))
    first, second = group * 5 + one, group * 5 + two
    if characters[first] != characters[second]:
        characters[first], characters[second] = characters[second], characters[first]
        assert refusal("".join(characters)) == f"Group {group + 1} of the recovery code is mistyped."


@given(CODES, st.integers(0, 6), st.integers(0, 6))
def test_two_groups_that_changed_places_are_found(code: str, one: int, two: int) -> None:
    groups = code.split("-")
    if one != two:
        groups[one], groups[two] = groups[two], groups[one]
        assert refusal("-".join(groups)) == f"Group {min(one, two) + 1} of the recovery code is mistyped."


@given(CODES, st.integers(1, 34))
def test_another_length_is_told(code: str, length: int) -> None:
    assert "a different length" in refusal(code.replace("-", "")[:length])
    assert "a different length" in refusal(code + code[:length])


def test_the_group_that_is_too_short_is_named() -> None:
    groups = new_code().split("-")
    groups[3] = groups[3][:4]
    assert refusal("-".join(groups)).endswith("Check group 4.")


@pytest.mark.parametrize("text", ["", " ", "----", "ünïcode", "\0" * 35, "é" * 35, "İ" * 35, "ß" * 20])
def test_what_is_no_code_is_refused(text: str) -> None:
    refusal(text)


# Stretching


def test_a_master_key_is_what_argon2id_makes_of_the_passphrase() -> None:
    stretching = Stretching(salt="00112233445566778899aabbccddeeff", iterations=2, lanes=2, memory_kib=128)
    kdf = Argon2id(salt=bytes.fromhex(stretching.salt), length=32, iterations=2, lanes=2, memory_cost=128)
    assert stretching.master_key("pässphrase") == urlsafe_b64encode(kdf.derive("pässphrase".encode()))


def test_the_same_letters_give_the_same_key_whichever_way_they_are_composed() -> None:
    stretching = Stretching(salt="00" * 16, iterations=1, lanes=1, memory_kib=8)
    keys = {stretching.master_key(unicodedata.normalize(form, "Zoë Å ﬁ")) for form in ("NFC", "NFD")}
    assert len(keys) == 1
    assert stretching.master_key("Zoe A fi") not in keys


def test_params_come_back_as_they_were_and_each_salt_is_new() -> None:
    one, two = Stretching.new(), Stretching.new()
    assert one.salt != two.salt
    assert Stretching.from_params({**one.params(), "recovery": True, "later": 1}) == one
    assert (one.iterations, one.lanes, one.memory_kib) == (3, 4, 65536)


WRONG_NUMBERS: list[object] = [0, -1, True, 1.5, "3", None, 1 << 40]
GOOD = {"kdf": "argon2id", "salt": "00" * 16, "iterations": 1, "lanes": 1, "memory_kib": 8}


@pytest.mark.parametrize(
    "change",
    [
        {"kdf": "scrypt"},
        {"kdf": None},
        {"salt": "00" * 15},
        {"salt": "00" * 65},
        {"salt": "0" * 33},
        {"salt": "zz" * 16},
        {"salt": 5},
        *(
            {key: wrong}
            for key in ("iterations", "lanes", "memory_kib")
            for wrong in (0, -1, True, 1.5, "3", None, 1 << 40)
        ),
        {"iterations": 33},
        {"lanes": 17},
        {"memory_kib": 1024 * 1024 + 1},
        {"lanes": 2, "memory_kib": 15},
    ],
    ids=str,
)
def test_params_that_make_no_sense_or_too_much_work_are_refused(change: dict[str, object]) -> None:
    assert Stretching.from_params(GOOD).memory_kib == 8
    with pytest.raises(CustodyError) as caught:
        Stretching.from_params({**GOOD, **change})
    assert caught.value.code is Code.KEY_WRONG


@pytest.mark.parametrize("params", [None, [], "text", 5, {}], ids=str)
def test_params_that_are_no_object_are_refused(params: object) -> None:
    with pytest.raises(CustodyError):
        Stretching.from_params(params)


# New passphrases

GOOD_ONES = [
    "five parrots juggle quartz lemons",
    "dutiful-mango-zip-crane-olive",
    "mango zip crane olive dutiful",
    "correcthorsebatterystaplemango",
    "qmzvhgtwkxnrbdpl",  # 16 letters
    "x7#Kq9!mLp2$",
    "xk7Qp2mV9tRw",
    "6Wf-Zp3.tYv_Ha8e",
    "Mein Onkel füttert dienstags drei Krähen.",
    "Żółta łódka płynie przez Wisłę nocą",
    "祖母は毎朝七時に味噌汁を作ります",
    "ψάρια και πουλιά κοιτάζουν τη θάλασσα",
    "Kiedyś kupię sobie zielony traktor",
    "a" * 4 + " dog that sings in Portuguese on Mondays",
    "long sentence number one about geese, " * 200,
]


@pytest.mark.parametrize("text", GOOD_ONES, ids=range(len(GOOD_ONES)))
def test_nobody_with_a_good_passphrase_notices(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert passphrase.check(unicodedata.normalize(form, text), ["maria", "shop"])


@given(CODES)
def test_every_recovery_code_would_do(code: str) -> None:
    assert passphrase.check(code)


@given(st.text(string.ascii_lowercase, min_size=16, max_size=16).filter(lambda text: len(set(text)) > 8))
def test_sixteen_letters_by_chance_do(text: str) -> None:
    # Hypothesis prefers simple texts, which random choice rarely produces. So the test draws the letters itself.
    dice = random.Random(text)
    assert passphrase.check("".join(dice.choices(string.ascii_lowercase, k=16)))


KNOWN = ["maria-hernandez", "zxcvghytr-shopfront"]
BAD_ONES = {
    "elevenchars": "12 characters",
    "short": "12 characters",
    "": "12 characters",
    "password1234": "common words",
    "aaaaaaaaabcd": "repeats",
    "x" * 40: "repeats",
    "ababababababab": "repeats",
    "qwertyuiop12": "common words",
    "correcthorsebattery": "common words",
    "correct horse battery": "common words",
    "correct-horse-battery": "common words",
    "abcdefghijkl": "follow each other",
    "Passw0rd2024!!": "common words",
    "iloveyou forever": "common words",
    "monkey dragon master": "common words",
    "claude secrets 1": "common words",
    "maria-hernandez-x": "common words",
    "zxcvghytr-shopfront": "easy to guess",
    "ωωωωωωωωωωωωωω": "repeats",
    "パスワードパスワード123123": "repeats",
    "x" * 100_000: "repeats",
    "password" * 10_000: "repeats",
}


@pytest.mark.parametrize("text", BAD_ONES, ids=range(len(BAD_ONES)))
def test_a_poor_passphrase_is_refused_with_a_reason_and_not_repeated(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(CallerError) as caught:
        passphrase.check(text, KNOWN)
    assert time.monotonic() - began < 10
    assert (caught.value.code, "five words" in str(caught.value.hint)) == (Code.INVALID_VALUE, True)
    # Every message is a fixed text: it does not repeat the passphrase or a word that was recognised in it.
    reasons = {f"This passphrase is easy to guess: {reason}." for reason in (*REASONS.values(), "it is too short")}
    assert caught.value.message in {*reasons, "A passphrase must have at least 12 characters."}
    assert BAD_ONES[text] in caught.value.message
    assert len(text) < 6 or text not in "".join(traceback.format_exception(caught.value))
