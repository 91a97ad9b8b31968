"""Connections between ranks that only have a board: who is let in, what arrives, and what ends them."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from saver.cluster import Cluster, Network
from saver.clusters import meeting, sockets
from saver.clusters.interfaces import addresses
from saver.clusters.memory import MemoryCluster
from saver.clusters.sockets import SocketNetwork


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    """What each of these returns or raises; all are called at the same time."""
    found: list[Any] = [None] * len(acts)

    def run(at: int) -> None:
        try:
            found[at] = acts[at]()
        except Exception as error:
            found[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def clusters(size: int, seconds: float = 20.0) -> list[Cluster]:
    found: list[Cluster] = [*MemoryCluster.all(size)]
    for each in found:
        each.lost_after = seconds
    return found


def joined(ranks: list[Cluster]) -> list[Any]:
    return at_once([lambda each=each: SocketNetwork(each, "n/1") for each in ranks])  # type: ignore[misc]


@pytest.fixture
def three() -> Iterator[list[Network]]:
    found = joined(clusters(3))
    yield found
    for each in found:
        each.close()


def bytes_of(rank: int, tag: int, size: int) -> Any:
    return np.random.default_rng([rank, tag]).integers(0, 256, size, np.uint8)


def test_messages_of_any_size_arrive_whole_in_whatever_order_they_are_requested(three: list[Network]) -> None:
    """Between all ranks at the same time, with more messages than threads that receive."""
    chance = random.Random(5)
    sizes = [0, 1, 13, sockets.AT_ONCE - 1, sockets.AT_ONCE, 3 * sockets.AT_ONCE + 7, *range(100, 140)]

    def rank(own: int) -> None:
        others = [each for each in range(3) if each != own]
        pairs = [(each, tag) for each in others for tag in range(len(sizes))]
        sends, receives = (chance.sample(pairs, len(pairs)) for _ in range(2))
        waits = [three[own].send(to, bytes_of(own, tag, sizes[tag]), tag) for to, tag in sends]
        left, lock = iter(receives), threading.Lock()

        def receive() -> None:
            while True:
                with lock:
                    found = next(left, None)
                if found is None:
                    return
                sender, tag = found
                memory = np.zeros(sizes[tag], np.uint8)
                three[own].receive(sender, memory, tag)
                np.testing.assert_array_equal(memory, bytes_of(sender, tag, sizes[tag]))

        assert at_once([receive] * 4) == [None] * 4
        for wait in waits:
            wait()

    assert at_once([lambda: rank(0), lambda: rank(1), lambda: rank(2)]) == [None] * 3


def test_what_nobody_asked_for_yet_is_not_sent(three: list[Network]) -> None:
    large = bytes_of(0, 1, 40 << 20)  # more than connections hold
    wait = three[0].send(1, large, 1)
    sent = threading.Thread(target=wait)
    sent.start()
    small = np.zeros(9, np.uint8)
    three[0].send(1, np.arange(9, dtype=np.uint8), 2)
    three[1].receive(0, small, 2)  # it does not stand in the way of others
    assert small.tolist() == [*range(9)]
    assert sent.is_alive()
    memory = np.zeros(large.size, np.uint8)
    three[1].receive(0, memory, 1)
    sent.join()
    np.testing.assert_array_equal(memory, large)


def test_a_rank_that_ends_has_all_that_waits_for_it_raise(three: list[Network]) -> None:
    wait = three[0].send(1, np.zeros(9, np.uint8), 1)

    def ends() -> None:
        time.sleep(0.05)
        three[1].close()

    found = at_once([lambda: three[0].receive(1, np.zeros(9, np.uint8), 1), wait, ends])
    assert [type(each) for each in found[:2]] == [ConnectionError] * 2
    assert all(str(each).startswith("rank 1: ") for each in found[:2])
    with pytest.raises(ConnectionError, match="rank 1"):
        three[0].send(1, np.zeros(9, np.uint8), 2)
    with pytest.raises(ConnectionError, match="rank 1"):
        three[0].receive(1, np.zeros(9, np.uint8), 2)
    three[0].send(2, np.ones(9, np.uint8), 2)
    three[2].receive(0, memory := np.zeros(9, np.uint8), 2)
    assert memory.all()


@pytest.mark.parametrize(
    "sent",
    [
        sockets._HEAD.pack(1, 7, 9) + bytes(9),  # nobody asked for it
        sockets._HEAD.pack(1, 1, 1 << 40),  # another size
        sockets._HEAD.pack(2, 1, 9),
        b"nonsense" * 99,
    ],
    ids=["unasked", "too large", "of no kind", "nonsense"],
)
def test_a_message_that_was_not_asked_for_ends_the_connection(sent: bytes) -> None:
    ranks = clusters(2)
    network, other = at_once(
        [lambda: SocketNetwork(ranks[0], "n"), lambda: meeting.connected(ranks[1], "n")[0]]
    )
    other.sendall(sent)
    other.close()
    with pytest.raises(ConnectionError, match=r"rank 1: it sent .* which nobody wanted"):
        network.receive(1, np.zeros(9, np.uint8), 1)
    network.close()


def test_a_rank_that_does_not_come_is_named_in_time() -> None:
    ranks = clusters(3, 0.3)
    found = at_once([lambda: SocketNetwork(ranks[0], "n"), lambda: SocketNetwork(ranks[1], "n")])
    assert str(found[0]) == "rank 2 did not say within 0.3 s where it listens"
    assert str(found[1]) == "rank 0 did not say within 0.3 s where it listens"
    assert not ranks[0]._board  # type: ignore[attr-defined]


def test_a_rank_that_cannot_connect_is_named_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 2 finds nobody at any address of rank 1."""
    ranks = clusters(3, 1.0)
    reached = meeting._reached

    def moved(note: Any, host: str, own: int, rank: int, until: float) -> Any:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1] if (own, rank) == (2, 1) else note.port
        note = msgspec.structs.replace(note, port=port, addresses=["127.0.0.1"])
        return reached(note, "elsewhere", own, rank, until)

    monkeypatch.setattr(meeting, "_reached", moved)
    found = joined(ranks)
    assert "rank 1 cannot be reached at 127.0.0.1: " in str(found[2])
    assert "SAVER_ADDRESS" in str(found[2])
    assert str(found[1]).startswith("rank 2 did not connect within 1 s; let SAVER_ADDRESS")


