"""docs/pictures/session.svg shows what the program prints."""

import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.requirements import require
from tests.support.session_picture import FILE, NAME, VALUE, Turn, capture, svg

SVG = "http://www.w3.org/2000/svg"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    require("bash")
    return capture(tmp_path_factory.mktemp("session"))


def texts(picture: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(picture).iter(f"{{{SVG}}}text")]


def test_the_picture_shows_what_the_program_prints(session: list[Turn]) -> None:
    picture = FILE.read_text("utf-8")
    assert texts(picture) == texts(svg(session)), "run `python -m tests.support.session_picture`"
    assert picture == svg(session), "run `python -m tests.support.session_picture`"


def test_the_session_redacts_the_value_and_refuses_it(session: list[Turn]) -> None:
    shown = [line for turn in session for line in turn.shown]
    assert f"token=[secret://{NAME}]" in shown
    assert [line.partition("]")[0] for line in shown if line.startswith("[")] == ["[NOT_FOUND", "[USE_ONLY"]
    assert [turn.who for turn in session].count("person") == 1
    assert VALUE not in svg(session)


def test_the_picture_loads_nothing_and_names_no_host_and_no_path_of_this_machine() -> None:
    picture = FILE.read_text("utf-8")
    assert re.findall(r"[a-z]+://[^\"' \]<]+", picture.replace(f"secret://{NAME}", "")) == [SVG]
    assert not re.search(r"href|url\(|@import|@font-face|<script|<image|localhost|127\.0\.0\.1", picture)
    assert str(Path.home()) not in picture
    assert tempfile.gettempdir() not in picture


def test_the_picture_has_a_title_and_a_description() -> None:
    root = ET.fromstring(FILE.read_text("utf-8"))
    assert root.get("role") == "img"
    parts = [part for name in ("title", "desc") if (part := root.find(f"{{{SVG}}}{name}")) is not None]
    assert [part.get("id") for part in parts] == str(root.get("aria-labelledby")).split()
    assert all(part.text for part in parts)


def test_no_line_is_wider_than_the_picture() -> None:
    root = ET.fromstring(FILE.read_text("utf-8"))
    for text in root.iter(f"{{{SVG}}}text"):
        assert float(text.get("x", "0")) + float(text.get("textLength", "0")) < float(root.get("width", "0"))
