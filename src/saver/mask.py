"""The contract of what hides names and hashes of a sealed store where they are kept on this machine."""

from __future__ import annotations

from typing import Protocol


class Mask(Protocol):
    """Hides texts with the key of a store."""

    @property
    def key(self) -> bytes:
        """For hashes, 32 bytes."""

    @property
    def notes(self) -> bytes:
        """For what the ranks of a cluster tell each other of the store, 32 bytes."""

    def masked(self, text: str) -> str:
        """The same for the same text."""

    def unmasked(self, text: str) -> str | None:
        """The text; None for what was not masked with this key."""
