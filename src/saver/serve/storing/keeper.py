"""The store that a server shares: what may be read, written and deleted in it, and by whom. Called in
threads."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from saver.errors import NotFoundError
from saver.keys.header import parse
from saver.logger import logger
from saver.repo import document
from saver.repo.format import STORE_KEY, Format, is_sealed, read_again
from saver.repo.gc.clock import Clock
from saver.repo.log import is_log_key
from saver.repo.objects import is_collectable, is_own
from saver.repo.repository import Repository
from saver.repo.state import keep_reserve
from saver.repo.state.state import INTERVAL
from saver.sealing import beneath
from saver.serve.limits import Limits
from saver.serve.refusals import Refusal
from saver.serve.storing.claims import Claims
from saver.serve.storing.judging import judge
from saver.serve.storing.kinds import WHERE, kind_of, largest, models_in
from saver.serve.storing.one import OneObject
from saver.serve.storing.receiving import Received
from saver.serve.storing.recent import Recent
from saver.serve.storing.sharing import Share
from saver.storage import Blob, Storage
from saver.storages._keys import valid
from saver.storages.sealed import SealedStorage

SMALL = 8 << 20
"""Up to this size, the storage creates an object in one step, whatever other processes write there."""
LEFT = 60.0
"""Seconds for which shortcuts that nothing needs are left alone: one may be being written."""


class Keeper:
    """A store behind a server. `grace` is in seconds, as of a collection."""

    def __init__(self, storage: Storage, share: Share, limits: Limits, grace: float) -> None:
        self.share, self.limits, self.grace = share, limits, grace
        self.outer, self._inner = beneath(storage), storage
        """As objects are stored, and as they are examined."""
        self._repo = Repository(storage)
        self._readable = False
        self._recent = Recent()
        self._appending, self._parsing = threading.Lock(), threading.Lock()
        self._writing: set[str] = set()
        self._changed = threading.Condition()

    def clean(self, text: str) -> str:
        """A message without the place of the store, which is nobody's business."""
        place = rf"(?<![\w./-]){re.escape(str(self.outer))}"
        return re.sub(rf"{place}(?![\w./-])", "the store", re.sub(rf"{place}/", "", text))

    @property
    def is_opaque(self) -> bool:
        """Whether the store is sealed, and this server has no key to it."""
        return not isinstance(self._inner, SealedStorage) and bool(is_sealed(self.outer))

    # Writing

    def most(self, key: str) -> int:
        """The most bytes that an object with this key may have. Raises Refusal if there can be no such."""
        demand_key(key)
        return self.limits.object_bytes if self.share == "full" else largest(self._plain(key), self.limits)

    def demand_writer(self, claims: Claims) -> None:
        """Raise Refusal if a token may write nothing here. Called before anything is received."""
        if self.share == "read":
            raise Refusal("forbidden", "this server shares its store for reading alone")
        if self.share == "full":
            claims.demand("write", None)
        else:
            claims.demand_some("write")
            self._demand_readable()

    def _demand_readable(self) -> None:
        if self._readable:
            return
        self._readable = self.outer.stat(STORE_KEY) is not None
        if self.is_opaque:
            self._readable = False
            raise Refusal(
                "forbidden",
                "the store is sealed, and this server has no key to examine what is written: it shares the "
                "store for reading, or with --share full",
            )

    def create(self, key: str, received: Received, claims: Claims) -> bool:
        """Store an object that has come whole; False if there is one with this key. Raises Refusal, or what
        the storage raises."""
        self.demand_writer(claims)
        if self.share == "full":
            return self._create(key, received)
        plain = self._plain(key)
        kind = kind_of(plain)
        if kind == "log":
            return self._append(key, plain, received, claims)
        if self.outer.stat(key) is not None:
            return False
        if kind == STORE_KEY:
            return self._found(received, claims)
        self._examine(kind, key, plain, received, claims)
        return self._create(key, received)

    def _examine(self, kind: str, key: str, plain: str, received: Received, claims: Claims) -> None:
        """Raise an error unless an object, which is not a record, may be written."""
        self._open()
        if kind == "clock":
            if received.size:
                raise Refusal("bad-object", "what shows the time is empty")
        elif kind == "keys":
            claims.demand("admin", None)
            parse(received.data(), WHERE)
        elif is_collectable(plain):
            if self._repo.state.gone(plain) is not None:
                raise Refusal(
                    "bad-object", "an object with this key was condemned; no other can have its key"
                )
            large = kind != "packs" and received.size > SMALL
            with self._parsing if large else nullcontext():  # which takes many times its size
                for model in models_in(plain, self._blob(key, plain, received), self.limits):
                    claims.demand("write", model)
        else:
            raise Refusal("forbidden", "the server writes the shortcuts to the log itself")

    def _blob(self, key: str, plain: str, received: Received) -> Blob:
        """What was sent, as it is when it is not sealed."""
        return self._unsealed(OneObject(key, received.blob(WHERE))).open(plain)

    def _unsealed(self, one: OneObject) -> Storage:
        return self._inner.copy_in(one) if isinstance(self._inner, SealedStorage) else one

    def _create(self, key: str, received: Received) -> bool:
        if received.size <= SMALL:
            return self.outer.create(key, received.data())
        with self._alone(key):
            if self.outer.stat(key) is not None:
                return False
            self.outer.put(key, received.content())
            return True

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread at a time puts an object: a repeated request waits for the first."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._writing)
            self._writing.add(key)
        try:
            yield
        finally:
            with self._changed:
                self._writing.discard(key)
                self._changed.notify_all()

    def _found(self, received: Received, claims: Claims) -> bool:
        """Make a store, where there is none."""
        claims.demand("admin", None)
        data = received.data()
        found, _ = document.decode(data, Format, f"{WHERE}: {STORE_KEY}")
        if found.seal is not None:
            raise Refusal("forbidden", "a sealed store is made where it lies, or through --share full")
        self.outer.probe()
        created = self.outer.create(STORE_KEY, data)
        if created:
            keep_reserve(self.outer)
        return created

    def _append(self, key: str, plain: str, received: Received, claims: Claims) -> bool:
        """Let a record of the log be the next one, if it may be."""
        number = int(plain[4:-5]) if is_log_key(plain) else 0
        with self._appending:
            self._open()
            state = self._repo.state
            if 0 < number <= state.head:
                return False
            data = self._blob(key, plain, received).read()
            record, digest = state.log.decoded(number, data)
            judge(self._repo, self._inner, record, claims)
            self._recent.demand_new(state, record)
            if not self.outer.create(key, received.data()):
                return False
            state.took(record, digest)
            self._recent.took(record)
            logger.info("record %d (%s) is by the token %r", number, type(record.event).__name__, claims.name)
            if number % INTERVAL == 0:
                with state.keep_checkpoint():
                    pass
        return True

    def _open(self) -> None:
        """Bring the state up to date. Raises Refusal if there is no store."""
        try:
            known = self._repo.format()
            self._repo.open()
        except NotFoundError:
            raise Refusal("no-object", "there is no store yet; save something first") from None
        read_again(self._inner, known)

    # Deleting

    def delete(self, keys: Sequence[str], claims: Claims) -> None:
        """Delete those that may go. Raises Refusal afterwards if some may not, and then says why."""
        self.demand_writer(claims)
        for key in keys:
            demand_key(key)
        if self.share == "full":
            self.outer.delete(*keys)
            return
        self._open()
        in_use = self._shortcuts_in_use() if any(key.startswith("state/") for key in keys) else set()
        kept = {key: self._kept(key, claims, in_use) for key in keys}
        self.outer.delete(*(key for key, why in kept.items() if not why))
        for key, why in kept.items():
            if why:
                raise Refusal("kept", f"it stays: {why} ({key})")

    def _kept(self, key: str, claims: Claims, in_use: set[str]) -> str:
        """Why an object must stay; "" if it may go."""
        plain, state = self._plain(key), self._repo.state
        if is_collectable(plain):
            number = state.gone(plain)
            if number is None:
                return "no record of the log condemns it"
            stat = state.log.stat(number)
            clock = Clock(self._repo, self.grace, dry_run=True)
            young = stat is None or clock.is_young(stat.time, clock.about())
            return "it was condemned a short time ago, and may still be read" if young else ""
        if not is_own(plain):
            return "it is not an object of a store"
        if plain.startswith("clock/"):
            return ""
        if not claims.may("admin", None):
            return "only an admin may delete it"
        if plain.startswith("keys/"):
            current = state.bundle()
            return "it has the keys of the store" if current in ("", plain[5:-4]) else ""
        if plain.startswith("state/"):
            stat = self._inner.stat(plain)
            new = stat is not None and self._repo.clock() - stat.time < LEFT
            return "it is in use" if new or plain in in_use or plain.startswith("state/free-") else ""
        return "records are for ever"

    def _shortcuts_in_use(self) -> set[str]:
        """The keys of the shortcuts to the log that are needed."""
        repo = self._repo
        with repo.users.lock:
            repo.users.refresh()
            return repo.state.needed() | repo.users.shortcuts.needed(repo.state.head)

    def _plain(self, key: str) -> str:
        """The key of an object, by that under which it is stored."""
        if not isinstance(self._inner, SealedStorage):
            return key
        mask = self._inner.mask
        if mask is None:
            self._open()
            mask = self._inner.mask
        found = mask.opened(key) if mask is not None else key
        if found is None:
            raise Refusal("bad-object", "no object of this store is stored under this key")
        return found


def demand_key(key: str) -> None:
    """Raise Refusal if this cannot be a key at all."""
    if not valid(key):
        raise Refusal("bad-request", "that cannot be the key of an object")
