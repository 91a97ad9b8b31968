"""The keys of stores that are on their way to a hub, or from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from saver.disk.durable import NewFile
from saver.errors import WrongKeyError
from saver.keys.holders import StoreKeys, is_of, new_store_keys, seal_header
from saver.mask import Mask
from saver.sealing import Founder
from saver.storage import Bytes, Storage


class Continuing:
    """Makes a store as `founder` does, and keeps its keys in a file of this machine, so that a process which
    comes later goes on with what this one began. A `mask` hides them there."""

    def __init__(self, founder: Founder, path: str, mask: Mask | None) -> None:
        self._founder, self._path, self._mask = founder, path, mask

    def make(self, storage: Storage) -> tuple[StoreKeys, dict[str, Any]]:
        keys, header = self._founder.make(storage)
        text = keys.to_json().decode()
        content = Bytes((text if self._mask is None else self._mask.masked(text)).encode())
        os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
        with NewFile(self._path, content.size) as file:
            content.write(file)
            file.commit()
        return keys, header

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> StoreKeys:
        try:
            with open(self._path, encoding="utf-8") as file:
                text = file.read()
            shown = text if self._mask is None else self._mask.unmasked(text)
            found = StoreKeys.from_json((shown or "").encode(), self._path)
        except (OSError, ValueError):
            found = None
        if found is None or not is_of(found, seal):
            raise WrongKeyError(
                f"{storage}: a push that broke off has left something whose keys are not in {self._path}; "
                f"delete the folder {os.path.dirname(self._path)} to begin anew"
            )
        return found


class Passing:
    """Makes and opens one store with keys that nobody has but this process."""

    def __init__(self) -> None:
        self._keys = new_store_keys()

    def make(self, storage: Storage) -> tuple[StoreKeys, dict[str, Any]]:
        return self._keys, seal_header(self._keys)

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> StoreKeys:
        return self._keys
