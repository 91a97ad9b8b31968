"""How ranks that only have a board connect with each other.

Each rank listens, and leaves a note with its addresses and a secret on the board of its cluster; rank 0 puts
all of them into one. A rank connects with all before it, and those after it connect with it. Both ends prove
that they know the secret of the one that listens, which only those know who can read the board, before
anything else is sent: by hashes with random numbers of both.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
import time
from contextlib import suppress
from hmac import compare_digest

import msgspec
from blake3 import blake3

from saver.cluster import Cluster
from saver.clusters.interfaces import addresses
from saver.strict import decodable

LOOK = 0.02, 0.5
"""Seconds between the first two looks at the board for a note, and at most: they become more, as each costs
something in a bucket."""

TRYING = 3.0
"""Seconds that an address has to answer, and one who connects to prove that it is a rank."""

GREETING = 64
"""How many may be about to prove that at the same time; others are turned away."""

NONCE = 16
"""Bytes of a random number."""

_HELLO = struct.Struct(f"!I{NONCE}s")

_ADVICE = "let SAVER_ADDRESS name the network interface that connects the ranks, or its address"


@decodable
class _Note(msgspec.Struct):
    """Where a rank listens."""

    host: str
    addresses: list[str]
    port: int
    secret: bytes


_note, _notes = msgspec.json.Decoder(_Note), msgspec.json.Decoder(list[_Note])


def connected(cluster: Cluster, name: str) -> dict[int, socket.socket]:
    """A connection with each of the other ranks, which all call this with the same name, within `lost_after`
    seconds. Raises ConnectionError, or what the board raises, if they cannot all be reached."""
    until = time.monotonic() + cluster.lost_after
    found: dict[int, socket.socket] = {}
    with _listening() as listens:
        door = _Door(listens, cluster, found)
        host = socket.gethostname()
        own = _Note(host, addresses(), listens.getsockname()[1], door.secret)
        try:
            for rank, note in enumerate(_all(cluster, name, own, until)[: cluster.rank]):
                door.let_in(rank, _reached(note, host, cluster.rank, rank, until))
            door.wait(until)
        except BaseException:
            for each in found.values():
                each.close()
            raise
        finally:
            door.close()
            cluster.delete(f"{name}/listens-{cluster.rank}")
    for each in found.values():
        each.settimeout(None)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _listening() -> socket.socket:
    """A socket that listens to IPv6, if this machine has it, and IPv4."""
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return socket.create_server(("", 0), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True)
    return socket.create_server(("", 0), backlog=512)


def _all(cluster: Cluster, name: str, own: _Note, until: float) -> list[_Note]:
    """The notes of all ranks, in order."""
    if cluster.rank:
        cluster.put(f"{name}/listens-{cluster.rank}", msgspec.json.encode(own))
        return _notes.decode(_read(cluster, f"{name}/listens-0", 0, until))
    others = range(1, cluster.size)
    found = [own, *(_note.decode(_read(cluster, f"{name}/listens-{rank}", rank, until)) for rank in others)]
    cluster.put(f"{name}/listens-0", msgspec.json.encode(found))
    return found


def _read(cluster: Cluster, key: str, rank: int, until: float) -> bytes:
    """The note of a rank, once it is there."""
    pause, most = LOOK
    while (found := cluster.get(key)) is None:
        if time.monotonic() > until:
            raise ConnectionError(f"rank {rank} did not say within {cluster.lost_after:g} s where it listens")
        time.sleep(pause)
        pause = min(pause * 1.5, most)
    return found


def _reached(note: _Note, host: str, own: int, rank: int, until: float) -> socket.socket:
    """A connection with a rank that listens. Raises ConnectionError."""
    failed = "its time was over"
    for address in [*(["127.0.0.1"] if note.host == host else ()), *note.addresses]:
        left = min(TRYING, until - time.monotonic())
        if left <= 0:
            break
        try:
            found = socket.create_connection((address, note.port), left)
            try:
                _prove(found, note.secret, own)
            except BaseException:
                found.close()
                raise
            return found
        except OSError as error:
            failed = str(error)
    raise ConnectionError(
        f"rank {rank} cannot be reached at {', '.join(note.addresses)}: {failed}; {_ADVICE}"
    )


def _prove(connection: socket.socket, secret: bytes, own: int) -> None:
    """Prove that this is a rank of the cluster. Raises ConnectionError unless the other end does so, too."""
    mine = secrets.token_bytes(NONCE)
    connection.sendall(_HELLO.pack(own, mine))
    answer = _exactly(connection, NONCE + 32)
    theirs = answer[:NONCE]
    if not compare_digest(answer[NONCE:], _proof(secret, b"listens", mine, theirs, own)):
        raise ConnectionError("somebody else answers there")
    connection.sendall(_proof(secret, b"connects", mine, theirs, own))


def _proof(secret: bytes, who: bytes, connects: bytes, listens: bytes, rank: int) -> bytes:
    """32 bytes that prove to know a secret; `connects` and `listens` are the random numbers of both ends."""
    return blake3(who + _HELLO.pack(rank, connects) + listens, key=secret).digest()


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes. Raises ConnectionError if no more come."""
    found = b""
    while len(found) < size:
        more = connection.recv(size - len(found))
        if not more:
            raise ConnectionError("the connection was closed")
        found += more
    return found


