"""Makes this process look like one on another system, as far as Python shows it.

What the system lacks is taken away, and what it refuses is refused: on Windows, folders are not opened, and
files that are open are neither renamed, replaced nor removed. On both, no name is a device of Windows or ends
with a dot, and a name that differs from another one only in case would be the same file.

Call this before Saver is imported. The libraries that Saver needs are imported here, since they were built
for the system that this is.
"""

from __future__ import annotations

import asyncio  # noqa: F401
import builtins
import ctypes
import enum
import errno
import fcntl
import mmap
import os
import platform
import re
import shutil
import signal
import sqlite3  # noqa: F401
import subprocess  # noqa: F401
import sys
import sysconfig
import tempfile  # noqa: F401
from collections.abc import Callable
from typing import Any

import blake3  # noqa: F401
import click.shell_completion  # noqa: F401
import msgspec  # noqa: F401
import numpy.random  # noqa: F401
import rich.console
import rich.progress
import rich.table  # noqa: F401

NOT_ON_WINDOWS = """
    fork forkpty register_at_fork getuid geteuid getgid getegid getgroups setsid killpg getpgid getpgrp
    pread pwrite preadv pwritev readv writev posix_fallocate posix_fadvise sendfile copy_file_range splice
    fchmod fchown fchdir chown lchown mkfifo mknod statvfs fstatvfs sysconf confstr pathconf fdatasync sync
    uname nice getloadavg memfd_create getrandom eventfd pipe2 getxattr setxattr listxattr removexattr
    O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_LARGEFILE O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC
    O_TMPFILE O_ASYNC O_NDELAY O_RSYNC
"""

NOT_ON_A_MAC = """
    O_DIRECT O_PATH O_TMPFILE O_NOATIME O_LARGEFILE O_RSYNC posix_fallocate posix_fadvise copy_file_range
    splice memfd_create getrandom eventfd pipe2 getxattr setxattr listxattr removexattr
"""

MODULES = ["fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"]
"""Which Windows does not have."""

SHARING_VIOLATION = 32
DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)

synced: list[str] = []
"""What reached the disk itself, on a Mac."""


class InUse(PermissionError):
    """As Windows reports it for a file that is open."""

    winerror = SHARING_VIOLATION


def windows() -> None:
    platform.uname()  # kept from now on
    usage = shutil.disk_usage("/")
    shutil.disk_usage = lambda path: usage  # type: ignore[assignment]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    _take_away(os, [*NOT_ON_WINDOWS.split(), *_linux_only()])
    _take_away(mmap, [name for name in dir(mmap) if name.startswith(("PROT_", "MAP_", "MADV_"))])
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    _signals_of_windows()
    _files_of_windows()
    _no_c_library()
    _same_names_once()
    sys.platform = "win32"


def macos() -> None:
    platform.uname()
    _take_away(os, [*NOT_ON_A_MAC.split(), *_linux_only()])
    _take_away(mmap, [name for name in dir(mmap) if name.startswith("MADV_HUGE")])
    _full_sync()
    _no_proc()
    _same_names_once()
    sys.platform = "darwin"


def _linux_only() -> list[str]:
    return [name for name in dir(os) if name.startswith(("RWF_", "sched_"))]


