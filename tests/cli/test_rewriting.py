"""`import --rewrite` and then `exec`: a program gets the same environment as before, for every kind of file."""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from claude_secrets.cli import variables
from claude_secrets.cli.variables import Source
from claude_secrets.errors import CallerError
from claude_secrets.exec import dotenv_file
from claude_secrets.person import import_files
from claude_secrets.person.import_files import FileKind
from claude_secrets.person.importing import Change, Planned
from claude_secrets.plain_file import PlainFile
from tests.support.machine import Machine
from tests.support.rounds import rounds

pytestmark = pytest.mark.usefixtures("quick_starts")

import_command = importlib.import_module("claude_secrets.cli.commands.import")

NAMES = ["A", "A", "B", "B", "DB_PASSWORD"]
ODD_NAMES = ["a.b", "9", "'A'", "'a b'", "é", ".A"]
CORE = ["x", "y/", "${A}", "${B}", "secret://STORED", "secret://A", "${HOME}"]
PIECES = [
    *(
        "z z",
        "@",
        ":",
        "=",
        "p-q",
        "é",
        "🔑",
        "\t",
        " ",
        "\u00a0",
        "\u0085",
        "\u2028",
        "\ufeff",
        "$A",
        "$",
        "${",
        "{",
        "}",
    ),
    *(
        "secret://B",
        "secret://DB_PASSWORD",
        "secret://STORED/",
        "secret://",
        "secret:",
        "//",
        "STORED",
        "secret://${A}",
    ),
    *("${A:-secret://STORED}", "${NOPE:-secret://STORED}", "${NOPE:-x}", "${DB_PASSWORD}", "[", '{"a": "b #c"}'),
    *("'", '"', "\\", "\\n", "\\'", '\\"', "\\\\", "#", " #", " # why", "postgres://app:secret://STORED@localhost/app"),
]
PIECE = st.sampled_from(CORE) | st.sampled_from(PIECES)
LINE_ENDS = ["\n", "\n", "\r\n", "\r"]


