"""Bytes that several ranks need are read by one of them, which passes them on to the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, cast

import msgspec

from saver.cluster import Cluster
from saver.distributed.exchange import Blobs, Exchange, FromMemory
from saver.distributed.linking import Link, first_of
from saver.distributed.passing import Needs, Piece, Range, Shared, in_pages, pieces, recalled, shared
from saver.distributed.session import Session
from saver.errors import LostRankError, NotFoundError, kind_of
from saver.logger import logger
from saver.storage import Blob
from saver.tensors import Box

READ, BROADCAST = "read", "broadcast"
"""How ranks read what several need: each by itself, or one of them for all."""

OPEN = 256
"""Files that are open at the same time, at most: of packs beyond, each rank reads what it needs."""


def told(how: str | None) -> str:
    """What ranks say of how they read, so that all of them do it in the same way."""
    return f" with shared={how!r}" if how is not None else ""


def demand_network(cluster: Cluster, how: str | None) -> None:
    """Raise ValueError if bytes are to be passed on by ranks that cannot."""
    if how == BROADCAST and cluster.network is None:
        raise ValueError(
            f"shared: the ranks of {kind_of(cluster)} can pass on nothing but notes; pass "
            "shared='read', or a cluster that has a network"
        )


_NOTHING = Shared([], [], {})


class Source(Protocol):
    """Tensors that are stored in packs: those of a version."""

    def ranges(self, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]) -> dict[str, list[Range]]:
        """What is read of each pack for these tensors, and for these boxes of others."""

    def blobs(self, packs: Iterable[str]) -> dict[str, Blob]:
        """These packs, opened for reading. Raises NotFoundError."""

    def own(self) -> None:
        """Read into memory of the reader's own from now on."""


class Broadcast:
    """Reads what several ranks of a session need: as `how` says, or if it is None, by `BROADCAST` where the
    storage has slow calls. What ranks have kept in the memory of their hosts is read there, for all others.
    All of them call `bring` or `skip` once for each version; more calls do nothing.

    Nothing that was passed on is trusted: it is verified as if it had been read here, and what is wrong is
    read here then.
    """

    def __init__(self, session: Session | None, how: str | None) -> None:
        alone = session is None or session.size == 1 or not session.has_network
        kept = session.kept if session is not None else None
        self._session = None if alone or (how == READ and kept is None) else session
        self._how, self._kept = how, kept
        self._number = 0
        self._done = False
        self._link = Link()

    def close(self) -> None:
        """The session is over."""
        self._link.close()

    def again(self) -> None:
        """Another version is read."""
        self._number += 1
        self._done = False

    def begin(self, source: object) -> None:
        """The version is read from this source, of which nothing was read yet."""
        if self._session is not None and (self._how == BROADCAST or self._kept is not None):
            cast("Source", source).own()

    def bring(self, source: object, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]) -> None:
        """Bring what others need as well, of these tensors and of these boxes of others."""
        if self._session is None or self._done:
            return
        packed = cast("Source", source)
        wanted = packed.ranges(names, boxes)
        kept = self._kept.packs() if self._kept is not None else ()
        self._share(self._session, _opened(packed, [*wanted]), wanted, kept)

    def skip(self) -> None:
        """This rank reads nothing of the version."""
        if self._session is not None and not self._done:
            self._share(self._session, {}, {}, ())

    def _share(
        self, session: Session, blobs: dict[str, Blob], wanted: Mapping[str, list[Range]], kept: Iterable[str]
    ) -> None:
        self._done = True
        packs = {pack: in_pages(wanted[pack], blob.size) for pack, blob in blobs.items()}
        needs = Needs(packs, any(blob.fetchers for blob in blobs.values()), [*kept])
        found = session.gather(f"needs-{self._number}", needs, Needs)
        both = _Both()
        if session.leads:
            recall, found = recalled(found)
            passes = self._how == BROADCAST or (self._how is None and any(each.far for each in found))
            both = _Both(recall, shared(found) if passes else _NOTHING)
        both = session.agree(f"shared-{self._number}", both, _Both)
        if both.recalled.ranges:
            self._recall(session, blobs, pieces(both.recalled))
        if both.shared.ranges and self._session is not None and self._connected(session):
            assert self._link.network is not None
            readers = max((blob.fetchers for blob in blobs.values()), default=0)
            cut = enumerate(pieces(both.shared))
            Exchange(session, self._link.network, Blobs(blobs), cut, readers).run()

    def _recall(self, session: Session, blobs: dict[str, Blob], cut: Sequence[Piece]) -> None:
        """Pass on what is in the memory of hosts. If that fails, or takes too long, each rank reads."""
        if not self._connected(session):
            return
        assert self._link.network is not None
        assert self._kept is not None
        trouble = ""
        try:
            ends = FromMemory(self._kept, blobs)
            Exchange(session, self._link.network, ends, enumerate(cut), bounded=True).run()
        except LostRankError as error:
            session.watch()  # a rank that is lost ends the session
            trouble = str(error)
        self._give_up(first_of(session, f"recalled-{self._number}", trouble))

    def _connected(self, session: Session) -> bool:
        """Whether all ranks can reach each other; True if they did already."""
        trouble = self._link.trouble(session)
        if trouble and self._how == BROADCAST:
            said = f"the ranks cannot pass bytes on: {trouble}"
            raise LostRankError(f"{said}; let them reach each other, or pass shared='read'", 0)
        self._give_up(trouble)
        return not trouble

    def _give_up(self, trouble: str) -> None:
        """If there is trouble, pass on nothing more."""
        if trouble:
            logger.warning("the ranks cannot pass bytes on: %s; each reads what it needs", trouble)
            self.close()
            self._session = None


class _Both(msgspec.Struct, frozen=True):
    """What is passed on of the memory of hosts, and of the storage."""

    recalled: Shared = _NOTHING
    shared: Shared = _NOTHING


def _opened(source: Source, packs: Sequence[str]) -> dict[str, Blob]:
    """These packs, opened; of many files only some. None if a collector has moved one of them: then the
    source asks where to."""
    try:
        found = source.blobs(packs[:OPEN])
        if len(packs) > OPEN and all(blob.fetchers for blob in found.values()):
            found |= source.blobs(packs[OPEN:])
    except NotFoundError:
        return {}
    return found
