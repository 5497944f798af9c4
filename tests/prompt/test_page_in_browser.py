"""The one-time page in a real Chromium: a person's way through it, by mouse, by keyboard, in light and dark."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import pytest
from playwright.sync_api import Page

from claude_secrets.errors import Code, StoreError
from claude_secrets.model import VALUE_LIMIT, Access, InputQuestion, Refused
from claude_secrets.prompt.page import InputPage, PageState
from claude_secrets.prompt.page_server import BODY_LIMIT
from tests.support.chromium import Browser
from tests.support.page_client import DEADLINE, RecordingStore, Serve, Visitor
from tests.support.requirements import require_real

EVERYTHING = InputQuestion(
    name="STRIPE_TEST_KEY",
    project="/home/work/" + "a-rather-long-directory-name/" * 4 + "api",
    replaces=3,
    store="/mnt/elsewhere/secrets.db",
    about="Stripe test mode",
    url="https://dashboard.stripe.com/test/apikeys",
    prompt="I need a restricted key with read access to charges, to run the integration tests.",
    access=Access.USE_ONLY,
)

ADDING = EVERYTHING._replace(adds=True, replaces=None, about=None, url=None)

Opener = Callable[..., InputPage]


@pytest.fixture
def opener(serve: Serve) -> Opener:
    def start(store: RecordingStore, question: InputQuestion = EVERYTHING) -> InputPage:
        return serve(InputPage(question, store=store))

    return start


def go_on(page: Page) -> None:
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("textbox", name="Value of STRIPE_TEST_KEY").wait_for()


def heading(page: Page, text: str) -> None:
    page.get_by_role("heading", name=text, exact=True).wait_for()


def test_a_person_enters_several_lines_and_chooses_who_may_read_them(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    asked = opener(kept)
    complaints: list[str] = []
    requested: list[str] = []
    with browser.page("about:blank") as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(asked.url)
        go_on(page)
        assert page.get_by_role("radio", name="Use-only").is_checked()
        page.get_by_role("textbox").fill("first\n\n  second 🔑\n")
        page.get_by_role("radio", name="Agents may read it").check()
        page.get_by_role("button", name="Store").click()
        heading(page, "Stored")
        assert "'STRIPE_TEST_KEY' is stored (version 4)." in page.inner_text("main")
    assert asked.wait(DEADLINE)
    assert [(e.value, e.access) for e in kept.entered] == [("first\n\n  second 🔑\n", Access.READABLE)]
    assert set(requested) == {asked.url}
    # Only the icon that the browser requests was not found.
    assert [text for text in complaints if "404" not in text] == []


def test_the_keyboard_alone_suffices(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    asked = opener(kept)
    with browser.page(asked.url) as page:
        focus_on(page, "button", "Continue")
        page.keyboard.press("Enter")
        page.get_by_role("textbox").wait_for()
        assert focused(page)["id"] == "value", "the field has the focus when the form opens"
        page.keyboard.type("typed")
        page.keyboard.press("Tab")
        assert focused(page)["id"] == "show"
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        assert focused(page)["id"] == "use-only"
        page.keyboard.press("ArrowUp")
        focus_on(page, "button", "Store")
        page.keyboard.press("Enter")
        heading(page, "Stored")
    assert [(e.value, e.access) for e in kept.entered] == [("typed", Access.READABLE)]


def test_cancelling_by_keyboard_sends_nothing_of_what_was_typed(browser: Browser, opener: Opener) -> None:
    asked = opener(RecordingStore())
    sent: list[str | None] = []
    with browser.page(asked.url) as page:
        go_on(page)
        page.on("request", lambda request: sent.append(request.post_data))
        page.keyboard.type("canary")
        focus_on(page, "button", "Cancel")
        page.keyboard.press("Enter")
        heading(page, "Cancelled")
    assert sent == ["action=cancel"]
    assert (asked.wait(DEADLINE), asked.state) == (True, PageState.CANCELLED)


def test_the_keyboard_suffices_to_add_the_name(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    asked = opener(kept, ADDING)
    with browser.page(asked.url) as page:
        go_on(page)
        page.keyboard.type("typed")
        focus_on(page, "button", "Store")
        page.keyboard.press("Enter")
        assert focused(page)["id"] == "adds", "the browser leads to the box that is not ticked"
        page.keyboard.press("Space")
        focus_on(page, "button", "Store")
        page.keyboard.press("Enter")
        heading(page, "Stored")
        assert "The name is now in this project's allowlist." in page.inner_text("main")
    assert [(e.value, e.access, e.adds) for e in kept.entered] == [("typed", Access.USE_ONLY, True)]


def test_the_box_is_never_ticked_beforehand_and_keeps_its_tick_after_a_problem(
    browser: Browser, opener: Opener
) -> None:
    kept = RecordingStore()
    asked = opener(kept, ADDING)
    with browser.page(asked.url) as page:
        go_on(page)
        box = page.get_by_role("checkbox", name="Add STRIPE_TEST_KEY to this project's allowlist")
        assert not box.is_checked()
        box.check()
        page.get_by_role("button", name="Store").click()
        assert "Nothing was entered" in page.get_by_role("alert").inner_text()
        assert box.is_checked()
        page.goto(asked.url)
        page.get_by_role("textbox").wait_for()
        assert not box.is_checked()
    assert kept.entered == []


def test_cancelling_does_not_need_the_tick(browser: Browser, opener: Opener) -> None:
    asked = opener(RecordingStore(), ADDING)
    with browser.page(asked.url) as page:
        go_on(page)
        page.get_by_role("button", name="Cancel").click()
        heading(page, "Cancelled")
    assert asked.state is PageState.CANCELLED


def focused(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
        " return {id: e.id, tag: e.localName, text: e.textContent.trim(),"
        " ring: s.outlineStyle === 'none' ? '' : s.outlineWidth} })()"
    )
    return found


def focus_on(page: Page, tag: str, text: str) -> None:
    """Press Tab until this element has the focus. Check at each step that the focus is visible."""
    for _ in range(12):
        page.keyboard.press("Tab")
        there = focused(page)
        assert there["ring"] == "3px", there
        if (there["tag"], there["text"]) == (tag, text):
            return
    pytest.fail(f"Tab does not reach {text}")


def test_the_value_is_masked_until_the_person_wants_to_see_it(browser: Browser, opener: Opener) -> None:
    with browser.page(opener(RecordingStore()).url) as page:
        go_on(page)
        field = page.get_by_role("textbox")
        masked = "element => getComputedStyle(element).webkitTextSecurity"
        assert field.evaluate(masked) == "disc"
        page.get_by_role("checkbox", name="Show what I type").check()
        assert field.evaluate(masked) == "none"


def test_an_empty_submission_is_told_and_the_person_can_go_on(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    with browser.page(opener(kept).url) as page:
        go_on(page)
        page.get_by_role("button", name="Store").click()
        assert "Nothing was entered" in page.get_by_role("alert").inner_text()
        assert page.title().startswith("Error: ")
        heading(page, "Enter STRIPE_TEST_KEY")
        field = page.get_by_role("textbox")
        assert (field.get_attribute("aria-invalid"), field.get_attribute("aria-describedby")) == ("true", "problem")
        page.keyboard.type("now")
        page.get_by_role("button", name="Store").click()
        heading(page, "Stored")
    assert [entered.value for entered in kept.entered] == ["now"]


# The field is hidden, because the browser would need minutes to lay out a line of millions of characters.
FILL = "(field, size) => { field.style.display = 'none'; field.value = 'x'.repeat(size) }"


def test_a_value_that_is_far_too_large_is_told_and_the_person_can_go_on(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    with browser.page(opener(kept).url) as page:
        go_on(page)
        field = page.get_by_role("textbox")
        field.evaluate(FILL, BODY_LIMIT)
        page.get_by_role("button", name="Store").click()
        heading(page, "Too large")
        page.get_by_role("link", name="Back to the form").click()
        field.evaluate(FILL, VALUE_LIMIT)
        page.get_by_role("button", name="Store").click()
        heading(page, "Stored")
    assert [entered.value for entered in kept.entered] == ["x" * VALUE_LIMIT]


def test_double_clicks_do_no_harm(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    asked = opener(kept)
    with browser.page(asked.url) as page:
        page.get_by_role("button", name="Continue").dblclick(no_wait_after=True)
        page.get_by_role("textbox").fill("once")
        page.get_by_role("button", name="Store").dblclick(no_wait_after=True)
        heading(page, "Stored")
    assert len(kept.entered) == 1


def test_reloading_and_going_back_lead_to_the_form(browser: Browser, opener: Opener) -> None:
    asked = opener(RecordingStore())
    with browser.page(asked.url) as page:
        go_on(page)
        page.reload()
        page.get_by_role("textbox").wait_for()
        page.goto("about:blank")
        page.go_back()
        page.get_by_role("textbox").wait_for()
    assert asked.state is PageState.CLAIMED


def test_a_second_browser_stops_it_visibly_for_both(browser: Browser, opener: Opener) -> None:
    kept = RecordingStore()
    asked = opener(kept)
    with browser.page(asked.url) as page:
        go_on(page)
        context = page.context.browser
        assert context is not None
        other = context.new_context().new_page()
        other.goto(asked.url)
        heading(other, "Stopped")
        page.get_by_role("textbox").fill("canary")
        page.get_by_role("button", name="Store").click()
        heading(page, "Stopped")
        assert "This page was opened a second time" in page.inner_text("main")
    assert (asked.wait(DEADLINE), kept.entered) == (True, [])


FORM = """<iframe name="sink"></iframe><form method="post" target="sink" action="ADDRESS">
<input name="action" value="store"><input name="value" value="planted"><input name="access" value="readable">
</form><script>document.forms[0].submit()</script>"""
FETCH = """<script>fetch('ADDRESS', {method: 'POST', mode: 'no-cors', credentials: 'include',
body: new URLSearchParams({action: 'store', value: 'planted', access: 'readable'})})</script>"""


@pytest.mark.parametrize("markup", [FORM, FETCH], ids=["form", "fetch"])
def test_a_hostile_web_page_in_the_same_browser_can_neither_store_nor_stop_it(
    browser: Browser, opener: Opener, markup: str
) -> None:
    kept = RecordingStore()
    asked = opener(kept)
    with Site(markup.replace("ADDRESS", asked.url)) as site, browser.page(asked.url) as page:
        go_on(page)
        other = page.context.new_page()
        # The browser itself hides the answer from the hostile page.
        with other.expect_event("requestfailed", lambda request: request.url == asked.url) as failed:
            other.goto(site.url)
        assert "ERR_BLOCKED_BY_RESPONSE" in (failed.value.failure or "")
        page.get_by_role("textbox").fill("mine")
        page.get_by_role("button", name="Store").click()
        heading(page, "Stored")
    assert [entered.value for entered in kept.entered] == ["mine"]


def test_a_hostile_web_page_cannot_frame_it(browser: Browser, opener: Opener) -> None:
    asked = opener(RecordingStore())
    with Site(f'<iframe src="{asked.url}"></iframe>') as site, browser.page("about:blank") as page:
        with page.expect_event("requestfailed", lambda request: request.url == asked.url) as failed:
            page.goto(site.url)
        assert "ERR_BLOCKED_BY_RESPONSE" in (failed.value.failure or "")
        assert page.frames[1].get_by_role("button", name="Continue").count() == 0


class Site:
    """A stranger's web page, on another port."""

    def __init__(self, markup: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(markup.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # A site other than 127.0.0.1; another port is still the same site.
        self.url = f"http://localhost:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# The look of the page.

CONTRASTS = """() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05) };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if ((parts(c)[3] ?? 1) === 1) return c; } return null };
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    if ([...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.localName === 'textarea')
      found.push([e.localName + ' ' + e.textContent.trim(), ratio(style.color, behind(e)), 4.5]);
    if (['textarea', 'button'].includes(e.localName))
      found.push(['edge of ' + e.localName, ratio(style.borderTopColor, behind(e.parentElement)), 3]);
  }
  return found;
}"""


def adding_pages(browser: Browser, opener: Opener, scheme: Literal["light", "dark"]) -> Iterator[tuple[str, Page]]:
    """Yield the pages that offer to add the name to the allowlist."""
    with browser.page(opener(RecordingStore(), ADDING).url, scheme=scheme) as page:
        yield "claim, adding", page
        go_on(page)
        yield "form, adding", page
        box = page.get_by_role("checkbox", name="Add STRIPE_TEST_KEY")
        box.evaluate("box => box.required = false")
        page.get_by_role("button", name="Store").click()
        assert "is not ticked" in page.get_by_role("alert").inner_text()
        assert (box.get_attribute("aria-invalid"), box.get_attribute("aria-describedby")) == ("true", "problem")
        yield "problem, adding", page


def every_page(browser: Browser, opener: Opener, scheme: Literal["light", "dark"]) -> Iterator[tuple[str, Page]]:
    """Yield every page that a person can see, one after the other."""
    yield from adding_pages(browser, opener, scheme)
    refused = opener(RecordingStore(Refused(StoreError(Code.STORE_BUSY, "The store is busy.", "Try again."))))
    with browser.page(refused.url, scheme=scheme) as page:
        yield "claim", page
        go_on(page)
        yield "form", page
        page.get_by_role("button", name="Store").click()
        page.get_by_role("alert").wait_for()
        yield "problem", page
        page.get_by_role("textbox").fill("v")
        page.get_by_role("button", name="Store").click()
        heading(page, "Not stored")
        yield "refused", page
        stopped = opener(RecordingStore())
        Visitor(stopped).claim()
        page.goto(stopped.url)
        heading(page, "Stopped")
        yield "stopped", page


each_scheme = pytest.mark.parametrize("scheme", ["light", "dark"])


@each_scheme
def test_every_text_and_edge_stands_out_on_every_page(
    browser: Browser, opener: Opener, scheme: Literal["light", "dark"]
) -> None:
    for name, page in every_page(browser, opener, scheme):
        contrasts, paper = page.evaluate(CONTRASTS), page.evaluate(PAPER)
        assert ("dark" if paper < 128 else "light") == scheme
        assert len(contrasts) >= 3
        for what, ratio, least in contrasts:
            assert ratio >= least, f"{name}: {what} has a contrast of {ratio:.2f}"


@each_scheme
def test_axe_finds_no_violation_on_any_page(browser: Browser, opener: Opener, scheme: Literal["light", "dark"]) -> None:
    script = Path(os.environ.get("CLAUDE_SECRETS_AXE", "axe.min.js"))
    require_real(script.is_file(), "axe-core's axe.min.js, named by CLAUDE_SECRETS_AXE")
    for name, page in every_page(browser, opener, scheme):
        page.evaluate(script.read_text(encoding="utf-8"))  # from outside, so the page's policy does not apply
        found = page.evaluate("() => axe.run()")
        assert [violation["id"] for violation in found["violations"]] == [], name
        assert len(found["passes"]) > 10


PAPER = "() => Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_sticks_out_of_the_window(browser: Browser, opener: Opener, width: int) -> None:
    with browser.page(opener(RecordingStore(), EVERYTHING._replace(adds=True)).url, width=width) as page:
        for step in ("claim", "form"):
            assert page.evaluate("document.documentElement.scrollWidth") <= width, step
            if step == "claim":
                go_on(page)


def test_it_can_be_read_without_seeing_it(browser: Browser, opener: Opener) -> None:
    with browser.page(opener(RecordingStore()).url) as page:
        go_on(page)
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.title() == "Enter STRIPE_TEST_KEY · Claude Secrets"
        assert page.get_by_role("main").count() == page.get_by_role("heading", level=1).count() == 1
        names = page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]), textarea')].map(e => e.labels.length)"
        )
        assert names == [1, 1, 1, 1]
        assert page.get_by_role("group", name="Who may read it").get_by_role("radio").count() == 2
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.localName[1])")
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
