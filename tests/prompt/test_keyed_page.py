"""If the system does not show who visits, only a private file leads to the page. The page's address is not enough."""

import re
import stat
import sys
from pathlib import Path

import pytest

from claude_secrets.prompt.entry_file import EntryFile
from claude_secrets.prompt.page import InputPage, PageState
from tests.support.chromium import Browser
from tests.support.page_client import QUESTION, RecordingStore, Serve, Visitor, request


@pytest.fixture
def page(kept: RecordingStore, serve: Serve) -> InputPage:
    return serve(InputPage(QUESTION, store=kept, keyed=True))


def keyed(page: InputPage) -> str:
    return f"{page.path}/{page.key}"


def test_the_address_alone_shows_nothing_and_claims_nothing(page: InputPage, kept: RecordingStore) -> None:
    for path in (page.path, f"{page.path}/", f"{page.path}/{'a' * 43}", f"{keyed(page)}x", f"{page.path}?{page.key}"):
        answer = request(page, path=path)
        assert answer.status in {403, 404}
        assert QUESTION.name not in answer.body
        assert answer.header("Set-Cookie") is None
    assert Visitor(page).post({"action": "claim", "visit": "a" * 22}).status == 403
    assert Visitor(page).post({"action": "store", "value": "planted", "access": "readable"}).status == 403
    assert (page.state, kept.entered) == (PageState.OPEN, [])


def test_who_has_the_key_comes_in_and_the_key_is_used_up(page: InputPage, kept: RecordingStore) -> None:
    answer = request(page, path=keyed(page))
    assert answer.status == 200
    assert QUESTION.name in answer.body
    cookie = (answer.header("Set-Cookie") or "").partition(";")[0]
    person = Visitor(page)
    person.cookie = cookie
    visit = re.search(r'name="visit" value="([^"]+)"', answer.body)
    assert visit
    claimed = person.post({"action": "claim", "visit": visit[1]})
    assert claimed.status == 303
    assert page.key not in claimed.head
    person.cookie = (claimed.header("Set-Cookie") or "").partition(";")[0]
    # Anyone who learns the key now, for example from the browser's history, counts as a second visitor.
    late = Visitor(page)
    late.cookie = cookie
    assert late.get().status == 403
    assert page.state is PageState.STOPPED
    assert kept.entered == []


def test_the_file_is_the_persons_alone_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = EntryFile('http://127.0.0.1:1/a"><b>/key')
    text = file.path.read_text()
    assert "<b>" not in text
    assert text.count("http://127.0.0.1:1/a&quot;&gt;&lt;b&gt;/key") == 2
    if sys.platform != "win32":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_real_browser_comes_from_the_file_to_the_form(
    browser: Browser, page: InputPage, kept: RecordingStore
) -> None:
    file = EntryFile(f"{page.url}/{page.key}")
    try:
        with browser.page(file.path.as_uri()) as tab:
            tab.get_by_role("button", name="Continue").click()
            tab.get_by_role("textbox", name=f"Value of {QUESTION.name}").fill("typed-by-the-person")
            tab.get_by_role("button", name="Store").click()
            tab.get_by_role("heading", name="Stored").wait_for()
            assert page.key not in tab.url
    finally:
        file.remove()
    assert [entered.value for entered in kept.entered] == ["typed-by-the-person"]