def test_others_than_ranks_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """They say nothing, nonsense, what a rank says, or that they are one, while all ranks meet."""
    monkeypatch.setattr(meeting, "TRYING", 0.5)
    ranks = clusters(3)
    door = meeting._Door.__init__
    strangers: list[socket.socket] = []
    answers: list[bytes] = []

    def visited(self: Any, listens: socket.socket, *rest: Any) -> None:
        door(self, listens, *rest)
        for hello in (
            b"", b"GET / HTTP/1.1\r\n\r\n" * 9, meeting._HELLO.pack(2, bytes(meeting.NONCE)),
            meeting._HELLO.pack(2**32 - 1, bytes(meeting.NONCE)) + bytes(32),
            meeting._HELLO.pack(2, bytes(meeting.NONCE)) + bytes(32),
        ):  # fmt: skip
            stranger = socket.create_connection(("127.0.0.1", listens.getsockname()[1]))
            stranger.sendall(hello)
            strangers.append(stranger)

    monkeypatch.setattr(meeting._Door, "__init__", visited)
    found = joined(ranks)
    assert [type(each) for each in found] == [SocketNetwork] * 3, found
    for stranger in strangers:  # each connection ends, and they got no more than a greeting
        stranger.settimeout(10)
        got = b""
        try:
            while more := stranger.recv(1000):
                got += more
        except ConnectionResetError:
            pass
        answers.append(got)
        stranger.close()
    assert {len(each) for each in answers} <= {0, meeting.NONCE + 32}
    found[0].send(1, np.ones(9, np.uint8), 0)
    found[1].receive(0, memory := np.zeros(9, np.uint8), 0)
    assert memory.all()
    for each in found:
        each.close()


def test_very_many_strangers_at_once_cost_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "GREETING", 3)
    monkeypatch.setattr(meeting, "TRYING", 5.0)
    before = threading.active_count()
    with meeting._listening() as listens:
        door = meeting._Door(listens, clusters(2)[0], {})
        port = listens.getsockname()[1]
        strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for stranger in strangers[3:]:
            stranger.settimeout(10)
            assert stranger.recv(1) == b""
        assert threading.active_count() <= before + 4
        for stranger in strangers:
            stranger.close()
        door.close()


def test_another_program_that_listens_in_the_place_of_a_rank_gets_no_proof() -> None:
    got: list[bytes] = []

    def answers() -> None:
        with listens:
            connection, _ = listens.accept()
            with connection:
                got.append(connection.recv(1000))
                connection.sendall(bytes(meeting.NONCE + 32))
                got.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listens:
        note = meeting._Note("here", ["127.0.0.1"], listens.getsockname()[1], os.urandom(32))
        found = at_once([answers, lambda: meeting._reached(note, "there", 1, 0, time.monotonic() + 20)])
    assert "somebody else answers there" in str(found[1])
    assert struct.unpack("!I", got[0][:4]) == (1,)
    assert got[1] == b""


def test_a_proof_is_of_one_rank_and_two_random_numbers() -> None:
    """So none of them can be used again, or for the other end."""
    secret, given = bytes(32), (b"listens", bytes(16), bytes(16), 1)
    proofs = {
        meeting._proof(secret, *given),
        meeting._proof(bytes([1]) + bytes(31), *given),
        meeting._proof(secret, b"connects", *given[1:]),
        meeting._proof(secret, b"listens", bytes([1]) + bytes(15), bytes(16), 1),
        meeting._proof(secret, b"listens", bytes(16), bytes([1]) + bytes(15), 1),
        meeting._proof(secret, b"listens", bytes(16), bytes(16), 2),
    }
    assert len(proofs) == 6


def test_the_addresses_are_of_this_machine_and_one_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("", 0)) as listens:
        for address in addresses():
            if ":" not in address:
                socket.create_connection((address, listens.getsockname()[1]), 10).close()
    monkeypatch.setenv("SAVER_ADDRESS", "10.1.2.3")
    assert addresses() == ["10.1.2.3"]
    monkeypatch.setenv("SAVER_ADDRESS", "lo")
    if os.path.exists("/sys/class/net/lo"):
        assert addresses() == ["127.0.0.1"]
    monkeypatch.setenv("SAVER_ADDRESS", "nowhere0")
    with pytest.raises(ValueError, match="SAVER_ADDRESS is 'nowhere0': not an address or interface"):
        addresses()
