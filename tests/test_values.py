"""Test the objects that modules pass to each other: none shows a secret's value or lets texts be swapped by mistake."""

import ast
from http import HTTPStatus
from pathlib import Path

import pytest

import claude_secrets
from claude_secrets.cli.variables import Variables
from claude_secrets.exec.dotenv_file import Statement
from claude_secrets.keys.key_file import HeldKey
from claude_secrets.keys.slot import Slot
from claude_secrets.model import Access, Call, Done, Entered, InputQuestion, Tool
from claude_secrets.person.import_files import ImportedEntry
from claude_secrets.plain_file import PlainFile
from claude_secrets.prompt import dialog, page_replies
from claude_secrets.redaction.forms import Form, FormKind

PACKAGE = Path(claude_secrets.__file__).parent
CANARY = "canary-value"


@pytest.mark.parametrize(
    "holder",
    [
        Call(tool=Tool.SET_SECRET, name="A", value=CANARY),
        Entered(value=CANARY, access=Access.USE_ONLY, question=InputQuestion(name="A", project="p")),
        Done(text=CANARY),
        PlainFile(asked=PACKAGE, path=PACKAGE, data=CANARY.encode(), status=PACKAGE.stat()),
        Statement("A", CANARY, 1, wrong=False, meant=CANARY),
        ImportedEntry("A", CANARY),
        Slot("id", "keyring", "{}", CANARY.encode()),
        HeldKey(CANARY.encode(), CANARY),
        Variables({"A": CANARY}, {"A": CANARY}),
        Form("A", FormKind.TEXT, (CANARY.encode(),), (CANARY.encode(),), CANARY.encode()),
        dialog.Dialogs(environment={"A": CANARY}, forbidden=(), platform="linux"),
        dialog._Ended(0, CANARY.encode()),
        page_replies.Reply(HTTPStatus.OK, CANARY),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_a_value_does_not_show_it(holder: object) -> None:
    assert CANARY not in f"{holder!r}{holder!s}{[holder]}{holder:}"


BY_KEYWORDS = {
    "Asked",
    "Call",
    "ConsentQuestion",
    "Consented",
    "Declined",
    "Grant",
    "InputQuestion",
    "KeyInfo",
    "KeyringStatus",
    "LogEvent",
    "Record",
    "Rule",
}
"""Types with several text fields, which a caller could swap by mistake because a named tuple takes them by position,
too.
"""


def test_values_with_several_texts_are_made_by_keywords() -> None:
    wrong, found = [], set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in BY_KEYWORDS:
                found.add(name)
                wrong += [f"{path.name}:{node.lineno} {name}"] * (len(node.args) > 1)
    assert found == BY_KEYWORDS
    assert wrong == []
