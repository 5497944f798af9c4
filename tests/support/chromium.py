"""A real Chromium, used as a person would: each page is a fresh browser that stores nothing and calls no service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Page

DEADLINE = 20_000.0
"""Milliseconds that a step may take before the test fails."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Browser:
    """Starts the Chromium at `executable` with `home` as its home."""

    def __init__(self, executable: str, home: Path) -> None:
        self.executable = executable
        self.home = home

    @contextmanager
    def page(
        self, url: str, *, scheme: Literal["light", "dark"] = "light", width: int = 1000, height: int = 900
    ) -> Iterator["Page"]:
        """Open a page at `url` for the calling thread. Several threads can each act as a person at the same time."""
        from playwright.sync_api import sync_playwright  # not on every system on which the tests run

        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=self.executable, args=ARGUMENTS, env={"HOME": str(self.home), "LANG": "C.UTF-8"}
            )
            try:
                context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
                context.set_default_timeout(DEADLINE)
                page = context.new_page()
                page.goto(url)
                yield page
            finally:
                chromium.close()
