"""Importing files of other programs: the entries read from each kind of file, the problems found, and rewriting."""

import io
import json
import string
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import dotenv
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dotenv.parser import parse_stream
from hypothesis import given
from hypothesis import strategies as st

from claude_secrets.errors import CallerError, Code, SecretsError
from claude_secrets.keys.cipher import TokenInvalid, open_gcm
from claude_secrets.model import NAME_LIMIT, VALUE_LIMIT
from claude_secrets.person import import_files
from claude_secrets.person.import_files import FileKind, ImportedFile

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "typescript.json").read_text(encoding="utf-8"))

NAMES = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from(string.ascii_letters + string.digits + "_"),
    st.text(string.ascii_letters + string.digits + "_.-", max_size=NAME_LIMIT - 1),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1).filter(
    lambda text: "secret://" not in text
)
ODD = st.text("'\"\\ \n#$={}`ab\ufeff\u2028\x00\t", min_size=1, max_size=20)
VALUES = (ODD | TEXT).filter(lambda text: "${" not in text)  # other readers of the file expand ${


def no_key() -> bytes:
    raise AssertionError("no key was to be asked for")


def read(text: str, kind: FileKind = FileKind.DOTENV) -> ImportedFile:
    return import_files.read_entries(kind, text.encode("utf-8", "surrogatepass"), no_key)


def values(contents: ImportedFile) -> dict[str, str]:
    return {entry.name: entry.value for entry in contents.entries}


SEALING_KEY = bytes(range(32))


def sealed(held: dict[str, str]) -> bytes:
    """Return a store of the TypeScript tool that contains these values."""
    iv = bytes(16)
    both = AESGCM(SEALING_KEY).encrypt(iv, json.dumps(held).encode(), None)
    return b":".join(b64encode(part) for part in (iv, both[-16:], both[:-16]))


def rewritten(text: str) -> str:
    return import_files.rewrite(text.encode(), read(text).entries).decode()


# .env files


