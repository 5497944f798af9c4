"""What `input_secret` answers if the person cannot be asked: the reason, and what the person can type."""

from pathlib import Path

import pytest

from claude_secrets.errors import Code
from claude_secrets.model import InputQuestion
from claude_secrets.prompt import wsl
from claude_secrets.server import unanswered
from claude_secrets.surroundings import Surroundings, a_terminal
from tests.support.wsl_stand_in import NATIVE_RELEASE, RELEASE

QUESTION = InputQuestion(name="TOKEN", project="/work/api")
AGAIN = "Call input_secret again with the same name to continue waiting."


@pytest.fixture(params=list(Surroundings))
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Surroundings:
    """Every place, on a kernel that is not WSL's."""
    on_kernel(monkeypatch, tmp_path, NATIVE_RELEASE)
    kind: Surroundings = request.param
    monkeypatch.setattr(unanswered, "surroundings", lambda _environment: kind)
    return kind


def on_kernel(monkeypatch: pytest.MonkeyPatch, directory: Path, release: str, *, mirrored: bool = False) -> None:
    machine = wsl.Machine(*(directory / name for name in wsl.Machine._fields))
    machine.release.write_text(release)
    if mirrored:
        machine.mirrored.mkdir()
    monkeypatch.setattr(wsl, "SYSTEM", machine)


def test_without_a_channel_the_answer_says_where_to_type_what(here: Surroundings) -> None:
    error = unanswered.no_channel(QUESTION, {}).error
    assert error.code is Code.NO_INPUT_CHANNEL
    assert error.message.endswith("there is no display.")
    place = f"the person can run this command in {a_terminal(here)}, in the directory /work/api: "
    assert error.hint is not None
    assert error.hint.startswith(f"To store the value, {place}")
    assert error.hint.endswith("claude_secrets set TOKEN") or error.hint.endswith("claude-secrets set TOKEN")


def test_a_page_that_waits_is_explained_only_where_it_may_be_out_of_sight(here: Surroundings) -> None:
    error = unanswered.waiting(QUESTION, {}).error
    assert error.code is Code.WAITING
    assert (error.hint == AGAIN) is (here is Surroundings.PLAIN)
    assert str(error.hint).startswith(AGAIN)
    typed = f"the person can run this command in {a_terminal(here)}, in"
    assert here is Surroundings.PLAIN or typed in str(error.hint)


@pytest.mark.parametrize("display", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_display_is_not_denied(here: Surroundings, display: str) -> None:
    message = unanswered.no_channel(QUESTION, {display: ":0"}).error.message
    assert message.endswith("no browser and no dialog program could be started.")


@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ":0"}])
def test_a_mirrored_network_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str]
) -> None:
    on_kernel(monkeypatch, tmp_path, RELEASE, mirrored=True)
    assert "WSL mirrors the network" in unanswered.no_channel(QUESTION, environment).error.message
    assert "set TOKEN" in str(unanswered.waiting(QUESTION, environment).error.hint)


def test_wsl_says_that_the_browser_on_windows_did_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    on_kernel(monkeypatch, tmp_path, RELEASE)
    assert "browser on Windows" in unanswered.no_channel(QUESTION, {}).error.message
