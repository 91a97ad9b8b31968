"""The addresses of a shared store: what each request is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import msgspec
from starlette.routing import Route

from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    IncompatibleError,
    KeyNeededError,
    NotFoundError,
    SaverError,
    WrongKeyError,
)
from saver.serve.door import Act, Answer, Ask, Door, House, Json
from saver.serve.refusals import Refusal
from saver.serve.storing.claims import Claims
from saver.serve.storing.keeper import Keeper, demand_key
from saver.serve.storing.receiving import Received, Spool, receive
from saver.storage import Blob, Listed

T = TypeVar("T")

PROTOCOL = "1"
HEADER = "saver-store"
OWN = {HEADER: PROTOCOL, "cache-control": "no-store"}
THREADS = 8
PIECE = 256 << 10
"""Bytes of an answer that are in memory at the same time."""
MOST = 16 << 20
"""Bytes in one answer: a client that wants more asks again, and one that goes away costs no more."""
LISTED = 1000
"""Objects in one answer, and keys in one request."""
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[str]


_keys = msgspec.json.Decoder(_Keys)


class Sharing:
    """The doors to the store of a `keeper`."""

    def __init__(self, house: House, keeper: Keeper) -> None:
        self._house, self._keeper = house, keeper
        self._spool = Spool(house.limits, house.bodies)
        self._threads = ThreadPoolExecutor(THREADS, "saver-store")

    def routes(self) -> list[Route]:
        """All of them. Who may do anything here may read."""
        return [
            self._route("/store", self._about, "GET"),
            self._route("/store/list", self._list, "GET"),
            self._route("/store/stats", self._stats, "POST"),
            self._route("/store/delete", self._delete, "POST"),
            self._route("/store/objects/{key:path}", self._object, "GET", "PUT"),
        ]

    def _route(self, path: str, act: Act, *methods: str) -> Route:
        return Route(
            path, Door(self._house, partial(_shown, act), "read", *methods, route=path), methods=None
        )

    def close(self) -> None:
        """End the threads, once what they do is done."""
        self._threads.shutdown(wait=True)

    async def _do(self, act: Callable[[], T]) -> T:
        """What `act` returns, in a thread; what it raises, as a refusal."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, act)
        except Refusal:
            raise
        except SaverError as error:
            raise _refusal(error, self._keeper.clean(str(error))) from None

    def _claims(self, ask: Ask) -> Claims:
        return Claims(self._house.gate, ask.token)

    async def _about(self, ask: Ask) -> Answer:
        keeper = self._keeper
        sealed = await self._do(lambda: keeper.is_opaque)
        return Answer(Json({"protocol": int(PROTOCOL), "share": keeper.share, "opaque": sealed}), headers=OWN)

    async def _object(self, ask: Ask) -> Answer:
        key = ask.params["key"]
        demand_key(key)
        if ask.scope["method"] == "PUT":
            return await self._put(ask, key)
        start, end = _range(ask.headers.get("range"))
        blob = await self._do(partial(self._opened, key))
        stop = min(blob.size if end is None else end, blob.size, start + MOST)
        length = max(0, stop - start)
        headers = {**OWN, "saver-size": str(blob.size)}
        whole = length == blob.size
        if not whole and length:
            headers["content-range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        pieces = self._pieces(blob, start, start + length)
        return Answer(
            b"", "application/octet-stream", headers, 200 if whole else 206, pieces, length
        )  # fmt: skip

    def _opened(self, key: str) -> Blob:
        return self._keeper.outer.open(key)

    async def _pieces(self, blob: Blob, start: int, end: int) -> AsyncIterator[bytes]:
        for at in range(start, end, PIECE):
            stop = min(at + PIECE, end)
            piece = await self._do(partial(blob.read, at, stop))
            if len(piece) != stop - at:
                raise ConnectionError("the object was cut off while it was read")
            yield piece

    async def _put(self, ask: Ask, key: str) -> Answer:
        if ask.headers.get("if-none-match") != "*":
            raise Refusal("bad-request", "objects are never replaced: If-None-Match: *")
        claims, keeper = self._claims(ask), self._keeper
        most = await self._do(partial(_may_send, keeper, key, claims))
        received = Received(self._spool, most)
        try:
            await receive(ask, received, self._house.limits, self._threads)
            created = await self._do(partial(keeper.create, key, received, claims))
        finally:
            received.close()
        if not created:
            raise Refusal("exists", "there is an object with this key")
        return Answer(headers=OWN, status=201)

    async def _delete(self, ask: Ask) -> Answer:
        keys = await _listed_keys(ask)
        await self._do(partial(self._keeper.delete, keys, self._claims(ask)))
        return Answer(headers=OWN)

    async def _stats(self, ask: Ask) -> Answer:
        keys = await _listed_keys(ask)
        return Answer(Json({"stats": await self._do(partial(self._looked, keys))}), headers=OWN)

    def _looked(self, keys: list[str]) -> list[tuple[int, float] | str | None]:
        try:
            return [_plain(each) for each in self._keeper.outer.stats(*keys)]
        except DamagedError:
            return [self._look(key) for key in keys]

    def _look(self, key: str) -> tuple[int, float] | str | None:
        try:
            return _plain(self._keeper.outer.stat(key))
        except DamagedError as error:
            return self._keeper.clean(str(error))

    async def _list(self, ask: Ask) -> Answer:
        prefix, after = (([*ask.query(name), ""])[0] for name in ("prefix", "after"))
        if prefix:
            demand_key(prefix.removesuffix("/"))
        if prefix and not prefix.endswith("/"):
            raise Refusal("bad-request", "a prefix ends with a slash")
        found = await self._do(lambda: [*islice(self._keeper.outer.list(prefix, after), LISTED + 1)])
        shown = [_entry(each) for each in found[:LISTED]]
        return Answer(Json({"found": shown, "more": len(found) > LISTED}), headers=OWN)


def _entry(found: Listed) -> tuple[str, int | None, float | None]:
    stat = found.stat
    return (found.key, None, None) if stat is None else (found.key, stat.size, stat.time)


def _plain(stat: object) -> tuple[int, float] | None:
    return None if stat is None else (stat.size, stat.time)  # type: ignore[attr-defined]


def _may_send(keeper: Keeper, key: str, claims: Claims) -> int:
    keeper.demand_writer(claims)
    return keeper.most(key)


async def _shown(act: Act, ask: Ask) -> Answer:
    """The answer to a client that speaks this protocol."""
    if ask.headers.get(HEADER) != PROTOCOL:
        raise Refusal("other-protocol", f"a shared store is asked with the header {HEADER}: {PROTOCOL}")
    return await act(ask)


async def _listed_keys(ask: Ask) -> list[str]:
    try:
        keys = _keys.decode(await ask.body()).keys
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refusal("bad-json", f'keys are listed in an object, {{"keys": […]}} ({error})') from None
    if len(keys) > LISTED:
        raise Refusal("too-large", f"one request has at most {LISTED:,} keys")
    for key in keys:
        demand_key(key)
    return keys


def _range(text: str | None) -> tuple[int, int | None]:
    """The range of an object that is wanted: start and end, None for all to its end."""
    if text is None:
        return 0, None
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        raise Refusal("bad-request", "a range is bytes=START-LAST")
    return int(found[1]), int(found[2]) + 1


def _refusal(error: SaverError, text: str) -> Refusal:
    """What a client is answered for an error of the storage."""
    match error:
        case NotFoundError():
            return Refusal("no-object", "there is no such object")
        case DamagedError():
            return Refusal("damaged", text)
        case IncompatibleError():
            return Refusal("incompatible", text)
        case CommitUnknownError():
            return Refusal("failed", f"it is unknown whether it was written: {text}")
        case KeyNeededError() | WrongKeyError():
            return Refusal("forbidden", text)
        case CannotWriteError():
            return Refusal("cannot-write", text)
        case CannotReadError():
            return Refusal("unavailable", text)
    return Refusal("failed", text)
