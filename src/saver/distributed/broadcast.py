"""Bytes that several ranks need are read by one of them, which passes them on to the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, cast

from saver.cluster import Cluster, Network
from saver.distributed.exchange import Exchange, started, wait_for
from saver.distributed.passing import Needs, Range, Shared, in_pages, pieces, shared
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
    storage has slow calls. All of them call `bring` or `skip` once for each version; more calls do nothing.

    Nothing that was passed on is trusted: it is verified as if it had been read here, and what is wrong is
    read here then.
    """

    def __init__(self, session: Session | None, how: str | None) -> None:
        reads = session is None or session.size == 1 or not session.has_network or how == READ
        self._session = None if reads else session
        self._how = how
        self._number = 0
        self._done = False
        self._network: Network | None = None

    def close(self) -> None:
        """The session is over."""
        if self._network is not None:
            self._network.close()

    def again(self) -> None:
        """Another version is read."""
        self._number += 1
        self._done = False

    def begin(self, source: object) -> None:
        """The version is read from this source, of which nothing was read yet."""
        if self._session is not None and self._how == BROADCAST:
            cast("Source", source).own()

    def bring(self, source: object, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]) -> None:
        """Bring what others need as well, of these tensors and of these boxes of others."""
        if self._session is None or self._done:
            return
        packed = cast("Source", source)
        wanted = packed.ranges(names, boxes)
        try:
            blobs = _opened(packed, [*wanted])
        except NotFoundError:  # a collector has moved it: the source asks where to
            blobs = {}
        self._share(self._session, blobs, wanted)

    def skip(self) -> None:
        """This rank reads nothing of the version."""
        if self._session is not None and not self._done:
            self._share(self._session, {}, {})

    def _share(self, session: Session, blobs: Mapping[str, Blob], wanted: Mapping[str, list[Range]]) -> None:
        self._done = True
        packs = {pack: in_pages(wanted[pack], blob.size) for pack, blob in blobs.items()}
        needs = Needs(packs, any(blob.fetchers for blob in blobs.values()))
        found = session.gather(f"needs-{self._number}", needs, Needs)
        plan = Shared([], [], {})
        if session.leads and (self._how == BROADCAST or any(each.far for each in found)):
            plan = shared(found)
        plan = session.agree(f"shared-{self._number}", plan, Shared)
        if plan.ranges and self._connected(session):
            assert self._network is not None
            Exchange(session, self._network, blobs, pieces(plan)).run()

    def _connected(self, session: Session) -> bool:
        """Whether all ranks can reach each other; True if they did already."""
        if self._network is not None:
            return True
        found = _network(session)
        trouble = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else ""
        troubles = session.gather("connected", trouble, str)
        first = next((f"{each} (rank {rank})" for rank, each in enumerate(troubles) if each), "")
        first = session.agree("all-connected", first, str)
        if not isinstance(found, Exception):
            self._network = found
        if not first:
            return True
        said = f"the ranks cannot pass bytes on: {first}"
        if self._how == BROADCAST:
            raise LostRankError(f"{said}; let them reach each other, or pass shared='read'", 0)
        logger.warning("%s; each reads what it needs", said)
        self.close()
        self._network = self._session = None
        return False


def _network(session: Session) -> Network | Exception:
    """The network of all ranks, or why there is none."""
    session.doing("connecting")
    found: list[Network | Exception] = []

    def connect() -> None:
        try:
            found.append(session.network())
        except Exception as error:
            found.append(error)

    wait_for([started(connect)], session.watch)
    return found[0]


def _opened(source: Source, packs: Sequence[str]) -> dict[str, Blob]:
    """These packs, opened; of many files only some."""
    found = source.blobs(packs[:OPEN])
    if len(packs) > OPEN and all(blob.fetchers for blob in found.values()):
        found |= source.blobs(packs[OPEN:])
    return found
