"""Recognising an SSH session, a container and a codespace, and the words that name a terminal there."""

from pathlib import Path

import pytest

from claude_secrets.surroundings import Surroundings, a_terminal, surroundings
from tests.support.posix import skip_without

SSH = {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}

CASES: dict[str, tuple[dict[str, str], str | None, Surroundings]] = {
    "a desktop": ({"DISPLAY": ":0"}, None, Surroundings.PLAIN),
    "a variable without a value": ({"SSH_CONNECTION": "", "container": "", "CODESPACES": ""}, None, Surroundings.PLAIN),
    "SSH": (SSH, None, Surroundings.SSH),
    "ssh -X": ({**SSH, "DISPLAY": "localhost:10.0"}, None, Surroundings.SSH),
    "Docker": ({}, ".dockerenv", Surroundings.DOCKER),
    "Docker, over SSH": (SSH, ".dockerenv", Surroundings.DOCKER),
    "Podman": ({"container": "podman"}, "run/.containerenv", Surroundings.PODMAN),
    "LXC": ({"container": "lxc"}, None, Surroundings.CONTAINER),
    "a codespace": ({"CODESPACES": "true"}, ".dockerenv", Surroundings.CODESPACE),
}


@pytest.mark.parametrize("name", CASES)
def test_each_place_is_recognised(tmp_path: Path, name: str) -> None:
    environment, file, expected = CASES[name]
    if file is not None:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert surroundings(environment, root=tmp_path) is expected


def test_the_words_lead_to_a_terminal() -> None:
    assert a_terminal(Surroundings.PLAIN) == "a terminal"
    assert a_terminal(Surroundings.SSH) == "another SSH session on this machine"
    assert a_terminal(Surroundings.CODESPACE) == "a terminal in this codespace"
    assert a_terminal(Surroundings.CONTAINER) == "a terminal in this container"


@pytest.mark.parametrize("kind", [Surroundings.DOCKER, Surroundings.PODMAN])
def test_the_command_for_a_container_names_the_user(kind: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without("POSIX user ids")
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert a_terminal(kind) == f"a terminal in this container ({kind} exec -it -u 1000 CONTAINER sh)"