def single(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def double(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def bare(value: str) -> str | None:
    """Return a value that needs no quotes as it is, and None for a value that needs them."""
    plain = (
        value == value.strip() != "=" and value[0] not in "'\"#" and not set(value) & set("\n") and " #" not in value
    )
    return value if plain and value.isprintable() else None


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """Draw a .env file, and the values that python-dotenv reads from it."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    meant = draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6))
    lines = []
    for name, value in meant.items():
        lines += draw(st.lists(st.sampled_from(["", "# a comment = 'x", "  ", "#"]), max_size=2))
        spelled = draw(st.sampled_from([single(value), double(value), bare(value) or single(value)]))
        export = draw(st.sampled_from(["", "export ", "  ", "export\t"]))
        equal = draw(st.sampled_from(["=", " = ", "= "]))
        lines.append(f"{export}{name}{equal}{spelled}{draw(st.sampled_from(['', '  # why', ' ']))}")
    end = draw(st.sampled_from(["", "\n", "\n\n# end"]))
    return ("\n".join(lines) + end).replace("\n", newline), meant


@given(files())
def test_any_file_gives_the_exact_values_and_then_parses_to_references(file: tuple[str, dict[str, str]]) -> None:
    text, meant = file
    contents = read(text)
    assert (values(contents), contents.problems) == (meant, ())
    after = import_files.rewrite(text.encode(), contents.entries).decode()
    assert dotenv.dotenv_values(stream=io.StringIO(after), interpolate=False) == {
        name: f"secret://{name}" for name in meant
    }
    assert read(after).entries == ()


@given(files())
def test_rewriting_changes_the_values_and_no_other_byte(file: tuple[str, dict[str, str]]) -> None:
    text, _ = file
    pieces = [binding.original.string for binding in parse_stream(io.StringIO(text, newline=""))]
    after = [binding.original.string for binding in parse_stream(io.StringIO(rewritten(text), newline=""))]
    assert len(pieces) == len(after)
    for before, now in zip(pieces, after, strict=True):
        if "secret://" not in now:
            assert before == now
            continue
        head, _, tail = now.partition("secret://")
        rest = tail[len(tail) - len(tail.lstrip(string.ascii_letters + string.digits + "_.-")) :]
        assert before.startswith(head)
        assert before.endswith(rest)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), st.sampled_from(["always", "auto"]), st.booleans())
def test_what_python_dotenv_itself_writes_comes_in_exactly(
    tmp_path_factory: pytest.TempPathFactory, meant: dict[str, str], mode: str, export: bool
) -> None:
    path = tmp_path_factory.mktemp("written") / ".env"
    for name, value in meant.items():
        dotenv.set_key(path, name, value, quote_mode=mode, export=export)
    data = path.read_bytes()
    contents = import_files.read_entries(FileKind.DOTENV, data, no_key)
    assert values(contents) == meant
    path.write_bytes(import_files.rewrite(data, contents.entries))
    assert dotenv.dotenv_values(path, interpolate=False) == {name: f"secret://{name}" for name in meant}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=x", "A=secret://A"),
        ("A=x # why\n", "A=secret://A # why\n"),
        ("A=x#y\n", "A=secret://A\n"),
        ("A=' x '  # 'why'\n", "A='secret://A'  # 'why'\n"),
        ('A="x"#why\n', 'A="secret://A"#why\n'),
        ("export\t A = x y \n", "export\t A = secret://A \n"),
        ("'A'=x\n", "'A'=secret://A\n"),
        ("A='it\\'s'\n", "A='secret://A'\n"),
        ("A='x\\\\'\nB='y'\n", "A='secret://A'\nB='secret://B'\n"),
        ('A="x\\"\ny"\r\n', 'A="secret://A"\r\n'),
        ("\ufeffA=x\r\n\r\n# c\r\nB=y", "\ufeffA=secret://A\r\n\r\n# c\r\nB=secret://B"),
        ("A=A\nAA=A\n", "A=secret://A\nAA=secret://AA\n"),
        ("A=old\nB=y\nA=new\n", "A=secret://A\nB=secret://B\nA=secret://A\n"),
        ("A=\nA=x\n", "A=\nA=secret://A\n"),
        ("A=x\nB\nC=\nD=secret://A\n", "A=secret://A\nB\nC=\nD=secret://A\n"),
        ("A==x\n", "A=secret://A\n"),
        ("A=\u00a0x\u00a0\n", "A=\u00a0secret://A\u00a0\n"),
    ],
)
def test_only_the_value_is_replaced(before: str, after: str) -> None:
    assert rewritten(before) == after


def test_lines_end_in_values_as_python_dotenv_reads_them_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A='one\r\ntwo\rthree'\r\nB=x\r\n")
    assert values(import_files.read_entries(FileKind.DOTENV, path.read_bytes(), no_key)) == dotenv.dotenv_values(path)


def test_variables_are_filled_in_as_far_as_the_file_gives_them(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=a\nB=pre-${A}-post\nC='${B}${B}'\nA=${A}x\nD=${A:-y}\nE=${NOWHERE}\nF=${NO:-f}\nG=${E}\nH=$A\n")
    contents = import_files.read_entries(FileKind.DOTENV, path.read_bytes(), no_key)
    read_by_others = dotenv.dotenv_values(path)
    assert values(contents) == {name: read_by_others[name] for name in "ABCDH"}
    left_out = [note for note in contents.notes if "does not set" in note]
    assert [note.partition(":")[0] for note in left_out] == ["line 6", "line 7", "line 8"]


def test_no_reference_comes_to_stand_inside_another_value() -> None:
    with pytest.raises(CallerError, match="Line 3 contains"):
        rewritten("A=a\nB=${A}\nC=${HOME}/${A}\n")
    assert rewritten("A=a\nB=${A}\nC=${HOME}/x\n") == "A=secret://A\nB=secret://B\nC=${HOME}/x\n"
    assert rewritten("C=${A}/${HOME}\nA=a\n") == "C=${A}/${HOME}\nA=secret://A\n"


def test_a_file_of_blank_lines_is_looked_at_once() -> None:
    data = b"\n" * 400_000 + b"?"
    with pytest.raises(CallerError, match="cannot be recognised"):
        import_files.recognise("x", data)


def test_what_is_left_out_is_told_by_its_line_alone() -> None:
    contents = read("# c\n\nexport ALONE\nEMPTY=\nQUOTED=''\nREF=secret://OTHER\nA=x\nA=${A}y\nGONE=x\nGONE=\n")
    assert values(contents) == {"A": "xy"}
    assert contents.problems == ()
    assert [note.partition(":")[0] for note in contents.notes] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "line 10",
        "lines 7, 8",
        "line 8",
        "lines 9, 10",
    ]
    assert not any(word in "".join(contents.notes) for word in ("ALONE", "EMPTY", "QUOTED", "REF", "GONE", "OTHER"))


@pytest.mark.parametrize("value", ["secret:/A", "secret:A", "secret: //A", "SECRET://A", "secrets://A"])
def test_what_only_looks_like_a_reference_is_a_value(value: str) -> None:
    assert values(read(f"A='{value}'")) == values(read(json.dumps({"A": value}), FileKind.JSON)) == {"A": value}


@pytest.mark.parametrize("value", ["secret://A", "xsecret://A/y", "secret://a b", "secret://", "-secret://.-"])
def test_what_contains_a_reference_is_left_out_of_any_file(value: str) -> None:
    held = {"A": "x", "B": value}
    for contents, where in [
        (read(f"A=x\nB='{value}'\n"), "line 2"),
        (read(f"A=x\nC=\nB='{value}${{C}}'\n"), "line 3"),
        (read(json.dumps(held), FileKind.JSON), "'B'"),
        (import_files.read_entries(FileKind.TYPESCRIPT, sealed(held), lambda: b64encode(SEALING_KEY)), "'B'"),
    ]:
        assert (values(contents), contents.problems) == ({"A": "x"}, ())
        assert f"{where}: contains a reference; left out" in contents.notes


CUT = """\
{"a": "b #c"}
{"a": "b #c"} # it's a real comment
{"a": "it\\" # x"}
{"a": [1, {"b": "c #d"}]}
["x", "y # z"]
[1, #2, 3]
{'a': 'b # c'}
--flag="a #b" --other
"""
NOT_CUT = """\
x # why
x # it's
it's # don't
x # "quoted" {this} [or that] 'too'
x # ] } " '
x[ # see [1]
p{ss # see {docs}
:( # sad :)
5" # the "big" one
x-" # the "old" one
{"a": 1} # a "comment" [x]
{"a": "b"} #c"}
{"a":"b#c"}
[{ # neither ends
a\\" # "
#fff
secret://A # it's
'x' # ] "
"{" # }
"{ \\" #" # }
"""


def test_a_value_that_is_cut_inside_a_quote_or_bracket_is_told_and_no_ordinary_comment_is() -> None:
    told = {
        value: [note.partition(":")[0] for note in read(f"\nexport A = {value}\n").notes if "ends at the '#'" in note]
        for value in [*CUT.splitlines(), *NOT_CUT.splitlines()]
    }
    assert {value for value, lines in told.items() if lines == ["line 2"]} == {*CUT.splitlines()}
    assert {value for value, lines in told.items() if lines == []} == {*NOT_CUT.splitlines()}


def test_all_that_is_wrong_is_found_at_once_with_its_line() -> None:
    big = "x" * (VALUE_LIMIT + 1)
    contents = read(f"A=ok\n\n\n'not a name'=x\nB='x'y\n.C=x\nD={big}\nE='open\nF=x\nG='open\n= x\n")
    assert [(problem.where, problem.code) for problem in contents.problems] == [
        ("line 4", Code.INVALID_NAME),
        ("line 5", Code.INVALID_VALUE),
        ("line 6", Code.INVALID_NAME),
        ("line 7", Code.INVALID_VALUE),
        ("line 8", Code.INVALID_VALUE),
        ("line 11", Code.INVALID_VALUE),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(newline: str) -> None:
    contents = read("A='x\ny'\n# c\n\n  \nB='x'y\n\n'C'\t'D'\n".replace("\n", newline))
    assert [problem.where for problem in contents.problems] == ["line 6", "line 8"]


def test_a_key_of_several_lines_without_quotes_shows_nothing_of_itself() -> None:
    key = ["-----BEGIN PRIVATE KEY-----", "canaryAAAAAAAA", "canaryBBBB+/BBB", "canaryCCCCCC==", "canaryDDDDDDD="]
    for lines in (key, key[:3], key[:4], [key[0], key[4]], [*key, "-----END PRIVATE KEY-----"]):
        contents = read("KEY=" + "\n".join(lines) + "\n")
        told = repr(contents) + "".join(f"{problem.words}{problem.where}" for problem in contents.problems)
        assert "canary" not in told
        assert [entry.name for entry in contents.entries if not contents.problems] in ([], ["KEY"])
    assert read("KEY=x\n" + key[3]).problems


# JSON


def test_a_json_object_of_texts_comes_in() -> None:
    given = {"A": "x", "b.c-_9": "line\r\n\u0000 e\u0301 🔑 ${B}", "Z": " "}
    assert values(read("\ufeff" + json.dumps(given), FileKind.JSON)) == given
    contents = read('{"A": "secret://A", "B": "x"}', FileKind.JSON)
    assert (values(contents), contents.notes) == ({"B": "x"}, ("'A': contains a reference; left out",))
    assert read("{}", FileKind.JSON) == ImportedFile()


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"A": 7, "B": "canary"}', ["'A' INVALID_VALUE"]),
        ('{"A": {"B": "canary"}, "C": ["canary"], "D": null, "E": true}', [f"'{n}' INVALID_VALUE" for n in "ACDE"]),
        ('{"A": "canary", "A": "canary"}', ["'A' INVALID_NAME"]),
        ('{"A": "\\ud800canary"}', ["'A' INVALID_VALUE"]),
        ('{"\\ud800": "canary"}', ["entry 1 INVALID_NAME"]),
        ('{"canary canary": "", "": 1}', [f"entry {n} INVALID_{what}" for n in "12" for what in ("NAME", "VALUE")]),
        ('{"A": "secret://A", "A": "canary"}', ["'A' INVALID_NAME"]),
        (f'{{"A": "{"x" * (VALUE_LIMIT + 1)}"}}', ["'A' INVALID_VALUE"]),
    ],
)
def test_whatever_else_is_in_it_is_a_problem(text: str, problems: list[str]) -> None:
    contents = read(text, FileKind.JSON)
    assert [f"{problem.where} {problem.code}" for problem in contents.problems] == problems
    assert "canary" not in repr(contents)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('["canary"]', "it holds another JSON value"),
        ('"canary"', "it holds another JSON value"),
        ("", "line 1, column 1"),
        ('{"A": "canary"', "line 1, column 15"),
        ('{"A": "canary"}\n{}', "line 2, column 1"),
        ('{"A": "can\nary"}', "line 1, column 11"),
        ("[" * 100_000, "too deeply"),
        ('{"A": ' * 100_000, "too deeply"),
        ("9" * 5000, "too many digits"),
        ("\ud800", "Line 1"),
        ('{\n"A": "\ud800"}', "Line 2"),
    ],
)
def test_what_is_no_json_object_is_an_error_that_repeats_nothing(text: str, where: str) -> None:
    with pytest.raises(CallerError) as caught:
        read(text, FileKind.JSON)
    assert (caught.value.code, where in caught.value.message) == (Code.INVALID_VALUE, True)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


# The TypeScript tool's store


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_store_of_the_typescript_tool_opens_or_is_refused(vector: dict[str, Any]) -> None:
    def opened() -> ImportedFile:
        return import_files.read_entries(FileKind.TYPESCRIPT, vector["file"].encode(), vector["key"].encode)

    if "secrets" in vector:
        assert opened().problems == ()
        assert values(opened()) == vector["secrets"]
    elif vector["code"] in ("INVALID_VALUE", "INVALID_NAME"):
        assert [problem.code.value for problem in opened().problems] == [vector["code"]]
        assert "canary" not in repr(opened())
    else:
        with pytest.raises(SecretsError) as caught:
            opened()
        assert caught.value.code.value == vector["code"]
        assert "canary" not in str(caught.value) + str(caught.value.hint)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("key", [b"", b"!", b"AAAA", b"\xff"])
def test_a_key_that_is_none_is_wrong(key: bytes) -> None:
    with pytest.raises(SecretsError) as caught:
        import_files.read_entries(FileKind.TYPESCRIPT, VECTORS[0]["file"].encode(), lambda: key)
    assert (caught.value.code, "32 bytes" in caught.value.message) == (Code.KEY_WRONG, True)


def test_key_and_tag_have_one_length_and_no_byte_is_taken_for_another() -> None:
    key = b64decode(VECTORS[0]["key"])
    iv, tag, ciphertext = map(b64decode, VECTORS[0]["file"].split(":"))
    assert open_gcm(key, iv=iv, tag=tag, ciphertext=ciphertext)
    for changed in (
        {"ciphertext": ciphertext[:-1], "tag": ciphertext[-1:] + tag},
        {"ciphertext": ciphertext + tag[:1], "tag": tag[1:]},
        {"iv": b"\0" * 7},
        {"iv": b"\0" * 129},
    ):
        with pytest.raises(TokenInvalid):
            open_gcm(key, **{"iv": iv, "tag": tag, "ciphertext": ciphertext, **changed})
    for length in (0, 16, 31, 33):
        with pytest.raises(TokenInvalid):
            open_gcm((key + key)[:length], iv=iv, tag=tag, ciphertext=ciphertext)


# Recognising the kind


@pytest.mark.parametrize(
    ("name", "data", "kind", "how"),
    [
        (".env", b"{}", FileKind.DOTENV, "name"),
        (".env.local", b"", FileKind.DOTENV, "name"),
        ("prod.ENV", b"", FileKind.DOTENV, "name"),
        ("x.json", b"A=1", FileKind.JSON, "name"),
        ("secrets.encrypted", b"", FileKind.TYPESCRIPT, "name"),
        ("x", b'\xef\xbb\xbf\n {"A=": 1}', FileKind.JSON, "content"),
        ("x", VECTORS[0]["file"].encode() + b"\n", FileKind.TYPESCRIPT, "content"),
        ("x", b"# c\n\n export A = x", FileKind.DOTENV, "content"),
    ],
)
def test_a_kind_is_told_by_name_or_content(name: str, data: bytes, kind: FileKind, how: str) -> None:
    assert import_files.recognise(name, data) == (kind, f"by its {how}")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"canary", b"a:b", b"<canary/>"])
def test_a_kind_that_nothing_tells_has_to_be_said(data: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        import_files.recognise("x", data)
    assert (caught.value.code, "canary" in str(caught.value)) == (Code.INVALID_ARGUMENTS, False)
