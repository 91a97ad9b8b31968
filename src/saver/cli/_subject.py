"""An argument that names either a file or a version in a store."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import saver
from saver.cli import Failure, Missing
from saver.cli._screen import size
from saver.cli._store import existing
from saver.description import Description
from saver.errors import NotFoundError, SaverError
from saver.repo.refs import BadNameError
from saver.storage import Progress
from saver.streams import names_file
from saver.times import moment

if TYPE_CHECKING:  # a command that needs no store imports none
    from saver import Saver, Version


class Subject(ABC):
    """A file or a version: its contents, and how to read all of it."""

    description: Description
    version: Version | None
    """None for a file."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Facts about it as a whole, by name."""

    @abstractmethod
    def load(self, parts: Iterable[str]) -> dict[str, Any]:
        """Load these parts, without any trust beyond the default."""

    @abstractmethod
    def verify(self, progress: Progress | None = None) -> None:
        """Read and verify all its bytes. Raises DamagedError."""

    @abstractmethod
    def loading(self, allowing: str) -> list[str]:
        """The lines of Python that load it, with the arguments that allow its classes."""


def subject(what: str, address: str) -> Subject:
    """The file of this name, if there is one or if the name ends in `.saver`; otherwise the version.

    Raises Missing, which says why it is neither.
    """
    if is_file(what):
        return _File(what)
    try:
        return _Stored(store := existing(address), store.version(what))
    except (NotFoundError, BadNameError, Failure) as no_version:
        try:
            return _File(what)
        except SaverError as no_file:
            reason = str(no_file)
        except OSError as no_file:
            reason = f"{what}: {no_file.strerror}"
        raise Missing(f"{reason}; nor is it a version: {no_version}") from None


def is_file(what: str) -> bool:
    """Whether there is such a file, or the name is that of a file."""
    return names_file(what) or (os.path.exists(what) and not os.path.isdir(what))


class _File(Subject):
    def __init__(self, path: str) -> None:
        self.description = saver.describe(path)
        self.version = None

    def facts(self) -> dict[str, str]:
        found = self.description
        return {
            "size": f"{size(found.bytes)} ({found.bytes:,} bytes)",
            "saved": moment(found.time),
            "hash": found.hash,
        }

    def load(self, parts: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = saver.load(self.description.path, parts=parts)
        return found

    def verify(self, progress: Progress | None = None) -> None:
        saver.verify(self.description.path, progress=progress)

    def loading(self, allowing: str) -> list[str]:
        return [f"saver.load({json.dumps(os.path.basename(self.description.path))}, {allowing})"]


class _Stored(Subject):
    def __init__(self, store: Saver, version: Version) -> None:
        self._store = store
        self.version: Version = version
        self.description = store.describe(str(version))

    def facts(self) -> dict[str, str]:
        """Notes of several lines are shown apart."""
        facts = self.version.facts()
        return {name: text for name, text in facts.items() if text and "\n" not in text}

    def load(self, parts: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = self._store.load(str(self.version), parts=parts)
        return found

    def verify(self, progress: Progress | None = None) -> None:
        self._store.verify(str(self.version), progress=progress)

    def loading(self, allowing: str) -> list[str]:
        address, ref = json.dumps(str(self._store.storage)), json.dumps(str(self.version))
        return [f"store = saver.Saver({address})", f"store.load({ref}, {allowing})"]
