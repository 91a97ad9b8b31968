"""The contract of a seal: what is done to the bytes of an object before they are stored, such as encryption.

A seal turns bytes into others, and back, for the object of one name, which is bound to them: what was sealed
as one object cannot be opened as another. Documents are sealed whole. Packs are sealed so that ranges of
them can be read, and written by several threads; a sealed pack is a valid safetensors file, whose one
tensor of bytes means nothing to those who cannot open it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from saver.storage import Blob, Content


class Seal(ABC):
    """How objects are sealed. Safe to use from several threads.

    What was changed, cut, exchanged or moved raises DamagedError when it is opened, before any of it is
    handed out; WrongKeyError is raised for what another key sealed.
    """

    @abstractmethod
    def content(self, name: str, content: Content) -> Content:
        """The sealed form of the content of an object."""

    @abstractmethod
    def blob(self, name: str, blob: Blob, again: Callable[[], Blob] | None = None) -> Blob:
        """What was sealed as `blob`. What is read of it is opened when it is read. `again` opens the object
        again, if it may be replaced meanwhile by one that is sealed otherwise."""

    @abstractmethod
    def document(self, name: str, data: bytes) -> bytes:
        """The sealed form of a small object."""

    @abstractmethod
    def opened(self, name: str, data: bytes, where: str) -> bytes:
        """What was sealed as a small object; messages call it `where`."""

    @abstractmethod
    def is_current(self, first: bytes) -> bool:
        """Whether an object that begins so, with 4096 bytes or all of it, is sealed as a new one would be."""

    @abstractmethod
    def size(self, size: int) -> int | None:
        """How many bytes were sealed, if the sealed pack has `size`; None if no pack has that size."""

    @abstractmethod
    def document_size(self, size: int) -> int:
        """The same for a small object."""
