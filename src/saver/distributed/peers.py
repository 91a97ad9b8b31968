"""What a rank saves is also kept in the memory of its host, and in that of another one: a resume need not
read the storage then. docs/decisions/0041-packs-are-kept-in-the-memory-of-peers.md says why it is so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import numpy as np

from saver.caching.host_memory import HostMemory, Room
from saver.caching.recalling import RecallingStorage
from saver.distributed.exchange import Exchange, FromMemory
from saver.distributed.linking import Link, first_of
from saver.distributed.members import Members
from saver.distributed.passing import PIECE, Piece
from saver.distributed.session import Session
from saver.errors import LostRankError, SaverError
from saver.logger import logger
from saver.storage import Bring


class _Pack(msgspec.Struct, frozen=True):
    name: str
    size: int


def partners(hosts: Sequence[str]) -> list[int | None]:
    """Whom each rank passes its packs to: a rank of the next host, whose ranks take turns. None if there is
    one host alone."""
    ranks: dict[str, list[int]] = {}
    for rank, host in enumerate(hosts):
        ranks.setdefault(host, []).append(rank)
    groups = [*ranks.values()]
    if len(groups) == 1:
        return [None] * len(hosts)
    found: list[int | None] = [None] * len(hosts)
    for number, own in enumerate(groups):
        others = groups[(number + 1) % len(groups)]
        for at, rank in enumerate(own):
            found[rank] = others[at % len(others)]
    return found


class Peers:
    """The ranks of a run that keep what they save in memory. `begin` and `keep` are called by all of them."""

    def __init__(self, members: Members, storage: RecallingStorage) -> None:
        self._members, self._storage, self._memory = members, storage, storage.memory
        self._link = Link()
        self._partners: list[int | None] = []
        members.kept = self._memory

    def begin(self) -> None:
        """Find out which ranks share memory."""
        with Session(self._members, "find who shares memory") as session:
            found = session.gather("memory", self._memory.open(), str)
            chosen = partners(found) if session.leads else []
            self._partners = session.agree("partners", chosen, list[int | None])
        if session.leads and session.size > 1 and self._partners[0] is None:
            logger.warning(
                "peer_memory: all %d ranks are on one host, %s: what they keep there outlives their "
                "processes, but not the host",
                session.size, self._members.all[0].host,
            )  # fmt: skip

    def keep(self, what: str) -> None:
        """Pass on the packs that are new to another host; what was saved is in the storage already. If a rank
        is lost, or slow, they are not kept there."""
        taken = self._storage.taken()
        if not any(each is not None for each in self._partners):
            return
        try:
            with Session(self._members, f"{what}, in memory", within=self._members.lost_after) as session:
                trouble = self._link.trouble(session) or self._exchanged(session, taken)
        except SaverError as error:
            trouble = str(error)
        if trouble:
            self._link.close()
            logger.warning("not all that was saved is kept in the memory of another host: %s", trouble)

    def _exchanged(self, session: Session, taken: Sequence[str]) -> str:
        """Pass packs on; returns what went wrong in the first rank in which something did."""
        partner = self._partners[session.rank]
        sizes = {name: self._memory.size(name) for name in taken}
        sends = [_Pack(name, size) for name, size in sizes.items() if size]  # others made room for newer ones
        session.tell("packs", sends)
        cut = [*enumerate(_pieces(sends, session.rank, partner))]
        trouble = ""
        with ExitStack() as unfinished:
            rooms: dict[str, tuple[Room, int]] = {}
            for rank in (rank for rank, each in enumerate(self._partners) if each == session.rank):
                packs = session.hear(rank, "packs", list[_Pack])
                cut += enumerate(_pieces(packs, rank, session.rank))
                for pack in packs:
                    room = self._memory.begin(pack.name, pack.size)
                    if room is not None:
                        rooms[pack.name] = room, pack.size
                        unfinished.callback(room.give_up)
            assert self._link.network is not None
            try:
                Exchange(session, self._link.network, _Kept(self._memory, rooms), cut, bounded=True).run()
                unfinished.pop_all()
                for room, size in rooms.values():
                    room.finish(size)
            except LostRankError as error:
                session.watch()  # a rank that is lost ends the session
                trouble = str(error)
        return first_of(session, "kept", trouble)

    def close(self, is_over: bool) -> None:
        """The ranks part. If the run `is_over`, nothing stays in memory."""
        self._link.close()
        if is_over:
            self._memory.clear()


def _pieces(packs: Sequence[_Pack], reader: int, other: int | None) -> list[Piece]:
    return [
        Piece(pack.name, start, min(start + PIECE, pack.size), reader, [other])
        for pack in packs
        for start in range(0, pack.size, PIECE)
        if other is not None
    ]


class _Kept(FromMemory):
    """Packs in memory: from that of this host to that of another one."""

    def __init__(self, memory: HostMemory, rooms: dict[str, tuple[Room, int]]) -> None:
        super().__init__(memory, {})
        self._rooms = rooms

    def receive(self, piece: Piece, bring: Bring) -> None:
        if piece.pack in self._rooms:
            found = np.empty(piece.end - piece.start, np.uint8)
            bring(piece.start, piece.end, found.data)
            self._rooms[piece.pack][0].write(found.data, piece.start)
