"""Bearer tokens: shown once, when they are made. A file keeps their hashes, scopes, expiry and rates."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

import msgspec

from saver.disk.durable import NewFile
from saver.errors import IncompatibleError, NotFoundError, SaverError
from saver.logger import logger
from saver.serve.refusals import Refusal

Right: TypeAlias = Literal["predict", "read", "write", "admin"]
RIGHTS: tuple[str, ...] = get_args(Right)
FORM = re.compile(r"saver_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
FORGOTTEN = 4096
"""Addresses that are remembered for their failures."""
FAILURES = 10.0
"""That one address may make at once, and in a minute."""


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a token. `scopes` are `predict`, or `predict:iris` for one model, or `predict:team/*`;
    `rate` is in requests per second."""

    id: str
    name: str
    hash: str
    scopes: tuple[str, ...]
    made: float
    expires: float | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        for scope in self.scopes:
            right, colon, model = scope.partition(":")
            if right not in RIGHTS or (colon and not model):
                raise ValueError(f"{scope!r} is not a scope; write {', '.join(RIGHTS)}, or predict:MODEL")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise ValueError(f"a rate is a positive number of requests per second, not {self.rate}")

    def may(self, right: str, model: str | None) -> bool:
        """Whether it gives a right to a model; with None, to the whole server. Admin gives every right."""
        for scope in self.scopes:
            given, _, pattern = scope.partition(":")
            if given in (right, "admin") and (
                not pattern or (model is not None and fnmatchcase(model, pattern))
            ):
                return True
        return False

    def may_some(self, right: str) -> bool:
        """Whether it gives a right to any model."""
        return any(scope.partition(":")[0] in (right, "admin") for scope in self.scopes)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tokens: tuple[Token, ...] = ()


_decoder = msgspec.json.Decoder(_File)


