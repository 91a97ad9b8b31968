"""Signs the records of a writer, sees to it that they will count, and remembers the heads of logs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

from msgspec.structs import replace

from saver.errors import DamagedError, SignatureError
from saver.repo.entry import entry_of, said
from saver.repo.log import Record
from saver.repo.state import State
from saver.repo.state.rights import refusal
from saver.signing.heads import VARIABLE, Head, Heads
from saver.signing.keys import SigningKey, brief
from saver.signing.policy import Policy
from saver.signing.signatures import Signature, signed


class Signer:
    """What a repository has to do with signatures: the key that signs its versions and records, what must be
    signed by whom before it is loaded or gets a tag, and the heads that were seen; None for each that is not
    used. `where` is the store."""

    def __init__(self, where: str, key: SigningKey | None = None, policy: Policy | None = None) -> None:
        self.where = where
        self.key = key
        self.policy = policy
        self.heads = Heads() if key is not None or policy is not None else None
        self._known: bool | None = None
        self.stated: dict[str, tuple[str, tuple[Signature, ...], str]] = {}
        """Of each model, a version whose statement is known: manifest, signatures, the statement's hash."""

    def record(self, record: Record, state: State) -> Record:
        """The record, signed if there is a key. Raises SignatureError if it would be void."""
        found = record if self.key is None else replace(record, signed=signed(record, self.key))
        reason = refusal(found, state.roles, state.tags)
        if reason:
            raise SignatureError(
                f"{self.where}: {reason}, so this cannot be recorded: {said(entry_of(found))[:200]}; nothing "
                "was changed; ask one who may grant for the right (`saver grant`), or sign with another key"
            )
        return found

    def demand_key(self, roles: Mapping[str, tuple[str, ...]]) -> None:
        """Raise SignatureError if a writer could not write anything, before it does any work."""
        if roles and (self.key is None or self.key.public not in roles):
            who = "no key signs" if self.key is None else f"{brief(self.key.public)} has no rights"
            raise SignatureError(
                f"{self.where}: the store has roles, and {who} here, so nothing can be changed; pass a key "
                "with the right: saver.Saver(..., sign=FILE), or $SAVER_SIGN_KEY"
            )

    def watch(self, store: str, state: State) -> None:
        """Raise DamagedError if a later head of this log was seen here; remember the one that it has now.

        Where nothing demands signatures, only if the memory knows the store at this place: a copy elsewhere
        may be older."""
        if self.heads is None:
            known = bool(state.roles) or self._is_known(store)
            self.heads = Heads() if known else None
        if self.heads is None:
            return
        heads = self.heads
        number, digest = state.last()
        seen = heads.seen(store) if store not in heads.checked else None
        if seen is not None and 0 < seen.number <= number:
            there = digest if seen.number == number else state.log.read(seen.number)[1]
            self._demand_seen(there == seen.hash, f"another record {seen.number} is there", seen, store)
        elif seen is not None:
            self._demand_seen(not seen.number, f"its log ends with record {number}", seen, store)
        heads.checked.add(store)
        self.took(store, number, digest)

    @cached_property
    def place(self) -> str:
        """Where the store is, by a name that is the same in every folder."""
        return self.where if "://" in self.where else os.path.realpath(self.where)

    def _is_known(self, store: str) -> bool:
        """Whether a head was seen of the store that is at this place. The memory is asked once."""
        if self._known is None:
            seen = Heads().known(store)
            self._known = seen is not None and seen.store == self.place
        return self._known

    def _demand_seen(self, holds: bool, found: str, seen: Head, store: str) -> None:
        if not holds and self.heads is not None:
            raise DamagedError(
                f"{self.where}: record {seen.number} of this store was seen on this machine, and {found}: "
                "the store was rolled back, or its records were replaced; restore it from a copy; if you "
                f"know why (a copy was restored), delete {self.heads.path(store)}; to look at it as it is, "
                f"let ${VARIABLE} name another folder"
            )

    def took(self, store: str, number: int, digest: str) -> None:
        """Remember the head of the log."""
        if self.heads is not None and number:
            self.heads.note(store, Head(number, digest, self.place))
