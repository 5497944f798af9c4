"""The one-time page over raw sockets: who may store a value, which requests are refused, and when the page ends."""

import base64
import hashlib
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import quote

import pytest

from claude_secrets.errors import Code, SecretsError, StoreError
from claude_secrets.model import VALUE_LIMIT, Access, Ask, InputQuestion, Outcome, Refused
from claude_secrets.prompt import page_server
from claude_secrets.prompt.page import LINGER, InputPage, PageState
from claude_secrets.prompt.page_replies import Reply
from claude_secrets.prompt.page_server import BODY_LIMIT, VISITORS_LIMIT
from tests.support.page_client import (
    DEADLINE,
    QUESTION,
    STORED,
    Answer,
    Clock,
    RecordingStore,
    Serve,
    Visitor,
    address,
    connect,
    read,
    request,
)

LIFETIME = 600.0
CANARY = "canary-7f31"

Opener = Callable[..., InputPage]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opener(kept: RecordingStore, clock: Clock, serve: Serve) -> Opener:
    def start(store: RecordingStore = kept, question: InputQuestion = QUESTION) -> InputPage:
        return serve(InputPage(question, store=store, clock=clock, lifetime=LIFETIME))

    return start


@pytest.fixture
def page(opener: Opener) -> InputPage:
    return opener()


@pytest.fixture
def person(page: InputPage) -> Visitor:
    """The visitor who has claimed the page."""
    visitor = Visitor(page)
    assert visitor.claim().status == 303
    return visitor


def refusal(page: InputPage) -> SecretsError:
    assert page.wait(DEADLINE)
    result = page.result()
    assert isinstance(result, Refused)
    return result.error


def is_gone(page: InputPage) -> bool:
    """Return whether the page stops listening before the deadline."""
    thread = page._thread
    assert thread is not None
    thread.join(DEADLINE)
    try:
        connect(page).close()
    except ConnectionRefusedError:
        return True
    return False


# The normal course.


def test_the_first_click_binds_the_page_and_the_form_stores_the_value(page: InputPage, kept: RecordingStore) -> None:
    person = Visitor(page)
    assert (page.state, page.opened) == (PageState.OPEN, False)
    claimed = person.claim()
    assert (claimed.status, claimed.header("Location")) == (303, page.path)
    assert (page.state, page.opened) == (PageState.CLAIMED, True)
    assert page.result() is None
    answer = person.store(CANARY, "readable")
    assert (answer.status, "is stored (version 4)" in answer.body) == (200, True)
    assert page.wait(DEADLINE)
    assert (page.state, page.result()) == (PageState.STORED, STORED)
    assert [(e.value, e.access) for e in kept.entered] == [(CANARY, Access.READABLE)]


def test_the_cookie_is_random_and_bound_to_the_page(opener: Opener) -> None:
    cookies = []
    for _ in range(2):
        page = opener()
        cookie = Visitor(page).claim().header("Set-Cookie")
        assert cookie is not None
        pair, *attributes = cookie.split("; ")
        assert {f"Path={page.path}", "HttpOnly", "SameSite=Strict"} <= set(attributes)
        assert page.path not in pair
        cookies.append(pair.partition("=")[2])
    assert len(cookies[0]) >= 32
    assert cookies[0] != cookies[1]


