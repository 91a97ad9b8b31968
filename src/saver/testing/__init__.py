"""Building blocks for tests of your own storages and codecs. Needs pytest."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("saver.testing.clusters", "saver.testing.codecs", "saver.testing.storages")

from saver.storages.counting import CountingStorage  # noqa: E402
from saver.storages.latency import LatencyStorage  # noqa: E402
from saver.testing.clusters import ClusterTests  # noqa: E402
from saver.testing.codecs import CodecTests  # noqa: E402
from saver.testing.crashes import CrashState, crash_states  # noqa: E402
from saver.testing.enumeration import (  # noqa: E402
    DamageCase,
    FaultCase,
    FileFault,
    Struck,
    Tally,
    every_damage,
    every_fault,
    every_file_fault,
)
from saver.testing.faults import Crash, FaultyFiles  # noqa: E402
from saver.testing.faulty_storage import Call, FaultyStorage, Kind  # noqa: E402
from saver.testing.interrupts import Interrupt, Interrupted, every_interrupt  # noqa: E402
from saver.testing.kinds import DAMAGE, KINDS, READ_KINDS, WRITE_KINDS, overtaken  # noqa: E402
from saver.testing.storages import StorageTests  # noqa: E402

__all__ = [
    "DAMAGE",
    "KINDS",
    "READ_KINDS",
    "WRITE_KINDS",
    "Call",
    "ClusterTests",
    "CodecTests",
    "CountingStorage",
    "Crash",
    "CrashState",
    "DamageCase",
    "FaultCase",
    "FaultyFiles",
    "FaultyStorage",
    "FileFault",
    "Interrupt",
    "Interrupted",
    "Kind",
    "LatencyStorage",
    "StorageTests",
    "Struck",
    "Tally",
    "crash_states",
    "every_damage",
    "every_fault",
    "every_file_fault",
    "every_interrupt",
    "overtaken",
]
