"""What is left in `keys/` when a sealed store was about to be made and was not: by a process that was killed,
or by one that was slower than another. Its keys open nothing, and would be tried at every open."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from saver.errors import SaverError
from saver.logger import logger
from saver.storage import Content, Storage
from saver.storages._wrapped import WrappedStorage

T = TypeVar("T")

_is_key = re.compile(r"keys/[0-9a-f]{32}\.age").fullmatch


class Founding(WrappedStorage):
    """A storage in which the keys of a new store are put, before `store.json` makes the store. What was in
    `keys/` before that can be of no store that will ever be here: it was there when there was none."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self._before = [*filter(_is_key, storage.keys("keys/"))]
        self._own: list[str] = []

    def call(self, name: str, act: Callable[[], T]) -> T:
        return act()

    def put(self, key: str, content: Content) -> None:
        self._own.append(key)
        super().put(key, content)

    def won(self) -> None:
        """This one made the store: take away what others left before."""
        self._take_away(self._before)

    def lost(self, key: str, seal: Mapping[str, Any]) -> None:
        """There is a store, whose `store.json` has this key: take away the keys with this seal, unless they
        are the store's. An answer may have come late that this one made it."""
        there = msgspec.json.decode(self.storage.read(key), type=_Sealed).seal
        if there != seal:
            self._take_away(self._own)

    def _take_away(self, keys: list[str]) -> None:
        try:
            if keys:
                self.storage.delete(*keys)
        except SaverError as error:  # the store is there; the next change of holders takes them away
            logger.warning("%s: keys that open nothing are left: %s", self.storage, error)


class _Sealed(msgspec.Struct):
    seal: dict[str, Any] | None = None