@pytest.mark.parametrize(
    "value",
    [
        " two\n\nlines \n",
        "🔑 & = + % ; <b> \u202e \x00\x01\x7f",
        "\n" * VALUE_LIMIT,
        "%" * VALUE_LIMIT,
        "é" * (VALUE_LIMIT // 2),
        "a\rb",
    ],
    ids=["lines", "odd", "1 MiB of newlines", "1 MiB of %", "1 MiB of é", "lone CR"],
)
def test_a_value_arrives_exactly_as_it_was_entered(
    page: InputPage, person: Visitor, kept: RecordingStore, value: str
) -> None:
    encoded = quote(value.replace("\n", "\r\n"), safe="")
    assert person.post(f"action=store&access=use-only&value={encoded}".encode()).status == 200
    assert kept.entered[0].value == value


def test_an_empty_value_stores_nothing_says_so_and_the_page_goes_on(
    page: InputPage, person: Visitor, kept: RecordingStore
) -> None:
    answer = person.store("", "readable")
    assert (answer.status, "Nothing was entered" in answer.body) == (422, True)
    assert re.search(r'value="readable"[^>]* checked', answer.body)
    assert (page.state, page.result(), kept.entered) == (PageState.CLAIMED, None, [])
    assert person.store("x").status == 200


def test_a_value_that_is_too_long_is_refused_in_the_form_and_not_repeated(
    page: InputPage, person: Visitor, kept: RecordingStore
) -> None:
    answer = person.store(CANARY + "x" * VALUE_LIMIT)
    assert (answer.status, "1 MiB" in answer.body, CANARY in answer.body) == (422, True, False)
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


def test_cancelling_stores_nothing(page: InputPage, person: Visitor, kept: RecordingStore) -> None:
    answer = person.post({"action": "cancel"})
    assert (answer.status, "Nothing was stored" in answer.body) == (200, True)
    error = refusal(page)
    assert (error.code, "The person cancelled" in error.message) == (Code.CANCELLED, True)
    assert (page.state, kept.entered) == (PageState.CANCELLED, [])


def test_what_the_store_refuses_is_told_with_its_code_and_its_remedy(opener: Opener) -> None:
    error = StoreError(Code.STORE_BUSY, "The store is <busy>.", "Try again.")
    page = opener(RecordingStore(Refused(error)))
    person = Visitor(page)
    person.claim()
    answer = person.store("v")
    assert "[STORE_BUSY] The store is &lt;busy&gt;." in answer.body
    assert "Try again." in answer.body
    assert refusal(page) is error
    assert page.state is PageState.REFUSED


def test_a_store_that_fails_never_shows_why(
    opener: Opener, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Outcome:
        raise ValueError(CANARY)

    page = opener(RecordingStore(instead=fail))
    person = Visitor(page)
    person.claim()
    answer = person.store(CANARY)
    assert "[INTERNAL]" in answer.body
    assert refusal(page).code is Code.INTERNAL
    assert "ValueError" in caplog.text
    assert CANARY not in answer.head + answer.body + caplog.text + "".join(capfd.readouterr()) + str(refusal(page))


def test_the_value_is_in_no_log_address_or_repr(
    page: InputPage,
    person: Visitor,
    kept: RecordingStore,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    answers = [person.store(CANARY), person.store(CANARY), Visitor(page).store(CANARY)]
    said = "".join(capfd.readouterr()) + caplog.text + page.url + repr(page) + repr(kept.entered) + repr(page.result())
    assert CANARY not in said + "".join(answer.head + answer.body for answer in answers)
    assert STORED.text not in "".join(answer.body for answer in answers), "the store's own text may be a value"


# A second visitor.


@pytest.mark.parametrize("cookie", [None, "", "claude-secrets-visitor=", "claude-secrets-visitor=guess", "other=1"])
@pytest.mark.parametrize("how", ["get", "claim", "store", "cancel"])
def test_a_second_visitor_stops_the_page_for_both(
    page: InputPage, person: Visitor, kept: RecordingStore, how: str, cookie: str | None
) -> None:
    second = Visitor(page, cookie)
    visits: dict[str, Callable[[], Answer]] = {
        "get": second.get,
        "claim": lambda: second.claim("a" * 22),
        "store": lambda: second.store("planted"),
        "cancel": lambda: second.post({"action": "cancel"}),
    }
    seen = visits[how]()
    assert (
        seen.status,
        "This page was opened a second time" in seen.body,
    ) == (403, True)
    assert seen.header("Set-Cookie") is None
    error = refusal(page)
    assert (error.code, "Someone else" in error.message) == (Code.CANCELLED, True)
    theirs = person.store(CANARY)
    assert (
        theirs.status,
        "This page was opened a second time" in theirs.body,
    ) == (403, True)
    assert (page.state, kept.entered) == (PageState.STOPPED, [])


def test_a_stopped_page_waits_for_the_one_who_claimed_it(page: InputPage, person: Visitor, clock: Clock) -> None:
    Visitor(page).get()
    clock.now += LIFETIME - 1
    clock.be_seen()
    assert Visitor(page).get().status == 403
    clock.be_seen()
    assert person.get().status == 403
    clock.now += LINGER
    assert is_gone(page)


def test_of_two_who_continue_at_the_same_time_nobody_can_store(page: InputPage, kept: RecordingStore) -> None:
    visitors = [Visitor(page) for _ in range(8)]
    visits = [visitor.open() for visitor in visitors]
    assert len(set(visits)) == len(visits)
    answers = together([partial(who.claim, visit) for who, visit in zip(visitors, visits, strict=True)])
    assert [answer.status for answer in answers].count(303) == 1
    for visitor in visitors:
        visitor.store("v")
    assert (page.state, kept.entered) == (PageState.STOPPED, [])


def test_a_double_click_on_continue_is_one_visitor(page: InputPage) -> None:
    person = Visitor(page)
    visit = person.open()
    first, second = (person.post({"action": "claim", "visit": visit}) for _ in range(2))
    assert (first.status, second.status) == (303, 303)
    assert first.header("Set-Cookie") == second.header("Set-Cookie")
    assert page.state is PageState.CLAIMED


def test_nothing_can_be_stored_before_someone_continued(page: InputPage, kept: RecordingStore) -> None:
    assert Visitor(page).store("planted").status == 403
    assert Visitor(page, "claude-secrets-visitor=").store("planted").status == 403
    assert (page.state, kept.entered) == (PageState.OPEN, [])


def together(actions: list[Callable[[], Answer]]) -> list[Answer]:
    """Carry out all actions at once."""
    answers: list[Answer] = []
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], Answer]) -> None:
        barrier.wait(DEADLINE)
        answers.append(action())

    threads = [threading.Thread(target=act, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(answers) == len(actions)
    return answers


# Second clicks, late requests, ended pages.


def test_many_submits_at_once_store_once_and_all_get_that_answer(opener: Opener) -> None:
    goes_on = threading.Event()

    def slowly() -> Outcome:
        assert goes_on.wait(DEADLINE)
        return STORED

    kept = RecordingStore(instead=slowly)
    page = opener(kept)
    person = Visitor(page)
    person.claim()
    threading.Timer(0.3, goes_on.set).start()
    answers = together([partial(person.store, f"value {number}") for number in range(6)])
    assert [(answer.status, "is stored" in answer.body) for answer in answers] == [(200, True)] * 6
    assert len(kept.entered) == 1


def test_a_second_submit_is_told_that_the_first_was_stored(
    page: InputPage, person: Visitor, kept: RecordingStore
) -> None:
    person.store("first")
    assert "is stored" in person.store("second").body
    assert "is stored" in person.get().body
    assert Visitor(page).get().status == 410
    assert [entered.value for entered in kept.entered] == ["first"]


@pytest.mark.parametrize("end", ["store", "cancel"])
def test_the_page_is_gone_after_its_last_answer(page: InputPage, person: Visitor, clock: Clock, end: str) -> None:
    person.post({"action": end, "value": "v", "access": "use-only"})
    clock.now += LINGER
    assert is_gone(page)


@pytest.mark.parametrize("claimed", [False, True])
def test_the_page_expires(page: InputPage, kept: RecordingStore, clock: Clock, claimed: bool) -> None:
    person = Visitor(page)
    if claimed:
        person.claim()
    clock.now += LIFETIME - 0.1
    assert person.get().status == 200
    clock.now += 0.1
    assert refusal(page).code is Code.TIMED_OUT
    assert page.state is PageState.EXPIRED
    clock.now += LINGER
    assert is_gone(page)


def test_a_late_submit_stores_nothing(page: InputPage, person: Visitor, kept: RecordingStore, clock: Clock) -> None:
    body = b"action=store&access=use-only&value=late"
    with connect(page) as connection:
        connection.sendall(person.head(len(body)))
        clock.now += LIFETIME
        connection.sendall(body)
        assert read(connection).status == 410
    assert refusal(page).code is Code.TIMED_OUT
    assert kept.entered == []


def test_closing_ends_the_page_at_once_and_for_good(page: InputPage, person: Visitor, kept: RecordingStore) -> None:
    page.close()
    page.close()
    assert refusal(page).code is Code.CANCELLED
    assert is_gone(page)
    assert kept.entered == []


def test_what_is_being_stored_when_the_page_closes_or_expires_is_told_as_it_came_out(
    opener: Opener, clock: Clock
) -> None:
    storing, goes_on = threading.Event(), threading.Event()

    def slowly() -> Outcome:
        storing.set()
        assert goes_on.wait(DEADLINE)
        return STORED

    page = opener(RecordingStore(instead=slowly))
    person = Visitor(page)
    person.claim()
    answers: list[Answer] = []
    sender = threading.Thread(target=lambda: answers.append(person.store("v")))
    sender.start()
    assert storing.wait(DEADLINE)
    assert person.get().status == 202
    assert Visitor(page).get().status == 410
    clock.now += LIFETIME
    page.close()
    assert page.result() is None
    goes_on.set()
    sender.join(DEADLINE)
    assert page.wait(DEADLINE)
    assert (page.result(), answers[0].status) == (STORED, 200)


def peek(connection: socket.socket, size: int) -> bytes:
    """Return the bytes that have arrived, at most `size`, without waiting and without taking them."""
    if not select.select([connection], [], [], 0)[0]:
        return b""
    return connection.recv(size, socket.MSG_PEEK)


def test_the_person_is_told_before_anyone_else(opener: Opener) -> None:
    page = opener()
    seen: list[bytes] = []
    person = Visitor(page)
    person.claim()
    body = b"action=store&access=use-only&value=v"
    connection = connect(page)
    page.add_listener(lambda: seen.append(peek(connection, 15)))
    connection.sendall(person.head(len(body)) + body)
    assert page.wait(DEADLINE)
    page.close()
    with connection:
        rest = read(connection)
    assert seen == [b"HTTP/1.0 200 OK"]
    assert "is stored" in rest.body


def test_listeners_are_called_once_whenever_they_came(page: InputPage, person: Visitor) -> None:
    called: list[str] = []

    def fail() -> None:
        called.append("failing")
        raise RuntimeError(CANARY)

    page.add_listener(fail)
    page.add_listener(lambda: called.append("early"))
    person.store("v")
    assert page.wait(DEADLINE)
    person.get()
    page.close()
    page.add_listener(lambda: called.append("late"))
    assert called == ["failing", "early", "late"]


def test_a_question_instead_of_an_outcome_is_an_error_inside(opener: Opener) -> None:
    page = opener(RecordingStore(Ask(QUESTION)))
    person = Visitor(page)
    person.claim()
    assert "[INTERNAL]" in person.store("v").body
    assert refusal(page).code is Code.INTERNAL


def test_a_failure_inside_is_logged_by_its_kind_only(
    page: InputPage,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> Reply:
        raise ValueError(CANARY)

    monkeypatch.setattr(page, "submit", fail)
    assert Visitor(page).store(CANARY).status == 0
    assert [record.getMessage() for record in caplog.records] == ["a request to the input page failed: ValueError"]
    assert CANARY not in "".join(capfd.readouterr()) + caplog.text


# Requests that never reach the page. `person` has claimed the page, so a request that reached it would end the page or
# store a value.


def test_it_listens_on_loopback_only(page: InputPage) -> None:
    server = page._server
    assert server is not None
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "host",
    ["attacker.example", "localhost:PORT", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:PORT.attacker.example", "[::1]:PORT",
     "", None, "TWICE"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_host_is_refused(
    page: InputPage, person: Visitor, kept: RecordingStore, method: str, host: str | None
) -> None:
    own = address(page)[0]
    body = b"action=store&access=use-only&value=planted" if method == "POST" else b""
    headers = person.headers(Host=None, Content_Length=str(len(body)))
    if host == "TWICE":
        headers = [("Host", own), ("Host", "attacker.example"), *headers]
    elif host is not None:
        headers = [("Host", host.replace("PORT", own.partition(":")[2])), *headers]
    assert request(page, method=method, headers=headers, body=body).status in {400, 403}
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "null"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://OWN"},
        {"Origin": "http://OWN.attacker.example"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_form_from_elsewhere_is_refused(
    page: InputPage, person: Visitor, kept: RecordingStore, changed: dict[str, str]
) -> None:
    own = address(page)[0]
    form = {"action": "store", "value": "planted", "access": "readable"}
    told = {name: value.replace("OWN", own) for name, value in changed.items()}
    assert person.post(form, **told).status == 403
    assert Visitor(page).post({"action": "claim", "visit": "a" * 22}, **told).status == 403
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize(
    "path", ["/", "", "PATH/", "PATH?value=planted&action=store", "//PATH", "http://HOSTPATH", "/favicon.ico"]
)
def test_a_wrong_path_is_not_found_and_says_nothing(
    page: InputPage, person: Visitor, kept: RecordingStore, path: str
) -> None:
    host, own = address(page)
    wrong = path.replace("HOST", host).replace("PATH", own) or "x"
    for visitor in (person, Visitor(page)):
        answer = request(page, path=wrong, headers=visitor.headers())
        assert answer.status == 404
        assert not [told for told in (own, QUESTION.name, QUESTION.project, "planted") if told in answer.body]
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "<script>"])
def test_other_methods_are_refused_and_not_repeated(page: InputPage, person: Visitor, method: str) -> None:
    answer = request(page, method=method)
    assert answer.status == 501
    assert "<script" not in answer.head + answer.body
    assert page.state is PageState.CLAIMED


ADDING = QUESTION._replace(adds=True)


@pytest.mark.parametrize("ticked", ["", "no", "YES", "on", "yes "])
def test_only_the_tick_of_our_own_box_counts(opener: Opener, kept: RecordingStore, ticked: str) -> None:
    page = opener(kept, ADDING)
    person = Visitor(page)
    person.claim()
    assert person.post({"value": CANARY, "access": "readable", "adds": ticked, "action": "store"}).status == 400
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize("value", ["", CANARY])
def test_without_the_tick_the_value_is_not_kept_and_the_page_says_why(
    opener: Opener, kept: RecordingStore, value: str
) -> None:
    page = opener(kept, ADDING)
    person = Visitor(page)
    person.claim()
    answer = person.store(value)
    assert (answer.status, CANARY in answer.body) == (422, False)
    assert "The box that adds GITEA_TOKEN to the allowlist is not ticked" in answer.body
    assert re.search(r'<input type="checkbox" id="adds"[^>]* checked', answer.body) is None
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])
    answer = person.post({"value": CANARY, "access": "readable", "adds": "yes", "action": "store"})
    assert (answer.status, "The name is now in this project" in answer.body) == (200, True)
    assert [(entered.value, entered.adds) for entered in kept.entered] == [(CANARY, True)]


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "application/json", "", None])
def test_only_a_plain_form_is_read(page: InputPage, person: Visitor, kept: RecordingStore, kind: str | None) -> None:
    answer = person.post({"action": "store", "value": "v", "access": "readable"}, Content_Type=kind)
    assert answer.status == 415
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"&",
        b"value=canary-7f31&access=readable",
        b"action=store&access=readable",
        b"action=store&value=canary-7f31",
        b"action=store&value=canary-7f31&access=everyone",
        b"action=other&value=canary-7f31&access=readable",
        b"action=store&value=canary-7f31&value=other&access=readable",
        b"action=store&action=cancel&value=canary-7f31&access=readable",
        b"action=store&value=canary-7f31%ff&access=readable",
        b"action=store&value=canary-7f31%ed%a0%80&access=readable",
        b"action=store&value=canary-7f31\xff&access=readable",
        b"action=store&value=canary-7f31&access=readable" + b"&a=b" * 9,
        b"action=store&value=canary-7f31&access=readable&adds=yes",
        b"action=claim&visit=",
        b"action=claim&visit=" + b"a" * 1000,
        b"canary-7f31",
    ],
)
def test_a_form_that_is_not_ours_is_refused_and_not_repeated(
    page: InputPage, person: Visitor, kept: RecordingStore, body: bytes
) -> None:
    answer = person.post(body)
    assert (answer.status, CANARY in answer.body) == (400, False)
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


