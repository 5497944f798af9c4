"""Whether Windows runs this process in a package (MSIX) that has its own copy of the files in AppData.

Claude Desktop for Windows is such a package, and the servers that it starts run in it. A file that a packaged process
creates below AppData goes to a directory of the package, and other programs do not see the file. Source:
https://learn.microsoft.com/windows/msix/desktop/desktop-to-uwp-behind-the-scenes (section "File system").

Always: on other systems no process runs in a package.
"""

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from claude_secrets.paths import account_home
from claude_secrets.true_names import true_path

_NO_PACKAGE = 15700  # APPMODEL_ERROR_NO_PACKAGE


@cache
def package_name() -> str | None:
    """Return the full name of this process's package, or None if the process runs in no package."""
    if sys.platform == "win32":
        import ctypes

        ask = ctypes.windll.kernel32.GetCurrentPackageFullName
        length = ctypes.c_uint32(0)
        if ask(ctypes.byref(length), None) == _NO_PACKAGE:
            return None
        name = ctypes.create_unicode_buffer(length.value)
        return name.value if ask(ctypes.byref(length), name) == 0 else "an unknown package"
    else:
        return None


def private_to(path: Path, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the name of the package whose processes have their own copy of the file at `path`.

    Return None if this process shares the file with all programs.
    """
    package = package_name()
    return package if package is not None and is_in_appdata(path, environment) else None


def is_in_appdata(path: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a file is below the account's AppData, or below one that the environment names.

    The file need not exist.
    """
    named = (environment.get(name) for name in ("LOCALAPPDATA", "APPDATA"))
    real = Path(true_path(path))
    directories = [account_home() / "AppData", *(Path(one) for one in named if one)]
    return any(real.is_relative_to(true_path(directory)) for directory in directories)
