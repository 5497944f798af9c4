"""The profile directory of the Windows account, which the environment (`USERPROFILE`) cannot change.

Source: SHGetKnownFolderPath, https://learn.microsoft.com/windows/win32/api/shlobj_core/.

Always: on other systems there is no profile directory.
"""

import sys
from functools import cache
from pathlib import Path

_PROFILE = "{5E6C858F-0E22-4760-9AFE-EA3317B67173}"  # FOLDERID_Profile


@cache
def profile_directory() -> Path | None:
    """Return the account's profile directory, or None if Windows does not know it or this is another system."""
    if sys.platform == "win32":
        import ctypes

        folder = (ctypes.c_byte * 16)()
        found = ctypes.c_wchar_p()
        ole = ctypes.windll.ole32
        if ole.CLSIDFromString(_PROFILE, ctypes.byref(folder)) != 0:
            return None
        try:
            failed = ctypes.windll.shell32.SHGetKnownFolderPath(ctypes.byref(folder), 0, None, ctypes.byref(found))
            return None if failed or not found.value else Path(found.value)
        finally:
            ole.CoTaskMemFree(found)
    else:
        return None