@pytest.mark.parametrize(
    ("length", "status"),
    [("-1", 400), ("+5", 400), ("1e3", 400), ("٣", 400), ("9" * 20, 400), (None, 411), ("", 400),
     (str(BODY_LIMIT + 1), 413), ("9" * 15, 413)],
)  # fmt: skip
def test_a_body_without_an_honest_length_is_not_read(
    page: InputPage, person: Visitor, kept: RecordingStore, length: str | None, status: int
) -> None:
    headers = [(name, value.encode().decode("latin-1")) for name, value in person.headers(Content_Length=length)]
    # No body follows: an answer shows that the page did not wait for one.
    assert request(page, method="POST", headers=headers).status == status
    both = [*person.headers(Content_Length="3"), ("Content-Length", "4")]
    assert request(page, method="POST", headers=both, body=b"a=bc").status == 400
    assert request(page, method="POST", headers=person.headers(Transfer_Encoding="chunked")).status == 501
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


def test_an_oversized_body_is_refused_and_the_page_goes_on(
    page: InputPage, person: Visitor, kept: RecordingStore
) -> None:
    body = b"action=store&access=readable&value=" + b"x" * BODY_LIMIT
    with connect(page) as connection:
        # The client can send the whole body: a browser shows no answer if the connection breaks in the middle.
        connection.sendall(person.head(len(body)) + body)
        answer = read(connection)
    assert (answer.status, "at most 1 MiB" in answer.body) == (413, True)
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])
    assert person.store("v").status == 200


