"""Addresses of servers: `https://host:8000/folder?deadline=SECONDS`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from saver.errors import quoted
from saver.loopback import is_loopback
from saver.storage import Storage
from saver.storages._deadline import deadline_of
from saver.storages.remote.asking import Asking
from saver.storages.remote.connections import Connections
from saver.storages.remote.storage import RemoteStorage
from saver.storages.remote.token import Token, token_from

DEADLINE = 60.0
"""Seconds in which a request is repeated, by default."""
_TOKEN = re.compile("saver_[0-9a-f]{12}_", re.IGNORECASE)


def open_storage(address: str, token: Any = None) -> Storage:
    """The store that a server shares at this address. `token` is the text of a token, or the path of a file
    that holds it; without it, `SAVER_TOKEN` is the text, or `SAVER_TOKEN_FILE` the path.

    Nothing is asked yet. Raises ValueError if this is not such an address, or not such a token.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ValueError(f"store: {quoted(public(address))} is not an address: {error}") from None
    if "@" in parts.netloc or _TOKEN.search(unquote(address)):
        raise ValueError(
            f"store: {public(address)}: names and secrets do not belong into an address, which is shown and "
            "logged; pass token=, or set SAVER_TOKEN or SAVER_TOKEN_FILE"
        )
    if not host or parts.fragment or options.keys() - {"deadline"}:
        raise ValueError(
            f"store: {quoted(public(address))} is not the address of a server; write "
            "https://host:port/folder, perhaps with ?deadline=SECONDS"
        )
    if parts.scheme != "https" and not is_loopback(host):
        raise ValueError(
            f"store: {public(address)}: http:// is for this machine alone, since everybody on the way could "
            "read the token and change what is sent; use https://"
        )
    given = options.get("deadline", DEADLINE)
    deadline = deadline_of(given, _masked(str(given)))
    return _opened(
        parts,
        Connections(host, port, secure=parts.scheme == "https", patience=deadline),
        deadline,
        token_from(token),
    )


def _opened(parts: SplitResult, connections: Connections, deadline: float, token: Token) -> Storage:
    folder = "".join(f"/{each}" for each in parts.path.split("/") if each)
    name = f"{parts.scheme}://{parts.netloc}{folder}"
    return RemoteStorage(name, Asking(name, f"{folder}/store", connections, token, deadline))


def public(address: str) -> str:
    """An address without what could be a secret in it."""
    scheme, _, rest = address.partition("://")
    return _masked(f"{scheme}://{rest.partition('?')[0].partition('#')[0].rpartition('@')[2]}")


def _masked(text: str) -> str:
    """A text without what begins as tokens do."""
    return re.sub("saver(_|%5f).*", "saver_…", text, flags=re.DOTALL | re.IGNORECASE)
