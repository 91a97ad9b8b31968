"""Rehearsals: they test whether a training script survives being ended, before it is.

`prove` trains the same steps twice within this process. `saver rehearse` starts the script as a separate
process, ends it by a real signal or in the middle of a step, and starts it again.
"""

from __future__ import annotations

from saver.rehearsal.here import prove
from saver.rehearsal.proof import Proof

__all__ = ["Proof", "prove"]
