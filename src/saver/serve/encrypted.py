"""TLS of a server, which answers in plain text if somebody sends plain HTTP: that its address is https://."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

SAID = b"this port takes TLS alone; write https:// instead of http:// in the address\n"
PLAIN = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(SAID), SAID)
)


class _Handshake(ssl.SSLObject):
    """One connection, whose first bytes may be plain HTTP: OpenSSL knows such by the method."""

    say: Callable[[bytes], object] | None = None

    def do_handshake(self) -> None:
        """Raises SSLError."""
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            if self.say is None or error.reason != "HTTP_REQUEST":
                raise
            self.say(PLAIN)
            self.say = None
            raise ssl.SSLWantReadError from None  # what was said is sent first; the next bytes end it


class Encrypted(ssl.SSLContext):
    """How the connections of one server are encrypted."""

    sslobject_class = _Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **given: Any) -> Any:
        """A connection whose bytes go through these."""
        found: Any = super().wrap_bio(incoming, outgoing, *args, **given)
        found.say = outgoing.write
        return found


def encrypted(certificate: str, private_key: str | None, authorities: str | None) -> Encrypted:
    """TLS with this certificate; with authorities, only for clients that have one of theirs. Raises OSError,
    also for files that are not what they should be."""
    found = Encrypted(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate, private_key)
    if authorities is not None:
        found.load_verify_locations(authorities)
        found.verify_mode = ssl.CERT_REQUIRED
    return found
