"""A private file that redirects the person's browser to the one-time page's address with the page's key.

The file is used on systems that do not show which user opened a connection to the page, and in WSL for a browser on
Windows.

Always: only the person can read the file (mode 0600 in a directory of mode 0700; on Windows in the person's temporary
directory). The file redirects only to 127.0.0.1. It is removed when the page ends.
"""

import html
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_CONTENT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="{seconds}; url={url}">
<title>Claude Secrets</title>
</head>
<body><p><a href="{url}">Continue to Claude Secrets</a></p></body>
</html>
"""


class EntryFile:
    """The entry file for one page. Its `path` may appear in a command line, because only the content is secret.

    The file redirects to `url` after `seconds`.
    """

    def __init__(self, url: str, *, seconds: int = 0) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="claude-secrets-"))
        self.path = self._directory / "enter-a-secret.html"
        text = _CONTENT.format(seconds=seconds, url=html.escape(url, quote=True))
        try:
            self.path.touch(mode=0o600)
            self.path.write_text(text, encoding="utf-8")
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the file. If the file is already removed, do nothing."""
        with suppress(OSError):
            shutil.rmtree(self._directory)
