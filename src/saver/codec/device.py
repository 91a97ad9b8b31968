"""Where the tensors of one load go."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_NAME = re.compile(r"[a-z]+(:\d{1,3})?")


class Device(msgspec.Struct, frozen=True):
    """All tensors go to the device called `name`; if it is None, each goes to the device it was saved from.

    `or_cpu` says that the CPU is used if that device is missing, as when values are copied into existing
    tensors.
    """

    name: str | None = None
    or_cpu: bool = True

    @classmethod
    def named(cls, device: Any) -> Device:
        """The device that a caller passed: "cpu", "cuda:1", or an object whose `str` is such a name; None for
        the devices that tensors were saved from. Raises ValueError if it is not the name of a device."""
        if device is None:
            return cls(None, or_cpu=False)
        name = str(device)
        if not _NAME.fullmatch(name):
            raise ValueError(f"device={device!r}: pass the name of a device, as in device='cpu'")
        return cls(name, or_cpu=False)
