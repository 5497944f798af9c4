"""A job object of Windows: end a process together with all processes that it started, also after it has ended itself.

Sources: https://learn.microsoft.com/windows/win32/procthread/job-objects and
https://learn.microsoft.com/windows/win32/api/winnt/ns-winnt-jobobject_extended_limit_information.

Always: the processes of a job end with the process that made the job, even if that process is killed.
"""

import ctypes
import sys
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"  # noqa: S101  the type checker needs it; only Windows has job objects

_KILL_ON_CLOSE: Final = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
_BASIC_ACCOUNTING: Final = 1  # JobObjectBasicAccountingInformation
_EXTENDED_LIMITS: Final = 9  # JobObjectExtendedLimitInformation
_MAY_JOIN: Final = 0x0101  # PROCESS_SET_QUOTA | PROCESS_TERMINATE


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION, with the basic limits and the counters in it."""

    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", wintypes.DWORD),
        ("working_set", ctypes.c_size_t * 2),
        ("processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("classes", wintypes.DWORD * 2),
        ("counters", ctypes.c_uint64 * 6),
        ("memory", ctypes.c_size_t * 4),
    )


class _Accounting(ctypes.Structure):
    """JOBOBJECT_BASIC_ACCOUNTING_INFORMATION."""

    _fields_ = (
        ("times", ctypes.c_int64 * 4),
        ("faults", wintypes.DWORD),
        ("total", wintypes.DWORD),
        ("active", wintypes.DWORD),
        ("terminated", wintypes.DWORD),
    )


_kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateJobObjectW.restype = wintypes.HANDLE
_kernel32.CreateJobObjectW.argtypes = (ctypes.c_void_p, wintypes.LPCWSTR)
_kernel32.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD)
_kernel32.QueryInformationJobObject.argtypes = (
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_void_p,
)
_kernel32.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_kernel32.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
_kernel32.OpenProcess.restype = wintypes.HANDLE
_kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)


class Job:
    """A process and the processes that it starts from now on."""

    def __init__(self, process: int) -> None:
        """Put the process with this ID into a new job. Raises `OSError`, for example if the process has ended."""
        self._handle = _kernel32.CreateJobObjectW(None, None)
        _check(self._handle)
        limits = _Limits(flags=_KILL_ON_CLOSE)
        size = ctypes.sizeof(limits)
        _check(_kernel32.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size))
        handle = _kernel32.OpenProcess(_MAY_JOIN, 0, process)
        _check(handle)
        try:
            _check(_kernel32.AssignProcessToJobObject(self._handle, handle))
        finally:
            _kernel32.CloseHandle(handle)

    @property
    def is_empty(self) -> bool:
        """Whether all processes of the job have ended. Raises `OSError`."""
        counts = _Accounting()
        size = ctypes.sizeof(counts)
        _check(_kernel32.QueryInformationJobObject(self._handle, _BASIC_ACCOUNTING, ctypes.byref(counts), size, None))
        return not counts.active

    def kill(self) -> None:
        """End all processes of the job. They may need a moment to end. Raises `OSError`."""
        _check(_kernel32.TerminateJobObject(self._handle, 1))


def _check(succeeded: object) -> None:
    if not succeeded:
        raise ctypes.WinError(ctypes.get_last_error())
