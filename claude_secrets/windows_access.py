"""Private files on Windows: create a file that only the person can read, and read a file's access list.

Sources: https://learn.microsoft.com/windows/win32/secauthz/dacl-for-a-new-object (a protected list in the new file's
security descriptor keeps out the entries of the directory) and
https://learn.microsoft.com/windows/win32/fileio/file-security-and-access-rights.

Always: a private file has its access list from the moment at which it exists. A list that is set later would be too
late, because a program that had opened the file before could still read what is written afterwards.
"""

import ctypes
import msvcrt
import os
import sys
from ctypes import wintypes
from functools import cache
from pathlib import Path
from typing import Final

from claude_secrets.access_list import ADMINISTRATORS, SYSTEM, Access, parsed

assert sys.platform == "win32"  # noqa: S101  the type checker needs it; only Windows has access lists like these

_READ_AND_WRITE: Final = 0xC0000000  # GENERIC_READ | GENERIC_WRITE, which include the right to read the list
_SHARED: Final = 3  # FILE_SHARE_READ | FILE_SHARE_WRITE, as `os.open` does
_CREATE_NEW: Final = 1
_NORMAL: Final = 0x80  # FILE_ATTRIBUTE_NORMAL
_OWNER_AND_LIST: Final = 5  # OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION
_TOKEN_QUERY: Final = 8
_TOKEN_USER: Final = 1
_SDDL_REVISION: Final = 1
_TOO_SMALL: Final = 122  # ERROR_INSUFFICIENT_BUFFER
_INVALID_HANDLE: Final = ctypes.c_void_p(-1).value

_advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)


class _SecurityAttributes(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherited", wintypes.BOOL),
    )


_address = ctypes.POINTER(ctypes.c_void_p)
_size = ctypes.POINTER(wintypes.DWORD)
_kernel32.GetCurrentProcess.restype = wintypes.HANDLE
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel32.LocalFree.argtypes = (ctypes.c_void_p,)
_kernel32.LocalFree.restype = ctypes.c_void_p
_create = _kernel32.CreateFileW
_create.restype = wintypes.HANDLE
_create.argtypes = (
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    ctypes.POINTER(_SecurityAttributes),
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.HANDLE,
)
_open_token = _advapi32.OpenProcessToken
_open_token.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE))
_from_token = _advapi32.GetTokenInformation
_from_token.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD, _size)
_account_text = _advapi32.ConvertSidToStringSidW
_account_text.argtypes = (ctypes.c_void_p, _address)
_from_text = _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
_from_text.argtypes = (wintypes.LPCWSTR, wintypes.DWORD, _address, _size)
_descriptor_of = _advapi32.GetKernelObjectSecurity
_descriptor_of.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.c_void_p, wintypes.DWORD, _size)


@cache
def person() -> str:
    """Return the security identifier of the account that runs this process. Raises `OSError`."""
    token = wintypes.HANDLE()
    _check(_open_token(_kernel32.GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)))
    try:
        size = wintypes.DWORD()
        _from_token(token, _TOKEN_USER, None, 0, ctypes.byref(size))
        user = ctypes.create_string_buffer(max(size.value, ctypes.sizeof(ctypes.c_void_p)))
        _check(_from_token(token, _TOKEN_USER, user, size.value, ctypes.byref(size)))
    finally:
        _kernel32.CloseHandle(token)
    text = ctypes.c_void_p()
    _check(_account_text(ctypes.c_void_p.from_buffer(user), ctypes.byref(text)))  # TOKEN_USER begins with the address
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        _kernel32.LocalFree(text)


def access_of(descriptor: int) -> Access:
    """Return the owner and the access list of an open file.

    Raises:
        OSError: Windows does not return them.
    """
    handle, size = msvcrt.get_osfhandle(descriptor), wintypes.DWORD()
    if not _descriptor_of(handle, _OWNER_AND_LIST, None, 0, ctypes.byref(size)):
        _check(ctypes.get_last_error() == _TOO_SMALL)
    data = ctypes.create_string_buffer(size.value)
    _check(_descriptor_of(handle, _OWNER_AND_LIST, data, size.value, ctypes.byref(size)))
    try:
        return parsed(data.raw)
    except ValueError as error:
        raise OSError(str(error)) from None


def create_private(path: Path) -> int:
    """Create an empty file, and return its descriptor. Only the person, SYSTEM and administrators get access to it.

    On a file system without access lists, the file is created, too, but everyone can read it. Call `access_of` before
    you write a secret into the file.

    Raises:
        OSError: the file cannot be created, for example because it exists.
    """
    everything = "".join(f"(A;;FA;;;{account})" for account in (person(), SYSTEM, ADMINISTRATORS))
    security = ctypes.c_void_p()
    _check(_from_text(f"D:P{everything}", _SDDL_REVISION, ctypes.byref(security), None))
    try:
        attributes = _SecurityAttributes(ctypes.sizeof(_SecurityAttributes), security.value, 0)
        handle = _create(str(path), _READ_AND_WRITE, _SHARED, ctypes.byref(attributes), _CREATE_NEW, _NORMAL, None)
        _check(handle != _INVALID_HANDLE)
    finally:
        _kernel32.LocalFree(security)
    try:
        return msvcrt.open_osfhandle(handle, os.O_RDWR | os.O_BINARY | os.O_NOINHERIT)
    except OSError:
        _kernel32.CloseHandle(handle)
        path.unlink()
        raise


def _check(succeeded: object) -> None:
    if not succeeded:
        raise ctypes.WinError(ctypes.get_last_error())
