"""Other users of this machine, for tests: what they do is done in a forked child, which becomes them."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("pwd")


class User(NamedTuple):
    """Numbers of a user and of its groups, the first of which is its own. No user need have them."""

    uid: int
    groups: tuple[int, ...]


NOBODY = User(65534, (65534,))
TEAM = 59_000
"""A group that no machine has."""

ANN, BEN = User(59_001, (59_001, TEAM)), User(59_002, (59_002, TEAM))
EVE = User(59_003, (59_003,))


def skip_unless_root() -> None:
    """Only root can become others, and in some containers not even root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    try:
        as_user(ANN, os.geteuid)
    except OSError as error:
        pytest.skip(f"the kernel refuses to become another user: {error}")


def as_user(user: User, act: Callable[..., Any], *args: Any, umask: int = 0o022) -> Any:
    """What `act` returns as this user, or the error that it raises."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _live(user, act, args, umask, send)
    os.close(send)
    with os.fdopen(receive, "rb") as file:
        data = file.read()
    _, status = os.waitpid(child, 0)
    assert data, f"the child ended with status {status}"
    worked, found, trace = pickle.loads(data)
    if not worked:
        print(trace, file=sys.stderr)
        raise found
    return found


def _live(user: User, act: Callable[..., Any], args: tuple[Any, ...], umask: int, send: int) -> None:
    """Do it and report; never returns."""
    try:
        os.setgroups(user.groups)
        os.setgid(user.groups[0])
        os.setuid(user.uid)
        os.umask(umask)
        for name in ("HOME", "XDG_CONFIG_HOME", "SAVER_CONFIG", "SAVER_CACHE", "SAVER_HEADS"):
            os.environ[name] = "/proc/nothing"  # the folders of pytest are closed to others
        told: tuple[bool, Any, str] = True, act(*args), ""
    except BaseException as error:
        told = False, error, traceback.format_exc()
    try:
        data = pickle.dumps(told)
    except Exception as error:
        data = pickle.dumps((False, TypeError(f"cannot be passed on: {error}"), told[2]))
    with os.fdopen(send, "wb") as file:
        file.write(data)
    os._exit(0)


@contextmanager
def place() -> Iterator[Path]:
    """A folder that others can enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="saver-users-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
