"""The ways in which a storage may fail, and give wrong results: by its contract, and as disks and networks
do.

Not among them: that `stat` and `open` report an existing object as missing, since no one could save or load
with such a storage. Only objects below `state/` may be reported as missing, or be stale: all of them are only
shortcuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NoReturn

from msgspec.structs import replace

from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    NotFoundError,
    SaverError,
)
from saver.storage import Listed, Storage
from saver.storages.memory import MemoryBlob
from saver.testing.faults import Crash
from saver.testing.faulty_storage import Call, Kind

READS = ("open", "read", "fetch", "stat", "list")
BYTES = ("open", "read", "fetch")
WRITES = ("put", "create", "delete")
SHORTCUTS = "state/"
"""Objects below it may be missing or stale, and no result may depend on them."""


def _raises(error: type[SaverError], calls: tuple[str, ...]) -> Kind:
    def strike(call: Call) -> NoReturn:
        raise error(f"{call.storage}: {call.key}: an injected fault; try again")

    return Kind(f"raises {error.__name__}", calls, strike)


def _breaks_off(call: Call) -> Iterator[Listed]:
    found = list(call.do())
    yield from found[: len(found) // 2]
    raise CannotReadError(f"{call.storage}: {call.key}: the listing broke off; try again")


def _denies(call: Call) -> Any:
    if call.name != "list":
        return None
    found = list(call.do())
    return iter(found[: len(found) // 2])


def flipped(data: bytes, at: int) -> bytes:
    """The bytes with one bit changed."""
    found = bytearray(data)
    if found:
        found[at] ^= 0x10
    return bytes(found)


def neighbour(storage: Storage, key: str) -> bytes:
    """The bytes of the object before another one in its folder, or else of the one after; its own if it is
    alone."""
    folder = key.rpartition("/")[0]
    top = folder.split("/")[0] + "/"
    keys = [each for each in storage.keys(top) if each.count("/") == key.count("/")] if folder else [key]
    for one, other in pairwise(keys):
        if other == key or (one == key and one == keys[0]):
            return storage.read(one if other == key else other)
    return storage.read(key)


def _fails_before(call: Call) -> NoReturn:
    raise CannotWriteError(f"{call.storage}: {call.key}: an injected fault: nothing was done; try again")


def _fails_after(call: Call) -> NoReturn:
    call.do()
    error = CannotWriteError if call.name == "delete" else CommitUnknownError
    raise error(f"{call.storage}: {call.key}: it was done, but the reply was lost; check whether it was done")


def _is_unknown(call: Call) -> NoReturn:
    raise CommitUnknownError(f"{call.storage}: {call.key}: the request was lost; check whether it was done")


def _is_asked_again(call: Call) -> bool:
    call.do()
    return False


def _dies_before(call: Call) -> NoReturn:
    raise Crash


def _dies_after(call: Call) -> NoReturn:
    call.do()
    raise Crash


def _lasting(kind: Kind) -> Kind:
    return replace(kind, name=f"{kind.name} from then on", lasting=True)


DAMAGE: dict[str, Callable[[Storage, str], bytes] | None] = {
    "missing": None,
    "truncated": lambda storage, key: (data := storage.read(key))[: len(data) // 2],
    "empty": lambda storage, key: b"",
    "flipped": lambda storage, key: flipped(data := storage.read(key), len(data) // 2),
    "flipped at its end": lambda storage, key: flipped(storage.read(key), -1),
    "another one": neighbour,
}
"""The ways in which an object may be damaged, by name: functions from its storage and key to the bytes that
are there instead; None for a missing object."""


def _spoils(name: str, change: Callable[[Storage, str], bytes]) -> Kind:
    """Opening an object succeeds, but gives other bytes."""

    def strike(call: Call) -> MemoryBlob:
        return MemoryBlob(call.do().name, change(call.storage, call.key))

    return Kind(name, ("open",), strike)


_SPOILT = [_spoils(name, change) for name, change in DAMAGE.items() if change is not None]
_FAILED = [_raises(CannotReadError, READS), _raises(DamagedError, READS), _raises(NotFoundError, BYTES)]
_STALE = Kind("not there yet", ("stat", "list"), _denies, SHORTCUTS)

READ_KINDS: tuple[Kind, ...] = (
    *_FAILED,
    *map(_lasting, _FAILED),
    Kind("breaks off", ("list",), _breaks_off),
    _STALE,
    _lasting(_STALE),
    *_SPOILT,
    *map(_lasting, _SPOILT),
)
"""How reading fails: an error that a storage may raise; a listing that ends in one; a shortcut that is
denied; bytes that are truncated, missing, changed or those of a neighbour. Once, or from then on."""

WRITE_KINDS: tuple[Kind, ...] = (
    Kind("fails before", WRITES, _fails_before),
    Kind("fails after", WRITES, _fails_after),
    Kind("unknown and not done", ("put", "create"), _is_unknown),
    Kind("asked again", ("create",), _is_asked_again),
    Kind("dies before", WRITES, _dies_before),
    Kind("dies after", WRITES, _dies_after),
)
"""How writing fails: before or after it was done; the reply is lost, or the request; a storage that retries
by itself finds its own object; the process dies."""

KINDS: tuple[Kind, ...] = READ_KINDS + WRITE_KINDS
"""All of them."""


def overtaken(act: Callable[[Storage], object], what: str = "another") -> tuple[Kind, Kind]:
    """Another writer runs the whole `act` between two calls: before a call, or after it and before its
    result is used.

    So results are as stale as the contract of storages allows: a listing lacks what was created since.
    """

    def before(call: Call) -> Any:
        act(call.storage)
        return call.do()

    def after(call: Call) -> Any:
        found = call.do()
        act(call.storage)
        return found

    calls = (*READS, *WRITES)
    return Kind(f"{what} before", calls, before), Kind(f"{what} after", calls, after)
