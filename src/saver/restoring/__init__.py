"""Restores in place: saved values go into existing objects.

`restore` makes a plan for every part, reads and verifies all bytes that it needs, and only then changes
anything. The restorers in the codec modules (`RESTORERS`, beside `CODECS`) define which objects can be
restored.
"""

from __future__ import annotations

from saver.restoring.asking import ask
from saver.restoring.contract import Plan, Restorer
from saver.restoring.memory import Memory, Storage, array_memory
from saver.restoring.naming import Names, Naming
from saver.restoring.pairing import Pair
from saver.restoring.report import Conversion, Mismatch, PartReport, Report
from saver.restoring.restore import restore
from saver.restoring.saved import Bring, Saved

__all__ = [
    "Bring",
    "Conversion",
    "Memory",
    "Mismatch",
    "Names",
    "Naming",
    "Pair",
    "PartReport",
    "Plan",
    "Report",
    "Restorer",
    "Saved",
    "Storage",
    "array_memory",
    "ask",
    "restore",
]
