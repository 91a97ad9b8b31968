"""Requests to an OCI registry, through `oras`, and what its answers may be: bounded, and held against their
digests. https://github.com/opencontainers/distribution-spec

A registry may be hostile, or there may be somebody between it and this machine. So nothing of it is read
that is larger than announced, a redirection leads to other web servers alone, and to unencrypted ones only
where the address says so, and what `oras` does not check is checked here.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import requests
from oras.container import Container
from oras.provider import Registry
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from saver.errors import CannotReadError, CannotWriteError, DamagedError, SaverError
from saver.hubs._artifact import INDEXES, LARGEST, MANIFEST, digest_of
from saver.storage import Content
from saver.strict import strict_json

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""

CHUNKED = 64 << 20
"""Larger files are sent in pieces, as `oras` holds in memory what it sends at once."""

CHUNK = 1 << 20
PAUSES = (0.2, 1.0)
"""Seconds before a request is repeated that found no server, or a busy one."""

BUSY = (429, 500, 502, 503, 504)


class _TooLarge(requests.RequestException):  # type: ignore[misc]
    """An answer that is larger than any that a registry gives."""


class _Bounded(HTTPAdapter):  # type: ignore[misc]
    """Sends requests, and reads at most `LARGEST` bytes of what is not streamed. Refuses all of them if
    `refused` says why."""

    def __init__(self, refused: str = "") -> None:
        super().__init__()
        self._refused = refused

    def send(self, request: Any, stream: bool = False, timeout: Any = None, **given: Any) -> Any:
        if self._refused:
            raise requests.exceptions.InvalidSchema(self._refused)
        response = super().send(request, stream=True, timeout=timeout or TIMEOUT, **given)
        if not stream or response.is_redirect or response.status_code >= 400:
            _take(response)
        return response


def _reason(error: Exception) -> str:
    """What went wrong, in a line, without the queries of addresses, in which there may be secrets."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    said = " ".join(str(error if inner is None else inner).split()).rpartition("): ")[2]
    return f"{type(error).__name__}: {re.sub(r'[?][^ ]*', '?…', said)[:300]}"


def _take(response: Any) -> None:
    """Read the body now, as far as it may go; requests would read one without end."""
    raw, found, size = response.raw, [], 0
    while piece := raw.read(CHUNK, decode_content=True):
        found.append(piece)
        size += len(piece)
        if size > LARGEST:
            raw.close()
            raise _TooLarge(f"the answer has more than {LARGEST:,} bytes")
    response.raw = io.BytesIO(b"".join(found))
    response.headers.pop("Content-Encoding", None)


class _Client(Registry):  # type: ignore[misc]
    """`oras`, which otherwise waits two minutes before it says that there is no server."""

    def do_request(self, url: str, method: str = "GET", *given: Any, **named: Any) -> Any:
        once = Registry.do_request.__wrapped__
        for pause in (*PAUSES, None):
            try:
                response = once(self, url, method, *given, **named)
            except (requests.ConnectionError, requests.Timeout):
                if pause is None:
                    raise
            else:
                if pause is None or method == "POST" or response.status_code not in BUSY:
                    return response
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


