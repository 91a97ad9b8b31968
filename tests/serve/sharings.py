"""Stores that a server of this process shares, tokens for them, and requests that Saver would not make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visits import Asked, Running

import saver
from saver.serve.settings import Settings
from saver.serve.tokens import add_token
from saver.storages.remote import open_storage

OWN = {"saver-store": "1", "if-none-match": "*"}


@contextmanager
def shared(store: str, share: str = "checked", **settings: Any) -> Iterator[Running]:
    """A server that shares the store at an address."""
    chosen = {"names": {}, "port": 0, "grace": 0.0, **settings}
    one = Running(Settings(store=store, share=share, **chosen))  # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.stop()


class Guarded:
    """A shared store for which tokens are needed."""

    def __init__(self, folder: Path, running: Running, tokens: Path) -> None:
        self.folder, self.running, self._tokens = folder, running, tokens
        self.address = running.server.address
        self.local = saver.Saver(folder)
        self._made = 0

    def token(self, *scopes: str, **given: Any) -> str:
        """A new token with these scopes."""
        self._made += 1
        text, _ = add_token(self._tokens, f"t{self._made}", scopes, **given)
        self.running.server.house.gate._looked = -10.0
        return text

    def store(self, *scopes: str, **given: Any) -> saver.Saver:
        """The store, as one with such a token has it."""
        return saver.Saver(f"{self.address}?deadline=5", token=self.token(*scopes), **given)

    def storage(self, *scopes: str) -> Any:
        """Its storage."""
        return open_storage(f"{self.address}?deadline=5", self.token(*scopes))

    def ask(self, path: str, data: Any = None, scopes: tuple[str, ...] = ("admin",), **given: Any) -> Asked:
        """A request, as it is."""
        headers = {**OWN, "authorization": f"Bearer {self.token(*scopes)}", **given.pop("headers", {})}
        return self.running.ask(path, data, headers, **given)

    def stored(self) -> set[str]:
        """The keys of all that is stored."""
        return set(self.local.storage.keys(""))


@contextmanager
def guarded(folder: Path, tokens: Path, share: str = "checked", **settings: Any) -> Iterator[Guarded]:
    """A store in a folder, which is shared with those who have tokens."""
    tokens.write_text('{"tokens": []}')
    with shared(str(folder), share, tokens=str(tokens), **settings) as running:
        yield Guarded(folder, running, tokens)
