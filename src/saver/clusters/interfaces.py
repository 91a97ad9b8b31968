"""The addresses by which other machines may reach this one."""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from ipaddress import ip_address

_ELSEWHERE = "192.0.2.1"
"""An address of no machine (RFC 5737): a route to it begins as one to any other machine."""

_SIOCGIFADDR = 0x8915
"""Asks Linux for the address of a network interface (netdevice(7))."""


def addresses() -> list[str]:
    """The likeliest first: that of the route to other machines, those of this machine's name, and those of
    its network interfaces. If `SAVER_ADDRESS` is set to an address, or on Linux to the name of an
    interface, that one alone. Raises ValueError if there is none of that name."""
    wanted = os.environ.get("SAVER_ADDRESS", "")
    if wanted:
        return [_named(wanted)]
    found = [_routed(), *_of_name(), *_of_interfaces()]
    outside = [each for each in found if each and not ip_address(each).is_loopback]
    return list(dict.fromkeys(outside or ["127.0.0.1"]))


def _named(wanted: str) -> str:
    with suppress(ValueError):
        return str(ip_address(wanted))
    found = _of_interface(wanted)
    if not found:
        raise ValueError(f"SAVER_ADDRESS is {wanted[:80]!r}: not an address or interface of this machine")
    return found


def _routed() -> str:
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((_ELSEWHERE, 9))  # which sends nothing
        return str(way.getsockname()[0])
    return ""


def _of_name() -> list[str]:
    with suppress(OSError):
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        return [str(each[4][0]).partition("%")[0] for each in found]
    return []


def _of_interfaces() -> list[str]:
    if sys.platform != "linux":
        return []
    return [_of_interface(name) for _, name in socket.if_nameindex()]


def _of_interface(name: str) -> str:
    """Its IPv4 address; empty if it has none, or there is no such interface."""
    if sys.platform != "linux":
        return ""
    from fcntl import ioctl

    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
        answer = ioctl(asks.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        return socket.inet_ntoa(answer[20:24])
    return ""
