"""Which hosts are this machine: what is sent to one of them goes over no network."""

from __future__ import annotations

import ipaddress

NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
"""What a client that runs on this machine calls it, as it may stand in an address or in a request's Host."""


def is_loopback(host: str) -> bool:
    """Whether a name or an address, without a port, is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