def _take_away(module: Any, names: list[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def _signals_of_windows() -> None:
    names = ("SIGINT", "SIGILL", "SIGFPE", "SIGSEGV", "SIGTERM", "SIGBREAK", "SIGABRT")
    known = dict(zip(names, (2, 4, 8, 11, 15, 21, 22), strict=True))
    _take_away(signal, [name for name in dir(signal) if name.startswith("SIG") and name[3] != "_"])
    signals = enum.IntEnum("Signals", {**known, "CTRL_C_EVENT": 0, "CTRL_BREAK_EVENT": 1})
    signal.Signals = signals  # type: ignore[misc, assignment]
    for name in known:
        setattr(signal, name, signals[name])
    real = signal.signal

    def install(number: int, handler: Any) -> Any:
        if number not in known.values():
            raise ValueError("signal number out of range")
        return real(number, handler)

    def kill(process: int, number: int) -> None:
        assert process == os.getpid(), "tests send nothing to others"
        os._exit(number)  # whatever handlers there are

    signal.signal = install
    signal.valid_signals = lambda: set(known.values())  # type: ignore[assignment, return-value]
    os.kill = kill


def _files_of_windows() -> None:
    real_open = os.open

    def open_file(path: Any, flags: int, mode: int = 0o777, *, dir_fd: None = None) -> int:
        _demand(dir_fd is None)
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, flags, mode)

    os.open = open_file
    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, _refusing_open_files(getattr(os, name)))
    for name in ("mkdir", "rmdir", "stat", "lstat", "link", "access", "chmod", "utime"):
        setattr(os, name, _by_path(getattr(os, name)))
    for name in ("scandir", "listdir"):
        setattr(os, name, _no_number(getattr(os, name)))
    real_sync = os.fsync

    def sync(file: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_sync(file)

    os.fsync = sync  # type: ignore[assignment]


def _demand(there: bool) -> None:
    if not there:
        raise NotImplementedError("unavailable on this platform")


def _by_path(function: Callable[..., Any]) -> Callable[..., Any]:
    links = function is os.stat

    def called(*args: Any, **keywords: Any) -> Any:
        given = {name for name, value in keywords.items() if value is not None}
        _demand(not given & {"dir_fd", "src_dir_fd", "dst_dir_fd"})
        _demand(links or "follow_symlinks" not in given)
        return function(*args, **keywords)

    return called


def _no_number(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(path: Any = ".") -> Any:
        if isinstance(path, int):
            raise TypeError("path should be string, bytes, os.PathLike or None, not int")
        return function(path)

    return called


def _refusing_open_files(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*paths: Any, **keywords: Any) -> Any:
        _demand(all(value is None for value in keywords.values()))
        for path in paths:
            if is_open(os.fspath(path)):
                raise InUse(errno.EACCES, "Permission denied", path)
        return function(*paths)

    return called


def is_open(path: str) -> bool:
    """Whether this process has the file open, or mapped."""
    real = os.path.realpath(path)
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") == real:
                return True
        except OSError:  # that of the listing itself
            continue
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return any(line.rstrip("\n").endswith(real) for line in maps)


def _no_c_library() -> None:
    real = ctypes.CDLL

    def library(name: Any, *args: Any, **keywords: Any) -> Any:
        if name is None:
            raise TypeError("bad argument type for built-in operation")
        return real(name, *args, **keywords)

    ctypes.CDLL = library  # type: ignore[assignment, misc]


def _same_names_once() -> None:
    """Fail for a name that the system takes for another one."""
    for name in ("open", "mkdir", "link", "replace", "rename"):
        setattr(os, name, _checking(getattr(os, name), 0 if name in ("open", "mkdir") else 1))


def _checking(function: Callable[..., Any], at: int) -> Callable[..., Any]:
    def called(*args: Any, **keywords: Any) -> Any:
        folder, name = os.path.split(os.fspath(args[at]))
        within = keywords.get("dir_fd") or keywords.get("dst_dir_fd")
        if within is not None:
            folder = f"/proc/self/fd/{within}"
        if name not in ("", "."):
            assert not DEVICE.match(name), name
            assert name[-1] not in ". ", name
            beside = real_listing(folder or ".") if os.path.isdir(folder or ".") else []
            same = [other for other in beside if other.casefold() == name.casefold() and other != name]
            assert not same, (name, same)
        return function(*args, **keywords)

    return called


real_listing = os.listdir


def _full_sync() -> None:
    real, real_sync = fcntl.fcntl, os.fsync
    fcntl.F_FULLFSYNC = 51  # type: ignore[attr-defined]

    def control(file: int, command: int, argument: int = 0) -> int:
        if command != 51:
            return real(file, command, argument)
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        real_sync(file)
        return 0

    def weak(file: int) -> None:
        raise AssertionError("this fsync does not reach the disk")

    fcntl.fcntl = control  # type: ignore[assignment]
    os.fsync = weak  # type: ignore[assignment]


def _no_proc() -> None:
    real = builtins.open

    def open_file(path: Any, *args: Any, **keywords: Any) -> Any:
        if isinstance(path, str) and path.startswith("/proc/"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return real(path, *args, **keywords)

    builtins.open = open_file  # type: ignore[assignment]


sysconfig.get_config_vars()  # reads a file that is named after the system