def single(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def double(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def lines(draw: st.DrawFn, names: list[str]) -> str:
    """Draw a line of a .env file: usually a name and a value, in one of many spellings."""
    name = draw(st.sampled_from(names))
    spell = draw(st.sampled_from(["bare", "bare", "single", "double", "quoted", "alone", "empty", "comment"]))
    short = "".join(draw(st.lists(PIECE, max_size=4)))
    value = "".join(draw(st.lists(PIECE | st.sampled_from(LINE_ENDS), max_size=4)))
    spelled = {
        "bare": f"={short}",
        "single": f"={single(value)}",
        "double": f"={double(value)}",
        "quoted": f"='{value}'",
        "alone": "",
        "empty": draw(st.sampled_from(["=", "= ", "=''", '=""', "= # why"])),
        "comment": f" # {short}",
    }[spell]
    before = draw(st.sampled_from(["", "", "", "export ", "  ", "export\t", "\n", "# it's\n", "# A=secret://A\n"]))
    after = draw(st.sampled_from(["", "", "", " ", "  # it's", " # secret://A", "#"]))
    return before + name + spelled.replace("=", draw(st.sampled_from(["=", "=", " = "])), 1) + after


def files(names: list[str]) -> st.SearchStrategy[str]:
    usual = st.tuples(st.sampled_from(["A=", "B="]), st.sampled_from(CORE), st.sampled_from(["", *CORE])).map("".join)
    ended = st.tuples(usual | lines(names), st.sampled_from(LINE_ENDS)).map("".join)
    text = st.lists(ended, min_size=1, max_size=6).map("".join)
    return st.tuples(st.sampled_from(["", "", "", "\ufeff"]), text, st.sampled_from(["", "A=end"])).map("".join)


SECRETS = st.dictionaries(
    st.sampled_from([*NAMES, "STORED"]),
    st.sampled_from(["x", "s", "secret://A", "${A}", "a\r\nb'\"\\", "$", " # "]),
).map(lambda drawn: {"STORED": "stored", **drawn})
ENVIRONMENTS: tuple[dict[str, str], ...] = ({}, {"A": "a-env", "B": "b-env", "NOPE": "secret://STORED", "HOME": "-x"})


def environment(data: bytes, secrets: Mapping[str, str]) -> dict[str, str] | str:
    """Return the variables that `exec --file` adds to the environment, or the code of its refusal."""
    source = Source(lambda names, _: {name: secrets[name] for name in names if name in secrets}, lambda: None)
    try:
        return variables.resolved(dotenv_file.values(dotenv_file.decoded(data)), source, id).environment
    except CallerError as error:
        return error.code.value


def imported(data: bytes, secrets: Mapping[str, str], *, overwrite: bool) -> tuple[bytes, dict[str, str]] | None:
    """Return the file and the secrets after `import --rewrite`, or None if the import is refused."""
    contents = import_files.read_entries(FileKind.DOTENV, data, bytes)
    if contents.problems:
        return None
    planned = [
        Planned(entry, Change.SAME if secrets.get(entry.name, entry.value) == entry.value else Change.OVERWRITES, 1)
        for entry in contents.entries
    ]
    file = PlainFile(Path(".env"), Path(".env"), data, os.stat_result(range(10)))
    try:
        after = import_files.rewrite(data, contents.entries)
        import_command._refuse_overwriting(planned, file, overwrite=overwrite, rewrite=True)
    except CallerError:
        return None
    return after, {**secrets, **{entry.name: entry.value for entry in contents.entries}}


@given(files([*NAMES, *NAMES, *ODD_NAMES]) | files(NAMES), SECRETS, st.booleans())
@settings(max_examples=rounds(100, 30_000), deadline=None)
def test_the_environment_is_the_same_after_rewriting(text: str, secrets: dict[str, str], overwrite: bool) -> None:
    data = text.encode()
    done = imported(data, secrets, overwrite=overwrite)
    if done is None:
        event("refused")
        return
    after, then = done
    event("as it was" if after == data else "rewritten")
    for own in ENVIRONMENTS:
        with patch.dict(os.environ, own):
            before = environment(data, secrets)
            event(f"{before}" if isinstance(before, str) else "used before")
            if isinstance(before, dict) or after == data:
                assert environment(after, then) == before
    again = import_files.read_entries(FileKind.DOTENV, after, bytes)
    assert (again.entries, again.problems, import_files.rewrite(after, again.entries)) == ((), (), after)


LEFT_ALONE = {
    "inside": ("A=x\nB=postgres://app:secret://STORED@localhost/app\n", "A=secret://A\n"),
    "twice": ("A=x\nB='secret://STORED/secret://STORED'\n", "A=secret://A\n"),
    "by its line's ${…}": ("B=secret://STORED\nC=${B}/path\nA=x\n", "A=secret://A\n"),
    "by ${…} of a ${…}": ("B=secret://STORED\nC=${B}/path\nD='-${C}-'\nA=x\n", "A=secret://A\n"),
    "in a default": ("B=${NOPE:-secret://STORED}\nA=x\n", "A=secret://A\n"),
    "made of two lines": ("B=secret://STO\nC=${B}RED\nA=x\n", "A=secret://A\n"),
    "after an earlier value of the name": ("B=${A}-secret://STORED\nA=x\n", "A=secret://A\n"),
    "not in a default that is not used": ("B=b\nA=${B:-secret://STORED}\n", "B=secret://B\nA=secret://A\n"),
}


@pytest.mark.parametrize("what", LEFT_ALONE)
def test_a_value_that_leads_to_a_reference_is_left_alone(what: str) -> None:
    text, rewritten = LEFT_ALONE[what]
    done = imported(text.encode(), {"STORED": "s"}, overwrite=True)
    assert done is not None
    after, secrets = done
    changed = [line for line in after.decode().splitlines() if line not in text.splitlines()]
    assert ("".join(f"{line}\n" for line in changed), secrets["STORED"]) == (rewritten, "s")
    assert environment(after, {**secrets, "STO": "t"}) == environment(text.encode(), {"STORED": "s", "STO": "t"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=x\nB=${A}secret://STORED\n", "Line 2 contains"),
        ("A=x\nB=${A}${HOME}\n", "Line 2 contains"),
        ("A=x\nB=${A}-secret://STORED\nA=y\n", "Line 2 contains"),
        ("A=x\nB=secret://A\n", "use A, so overwriting"),
        ("A=x\nC=A\nB='-secret://A/'\n", "use A, so overwriting"),
    ],
)
def test_what_would_change_another_variable_is_refused(text: str, why: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path).use_key_file()
    machine.keep("A", "old")
    file = machine.home / ".env"
    file.write_text(text)
    done = machine.run("import", str(file), "--rewrite", "--overwrite", "--yes")
    assert (done.returncode, why in done.stderr, "nothing was imported" in done.stderr) == (2, True, True), done.stderr
    assert (file.read_text(), machine.run("get", "A").stdout) == (text, "old")
    assert not file.with_name(".env.before-import").exists()


@pytest.fixture(scope="module", name="machine")
def machine_with_secret(shared_machine: Machine) -> Machine:
    shared_machine.keep("STORED", "stored")
    return shared_machine


def seen_by_a_program(machine: Machine, file: Path) -> dict[str, str] | int:
    """Return the whole environment of a program that `exec` runs, or the exit code of its refusal."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    done = machine.run(
        *("exec", "--file", str(file), "--yes", "--allow-dangerous-names", "--", sys.executable, "-c", show)
    )
    if done.returncode:
        return done.returncode
    seen = json.loads(done.stdout)
    assert isinstance(seen, dict)
    return seen


@given(text=files(NAMES), overwrite=st.booleans())
@settings(max_examples=rounds(8, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_program_sees_the_same_environment_after_rewriting(machine: Machine, text: str, overwrite: bool) -> None:
    file = machine.home / "some.env"
    file.write_bytes(text.encode())
    listed, before = machine.run("list", "--json").stdout, seen_by_a_program(machine, file)
    copy = file.with_name("some.env.before-import")
    copy.unlink(missing_ok=True)
    done = machine.run("import", str(file), "--rewrite", "--yes", *(["--overwrite"] if overwrite else []))
    if done.returncode:
        assert (done.returncode, file.read_bytes(), copy.exists()) == (2, text.encode(), False), done.stderr
        assert machine.run("list", "--json").stdout == listed
    if isinstance(before, dict):
        assert seen_by_a_program(machine, file) == before
