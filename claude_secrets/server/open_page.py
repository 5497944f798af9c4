"""A page that this process has opened for the person, and the ways into it.

Always: the key of a keyed page is only in the page's entry file or, in WSL, in the address for a browser on Linux.
"""

from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import anyio

from claude_secrets.model import Channel, Done, Entered, Outcome, Refused
from claude_secrets.prompt.dialog import DialogAnswer
from claude_secrets.prompt.entry_file import EntryFile
from claude_secrets.prompt.page import InputPage, PageState

UNSEEN_VISITORS: Final = ("darwin", "win32")
"""The systems on which the page cannot see which user visits it."""

_ANSWERS: Final = {
    PageState.STORED: DialogAnswer.YES,
    PageState.REFUSED: DialogAnswer.YES,
    PageState.CANCELLED: DialogAnswer.NO,
}


class OpenPage:
    """A page of this process, with its store function, its start time, and how it was shown to the person.

    `remember_no` is called if the person refuses to add a name to the allowlist. `counted` is whether the end of such a
    question was counted, or must not be counted.
    """

    def __init__(
        self,
        page: InputPage,
        store: Callable[[Entered], Outcome],
        remember_no: Callable[[Channel], object],
        started: float,
    ) -> None:
        self.page = page
        self.file: EntryFile | None = None
        self.store = store
        self.remember_no = remember_no
        self.started = started
        self.elicitation_id = token_urlsafe(16)
        self.in_browser = False
        self.turn = anyio.Lock()
        self.by_dialog: Done | Refused | None = None
        self.counted = not page.question.adds

    def answer(self) -> DialogAnswer:
        """Return whether the person agreed (YES) or cancelled (NO) on the page. NONE means that nobody answered."""
        return _ANSWERS.get(self.page.state, DialogAnswer.NONE)

    def way_in(self, platform: str) -> str:
        """Return the browser's argument: the page's address, or the path of a file with the address of a keyed page.

        In WSL a browser on Linux gets the address of a keyed page, because a browser in a sandbox cannot read our
        files.
        """
        if self.page.key and platform in UNSEEN_VISITORS:
            return str(self.entry_file())
        return self._address()

    def entry_file(self, *, seconds: int = 0) -> Path:
        """Return the path of the page's entry file, and make the file if it does not exist yet."""
        if self.file is None:
            self.file = EntryFile(self._address(), seconds=seconds)
            self.page.add_listener(self.file.remove)
        return self.file.path

    def _address(self) -> str:
        return f"{self.page.url}/{self.page.key}" if self.page.key else self.page.url