def test_a_body_that_breaks_off_is_not_stored(page: InputPage, person: Visitor, kept: RecordingStore) -> None:
    body = b"action=store&access=readable&value=half"
    with connect(page) as connection:
        connection.sendall(person.head(len(body) + 1) + body)
        connection.shutdown(socket.SHUT_WR)
        assert read(connection).status == 400
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


# Visitors who only keep a connection open.


def test_silent_visitors_do_not_keep_the_person_away(page: InputPage, kept: RecordingStore) -> None:
    silent = [connect(page) for _ in range(2 * VISITORS_LIMIT)]
    try:
        assert Visitor(page).claim().status == 303
        assert threading.active_count() <= 2 * VISITORS_LIMIT
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("sent", ["GET ", "POST / HTTP/1.1\r\nHost: ", "form"])
def test_a_visitor_who_sends_slowly_is_dropped(
    page: InputPage, person: Visitor, kept: RecordingStore, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(page_server, "REQUEST_LIMIT", 0.5)
    if sent == "form":
        sent = person.head(1000).decode() + "value="
    stopped = threading.Event()
    with connect(page) as connection:
        connection.sendall(sent.encode())

        def drip() -> None:
            while not stopped.wait(0.05):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert read(connection).status in {0, 400}  # this would wait for ever if the visitor were not dropped
        stopped.set()
        dripping.join(DEADLINE)
    assert (page.state, kept.entered) == (PageState.CLAIMED, [])


# The headers for the browser.


def all_answers(page: InputPage) -> Iterator[Answer]:
    person = Visitor(page)
    yield request(page, path="/wrong")
    yield request(page, method="PUT")
    yield person.get()
    yield person.claim()
    yield person.get()
    yield person.store("")
    yield person.post(b"action=other")
    yield person.store("v")
    yield Visitor(page).get()


def test_every_answer_forbids_scripts_frames_caches_and_anything_external(page: InputPage) -> None:
    answers = list(all_answers(page))
    assert len({answer.status for answer in answers}) == 7
    for answer in answers:
        style = re.search(r"<style>(.*?)</style>", answer.body, re.DOTALL)
        policy = answer.header("Content-Security-Policy") or ""
        if style:
            digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
            assert f"style-src 'sha256-{digest}'" in policy
        assert {part.split()[0]: part.split()[1:] for part in policy.split(";") if "style" not in part} == {
            "default-src": ["'none'"],
            "form-action": ["'self'"],
            "frame-ancestors": ["'none'"],
            "base-uri": ["'none'"],
        }
        assert answer.header("X-Frame-Options") == "DENY"
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.header("Referrer-Policy") == "same-origin"
        assert answer.header("Cross-Origin-Opener-Policy") == "same-origin"
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
        assert answer.header("Server") is None
        assert not re.search(r"<script|\son\w+=|https?:|@import|url\(", answer.body)