def hashed(secret: str) -> str:
    """A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_tokens(path: str | os.PathLike[str]) -> tuple[Token, ...]:
    """The tokens of a file; an empty tuple if there is no file yet. Raises IncompatibleError."""
    try:
        with open(path, "rb") as file:
            return _decoder.decode(file.read()).tokens
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise IncompatibleError(f"{os.fspath(path)}: not a file of tokens ({error})") from None


def _write(path: str | os.PathLike[str], tokens: Iterable[Token]) -> None:
    data = msgspec.json.format(msgspec.json.encode(_File(tuple(tokens))), indent=1)
    with NewFile(os.fspath(path), len(data), mode=lambda _: 0o600) as file:
        file.write(data, 0)
        file.commit()


def add_token(
    path: str | os.PathLike[str], name: str, scopes: Iterable[str], *, days: float | None = None,
    rate: float | None = None,
) -> tuple[str, Token]:  # fmt: skip
    """Make a token, and keep its hash in the file. The text of the token is returned here and never again."""
    number, secret, now = secrets.token_hex(6), secrets.token_urlsafe(32), time.time()
    token = Token(
        id=number, name=name, hash=hashed(secret), scopes=tuple(scopes), made=now,
        expires=None if days is None else now + days * 86400, rate=rate,
    )  # fmt: skip
    _write(path, [*read_tokens(path), token])
    return f"saver_{number}_{secret}", token


def revoke_token(path: str | os.PathLike[str], name: str) -> Token:
    """Remove the token of this name or id from the file. Raises NotFoundError."""
    tokens = read_tokens(path)
    found = [each for each in tokens if name in (each.id, each.name)]
    if len(found) != 1:
        there = ", ".join(f"{each.name} ({each.id})" for each in found or tokens) or "none"
        how = (
            f"{len(found)} tokens are named {name!r}; name one by its id"
            if found
            else f"has no token {name!r}"
        )
        raise NotFoundError(f"{os.fspath(path)}: {how}; there are: {there}")
    _write(path, [each for each in tokens if each is not found[0]])
    return found[0]


class Bucket:
    """Lets through `rate` a second, and as many at once as in one second, at least one."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._most = self._left = max(1.0, rate if burst is None else burst)
        self._at = time.monotonic()

    def take(self) -> float:
        """0 if one is let through now, or else in how many seconds one will be."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate


def _may(token: Token, right: str, model: str | None, some: bool) -> bool:
    return token.may_some(right) if some else token.may(right, model)


class Gate:
    """Says who a request is by, and what that one may. The file is read again when it has changed.

    Without a file, everybody is let in: the server allows that on the loopback address only. `public` are
    scopes of those who show no token, and of everybody who shows a good one.
    """

    LOOK = 1.0
    """Seconds between looks at the file."""

    def __init__(self, path: str | os.PathLike[str] | None, public: tuple[str, ...] = ()) -> None:
        self._path = path
        self._public = Token(id="", name="public", hash="", scopes=public, made=0) if public else None
        self._tokens: dict[str, Token] = {}
        self._buckets: dict[str, Bucket] = {}
        self._failures: OrderedDict[str, Bucket] = OrderedDict()
        self._stamp: tuple[int, int, int] | None = None
        self._looked = -self.LOOK
        self._read()

    def _read(self) -> None:
        self._looked = time.monotonic()
        if self._path is None:
            return
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        except FileNotFoundError:
            stamp = (0, 0, 0)
        if stamp != self._stamp:
            self._tokens = {each.id: each for each in read_tokens(self._path)}
            self._stamp = stamp
            self._buckets = {key: each for key, each in self._buckets.items() if key in self._tokens}

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._path is None

    def tokens_of(self, token: Token | None) -> list[Token]:
        """Those whose scopes a request has that showed this token."""
        return [each for each in (token, self._public) if each is not None]

    def allows(self, token: Token | None, right: str, model: str | None) -> bool:
        """Whether who was let in with this token, or without one, may also do this."""
        if self._path is None or (self._public is not None and self._public.may(right, model)):
            return True
        return token is not None and token.may(right, model)

    def admit(
        self, header: str | None, right: str, model: str | None, address: str, *, some: bool = False
    ) -> Token | None:
        """The token of a request that may do this; with `some`, to any model. Raises Refusal: without a good
        token, with one that does not give the right, or with one that is used too often."""
        if self._path is None:
            return None
        self._look()
        public = self._public is not None and _may(self._public, right, model, some)
        if header is None and public:
            return None
        token = self.known(header, address)
        bucket = self._buckets.get(token.id)
        if token.rate is not None:
            if bucket is None:
                bucket = self._buckets[token.id] = Bucket(token.rate)
            wait = bucket.take()
            if wait:
                raise Refusal(
                    "too-many-requests", f"this token may ask {token.rate:g} times a second", retry=wait
                )
        if not public and not _may(token, right, model, some):
            what = right if model is None else f"{right}:{model}"
            raise Refusal("forbidden", f"the token {token.name!r} does not give the right {what}")
        return token

    def recognise(self, header: str | None, address: str) -> None:
        """Raises Refusal if a request is from nobody who may have a right: before what it wants is known."""
        if self._path is not None and (header is not None or self._public is None):
            self._look()
            self.known(header, address)

    def _look(self) -> None:
        """Read the file again if it has changed, now and then."""
        if time.monotonic() - self._looked > self.LOOK:
            try:
                self._read()
            except (SaverError, OSError) as error:  # as before, until the file is whole again
                logger.warning("%s: the tokens stay as they were: %s", self._path, error)

    def known(self, header: str | None, address: str) -> Token:
        """The token that a header shows. Raises Refusal if it is not a good one, or after too many."""
        token = self._found(header)
        if token is None:
            self._failed(address)
            raise Refusal("unauthorized", "a token is needed: Authorization: Bearer saver_…")
        return token

    def quietly(self, header: str | None) -> Token | None:
        """The same where no token is needed; None if there is no good one."""
        return self._found(header) if header is not None else None

    def _found(self, header: str | None) -> Token | None:
        """The token that a header shows. An unknown id takes as long as a wrong secret."""
        scheme, _, text = (header or "").partition(" ")
        form = FORM.fullmatch(text.strip())
        number, secret = (form[1], form[2]) if form else ("", "")
        token = self._tokens.get(number)
        right = hmac.compare_digest(hashed(secret), token.hash if token is not None else "0" * 64)
        if scheme.lower() != "bearer" or token is None or not right:
            return None
        return None if token.expires is not None and time.time() >= token.expires else token

    def _failed(self, address: str) -> None:
        """Somebody at this address has no good token; too many failures are answered 429."""
        bucket = self._failures.pop(address, None) or Bucket(FAILURES / 60, FAILURES)
        self._failures[address] = bucket
        if len(self._failures) > FORGOTTEN:
            self._failures.popitem(last=False)
        wait = bucket.take()
        if wait:
            raise Refusal("too-many-requests", "too many requests without a good token", retry=wait)