class _Door:
    """Lets those ranks in that come after this one, while it lasts: `found` are all that are there."""

    def __init__(self, listens: socket.socket, cluster: Cluster, found: dict[int, socket.socket]) -> None:
        self.secret = secrets.token_bytes(32)
        self._cluster, self._found = cluster, found
        self._changed = threading.Condition()
        self._open, self._greeted = True, 0
        self._listens = listens
        listens.settimeout(0.1)
        threading.Thread(target=self._accept, name="saver-door", daemon=True).start()

    def let_in(self, rank: int, connection: socket.socket) -> None:
        with self._changed:
            self._found[rank] = connection
            self._changed.notify_all()

    def wait(self, until: float) -> None:
        """Wait for all ranks."""
        size = self._cluster.size
        with self._changed:
            self._changed.wait_for(lambda: len(self._found) == size - 1, until - time.monotonic())
            missing = sorted({*range(size)} - {self._cluster.rank, *self._found})
        if missing:
            named = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
            raise ConnectionError(
                f"rank {named} did not connect within {self._cluster.lost_after:g} s; {_ADVICE}"
            )

    def close(self) -> None:
        with self._changed:
            self._open = False

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _ = self._listens.accept()
            except TimeoutError:
                continue
            except OSError:  # it was closed
                return
            with self._changed:
                self._greeted += 1
                full = self._greeted > GREETING
            if full:
                self._leave(connection)
            else:
                threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _leave(self, connection: socket.socket | None) -> None:
        if connection is not None:
            connection.close()
        with self._changed:
            self._greeted -= 1

    def _greet(self, connection: socket.socket) -> None:
        turned_away: socket.socket | None = connection
        try:
            connection.settimeout(TRYING)
            rank, theirs = _HELLO.unpack(_exactly(connection, _HELLO.size))
            mine = secrets.token_bytes(NONCE)
            connection.sendall(mine + _proof(self.secret, b"listens", theirs, mine, rank))
            proof = _exactly(connection, 32)
            with self._changed:
                wanted = self._cluster.rank < rank < self._cluster.size and rank not in self._found
                proven = compare_digest(proof, _proof(self.secret, b"connects", theirs, mine, rank))
                if self._open and wanted and proven:
                    self._found[rank], turned_away = connection, None
                    self._changed.notify_all()
        except OSError:  # it left, or said nothing: it was no rank, or will say what went wrong
            pass
        finally:
            self._leave(turned_away)
