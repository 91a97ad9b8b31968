"""Rehearsals: whether a training script survives what will end it, before that happens.

`prove` trains the same steps twice within this process; `saver rehearse` starts the script as a process of
its own, ends it by a real signal or in the middle of a step, and starts it again.
"""

from __future__ import annotations

from saver.rehearsal.here import prove
from saver.rehearsal.proof import Proof

__all__ = ["Proof", "prove"]
