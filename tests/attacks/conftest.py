"""Watches what the interpreter does while a hostile file is opened."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forge import File, forged

import saver
from saver import registry

WATCHED = ("import", "exec", "compile", "marshal", "pickle", "os.system", "os.exec", "os.posix_spawn",
           "subprocess", "ctypes", "socket", "shutil", "os.remove", "os.rename")  # fmt: skip

_LOCAL = int(getattr(socket, "AF_UNIX", 0))
APART = (
    f"socket.__new__ (<socket.socket fd=-1, family=0, type=0, proto=0>, {_LOCAL}, ",
    "socket.sendmsg ", f"subprocess.Popen ({sys.executable!r}, [{sys.executable!r}, '-I', '-c', ",
)  # fmt: skip
"""What a file that is read by a process apart has this one do: start it, and talk to it."""

_seen: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is not None and event.startswith(WATCHED):
        _seen.append(f"{event} {str(arguments)[:80]}")


sys.addaudithook(_watch)
for _family in ("python", "numpy", "saver"):  # Saver's own code, imported when first needed
    registry.family(_family).module("codecs")
    registry.family(_family).module("reading")
list(registry.families())
for _format in registry.names("formats"):
    registry.find("formats", _format)
for _known in registry.families():
    _known.module("pickles")
    _known.module("references")
with tempfile.TemporaryDirectory() as _folder:  # and its annotations, evaluated when first needed
    saver.dump([1], Path(_folder) / "first.saver")
    saver.load(Path(_folder) / "first.saver")


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> File:
    return forged(tmp_path_factory.mktemp("honest"), [1])


@pytest.fixture
def file(honest: File) -> File:
    """A file that holds `[1]`, taken apart."""
    return honest.copy()


@pytest.fixture
def refused() -> Callable[..., saver.SaverError]:
    """Loads and describes a file: both must fail with a Saver error, having run and imported nothing. It may
    be one that is read by a process `apart`."""

    def load(
        path: Path, kind: type[saver.SaverError] = saver.SaverError, match: str | None = None,
        apart: bool = False,
    ) -> saver.SaverError:  # fmt: skip
        global _seen
        _seen = []
        try:
            with pytest.raises(kind, match=match) as error:
                saver.load(path)
            events, _seen = _seen, []
            try:
                saver.describe(path)
            except saver.SaverError:
                pass  # what describe may tell of a hostile file is its own affair, as long as it is this
            events += _seen
            assert [event for event in events if not (apart and event.startswith(APART))] == []
        finally:
            _seen = None
        return error.value

    return load