class Remote:
    """A repository of a registry. `address` is what messages call it."""

    def __init__(self, address: str, host: str, name: str, insecure: bool) -> None:
        self._address = address
        self._client = _Client(hostname=host, insecure=insecure)
        session = self._client.session
        session.headers["Accept-Encoding"] = "identity"
        session.mount("https://", _Bounded())
        plain = (
            "" if insecure else f"{address} leads to http://, which anybody on the way can read and change"
        )
        session.mount("http://", _Bounded(plain))
        self._container = Container(f"registry.invalid/{name}")
        self._container.registry = host
        with self._asking(CannotReadError):
            self._client.auth.load_configs(self._container)

    @contextmanager
    def _asking(self, error: type[CannotReadError | CannotWriteError]) -> Iterator[None]:
        try:
            yield
        except SaverError:
            raise
        except (requests.RequestException, HTTPError, ValueError, OSError, RuntimeError, KeyError) as found:
            raise error(
                f"{self._address}: {_reason(found)}; check the address and the login "
                "(docker login), then run it again: it goes on where it stopped"
            ) from found

    def _url(self, path: str) -> str:
        return f"{self._client.prefix}://{path}"

    # Reading

    def manifest(self, reference: str) -> bytes | None:
        """The manifest of a tag or digest; None if there is none. Raises DamagedError if its bytes do not
        have the digest that was requested, or that the registry names."""
        with self._asking(CannotReadError):
            response = self._client.do_request(
                self._url(self._container.manifest_url(reference)),
                headers={"Accept": ", ".join((MANIFEST, *INDEXES))},
            )
            if response.status_code == 404:
                return None
            self._demand(response, (200,), CannotReadError)
            body: bytes = response.content
            named = response.headers.get("Docker-Content-Digest", "")
        wanted = reference if reference.startswith("sha256:") else named
        if wanted.startswith("sha256:") and digest_of(body) != wanted:
            raise DamagedError(
                f"{self._address}: the manifest is not the one with the digest {wanted[:80]}; get it from "
                "another registry"
            )
        return body

    def tags(self) -> list[str]:
        """Some of the tags that there are; none if the registry does not say."""
        with self._asking(CannotReadError):
            response = self._client.do_request(self._url(self._container.tags_url(N=1000)))
            if response.status_code != 200:
                return []
            found = strict_json(response.content, self._address)
        tags = found.get("tags") if isinstance(found, dict) else None
        return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []

    def blob(self, digest: str, size: int, key: str) -> Content:
        """The content of a layer."""
        return _Fetched(self, digest, size, key)

    def pieces(self, digest: str, size: int, key: str) -> Iterator[bytes]:
        """The bytes of a layer. Raises DamagedError at the end, or before, if they are not those."""
        hashed, left = hashlib.sha256(), size
        where = f"{self._address}: {key}"
        with self._asking(CannotReadError), self._client.get_blob(
            self._container, digest, stream=True
        ) as response:  # fmt: skip
            if response.status_code == 404:
                raise DamagedError(f"{where} is missing in the registry, though the manifest names it")
            self._demand(response, (200,), CannotReadError)
            for piece in response.iter_content(CHUNK):
                left -= len(piece)
                if left < 0:
                    raise DamagedError(f"{where} has more than the {size:,} bytes of its manifest")
                hashed.update(piece)
                yield piece
        if left or f"sha256:{hashed.hexdigest()}" != digest:
            raise DamagedError(f"{where} is not what was pushed: its bytes do not have the digest {digest}")

    # Writing

    def upload(self, path: str, digest: str, size: int) -> None:
        """Send a file, unless it is there."""
        layer = {"digest": digest, "size": size}
        with self._asking(CannotWriteError):
            response = self._client.upload_blob(path, self._container, layer, size > CHUNKED)
            self._demand(response, (200, 201, 202), CannotWriteError)

    def put_manifest(self, tag: str, body: bytes) -> None:
        """Give a manifest this tag: from then on, it is what the address names."""
        with self._asking(CannotWriteError):
            url = self._url(self._container.manifest_url(tag))
            response = self._client.do_request(url, "PUT", data=body, headers={"Content-Type": MANIFEST})
            self._demand(response, (200, 201, 202), CannotWriteError)

    def _demand(
        self, response: Any, good: tuple[int, ...], error: type[CannotReadError | CannotWriteError]
    ) -> None:
        if response.status_code not in good:
            said = " ".join(str(response.reason).split())
            raise error(
                f"{self._address}: the registry answered {response.status_code} ({said[:100]}); check the "
                "address, and whether you may do this there"
            )


class _Fetched(Content):
    def __init__(self, remote: Remote, digest: str, size: int, key: str) -> None:
        self.size = size
        self._remote, self._digest, self._key = remote, digest, key

    def pieces(self) -> Iterator[bytes | memoryview]:
        return cast(Iterator[bytes | memoryview], self._remote.pieces(self._digest, self.size, self._key))
